//! Answers that are given again from memory: nobody sees that they are.
//!
//! - whatever is asked after whatever happened, the answer is the one that walking the request through
//!   gives: status, headers and body, for GET and HEAD, with conditions, over HTTP/1.0, 1.1 and 2
//! - the counters that tell of requests are the same, the log line is written
//! - who may not ask is told so, however often others have asked
//! - a body that was harmed, an entry that was removed, another host end what is remembered
//! - failures, what is stale and what several feeds answer are never remembered

use std::collections::HashMap;
use std::fmt::Write as _;

use nugate::config::AccessMode;
use nugate::demo::{ExampleFeed, Package};
use nugate::entry::Digest;

use crate::lost::body_files;
use crate::support::client::{self, Response};
use crate::support::group::feed as feed_of;
use crate::support::world::Settings;
use crate::support::{GroupWorld, World, get, until};

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const LARGE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";
const LIST: &str = "flat/example.core/index.json";
const REGISTRATION: &str = "registration-gz-semver2/example.core/index.json";
/// Long enough to be a file.
const MANY: &str = "registration-gz-semver2/example.many/index.json";

/// One of each way of being kept and shown.
const PATHS: &[&str] = &[
    CORE,
    LARGE,
    LIST,
    REGISTRATION,
    MANY,
    "flat/example.core/1.0.0/example.core.nuspec",
    "query?q=example&take=5",
    "vulnerabilities/index.json",
    "index.json",
];

/// Asks for nothing that is not given anyway, but is not plain.
const WALKED: (&str, &str) = ("cache-control", "max-age=31536000");

const GZIP: (&str, &str) = ("accept-encoding", "gzip");

/// A world whose requests all have these headers besides their own.
struct Asking {
    world: World,
    extra: &'static [(&'static str, &'static str)],
    seen: Vec<String>,
    numbers: HashMap<String, usize>,
}

fn feed() -> ExampleFeed {
    let mut feed = ExampleFeed::demo();
    feed.add(Package::new("Example.Large", "1.0.0").padded(700_000))
        .unwrap();
    for number in 0..60 {
        let version = format!("1.{number}.0");
        feed.add(Package::new("Example.Many", version)).unwrap();
    }
    feed
}

