//! A feed, or whoever stands between, that wants other hosts asked.
//!
//! - whatever a document, redirect or page names, only hosts of the service index and of the
//!   configuration are connected to
//! - a service index cannot lead to the machine itself or to its link, where credentials of clouds
//!   are handed out, unless the feed is there
//! - clients cannot name a host at all

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nugate::demo::ExampleFeed;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::client::{self, raw};
use crate::support::{ScriptedUpstream, World};

/// A listener that nobody may connect to.
struct Canary {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Canary {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.9:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, connections }
    }

    /// Ways to name it, and what must not be read at all.
    fn urls(&self) -> Vec<String> {
        let port = self.port;
        vec![
            format!("http://127.0.0.9:{port}/latest/meta-data/"),
            format!("http://127.9:{port}/a"),
            format!("http://0x7f000009:{port}/a"),
            format!("http://2130706441:{port}/a"),
            format!("http://0177.0.0.011:{port}/a"),
            format!("http://[::ffff:127.0.0.9]:{port}/a"),
            format!("http://user:pass@127.0.0.9:{port}/a"),
            format!("//127.0.0.9:{port}/a"),
            format!("HTTP://127.0.0.9:{port}/a"),
            format!("http:\\\\127.0.0.9:{port}\\a"),
            format!("https://127.0.0.9:{port}/a"),
            format!("gopher://127.0.0.9:{port}/_a"),
            "file:///etc/passwd".to_owned(),
            "ftp://127.0.0.9/a".to_owned(),
            "data:application/json,{}".to_owned(),
        ]
    }

    #[track_caller]
    fn check(&self, what: &str) {
        assert_eq!(self.connections.load(Ordering::SeqCst), 0, "{what}");
    }
}

/// All links of a document that lead to us.
fn our_links(value: &Value, base: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.extend(text.strip_prefix(base).map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| our_links(item, base, found)),
        Value::Object(members) => members
            .values()
            .for_each(|item| our_links(item, base, found)),
        _ => {}
    }
}

