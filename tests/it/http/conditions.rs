//! Conditional requests (RFC 9110 section 13).
//!
//! - each kind of body answers 304 to its own entity tag, weak or in a list, and to `*`
//! - 304 has the tag and no body; the tag of another encoding is another tag
//! - dates count for bodies sent as they came, and only without a tag

use super::{CORE, LARGE, REGISTRATION, world};
use crate::support::client;

const GZIP: (&str, &str) = ("accept-encoding", "gzip");
const IDENTITY: (&str, &str) = ("accept-encoding", "identity");

#[tokio::test(flavor = "multi_thread")]
async fn entity_tags() {
    let world = world().await;
    for (path, accept) in [
        (CORE, IDENTITY),
        (LARGE, GZIP),
        (REGISTRATION, IDENTITY),
        (REGISTRATION, GZIP),
        ("index.json", GZIP),
        ("flat/example.core/index.json", IDENTITY),
        ("flat/example.core/1.0.0/example.core.nuspec", GZIP),
    ] {
        let got = world.hit_with(path, &[accept]).await;
        let tag = got.header("etag");
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
        for (condition, expected) in [
            (tag.to_owned(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            (format!("\"other\",W/{tag} , \"x\""), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let headers = [accept, ("if-none-match", condition.as_str())];
            let answer = world.get_with(path, &headers).await;
            assert_eq!(answer.status, expected, "{path} {accept:?} {condition}");
            assert_eq!(answer.header("etag"), tag, "{path} {condition}");
            let same = ["cache-control", "vary", "last-modified", "cache-status"];
            for name in same {
                assert_eq!(answer.header(name), got.header(name), "{path} {name}");
            }
            if expected == 304 {
                assert!(answer.body.is_empty(), "{path} {condition}");
                assert_eq!(answer.header("content-type"), "", "{path}");
            } else {
                assert_eq!(answer.body, got.body, "{path} {condition}");
            }
            let head = client::head(world.addr, &format!("/v3/{path}"), &headers).await;
            assert_eq!(head.status, expected, "HEAD {path} {condition}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_of_another_encoding_is_another_tag() {
    let world = world().await;
    let plain = world.hit_with(REGISTRATION, &[IDENTITY]).await;
    let packed = world.hit_with(REGISTRATION, &[GZIP]).await;
    for (accept, theirs) in [(GZIP, &plain), (IDENTITY, &packed)] {
        let headers = [accept, ("if-none-match", theirs.header("etag"))];
        let answer = world.get_with(REGISTRATION, &headers).await;
        assert_eq!(answer.status, 200, "{accept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dates() {
    let world = world().await;
    for path in [CORE, LARGE, "flat/example.core/1.0.0/example.core.nuspec"] {
        let got = world.hit(path).await;
        let date = got.header("last-modified");
        assert!(httpdate::parse_http_date(date).is_ok(), "{path}: {date}");
        for (since, expected) in [
            (date, 304),
            ("Fri, 01 Jan 2100 00:00:00 GMT", 304),
            ("Sat, 01 Jan 2000 00:00:00 GMT", 200),
            ("yesterday", 200),
        ] {
            let answer = world.get_with(path, &[("if-modified-since", since)]).await;
            assert_eq!(answer.status, expected, "{path} {since}");
            let both = [("if-modified-since", since), ("if-none-match", "\"x\"")];
            assert_eq!(world.get_with(path, &both).await.status, 200, "{since}");
        }
    }
    // A view changes with our links, which no date of the upstream tells.
    let shown = world.hit(REGISTRATION).await;
    assert_eq!(shown.header("last-modified"), "");
    let later = [("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")];
    assert_eq!(world.get_with(REGISTRATION, &later).await.status, 200);
}