fn one_host(settings: &mut Settings) {
    settings.bases.allowed_hosts = vec!["one.test".to_owned(), "two.test".to_owned()];
    settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

impl Asking {
    async fn new(extra: &'static [(&'static str, &'static str)]) -> Self {
        let world = World::with(feed(), one_host).await;
        Self {
            world,
            extra,
            seen: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// Writes down what must not depend on how the answer was made. Ports differ, and they are in
    /// bodies: these and their tags are told by when they were first seen.
    fn note(&mut self, what: &str, answer: &Response) {
        let path = what.split(' ').next().unwrap_or_default();
        let mut headers = Vec::new();
        for (name, value) in &answer.headers {
            let value = value.to_str().unwrap();
            match name.as_str() {
                "date" | "x-request-id" => {}
                "etag" => headers.push(format!("etag: {}", self.number(path, value))),
                // Compressed, what differs is of different length.
                "content-length" if answer.headers.contains_key("content-encoding") => {
                    assert_eq!(value, answer.body.len().to_string());
                }
                name => headers.push(format!("{name}: {value}")),
            }
        }
        headers.sort();
        let body = Digest::of(&answer.body).to_hex();
        let body = self.number(path, &body);
        let text = format!("{what}: {} {headers:?} {body}", answer.status);
        let text = text.replace(&self.world.addr.to_string(), "ADDRESS");
        let text = text.replace(self.world.up.base_url(), "UPSTREAM");
        self.seen.push(text);
    }

    fn number(&mut self, path: &str, text: &str) -> usize {
        let next = self.numbers.len();
        let text = format!("{path} {text}");
        *self.numbers.entry(text).or_insert(next)
    }

    /// GET, and its effect on the store awaited.
    async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        // The base URL is part of what is answered: it has no port that differs.
        let host: &[_] = if headers.iter().any(|(name, _)| *name == "host") {
            &[]
        } else {
            &[("host", "one.test")]
        };
        let headers = [headers, host, self.extra].concat();
        let answer = self.world.get_with(path, &headers).await;
        self.world.quiet().await;
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(" ").replace(" cache-control", "");
        self.note(&format!("{path} {names}"), &answer);
        answer
    }

    async fn head(&mut self, path: &str) {
        let headers = [&[("host", "one.test")], self.extra].concat();
        let path = format!("/v3/{path}");
        let answer = client::head(self.world.addr, &path, &headers).await;
        self.note(&format!("{path} HEAD"), &answer);
    }

    /// GET as of HTTP/1.0.
    async fn old(&mut self, path: &str) {
        let mut request = format!("GET /v3/{path} HTTP/1.0\r\nhost: one.test\r\n");
        for (name, value) in self.extra {
            writeln!(request, "{name}: {value}\r").unwrap();
        }
        let answer = client::raw(self.world.addr, format!("{request}\r\n").as_bytes()).await;
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let (head, body) = answer.split_at(end + 4);
        let mut head: Vec<_> = std::str::from_utf8(head).unwrap().lines().collect();
        let differ = ["date", "x-request-id", "etag", "content-length"];
        head.retain(|line| !differ.iter().any(|name| line.starts_with(name)));
        head.sort_unstable();
        let body = self.number(path, &Digest::of(body).to_hex());
        let text = format!("{path} 1.0: {head:?} {body}");
        let text = text.replace(self.world.up.base_url(), "UPSTREAM");
        self.seen.push(text);
    }

    /// Asks for a document in every way.
    async fn ask_all(&mut self, path: &str) {
        let first = self.get(path, &[]).await;
        self.get(path, &[]).await;
        self.get(path, &[]).await;
        self.get(path, &[GZIP]).await;
        let gzip = self.get(path, &[GZIP]).await;
        self.head(path).await;
        let (tag, gzip_tag) = (first.header("etag"), gzip.header("etag"));
        let (date, past) = (
            first.header("last-modified"),
            "Sat, 01 Jan 2000 00:00:00 GMT",
        );
        self.get(path, &[("if-none-match", tag)]).await;
        self.get(path, &[("if-none-match", &format!("\"x\", W/{tag}"))])
            .await;
        self.get(path, &[("if-none-match", "\"x\"")]).await;
        self.get(path, &[("if-none-match", gzip_tag), GZIP]).await;
        self.get(path, &[("if-none-match", "*")]).await;
        self.get(path, &[("if-modified-since", date)]).await;
        self.get(path, &[("if-modified-since", past)]).await;
        self.get(path, &[("range", "bytes=5-9")]).await;
        self.get(path, &[("host", "two.test")]).await;
        self.get(path, &[("host", "TWO.test")]).await;
        self.get(path, &[("host", "three.test")]).await;
        let forwarded = [
            ("x-forwarded-host", "two.test"),
            ("x-forwarded-proto", "https"),
        ];
        self.get(path, &forwarded).await;
        self.get(path, &forwarded).await;
        self.old(path).await;
    }

    async fn ask_everything(&mut self) {
        for path in PATHS {
            self.ask_all(path).await;
        }
        for path in [LARGE, MANY] {
            let path = format!("/v3/{path}");
            let answer = client::get_h2(self.world.addr, &path, self.extra).await;
            self.note(&format!("{path} HTTP/2"), &answer);
        }
    }

    /// A life with everything that ends what is remembered.
    async fn live(&mut self) {
        self.ask_everything().await;
        self.world.later(30);
        self.ask_everything().await;
        // Lists, searches, then registrations are over.
        for seconds in [60, 200, 4000, 90_000] {
            self.world.later(seconds);
            self.ask_everything().await;
        }
        let newer = Package::new("Example.Core", "7.0.0");
        self.world.up.change(|feed| feed.add(newer)).unwrap();
        self.ask_everything().await;
        self.world.later(600);
        self.ask_everything().await;
        // Behind the back of those who just asked.
        assert_eq!(self.world.push("Example.Core", "8.0.0").await.status, 201);
        self.ask_everything().await;
        self.world.later(5);
        self.ask_everything().await;
        let removed = self
            .world
            .call(http::Method::DELETE, "publish/example.core/8.0.0", &[], "");
        let status = removed.await.status;
        self.seen.push(format!("deleted: {status}"));
        self.ask_everything().await;
        self.world.up.down().await;
        self.world.later(700);
        self.ask_everything().await;
    }

    fn was_slow(&self) -> bool {
        self.seen.iter().any(|seen| seen.contains("upstream-slow"))
    }

    /// What is counted of requests, but for what they were answered by.
    async fn counted(&self) -> Vec<String> {
        let text = get(self.world.addr, "/metrics", &[]).await.text();
        let of_requests = |line: &&str| {
            [
                "nugate_requests_total",
                "nugate_request_duration_seconds_count",
            ]
            .iter()
            .any(|name| line.starts_with(name))
                || line.starts_with("nugate_access_total")
                || line.starts_with("nugate_views_total")
                || line.starts_with("nugate_upstream_requests_total")
        };
        let lines = text.lines().filter(of_requests);
        lines.map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_whether_an_answer_was_remembered() {
    let (plain, walked) = loop {
        let (mut plain, mut walked) = (Asking::new(&[]).await, Asking::new(&[WALKED]).await);
        plain.live().await;
        walked.live().await;
        // A machine that was too busy for a whole second has them answered in its own way.
        if !(plain.was_slow() || walked.was_slow()) {
            break (plain, walked);
        }
    };
    assert_eq!(plain.seen.len(), walked.seen.len());
    for (plain, walked) in plain.seen.iter().zip(&walked.seen) {
        assert_eq!(plain, walked);
    }
    assert_eq!(plain.counted().await, walked.counted().await);
    let hot = plain.world.metric("nugate_hot_answers_total").await;
    let half = float(plain.seen.len()) / 2.0;
    assert!(
        hot > half,
        "only {hot} of {} were remembered",
        plain.seen.len()
    );
    let none = walked.world.metric("nugate_hot_answers_total").await;
    assert_eq!(none, 0.0);
}

async fn remembered(world: &World) -> f64 {
    world.metric("nugate_hot_answers_total").await
}

fn float(count: usize) -> f64 {
    u32::try_from(count).unwrap().into()
}

async fn saved(world: &World) -> f64 {
    world.metric("nugate_saved_bytes_total").await
}

/// Asks until an answer is one that was remembered, and gives that.
async fn until_remembered(world: &World, path: &str) -> Response {
    let before = remembered(world).await;
    let mut last = None;
    until("it is remembered", async || {
        last = Some(world.get(path).await);
        remembered(world).await > before
    })
    .await;
    last.unwrap()
}

/// Twelve packages and room for less than half of them; the first is remembered.
async fn crowded() -> World {
    let packages = (0..12).map(|n| Package::new(format!("P{n}"), "1.0.0").padded(100_000));
    let world = World::with(ExampleFeed::new(packages).unwrap(), |settings| {
        settings.quota.size_max = 500_000;
    })
    .await;
    until_remembered(&world, &crowd(0)).await;
    world
}

fn crowd(number: usize) -> String {
    format!("flat/p{number}/1.0.0/p{number}.1.0.0.nupkg")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_made_room_is_not_given_again() {
    let world = crowded().await;
    for number in 1..12 {
        world.later(3600);
        world.get(&crowd(number)).await;
        world.quiet().await;
    }
    until("it has made room", async || {
        world
            .metric("nugate_evictions_total{tier=\"entries\"}")
            .await
            > 6.0
    })
    .await;
    let again = world.get(&crowd(0)).await;
    assert_eq!(again.header("cache-status"), "nugate; fwd=uri-miss; stored");
    assert!(again.body == world.nupkg("p0", "1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_again_is_used() {
    let world = crowded().await;
    for number in 1..12 {
        world.later(3600);
        world.get(&crowd(number)).await;
        world.quiet().await;
        let (before, bytes) = (remembered(&world).await, saved(&world).await);
        let length = float(world.get(&crowd(0)).await.body.len());
        assert_eq!(remembered(&world).await, before + 1.0, "{number}");
        assert_eq!(saved(&world).await, bytes + length, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmed_body_is_not_given_again() {
    let world = World::with(feed(), one_host).await;
    for path in [LARGE, CORE] {
        let right = until_remembered(&world, path).await.body;
        for file in body_files(world.path()) {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            std::fs::write(&file, bytes).unwrap();
            let file = std::fs::File::options().write(true).open(&file).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        }
        world.later(2);
        // What is in memory is good; a file is looked at now and then.
        for _ in 0..3 {
            assert!(world.get(path).await.body == right, "{path}");
            world.quiet().await;
        }
    }
    assert!(world.metric("nugate_damaged_bodies_total").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_one_host_is_not_for_another() {
    let world = World::with(feed(), one_host).await;
    for host in ["one.test", "two.test"] {
        for _ in 0..3 {
            let answer = world.hit_with(REGISTRATION, &[("host", host)]).await;
            let plain = world.get_with(REGISTRATION, &[("host", host)]).await;
            assert_eq!(plain.body, answer.body);
            assert!(plain.text().contains(&format!("http://{host}/v3/")));
        }
    }
    assert!(remembered(&world).await > 1.0);
    let foreign = world.get_with(REGISTRATION, &[("host", "evil.test")]).await;
    assert_eq!(foreign.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_fresh_documents_are_remembered() {
    let world = World::with(feed(), |settings| settings.options.v2 = true).await;
    let never = [
        "flat/no.such.id/index.json",
        "flat/no.such.id/1.0.0/no.such.id.1.0.0.nupkg",
        "nonsense",
        "../metrics",
        "../-/health",
        "../api/v2/package/example.core/1.0.0",
        "../api/v2/package/example.core",
        "../api/v2/FindPackagesById()?id='example.core'",
    ];
    for path in never {
        let path = path.replace("../", "/");
        let target = if path.starts_with('/') {
            path
        } else {
            format!("/v3/{path}")
        };
        for _ in 0..4 {
            get(world.addr, &target, &[]).await;
            world.quiet().await;
        }
    }
    assert_eq!(remembered(&world).await, 0.0);
    until_remembered(&world, LIST).await;
    world.later(120);
    let before = remembered(&world).await;
    let stale = world.get(LIST).await;
    assert_eq!(
        stale.header("cache-status"),
        "nugate; hit; detail=stale-while-revalidate"
    );
    assert_eq!(remembered(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_is_not_answered_from_memory() {
    let digest = hex::encode(Digest::of(b"key-of-mirror").as_bytes());
    let line = format!("mirror:read:{digest}");
    let world = World::with(feed(), |settings| {
        settings.access.mode = AccessMode::Required;
        settings.access.keys = vec![line.parse().unwrap()];
    })
    .await;
    let may = [("x-nuget-apikey", "key-of-mirror")];
    for path in PATHS {
        for _ in 0..4 {
            assert_eq!(world.get_with(path, &may).await.status, 200, "{path}");
            world.quiet().await;
        }
        let wrong = ("authorization", "Bearer wrong");
        for headers in [&[][..], &[("x-nuget-apikey", "x")], &[wrong]] {
            let refused = world.get_with(path, headers).await;
            assert_eq!(refused.status, 401, "{path} {headers:?}");
        }
    }
    let path = format!("/v3/{CORE}");
    assert_eq!(client::head(world.addr, &path, &[]).await.status, 401);
    let metrics = get(world.addr, "/metrics", &may).await.text();
    let value = |name: &str| {
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    assert!(value("nugate_hot_answers_total ") >= 2 * PATHS.len());
    let known = value("nugate_access_total{outcome=\"known\"} ");
    assert_eq!(known, 4 * PATHS.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_several_feeds_answer_is_not_remembered() {
    let second = feed_of("second", &[("Only", "1.0.0")], &[]);
    let owner = feed_of("owner", &[("Owned.Id", "1.0.0")], &["Owned.*"]);
    let world = GroupWorld::first(vec![feed_of("first", &[], &[]), second, owner]).await;
    let hot = async || {
        let text = get(world.addr, "/metrics", &[]).await.text();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("nugate_hot_answers_total "));
        value.unwrap().parse::<u64>().unwrap()
    };
    for id in ["only", "owned.id"] {
        for path in [
            format!("flat/{id}/index.json"),
            format!("flat/{id}/1.0.0/{id}.1.0.0.nupkg"),
            format!("registration/{id}/index.json"),
        ] {
            until("it is stored", async || {
                world.get(&path).await.header("cache-status") == "nugate; hit"
            })
            .await;
            for _ in 0..3 {
                let again = world.get(&path).await;
                assert_eq!(again.header("cache-status"), "nugate; hit", "{path}");
            }
        }
    }
    assert_eq!(hot().await, 0);
    // One feed alone is another matter.
    let alone = "/feeds/second/v3/flat/only/index.json";
    for _ in 0..4 {
        assert_eq!(get(world.addr, alone, &[]).await.status, 200);
    }
    assert!(hot().await > 0);
}
