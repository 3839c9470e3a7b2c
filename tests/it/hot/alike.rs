//! The same life twice: with requests that are remembered, and with such as never are.

use std::collections::HashMap;
use std::fmt::Write as _;

use nugate::demo::Package;
use nugate::entry::Digest;

use super::{LARGE, MANY, PATHS, feed, float, one_host};
use crate::support::client::{self, Response};
use crate::support::{World, get};

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
