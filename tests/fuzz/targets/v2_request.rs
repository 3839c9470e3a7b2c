//! Requests of the V2 protocol: the link to the next page is such a request again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::nuget::v2::filter::Filter;
use nugate_fuzz::nuget::v2::request::{V2Request, parse};
use nugate_fuzz::two_texts;

fuzz_target!(|data: &[u8]| {
    let Some((path, query)) = two_texts(data) else {
        return;
    };
    let _ = Filter::parse(query);
    let query = (!query.is_empty()).then_some(query);
    let Ok(V2Request::List(list)) = parse(path, query) else {
        return;
    };
    let next = list.next(30);
    assert!(next.bytes().all(|byte| byte.is_ascii_graphic()), "{next:?}");
    let (path, query) = match next.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (next.as_str(), None),
    };
    match parse(path, query) {
        Ok(V2Request::List(after)) => {
            assert_eq!(after.name, list.name);
            assert_eq!((after.count, after.semver2), (list.count, list.semver2));
            assert_eq!(after.filter.is_some(), list.filter.is_some());
        }
        other => panic!("{next:?} is {other:?}"),
    }
});
