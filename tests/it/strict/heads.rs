//! Requests as no honest client sends them, and some that are merely unusual.

use super::{HEALTH, world};
use crate::support::client;

/// What it is, the status of its answer, and the request. Another one follows each, which must not
/// be answered.
type Row = (&'static str, u16, String);

fn line(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

fn headers(headers: &str) -> String {
    format!("GET /-/health HTTP/1.1\r\n{headers}\r\n\r\n")
}

fn with(header: &str) -> String {
    format!("{HEALTH}{header}\r\n\r\n")
}

fn chunked(body: &str) -> String {
    format!("{HEALTH}transfer-encoding: chunked\r\n\r\n{body}")
}

fn hosts_and_targets() -> Vec<Row> {
    let hostless = "GET http://localhost/-/health HTTP/1.1\r\n\r\n".to_owned();
    let two_hosts = headers("host: localhost\r\nhost: localhost");
    vec![
        ("no host", 400, headers("x: y")),
        ("two hosts", 400, two_hosts),
        ("host with a space", 400, headers("host: local host")),
        ("host with a user", 400, headers("host: me@localhost")),
        ("host with a wrong port", 400, headers("host: localhost:x")),
        ("empty host", 400, headers("host:")),
        (
            "another host",
            400,
            line("GET http://evil.example/-/health"),
        ),
        ("absolute form alone", 400, hostless),
        ("another scheme", 400, line("GET ftp://localhost/-/health")),
        ("authority form", 400, line("GET localhost:80")),
        ("no slash", 400, line("GET index.json")),
        ("star", 400, line("GET *")),
        ("OPTIONS star", 400, line("OPTIONS *")),
        ("CONNECT", 405, line("CONNECT localhost:80")),
        ("TRACE", 405, line("TRACE /-/health")),
        ("method in small letters", 405, line("get /-/health")),
        (
            "long target",
            414,
            line(&format!("GET /{}", "a".repeat(9000))),
        ),
        (
            "longer target",
            414,
            line(&format!("GET /{}", "a".repeat(40_000))),
        ),
    ]
}

fn lengths_and_codings() -> Vec<Row> {
    let empty = chunked("0\r\n\r\n");
    let length_first = empty.replace("host", "content-length: 5\r\nhost");
    let length_last = empty.replace("chunked\r\n", "chunked\r\ncontent-length: 5\r\n");
    let two_codings = with("transfer-encoding: chunked\r\ntransfer-encoding: identity");
    let in_http10 = with("transfer-encoding: chunked").replace("1.1", "1.0");
    let put = |codings: &str| {
        chunked("0\r\n\r\n")
            .replace("chunked", codings)
            .replace("GET", "PUT")
    };
    let endless = "fffffffffffffffff\r\nhello\r\n0\r\n\r\n";
    vec![
        ("length and coding", 400, length_first),
        ("coding and length", 400, length_last),
        ("chunked GET", 400, empty),
        ("size with 0x", 400, chunked("0x5\r\nhello\r\n0\r\n\r\n")),
        ("size too large", 400, chunked(endless)),
        (
            "LF in an extension",
            400,
            chunked("5;a\nhello\r\n0\r\n\r\n"),
        ),
        ("LF after a chunk", 400, chunked("5\r\nhello\n0\r\n\r\n")),
        (
            "two lengths",
            400,
            with("content-length: 5\r\ncontent-length: 6"),
        ),
        ("list of lengths", 400, with("content-length: 5, 6")),
        ("list of one length", 400, with("content-length: 5, 5")),
        ("length with a plus", 400, with("content-length: +5")),
        ("negative length", 400, with("content-length: -5")),
        ("hexadecimal length", 400, with("content-length: 0x5")),
        (
            "length beyond 64 bits",
            400,
            with("content-length: 99999999999999999999"),
        ),
        ("unknown coding", 400, with("transfer-encoding: xchunked")),
        (
            "coding after chunked",
            400,
            with("transfer-encoding: chunked, identity"),
        ),
        ("two codings", 400, two_codings),
        (
            "coding, space, colon",
            400,
            with("transfer-encoding : chunked"),
        ),
        ("coding in HTTP/1.0", 400, in_http10),
        ("coding around chunked", 501, put("gzip, chunked")),
        ("identity around chunked", 501, put("identity, chunked")),
        ("chunked twice", 501, put("chunked, chunked")),
        (
            "chunked on two lines",
            501,
            put("chunked\r\ntransfer-encoding: chunked"),
        ),
    ]
}

fn lines_and_versions() -> Vec<Row> {
    vec![
        ("space before a colon", 400, with("x : y")),
        ("folded line", 400, with("x: y\r\n z")),
        ("bare CR in a value", 400, with("x: a\rb")),
        ("NUL in a value", 400, with("x: a\0b")),
        ("space before a name", 400, with(" x: y")),
        ("HTTP/1.2", 400, with("x: y").replace("1.1", "1.2")),
        ("HTTP/9", 400, with("x: y").replace("1.1", "9.0")),
        ("HTTP/0.9", 400, "GET /-/health\r\n\r\n".to_owned()),
        (
            "long header",
            431,
            with(&format!("x: {}", "a".repeat(33_000))),
        ),
        (
            "longer header",
            431,
            with(&format!("x: {}", "a".repeat(200_000))),
        ),
        ("many headers", 431, with(&vec!["x: y"; 150].join("\r\n"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_honest_client_sends_is_refused_and_nothing_after_it_is_answered() {
    let world = world(|_| {}).await;
    let rows = [
        hosts_and_targets(),
        lengths_and_codings(),
        lines_and_versions(),
    ]
    .concat();
    let rows = rows
        .into_iter()
        .map(|(name, status, text)| (name, status, text.into_bytes()));
    let eight_bit = [b"GET /\xff", &b" HTTP/1.1\r\nhost: localhost\r\n\r\n"[..]].concat();
    for (name, expected, request) in rows.chain([("eight bits", 400, eight_bit)]) {
        let next = format!("{HEALTH}\r\n");
        let answer = client::raw(world.addr, &[&*request, next.as_bytes()].concat()).await;
        let answer = String::from_utf8_lossy(&answer);
        let found = answer.split(' ').nth(1).unwrap_or("none");
        assert_eq!(found, expected.to_string(), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
        assert!(!answer.contains("alive"), "{name}: {answer}");
    }
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unusual_but_right_is_served() {
    let world = world(|_| {}).await;
    let close = "connection: close\r\n\r\n";
    for (name, count, request) in [
        ("pipelined", 2, format!("{HEALTH}\r\n{HEALTH}{close}")),
        (
            "absolute form",
            1,
            format!("GET http://LOCALHOST/-/health HTTP/1.1\r\nhost: localhost\r\n{close}"),
        ),
        ("HTTP/1.0", 1, "GET /-/health HTTP/1.0\r\n\r\n".to_owned()),
        (
            "length of nothing",
            2,
            format!("{HEALTH}content-length: 0\r\n\r\n{HEALTH}{close}"),
        ),
        (
            "lines that end in LF",
            1,
            format!("{HEALTH}{close}").replace("\r\n", "\n"),
        ),
        // Answered, but nobody can say whether what follows is a body or a request.
        (
            "body of GET",
            1,
            format!("{HEALTH}content-length: 5\r\n\r\nhello{HEALTH}{close}"),
        ),
    ] {
        let answer = client::raw(world.addr, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("alive").count(), count, "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), count, "{name}: {answer}");
    }
}
