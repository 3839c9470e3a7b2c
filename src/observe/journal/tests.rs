//! What is noted and what is not, and who is remembered.

use std::net::IpAddr;

use http::Method;

use super::*;
use crate::observe::StaleReason;
use crate::observe::texts::Texts;

fn line(number: u64, status: u16, cache: CacheStatus) -> Line {
    let address = IpAddr::from([10, 0, 0, u8::try_from(number % 200).unwrap()]);
    Line {
        time: Time::from_millis(1_000_000 + number),
        client: address,
        asker: Asker {
            name: None,
            address,
        },
        session: None,
        method: Method::GET,
        texts: Texts::new(b"a-1", "/a/1.0.0", None),
        resource: "nupkg",
        status,
        cache,
        bytes: Some(7),
        duration: Duration::from_millis(3),
        warning: Some(HeaderValue::from_static("why")),
    }
}

fn journal() -> Journal {
    let package_of: PackageOf = |_, path| {
        let (id, version) = path.strip_prefix('/')?.split_once('/')?;
        Some((id.to_owned(), version.to_owned()))
    };
    Journal::new(package_of, IntCounter::new("skipped", "help").unwrap())
}

#[test]
fn so_many_lines_are_noted_in_a_second() {
    let journal = journal();
    let mut line = line(0, 200, CacheStatus::Hit);
    let noted = |journal: &Journal| journal.demands("a")[0].count;
    for _ in 0..NOTED_MAX + 10 {
        journal.keep(&line);
    }
    assert_eq!((noted(&journal), journal.skipped.get()), (NOTED_MAX, 10));
    line.time = line.time.plus(Duration::from_secs(1));
    journal.keep(&line);
    assert_eq!(
        (noted(&journal), journal.skipped.get()),
        (NOTED_MAX + 1, 10)
    );
}

#[test]
fn few_askers_are_remembered_the_latest_first() {
    let journal = journal();
    for number in 0..20 {
        journal.keep(&line(number, 200, CacheStatus::Hit));
    }
    journal.keep(&line(15, 200, CacheStatus::Hit));
    // Who was refused has not got it.
    journal.keep(&line(99, 404, CacheStatus::Miss));
    journal.keep(&line(98, 200, CacheStatus::Own));
    let demands = journal.demands("a");
    let last = |demand: &Demand| match demand.asker.address {
        IpAddr::V4(address) => (address.octets()[3], demand.count),
        IpAddr::V6(_) => (0, 0),
    };
    let found: Vec<_> = demands.iter().map(last).collect();
    assert_eq!(found.len(), ASKERS_MAX);
    assert_eq!(found[..4], [(15, 2), (19, 1), (18, 1), (17, 1)]);
    assert!(journal.demands("b").is_empty());
}

#[test]
fn what_goes_wrong_is_remembered_and_what_is_asked_in_vain_is_not() {
    let journal = journal();
    for (number, (status, cache)) in [
        (200, CacheStatus::Hit),
        (404, CacheStatus::Miss),
        (401, CacheStatus::Own),
        (400, CacheStatus::Own),
        (502, CacheStatus::Passed),
        (429, CacheStatus::Own),
        (200, CacheStatus::Stale(StaleReason::Error)),
    ]
    .into_iter()
    .enumerate()
    {
        journal.keep(&line(number as u64, status, cache));
    }
    let failures = journal.failures();
    let found: Vec<u16> = failures.iter().map(|it| it.asked.status).collect();
    assert_eq!(found, [200, 429, 502]);
    assert_eq!(failures[0].cause.as_deref(), Some("why"));
    for number in 0..2 * FAILURES_MAX as u64 {
        journal.keep(&line(number, 503, CacheStatus::Refused));
    }
    assert_eq!(journal.failures().len(), FAILURES_MAX);
}

#[test]
fn a_session_is_a_guid_with_hyphens() {
    for (text, expected) in [
        ("6f9619ff-8b86-d011-b42d-00c04fc964ff", true),
        ("6F9619FF-8B86-D011-B42D-00C04FC964FF", true),
        ("6f9619ff8b86d011b42d00c04fc964ff", false),
        ("{6f9619ff-8b86-d011-b42d-00c04fc964ff}", false),
        ("6f9619ff-8b86-d011-b42d-00c04fc964fx", false),
        ("", false),
    ] {
        let value = HeaderValue::from_str(text).unwrap();
        assert_eq!(session(&value).is_some(), expected, "{text}");
    }
}