/// Gets a document and everything of ours that it leads to.
async fn follow(world: &World, path: &str, canary: &Canary, what: &str) {
    let response = world.get(path).await;
    let text = String::from_utf8_lossy(&response.body);
    assert!(!text.contains("root:"), "{what}: {text}");
    if let Ok(document) = serde_json::from_str(&text) {
        let mut links = Vec::new();
        our_links(&document, &world.base(), &mut links);
        for link in links {
            let link = link.split('#').next().unwrap();
            let answer = client::try_get(world.addr, &format!("/v3/{link}"), &[]).await;
            let body = answer.unwrap().body;
            let body = String::from_utf8_lossy(&body);
            assert!(!body.contains("root:"), "{what}: {link}");
        }
    }
    canary.check(&format!("{path}: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_documents_name_is_not_asked() {
    let canary = Canary::new().await;
    for url in canary.urls() {
        let world = World::demo().await;
        let entry = json!({ "@id": url, "id": "Example.Core", "version": "1.0.0" });
        let leaf = json!({ "@id": url, "packageContent": url, "registration": url, "catalogEntry": entry });
        let page = json!({ "@id": url, "lower": "1.0.0", "upper": "1.0.0", "count": 1, "items": [leaf], "parent": url });
        let outside = json!({ "@id": url, "lower": "1.0.0", "upper": "1.0.0", "count": 1 });
        for (path, above, document) in [
            (
                "registration/example.core/index.json",
                "/v3/registration5-semver1/example.core/index.json",
                json!({ "@id": url, "count": 2, "items": [page, outside] }),
            ),
            (
                "registration/example.core/1.0.0.json",
                "/v3/registration5-semver1/example.core/1.0.0.json",
                leaf.clone(),
            ),
            (
                "vulnerabilities/index.json",
                "/v3/vulnerabilities/index.json",
                json!([{ "@name": "base", "@id": url, "@updated": "2026-01-01T00:00:00Z", "comment": "" }]),
            ),
            (
                "repository-signatures/5.0.0/index.json",
                "/v3-index/repository-signatures/5.0.0/index.json",
                json!({ "allRepositorySigned": true, "signingCertificates": [{ "contentUrl": url }] }),
            ),
            (
                "query?q=a",
                "/search-usnc/query",
                json!({ "totalHits": 1, "data": [{ "@id": url, "registration": url, "id": "A", "version": "1.0.0", "versions": [{ "@id": url, "version": "1.0.0" }] }] }),
            ),
            (
                "catalog/index.json",
                "/v3/catalog0/index.json",
                json!({ "@id": url, "items": [{ "@id": url, "parent": url }] }),
            ),
        ] {
            world.up.on(above).reply(200, document.to_string());
            follow(&world, path, &canary, &url).await;
        }
        let v2 = client::get(
            world.addr,
            "/api/v2/FindPackagesById()?id='Example.Core'",
            &[],
        )
        .await;
        drop(v2);
        canary.check(&url);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_to_hosts_nobody_named_are_not_followed() {
    let canary = Canary::new().await;
    let list = "/v3-flatcontainer/example.core/index.json";
    let package = "/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg";
    for url in canary.urls() {
        for status in [301, 302, 303, 307, 308] {
            let world = World::demo().await;
            for (path, above) in [
                ("flat/example.core/index.json", list),
                ("flat/example.core/1.0.0/example.core.1.0.0.nupkg", package),
            ] {
                drop(
                    world
                        .up
                        .on(above)
                        .reply(status, "")
                        .header("location", &url),
                );
                let response = world.get(path).await;
                canary.check(&format!("{status} to {url}"));
                assert_eq!(response.status, 502, "{status} to {url}");
                assert_eq!(world.head(path).await.status, 502, "{status} to {url}");
            }
            canary.check(&format!("{status} to {url}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_index_cannot_lead_to_the_link_of_the_machine() {
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "2852039166",
        "0xa9fea9fe",
    ] {
        let up = ScriptedUpstream::demo().await;
        let resource = |name: &str, path: &str| json!({ "@id": format!("http://{host}/{path}"), "@type": name });
        let own = json!({ "@id": format!("{}/search-usnc/query", up.base_url()), "@type": "SearchQueryService" });
        let index = json!({ "version": "3.0.0", "resources": [
            resource("PackageBaseAddress/3.0.0", "flat/"),
            resource("VulnerabilityInfo/6.7.0", "vulnerabilities.json"),
            own,
        ] });
        up.on("/v3/index.json").reply(200, index.to_string());
        let world = World::before(up, |_| {}).await;
        for path in ["flat/example.core/index.json", "vulnerabilities/index.json"] {
            let response = world.get(path).await;
            assert_eq!(response.status, 502, "{host} {path}: {}", response.text());
            assert!(
                response.text().contains("redirect_hosts"),
                "{host} {path}: {}",
                response.text()
            );
        }
        assert_eq!(world.get("query?q=example").await.status, 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_cannot_lead_there_through_a_listed_name_either() {
    // The name is allowed by its end, the address is not: somebody else names hosts below it.
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.feed.redirect_hosts = vec!["*.254".to_owned()];
    })
    .await;
    let above = "/v3-flatcontainer/example.core/index.json";
    drop(
        world
            .up
            .on(above)
            .reply(302, "")
            .header("location", "http://169.254.169.254/latest"),
    );
    let response = world.get("flat/example.core/index.json").await;
    assert_eq!(response.status, 502);
    assert!(
        response.text().contains("169.254.169.254"),
        "{}",
        response.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_cannot_name_a_host() {
    let canary = Canary::new().await;
    let world = World::with(ExampleFeed::demo(), |settings| settings.options.v2 = true).await;
    let port = canary.port;
    let there = format!("127.0.0.9:{port}");
    for (line, host) in [
        (format!("GET http://{there}/v3/index.json"), there.clone()),
        (
            format!("GET http://{there}/v3/index.json"),
            "localhost".to_owned(),
        ),
        (format!("CONNECT {there}"), there.clone()),
        ("GET /v3/index.json".to_owned(), there.clone()),
        (format!("GET /http://{there}/"), "localhost".to_owned()),
        (
            format!("GET //{there}/v3/index.json"),
            "localhost".to_owned(),
        ),
        (format!("GET /v3/http://{there}/"), "localhost".to_owned()),
        (
            format!("GET /v3/flat/%68ttp:%2f%2f{there}%2f/index.json"),
            "localhost".to_owned(),
        ),
        (format!("GET /raw/http://{there}/"), "localhost".to_owned()),
        (
            format!("GET /v3/query?q=a&url=http://{there}/"),
            "localhost".to_owned(),
        ),
        (
            format!("GET /api/v2/Packages?$filter=Id%20eq%20'http://{there}/'"),
            "localhost".to_owned(),
        ),
    ] {
        let request = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw(world.addr, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 "), "{line}");
        canary.check(&line);
    }
}
