//! Vulnerability information.
//!
//! - the index lists pages below our base, each kept under its upstream URL and fetched once
//! - pages are found after a restart, and old ones after the upstream has renewed its index
//! - only hosts that the index or `redirect_hosts` names are asked for pages
//! - what names no page is 404 and asks nobody

use std::time::Duration;

use nugate::demo::{ExampleFeed, Package};
use serde_json::{Value, json};

use crate::support::{ScriptedUpstream, World, client};

const INDEX: &str = "vulnerabilities/index.json";
const UPSTREAM: &str = "/v3/vulnerabilities/index.json";
const DAY: u64 = 86_400;

/// Our paths of the pages that the index lists, by name.
async fn pages(world: &World) -> Vec<(String, String)> {
    let index = world.get(INDEX).await;
    assert_eq!(index.status, 200, "{}", index.text());
    let page = |page: &Value| {
        let url = page["@id"].as_str().unwrap();
        let path = url.strip_prefix(&world.base());
        let path = path.unwrap_or_else(|| panic!("{url} leads past nugate"));
        (page["@name"].as_str().unwrap().to_owned(), path.to_owned())
    };
    index.json().as_array().unwrap().iter().map(page).collect()
}

fn asked_pages(world: &World) -> Vec<String> {
    let seen = world.up.log();
    let paths = seen.iter().map(|seen| seen.path().to_owned());
    paths
        .filter(|path| path.starts_with("/v3-vulnerabilities/"))
        .collect()
}

/// Makes the upstream list these URLs.
fn list(world: &World, urls: &[(&str, String)]) {
    let page = |(name, url): &(&str, String)| json!({ "@name": name, "@id": url, "@updated": "2026-01-01T00:00:00Z" });
    let index = Value::from(urls.iter().map(page).collect::<Vec<_>>());
    let script = world.up.on(UPSTREAM).reply(200, index.to_string());
    drop(script.header("content-type", "application/json"));
}

/// Lists one base page of the upstream's and gives it this content.
fn renew(world: &World, path: &str, content: &str) {
    let path = format!("/v3-vulnerabilities/{path}");
    list(world, &[("base", format!("{}{path}", world.up.base_url()))]);
    let script = world.up.on(&path).reply(200, content.to_owned());
    drop(script.header("content-type", "application/json"));
}

