//! Resource types of a feed that nugate does not know.
//!
//! - unknown types are left out; those named in `pass_types` lead through nugate, whatever their
//!   `@id` means, and what clients append goes on as it was sent
//! - they are asked for without credential, each time anew, on their own host, and nothing is kept
//! - status, headers, ranges and conditions are the upstream's; cookies and challenges are not

use bytes::Bytes;
use http::Method;
use nugate::config::{Credential, Scheme, Secret};
use nugate::demo::ExampleFeed;
use nugate::policy::class::Network;
use serde_json::{Value, json};

use super::{follow, text};
use crate::support::client::{Response, call, get, head};
use crate::support::{ScriptedUpstream, World};

/// Invented types and what their `@id`s look like.
const INVENTED: [(&str, &str); 5] = [
    ("Base/1.0.0", "OTHER/base/"),
    ("Endpoint/2.0.0-rc", "OTHER/ask?format=json"),
    ("Document", "OTHER/files/document.json#part"),
    (
        "Template/1.0.0",
        "OTHER/packages/{id}/{version}?lang={lang}",
    ),
    ("Own.Api/1.0.0/beta", "UP/own"),
];

pub(super) const INDEX: &str = "/v3/index.json";

/// The demonstration's feed with five invented types, and a second host for most of them.
async fn feed() -> (ScriptedUpstream, ScriptedUpstream) {
    let up = ScriptedUpstream::demo().await;
    let other = ScriptedUpstream::at([127, 0, 0, 2], ExampleFeed::default()).await;
    let mut index: Value = serde_json::from_slice(&original(&up, INDEX)).unwrap();
    let resources = index["resources"].as_array_mut().unwrap();
    for (at, (name, id)) in INVENTED.iter().enumerate() {
        let id = id
            .replace("UP/", &format!("{}/", up.base_url()))
            .replace("OTHER/", &format!("{}/", other.base_url()));
        let entry = json!({"@id": id, "@type": name, "comment": "see OTHER/", "rank": at});
        resources.insert(at * 3, entry);
    }
    up.on(INDEX).reply(200, index.to_string());
    (up, other)
}

/// What the feed itself says.
pub(super) fn original(up: &ScriptedUpstream, path: &str) -> Bytes {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let document = up.change(|feed| feed.document(up.base_url(), path, query));
    let document = document.unwrap_or_else(|| panic!("{path}"));
    assert!(!document.gzip || document.body.starts_with(&[0x1f, 0x8b]));
    document.body
}

async fn passing(types: &[&str]) -> (World, ScriptedUpstream) {
    let (up, other) = feed().await;
    let world = World::before(up, |settings| {
        settings.feed.pass_types = types.iter().map(|name| (*name).to_owned()).collect();
        settings.feed.credential = Some(Credential {
            scheme: Scheme::Bearer,
            secret: Secret::new("pat"),
            hosts: Vec::new(),
        });
    });
    (world.await, other)
}

/// Our `@id` of a type, if it is offered.
async fn ours(world: &World, name: &str) -> Option<String> {
    let index = world.get("index.json").await.json();
    let entries = index["resources"].as_array().unwrap();
    let mut found = entries.iter().filter(|entry| entry["@type"] == name);
    let entry = found.next()?;
    assert!(found.next().is_none(), "{name} twice");
    assert_eq!(entry["comment"], "see OTHER/");
    let id = text(&entry["@id"]).to_owned();
    assert!(id.starts_with(&format!("{}pass/", world.base())), "{id}");
    Some(id)
}

