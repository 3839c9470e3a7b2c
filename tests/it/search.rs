//! Search and autocompletion.
//!
//! - the second search host is asked when the first refuses or fails
//! - whatever is asked reaches the upstream
//! - results lead through nugate, all the way to the package
//! - autocompletion completes ids and lists versions

use std::collections::{HashSet, VecDeque};

use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::client::Response;
use crate::support::{World, get};

const FIRST: &str = "/search-usnc";
/// Where icons of packages lie that have none of their own; not the feed's.
const FOREIGN: &str = "https://example.test/";
const SECOND: &str = "/search-ussc";

/// A world whose first search host is at `first` instead of at the upstream itself.
async fn with_first_host(first: &str) -> World {
    let world = World::demo().await;
    let up = &world.up;
    let index = get(up.addr(), "/v3/index.json", &[]).await.text();
    let here = format!("{}{FIRST}/", up.base_url());
    let moved = index.replace(&here, &format!("{first}/"));
    assert_ne!(moved, index);
    up.on("/v3/index.json").reply(200, moved);
    up.clear_log();
    world
}

fn titles(response: &Response) -> Vec<String> {
    let found = response.json();
    let data = found["data"].as_array().unwrap();
    let title = |item: &Value| item["id"].as_str().unwrap().to_owned();
    data.iter().map(title).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_host_is_asked_when_the_first_fails() {
    for status in [500, 502, 503, 504, 429] {
        let world = World::demo().await;
        for service in ["query", "autocomplete"] {
            let (first, second) = (format!("{FIRST}/{service}"), format!("{SECOND}/{service}"));
            world.up.on(&first).reply(status, "down");
            let answer = world.get(&format!("{service}?q=example")).await;
            assert_eq!(answer.status, 200, "{service} {status}");
            assert_eq!(answer.json()["totalHits"].as_u64().unwrap(), 5, "{service}");
            assert_eq!(world.up.count(&first), 1, "{service} {status}");
            assert_eq!(world.up.count(&second), 1, "{service} {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_host_is_asked_when_the_first_refuses_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = with_first_host(&closed).await;
    let answer = world.get("query?q=json").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.up.count(&format!("{SECOND}/query")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_none() {
    let world = World::demo().await;
    let first = format!("{FIRST}/query");
    let weak = world.up.on(&first).header("etag", "W/\"a\"");
    drop(weak.cut_after(100));
    let answer = world.get("query?q=json").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(world.up.count(&first), 4);
    world.up.behave();
    let again = world.get("query?q=json").await;
    assert_eq!(titles(&again), ["Example.Json"]);
    assert_eq!(world.up.count(&first), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_asked_again() {
    let world = World::demo().await;
    world.up.on(&format!("{FIRST}/query")).reply(400, "no");
    let answer = world.get("query?q=example").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(world.up.count(&format!("{SECOND}/query")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_hosts_down_is_502_and_later_stale() {
    let world = World::demo().await;
    let known = world.hit("query?q=example").await;
    for host in [FIRST, SECOND] {
        world.up.on(&format!("{host}/query")).reply(503, "");
    }
    let unknown = world.get("query?q=other").await;
    assert_eq!(unknown.status, 502);
    world.later(3600);
    let stale = world.get("query?q=example").await;
    assert_eq!(stale.status, 200);
    assert_eq!(stale.body, known.body);
    assert!(
        stale.header("cache-status").contains("upstream-error"),
        "{stale:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_reaches_the_upstream() {
    let world = World::demo().await;
    world.get("index.json").await;
    for (service, query) in [
        (
            "query",
            "packageType=Dependency&prerelease=true&q=json&semVerLevel=2.0.0&skip=0&take=9",
        ),
        ("query", "corge=1&grault=%C3%BC&q=tag%3Aexample"),
        ("query", "q="),
        ("query", ""),
        (
            "autocomplete",
            "id=example.core&prerelease=true&semVerLevel=2.0.0",
        ),
        ("autocomplete", "packageType=&q=ex&skip=1&take=2"),
    ] {
        world.up.clear_log();
        let mark = if query.is_empty() { "" } else { "?" };
        let answer = world.get(&format!("{service}{mark}{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        let seen = world.up.log();
        let asked: Vec<_> = seen
            .iter()
            .map(|seen| seen.path_and_query.clone())
            .collect();
        assert_eq!(asked, [format!("{FIRST}/{service}{mark}{query}")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_choose_the_results() {
    let world = World::demo().await;
    for (query, expected) in [
        ("q=json", &["Example.Json"][..]),
        ("q=packageid:example.app", &["Example.App"]),
        ("q=example&take=1&skip=1", &["Example.Core"]),
        ("q=example&packageType=DotnetTool", &[]),
    ] {
        let answer = world.get(&format!("query?{query}")).await;
        assert_eq!(titles(&answer), expected, "{query}");
    }
    let pre = world
        .get("query?q=packageid:example.core&prerelease=true&semVerLevel=2.0.0")
        .await;
    assert_eq!(pre.json()["data"][0]["version"], "2.0.0-beta.1");
    let stable = world.get("query?q=packageid:example.core").await;
    assert_eq!(stable.json()["data"][0]["version"], "1.1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn relative_names_are_resolved_against_us() {
    let world = World::demo().await;
    for (query, slug) in [
        ("q=example", "registration"),
        ("q=example&semVerLevel=2.0.0", "registration-gz-semver2"),
    ] {
        let found = world.get(&format!("query?{query}")).await.json();
        let base = format!("{}{slug}/", world.base());
        assert_eq!(found["@context"]["@base"], base, "{query}");
        assert_eq!(
            found["@context"]["@vocab"],
            "http://schema.nuget.org/schema#"
        );
    }
}

/// Links of a document that clients follow.
fn links(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| *name != "@context") {
                let followed = matches!(
                    name.as_str(),
                    "@id" | "registration" | "packageContent" | "iconUrl" | "parent"
                );
                match member.as_str() {
                    Some(url) if url.starts_with(FOREIGN) => {}
                    Some(url) if followed => found.push(url.to_owned()),
                    _ => links(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| links(item, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_lead_through_nugate_to_the_package() {
    let world = World::demo().await;
    for query in ["q=example", "q=example&semVerLevel=2.0.0&prerelease=true"] {
        let mut queue = VecDeque::from([format!("{}query?{query}", world.base())]);
        let mut seen = HashSet::new();
        while let Some(url) = queue.pop_front() {
            let url = url.split('#').next().unwrap().to_owned();
            if !seen.insert(url.clone()) {
                continue;
            }
            let target = url.strip_prefix(&world.base());
            let target = target.unwrap_or_else(|| panic!("{url} leads past nugate"));
            let answer = world.get(target).await;
            assert_eq!(answer.status, 200, "{url}");
            if answer.header("content-type") == "application/json" {
                let mut found = Vec::new();
                links(&answer.json(), &mut found);
                queue.extend(found);
            }
        }
        let packages = seen.iter().filter(|url| url.ends_with(".nupkg")).count();
        assert!(packages >= 6, "{seen:#?}");
        assert!(seen.iter().any(|url| url.ends_with("/icon")), "{seen:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn autocompletion() {
    let world = World::demo().await;
    for (query, expected) in [
        ("q=example.h", &["Example.Http"][..]),
        ("id=example.core", &["1.0.0", "1.1.0"]),
        (
            "id=Example.Core&prerelease=true&semVerLevel=2.0.0",
            &["1.0.0", "1.1.0", "2.0.0-beta.1"],
        ),
        ("id=example.none", &[]),
    ] {
        let upstream = get(
            world.up.addr(),
            &format!("{FIRST}/autocomplete?{query}"),
            &[],
        )
        .await;
        for _ in 0..2 {
            let answer = world.get(&format!("autocomplete?{query}")).await;
            assert_eq!(
                answer.json()["data"].as_array().unwrap(),
                expected,
                "{query}"
            );
            assert_eq!(answer.body, upstream.body, "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_not_kept() {
    let world = World::demo().await;
    for body in ["<html>Sign in</html>", "{\"data\":", "[]", ""] {
        world
            .up
            .on(&format!("{FIRST}/query"))
            .reply(200, body)
            .times(1);
        let bad = world.get(&format!("query?q={}", body.len())).await;
        assert_eq!(bad.status, 502, "{body}");
        let good = world.get(&format!("query?q={}", body.len())).await;
        assert_eq!(good.status, 200, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_host_does_not_keep_a_known_answer_back() {
    let world = World::demo().await;
    let known = world.hit("query?q=example").await;
    world.later(3600);
    world.up.on(&format!("{FIRST}/query")).hang();
    let stale = world.get("query?q=example").await;
    assert_eq!(stale.body, known.body);
    assert!(
        stale.header("cache-status").contains("upstream-slow"),
        "{stale:?}"
    );
    world.up.release();
}