/// Asks for the index until it is the upstream's latest.
async fn renewed_pages(world: &World, old: &[(String, String)]) -> Vec<(String, String)> {
    world.later(DAY);
    let renewal = async {
        loop {
            let found = pages(world).await;
            if found != old {
                return found;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), renewal).await;
    in_time.expect("the index is renewed")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_ours_and_fetched_once() {
    let world = World::demo().await;
    let pages = pages(&world).await;
    let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["base", "update"]);
    for (name, path) in &pages {
        let token = path.strip_prefix("vulnerabilities/page/").unwrap();
        assert_eq!(token.len(), 32, "{path}");
        let cold = world.get(path).await;
        assert_eq!(cold.status, 200, "{name}: {}", cold.text());
        for _ in 0..3 {
            let warm = world
                .hit_with(path, &[("accept-encoding", "identity")])
                .await;
            assert_eq!(warm.body, cold.body, "{name}");
            world.later(30 * DAY);
        }
    }
    let base = world.get(&pages[0].1).await.json();
    assert_eq!(base["example.http"][0]["versions"], "[0.9.0, 0.9.0]");
    assert_eq!(asked_pages(&world).len(), 2, "{:?}", asked_pages(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_kept_under_its_upstream_url() {
    let world = World::demo().await;
    let old = pages(&world).await;
    for (_, path) in &old {
        assert_eq!(world.get(path).await.status, 200);
    }
    let vulnerable = Package::new("Example.Worse", "1.0.0").vulnerable(3, "https://example.test/2");
    world.up.change(|feed| feed.add(vulnerable)).unwrap();
    let new = renewed_pages(&world, &old).await;
    assert_eq!(new[0], old[0], "the same URL is the same page");
    assert_ne!(new[1], old[1], "another URL is another page");
    world.up.clear_log();
    assert_eq!(world.get(&new[0].1).await.status, 200);
    assert_eq!(asked_pages(&world).len(), 0);
    let update = world.get(&new[1].1).await.json();
    assert!(update.get("example.worse").is_some(), "{update}");
    assert_eq!(asked_pages(&world).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_pages_are_served_after_the_upstream_has_renewed_them() {
    let mut world = World::demo().await;
    renew(&world, "2026.01/base.json", r#"{"a":[]}"#);
    let old = pages(&world).await;
    assert_eq!(world.hit(&old[0].1).await.text(), r#"{"a":[]}"#);
    renew(&world, "2026.02/base.json", r#"{"b":[]}"#);
    world
        .up
        .on("/v3-vulnerabilities/2026.01/base.json")
        .reply(404, "");
    let new = renewed_pages(&world, &old).await;
    for _ in 0..2 {
        world.up.clear_log();
        assert_eq!(world.get(&old[0].1).await.text(), r#"{"a":[]}"#);
        assert_eq!(asked_pages(&world).len(), 0);
        assert_eq!(world.hit(&new[0].1).await.text(), r#"{"b":[]}"#);
        world.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_found_after_a_restart() {
    let mut world = World::demo().await;
    world.hit(INDEX).await;
    let before = pages(&world).await;
    world.restart().await;
    world.up.clear_log();
    for (name, path) in &before {
        let path = path.as_str();
        assert_eq!(world.get(path).await.status, 200, "{name}");
    }
    assert_eq!(asked_pages(&world).len(), 2);
    assert_eq!(world.up.count(UPSTREAM), 0);
    assert_eq!(pages(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_link_elsewhere_is_not_followed() {
    let other = ScriptedUpstream::demo().await;
    let foreign = format!("{}/v3-vulnerabilities/base.json", other.base_url());
    let world = World::demo().await;
    let metadata = "http://169.254.169.254/latest/meta-data".to_owned();
    list(&world, &[("base", foreign.clone()), ("update", metadata)]);
    for (name, path) in pages(&world).await {
        let refused = world.get(&path).await;
        assert_eq!(refused.status, 502, "{name}");
        assert!(
            refused.text().contains("redirect_hosts"),
            "{}",
            refused.text()
        );
        let host = if name == "base" {
            "127.0.0.1"
        } else {
            "169.254.169.254"
        };
        assert!(refused.text().contains(host), "{}", refused.text());
    }
    assert_eq!(other.requests(), 0);
    let authority = other.addr().to_string();
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.feed.redirect_hosts.push(authority);
    })
    .await;
    list(&world, &[("base", foreign)]);
    other
        .on("/v3-vulnerabilities/base.json")
        .reply(200, r#"{"a":[]}"#);
    let allowed = pages(&world).await;
    assert_eq!(world.get(&allowed[0].1).await.text(), r#"{"a":[]}"#);
    assert_eq!(other.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_page_is_404() {
    let world = World::demo().await;
    let known = pages(&world).await;
    world.up.clear_log();
    let token = known[0].1.rsplit_once('/').unwrap().1;
    let upper = token.to_uppercase();
    for token in [
        "00000000000000000000000000000000",
        "0",
        &upper,
        &token[1..],
        &format!("{token}0"),
        "..%2f..%2findex.json",
        "http:%2F%2Fevil.example",
    ] {
        let answer = world.get(&format!("vulnerabilities/page/{token}")).await;
        let expected = if token.contains("%2") { 400 } else { 404 };
        assert_eq!(answer.status, expected, "{token}");
    }
    assert_eq!(world.up.requests(), 0, "{:#?}", world.up.log());
    // A token names a page of one resource only.
    let token = known[0].1.rsplit_once('/').unwrap().1;
    let elsewhere = world.get(&format!("registration/page/{token}")).await;
    assert_eq!(elsewhere.status, 404);
    assert_eq!(asked_pages(&world).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_encoded_for_those_who_accept_it() {
    let world = World::demo().await;
    let content = format!(r#"{{"a":[{}]}}"#, "1,".repeat(2000) + "1");
    renew(&world, "2026.01/base.json", &content);
    let path = pages(&world).await.remove(0).1;
    let plain = world.hit(&path).await;
    assert_eq!(plain.text(), content);
    let target = format!("/v3/{path}");
    let packed = client::get(world.addr, &target, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < content.len() / 4);
    assert_ne!(packed.header("etag"), plain.header("etag"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_none_is_not_kept() {
    let world = World::demo().await;
    let path = pages(&world).await.remove(0).1;
    let upstream = "/v3-vulnerabilities/2026.01.01.00.00.00/vulnerability.base.json";
    for (status, body, expected) in [
        (200, "<html>Sign in</html>", 502),
        (200, "{\"a\":", 502),
        (500, "", 502),
        (403, "", 502),
        (404, "", 404),
    ] {
        world.up.on(upstream).reply(status, body).times(1);
        let bad = world.get(&path).await;
        assert_eq!(bad.status, expected, "{status} {body}: {}", bad.text());
    }
    assert_eq!(world.get(&path).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_move_with_our_own_base() {
    let mut world = World::demo().await;
    world.hit(INDEX).await;
    let before = pages(&world).await;
    let public = "https://nuget.example.com/feed";
    world.change(|settings| settings.bases.public_url = Some(public.parse().unwrap()));
    world.restart().await;
    world.up.clear_log();
    let index = world.get(INDEX).await.json();
    assert_eq!(index[0]["@id"], format!("{public}/v3/{}", before[0].1));
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_found_although_the_index_that_named_it_is_not_stored() {
    let known = World::demo().await;
    let index = known.get("vulnerabilities/index.json").await.json();
    let page = index[0]["@id"].as_str().unwrap();
    let page = page.strip_prefix(&known.base()).unwrap().to_owned();
    let up = known.up;
    let emptied = World::before(up, |_| {}).await;
    let got = emptied.get(&page).await;
    assert_eq!(got.status, 200, "{}", got.text());
}