/// Path of one of our own URLs.
fn path(world: &World, url: &str) -> String {
    let origin = format!("http://{}", world.addr);
    url.strip_prefix(&origin).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_types_are_left_out_unless_they_are_named() {
    let (world, other) = passing(&[]).await;
    for (name, _) in INVENTED {
        assert_eq!(ours(&world, name).await, None, "{name}");
    }
    let token = "0123456789abcdef0123456789abcdef";
    assert_eq!(world.get(&format!("pass/{token}/a")).await.status, 404);
    assert_eq!(other.requests(), 0);
    let (world, _other) = passing(&["Base/1.0.0", "Own.Api/1.0.0/beta", "Elsewhere"]).await;
    for (name, _) in INVENTED {
        let named = ["Base/1.0.0", "Own.Api/1.0.0/beta"].contains(&name);
        assert_eq!(ours(&world, name).await.is_some(), named, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_id_means_it_leads_there() {
    let names = INVENTED.map(|(name, _)| name);
    let (world, other) = passing(&names).await;
    for (name, append, asked) in [
        (
            "Base/1.0.0",
            "a/B%20c.json?x=1&x=%2F",
            "/base/a/B%20c.json?x=1&x=%2F",
        ),
        ("Base/1.0.0", "", "/base/"),
        ("Endpoint/2.0.0-rc", "&q=a+b", "/ask?format=json&q=a+b"),
        ("Document", "", "/files/document.json"),
        ("Template/1.0.0", "", "/packages/A.Tool/1.0.0?lang=en"),
    ] {
        other.on(asked).reply(200, asked.to_owned());
        let id = ours(&world, name).await.unwrap();
        let id = id.split('#').next().unwrap().to_owned() + append;
        let url = id
            .replace("{id}", "A.Tool")
            .replace("{version}", "1.0.0")
            .replace("{lang}", "en");
        other.clear_log();
        assert_eq!(follow(&world, &url).await.text(), asked, "{name}");
        let log = other.log();
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].path_and_query, asked);
        assert_eq!(log[0].headers.get("authorization"), None, "{log:?}");
        assert!(!log[0].header("via").is_empty());
    }
    let template = ours(&world, "Template/1.0.0").await.unwrap();
    assert!(
        template.ends_with("/{id}/{version}?lang={lang}"),
        "{template}"
    );
    let document = ours(&world, "Document").await.unwrap();
    assert!(document.ends_with("#part"), "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_asked_for_without_credential_and_never_kept() {
    let (world, _other) = passing(&["Own.Api/1.0.0/beta"]).await;
    world
        .up
        .on("/own/a")
        .reply(200, "{}")
        .header("cache-control", "max-age=600");
    let url = ours(&world, "Own.Api/1.0.0/beta").await.unwrap() + "/a";
    world.quiet().await;
    let stored = world.metric("nugate_store_entries").await;
    world.up.clear_log();
    for _ in 0..2 {
        let answer = follow(&world, &url).await;
        assert_eq!(answer.header("cache-status"), "nugate; fwd=uri-miss");
        assert_eq!(answer.header("cache-control"), "max-age=600");
    }
    let log = world.up.log();
    assert_eq!(log.len(), 2);
    for seen in &log {
        assert_eq!(seen.headers.get("authorization"), None, "{seen:?}");
    }
    assert_eq!(world.metric("nugate_store_entries").await, stored);
    let counted = "nugate_requests_total{cache=\"passed\",resource=\"passed\",status=\"2xx\"}";
    assert_eq!(world.metric(counted).await, 2.0);
    for status in [401, 403] {
        let refusal = world.up.on("/own/a").reply(status, "who are you?");
        drop(refusal.header("www-authenticate", "Basic realm=\"own\""));
        let answer = get(world.addr, &path(&world, &url), &[]).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        assert_eq!(answer.headers.get("www-authenticate"), None);
        assert!(answer.text().contains("feed test answered"), "{answer:?}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        world.up.clear_log();
        let answer = call(world.addr, method, &path(&world, &url), &[], "x").await;
        assert_eq!(answer.status, 405);
        assert_eq!(world.up.requests(), 0);
    }
    let path = path(&world, &url);
    let mut world = world;
    world.change(|settings| settings.options.network = Network::Offline);
    world.restart().await;
    world.up.clear_log();
    assert_eq!(get(world.addr, &path, &[]).await.status, 504);
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_is_the_upstreams_own() {
    let (world, other) = passing(&["Base/1.0.0"]).await;
    let url = ours(&world, "Base/1.0.0").await.unwrap() + "x";
    let path = path(&world, &url);
    let ask =
        async |headers: &[(&str, &str)]| -> Response { get(world.addr, &path, headers).await };
    let fields = [
        ("content-type", "text/x-own; charset=utf-8"),
        ("etag", "W/\"1\""),
        ("vary", "accept"),
        ("x-own", "1"),
        ("cache-control", "private, max-age=5"),
    ];
    let dropped = [
        ("set-cookie", "session=1"),
        ("strict-transport-security", "max-age=1"),
        ("x-hop", "1"),
        ("connection", "x-hop"),
        ("link", "<http://127.0.0.2/>; rel=next"),
    ];
    for status in [200, 206, 404, 410, 418, 500, 503] {
        let mut script = other.on("/base/x").reply(status, "some bytes");
        for (name, value) in fields.iter().chain(&dropped) {
            script = script.header(name, value);
        }
        drop(script);
        let answer = ask(&[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (status, "some bytes")
        );
        for (name, value) in fields {
            assert_eq!(answer.header(name), value, "{answer:?}");
        }
        for (name, _) in dropped {
            assert_eq!(answer.headers.get(name), None, "{answer:?}");
        }
    }
    let conditional = [
        ("if-none-match", "W/\"1\""),
        ("range", "bytes=0-3"),
        ("accept", "text/x-own"),
        ("authorization", "Bearer client"),
        ("cookie", "client=1"),
        ("x-nuget-apikey", "client"),
    ];
    other.on("/base/x").reply(304, "").header("etag", "W/\"1\"");
    other.clear_log();
    let answer = ask(&conditional).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
    let seen = other.log().remove(0);
    for (name, value) in &conditional[..3] {
        assert_eq!(seen.header(name), *value);
    }
    assert!(
        !format!("{:?}", seen.headers).contains("client"),
        "{seen:?}"
    );
    other.on("/base/x").reply(200, "some bytes");
    let answer = head(world.addr, &path, &[]).await;
    assert_eq!(answer.header("content-length"), "10");
    assert_eq!(other.log().pop().unwrap().method, Method::HEAD);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_stream_and_cut_ones_are_cut() {
    let (world, other) = passing(&["Base/1.0.0"]).await;
    let path = path(&world, &(ours(&world, "Base/1.0.0").await.unwrap() + "big"));
    let body = Bytes::from(vec![7; 3 << 20]);
    other
        .on("/base/big")
        .reply(200, body.clone())
        .stall_after(1 << 20);
    let mut stream = crate::support::client::open(world.addr, &path, &[]).await;
    let mut arrived = 0;
    while arrived < 1 << 20 {
        arrived += stream.next().await.unwrap().unwrap().len();
    }
    assert!(arrived < 3 << 20, "nothing waits for the end");
    other.release();
    while let Some(piece) = stream.next().await {
        arrived += piece.unwrap().len();
    }
    assert_eq!(arrived, body.len());
    other.on("/base/big").reply(200, body).cut_after(1 << 20);
    let cut = crate::support::client::try_get(world.addr, &path, &[]).await;
    assert!(cut.is_err(), "a cut body looks complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_redirects_stay_where_they_may_go() {
    let (world, other) = passing(&["Base/1.0.0"]).await;
    let url = ours(&world, "Base/1.0.0").await.unwrap();
    let base = path(&world, &url);
    other.on("/secret").reply(200, "secret");
    other.clear_log();
    for tail in [
        "../secret",
        "%2e%2e/secret",
        "a/%2E./%2e./secret",
        "..%2fsecret",
        "a%5c..%5csecret",
    ] {
        let answer = get(world.addr, &format!("{base}{tail}"), &[]).await;
        assert_eq!(answer.status, 404, "{tail}: {answer:?}");
    }
    assert_eq!(other.requests(), 0, "{:?}", other.log());
    let third = ScriptedUpstream::at([127, 0, 0, 3], ExampleFeed::default()).await;
    let away = format!("{}/x", third.base_url());
    other
        .on("/base/away")
        .reply(302, "")
        .header("location", &away);
    let answer = get(world.addr, &format!("{base}away"), &[]).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(
        (third.requests(), answer.headers.get("location")),
        (0, None)
    );
    other
        .on("/base/near")
        .reply(307, "")
        .header("location", "far");
    other.on("/base/far").reply(200, "far");
    let answer = get(world.addr, &format!("{base}near"), &[]).await;
    assert_eq!(answer.text(), "far");
    let misdirected = get(
        world.addr,
        &format!("{base}far"),
        &[("host", "evil.example")],
    )
    .await;
    assert_eq!(misdirected.status, 421);
}
