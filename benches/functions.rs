//! The pure functions that a request runs through, each alone.
//!
//! `cargo bench --bench functions`; a part of a name behind it runs only those benches. What each one
//! is given is what it gets at work: canonical paths, documents as long as those of nuget.org. An
//! input that is not understood would be measured as very fast, so each is looked at once before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "measuring code"
)]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nugate::clock::Time;
use nugate::demo::ExampleFeed;
use nugate::entry::{Digest, Entry, Key, Stored, Validators};
use nugate::nuget::publish::Publish;
use nugate::nuget::resource::View;
use nugate::nuget::rewrite::{self, Place};
use nugate::nuget::route;
use nugate::nuget::service_index::{RenderOptions, ServiceIndex, WebLinks};
use nugate::nuget::version::PackageVersion;
use nugate::policy::class::{Class, Freshness, Network};
use nugate::policy::directives::Directives;
use nugate::policy::judge::{Question, Verdict, judge};
use url::Url;

/// Private to the server, and pure: compiled once more.
#[expect(dead_code, reason = "its unit tests are not run here")]
#[path = "../src/server/range.rs"]
mod range;

const FEED: &str = "https://api.nuget.org";
const OURS: &str = "http://cache.example:6842/v3/";
const PACKAGE: &str = "flat/newtonsoft.json/13.0.3/newtonsoft.json.13.0.3.nupkg";
const REGISTRATION: &str = "registration-gz-semver2/newtonsoft.json/index.json";
const SEARCH: &str = "q=json&skip=0&take=20&prerelease=true&semVerLevel=2.0.0";

fn index() -> ServiceIndex {
    let document = ExampleFeed::demo()
        .document(FEED, "/v3/index.json", "")
        .unwrap();
    let url = Url::parse(&format!("{FEED}/v3/index.json")).unwrap();
    ServiceIndex::parse(&document.body, &url).unwrap()
}

fn routes(c: &mut Criterion) {
    let paths = [
        ("package", PACKAGE, None),
        ("registration", REGISTRATION, None),
        ("search", "query", Some(SEARCH)),
    ];
    let mut group = c.benchmark_group("route");
    for (name, path, query) in paths {
        route::parse(path, query).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| route::parse(black_box(path), black_box(query)));
        });
    }
    let target = route::parse(PACKAGE, None).unwrap();
    group.bench_function("key", |b| b.iter(|| black_box(&target).key("nuget")));
    group.finish();
}

fn judgement(c: &mut Criterion) {
    let now = Time::from_millis(1_750_000_000_000);
    let entry = Entry {
        body: Some(Stored {
            digest: Digest::of(b"body"),
            size: 20_000,
        }),
        url: format!("{FEED}/v3-flatcontainer/newtonsoft.json/index.json"),
        validators: Validators::NONE,
        content_type: None,
        fetched_at: now,
        checked_at: now,
        missing_since: None,
    };
    let key = Key::new("nuget/flat/newtonsoft.json/index.json");
    let freshness = Freshness::default();
    let question = Question {
        key: &key,
        class: Class::Versions,
        freshness: &freshness,
        network: Network::Online,
        directives: Directives::default(),
        outdated: false,
        backing_off: false,
        now,
    };
    assert_eq!(judge(Some(&entry), &question), Verdict::Fresh);
    c.bench_function("judge/fresh", |b| {
        b.iter(|| judge(black_box(Some(&entry)), black_box(&question)));
    });
}

/// A registration index with all its leaves, of at least `size` bytes.
fn registration(size: usize) -> String {
    let base = format!("{FEED}/v3/registration5-gz-semver2");
    let mut text =
        format!(r#"{{"@id":"{base}/some.library/index.json","count":1,"items":[{{"items":["#);
    let mut number = 0;
    while text.len() < size {
        if number > 0 {
            text.push(',');
        }
        let catalog = format!("{FEED}/v3/catalog0/data/2025.06.10/some.library.1.0.{number}.json");
        let content = format!(
            "{FEED}/v3-flatcontainer/some.library/1.0.{number}/some.library.1.0.{number}.nupkg"
        );
        write!(
            text,
            r#"{{"@id":"{base}/some.library/1.0.{number}.json","@type":"Package","catalogEntry":{{"@id":"{catalog}","@type":"PackageDetails","authors":"Some Publisher","description":"A library that does something, told in a sentence or two.","id":"Some.Library","listed":true,"packageContent":"{content}","published":"2025-06-10T09:31:07+00:00","version":"1.0.{number}","dependencyGroups":[{{"dependencies":[{{"id":"Other","range":"[1.0.0, )","registration":"{base}/other/index.json"}}]}}]}},"packageContent":"{content}","registration":"{base}/some.library/index.json"}}"#
        )
        .unwrap();
        number += 1;
    }
    text.push_str("]}]}");
    text
}

fn rewriting(c: &mut Criterion) {
    let map = index().link_map();
    let View::Links(rule) = route::parse(REGISTRATION, None).unwrap().rule.view else {
        panic!("registrations have links");
    };
    let place = Place {
        base: OURS,
        slug: "registration-gz-semver2",
    };
    let mut group = c.benchmark_group("rewrite");
    for (name, size) in [("60 KB", 60_000), ("1.5 MB", 1_500_000)] {
        let document = registration(size);
        let rewritten = rewrite::links(document.as_bytes(), rule, &map, place).unwrap();
        assert!(rewritten.replaced > size / 500 && rewritten.left == 0);
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| rewrite::links(black_box(document.as_bytes()), rule, &map, place));
        });
    }
    group.finish();
}

fn versions(c: &mut Criterion) {
    let mut group = c.benchmark_group("version");
    for (name, text) in [
        ("release", "13.0.3"),
        ("prerelease", "10.0.0-rc.1.25451.107"),
    ] {
        PackageVersion::parse(text).unwrap();
        group.bench_function(name, |b| b.iter(|| PackageVersion::parse(black_box(text))));
    }
    let older = PackageVersion::parse("10.0.0-preview.7.25380.108").unwrap();
    let newer = PackageVersion::parse("10.0.0-rc.1.25451.107").unwrap();
    assert!(older < newer);
    group.bench_function("compare", |b| {
        b.iter(|| black_box(&older).cmp(black_box(&newer)));
    });
    group.finish();
}

fn ranges(c: &mut Criterion) {
    let value = "bytes=1048576-2097151";
    assert_eq!(
        range::parse(value, 20_000_000),
        range::Wanted::Part(1_048_576..2_097_152)
    );
    c.bench_function("range/parse", |b| {
        b.iter(|| range::parse(black_box(value), black_box(20_000_000)));
    });
}

fn service_index(c: &mut Criterion) {
    let index = index();
    let options = RenderOptions {
        base: OURS,
        web_links: WebLinks::Keep,
        v2: true,
        publish: Publish::Relay,
    };
    assert!(index.render(&options).len() > 1000);
    c.bench_function("service index/render", |b| {
        b.iter(|| black_box(&index).render(black_box(&options)));
    });
}

criterion_group!(
    functions,
    routes,
    judgement,
    rewriting,
    versions,
    ranges,
    service_index
);
criterion_main!(functions);
