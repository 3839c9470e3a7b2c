//! A door of its own for metrics and pages (`admin_listen`).
//!
//! - each door has what it is for: pages, metrics and forms are at one, feeds and set-up at the other;
//!   health is at both; what is not there is as if it were nowhere
//! - who may see what is the same at both, and so is TLS
//! - links and forms follow the host that was asked, never `public_url`; a made-up name gets in only
//!   where credentials or https keep a lured browser out
//! - neither a full house nor limits of clients keep a scrape waiting; both doors stop together
//! - one port for both is a mistake that is told; a port that is taken is told with the setting

mod limits;
mod program;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use nugate::config::{AccessConfig, AccessMode};
use nugate::demo::ExampleFeed;
use nugate::entry::Digest;
use nugate::server::Tls;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::pages;
use crate::support::authority::{Authority, Shaker};
use crate::support::client::{self, Response};
use crate::support::world::Settings;
use crate::support::{World, get, until};
use crate::tls::{gets_in, options};

const HTML: (&str, &str) = ("accept", "text/html,*/*;q=0.8");
const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const PACKAGE: &str = "/-/packages/example.core";
const SESSION: &str = "6f9619ff-8b86-d011-b42d-00c04fc964ff";

async fn world(change: impl FnOnce(&mut Settings)) -> World {
    let change = |settings: &mut Settings| {
        settings.admin = Some(settings.limits.clone());
        change(settings);
    };
    World::with(ExampleFeed::demo(), change).await
}

async fn form(addr: SocketAddr, headers: &[(&str, &str)]) -> Response {
    pages::form(addr, headers, "do=pin").await
}

/// The status of an answer, for tasks.
async fn ask(addr: SocketAddr, path: &str) -> u16 {
    get(addr, path, &[]).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_door_has_what_it_is_for() {
    let world = world(|it| it.options.v2 = true).await;
    let session = [("x-nuget-session-id", SESSION)];
    assert_eq!(world.get_with(CORE, &session).await.status, 200);
    let restore = format!("/-/restores/{SESSION}");
    until("the restore is shown", async || {
        get(world.admin, &restore, &[HTML]).await.status == 200
    })
    .await;
    for (path, clients, admin) in [
        ("/", 200, 302),
        ("/metrics", 404, 200),
        ("/-/health", 200, 200),
        ("/-/ready", 200, 200),
        ("/-/state", 404, 200),
        (&*restore, 404, 200),
        ("/-/packages", 404, 200),
        (PACKAGE, 404, 200),
        ("/-/nothing", 404, 404),
        ("/v3/index.json", 200, 404),
        (&format!("/v3/{CORE}"), 200, 404),
        ("/v3/query?q=example", 200, 404),
        ("/feeds/test/v3/index.json", 200, 404),
        ("/api/v2/FindPackagesById()?id='Example.Core'", 200, 404),
        ("/index.json", 302, 404),
        ("/raw/x/y", 404, 404),
    ] {
        for (door, expected) in [(world.addr, clients), (world.admin, admin)] {
            let answer = get(door, path, &[HTML]).await;
            assert_eq!(answer.status, expected, "{path}: {}", answer.text());
            let over_h2 = client::get_h2(door, path, &[HTML]).await;
            assert_eq!(over_h2.status, expected, "{path}");
            let head = client::head(door, path, &[HTML]).await;
            assert_eq!(head.status, expected, "{path}");
        }
    }
    let root = get(world.admin, "/", &[]).await;
    assert_eq!(root.header("location"), "-/state");
    // There is no difference to what is nowhere.
    let nowhere = get(world.addr, "/-/nothing", &[]).await.text();
    for path in ["/metrics", "/-/state", PACKAGE] {
        assert_eq!(get(world.addr, path, &[]).await.text(), nowhere, "{path}");
    }
    let elsewhere = get(world.admin, "/v3/index.json", &[]).await;
    assert!(elsewhere.text().contains("`public_url` or `listen`"));
    assert!(elsewhere.header("x-nuget-warning").contains("not served"));
    assert!(!elsewhere.text().contains("127.0.0.1"));
    for path in ["/metrics", "/-/ready", "/"] {
        let answer = client::call(world.admin, Method::POST, path, &[], "").await;
        assert_eq!(answer.status, 405, "{path}");
    }
    let pushed = client::call(world.admin, Method::PUT, "/v3/publish", &[], "x").await;
    assert_eq!(pushed.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_for_clients_is_given_at_their_door_alone() {
    let world = world(|_| {}).await;
    // The same question but for the door.
    let host = [("host", "localhost")];
    world.hit_with(CORE, &host).await;
    let path = format!("/v3/{CORE}");
    for _ in 0..3 {
        assert_eq!(get(world.addr, &path, &host).await.status, 200);
    }
    let before = world.metric("nugate_hot_answers_total").await;
    assert!(before > 0.0);
    assert_eq!(get(world.admin, &path, &host).await.status, 404);
    let after = world.metric("nugate_hot_answers_total").await;
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_to_what_is_at_their_door() {
    let world = world(|_| {}).await;
    world.hit(CORE).await;
    let setup = get(world.addr, "/", &[HTML]).await.text();
    assert!(setup.contains(&format!("http://{}/v3/index.json", world.addr)));
    assert!(!setup.contains("/-/") && !setup.contains("\"-/"), "{setup}");
    for path in ["/-/state", "/-/packages", PACKAGE] {
        let text = get(world.admin, path, &[HTML]).await.text();
        assert!(text.contains("-/state\"") && text.contains("-/packages\""));
        assert!(!text.contains("Set-up"), "{text}");
    }
    // What is not there leads to what is.
    for (door, tab) in [(world.addr, ">Set-up<"), (world.admin, ">State<")] {
        let answer = get(door, "/-/nothing", &[HTML]).await;
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        for other in [">Set-up<", ">State<"] {
            assert_eq!(
                answer.text().contains(other),
                other == tab,
                "{door} {other}"
            );
        }
    }
    // Where there is one door, everything is there.
    let world = World::demo().await;
    let setup = get(world.addr, "/", &[HTML]).await.text();
    for tab in ["\"-/state\"", "\"-/packages\"", ">Set-up<"] {
        assert!(setup.contains(tab), "{tab}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_see_what_is_the_same_at_both() {
    let key = |name: &str, scope: &str| {
        let digest = Digest::of(name.as_bytes()).to_hex();
        format!("{name}:{scope}:{digest}").parse().unwrap()
    };
    let world = world(|settings| {
        settings.access = AccessConfig {
            mode: AccessMode::Required,
            keys: vec![key("ops", "admin"), key("team", "read"), key("ci", "push")],
            ..AccessConfig::open()
        };
        // What stands before paths at the other door stands before none here.
        settings.bases.public_url = Some("https://nuget.example/-".parse().unwrap());
    })
    .await;
    let basic = |name: &str| format!("Basic {}", STANDARD.encode(format!("any:{name}")));
    for (name, read, admin) in [
        ("", 401, 401),
        ("nobody", 401, 401),
        ("team", 200, 403),
        ("ci", 403, 403),
        ("ops", 200, 200),
    ] {
        let credentials = basic(name);
        let headers = if name.is_empty() {
            vec![HTML]
        } else {
            vec![HTML, ("authorization", credentials.as_str())]
        };
        for (path, expected) in [
            ("/-/health", 200),
            ("/-/ready", 200),
            ("/metrics", read),
            ("/-/state", admin),
            ("/-/packages", admin),
            (PACKAGE, admin),
        ] {
            let answer = get(world.admin, path, &headers).await;
            assert_eq!(answer.status, expected, "{path} {name}");
        }
        // What is not there is told only to those who might have seen it.
        for (door, path, expected) in [
            (world.addr, "/metrics", read),
            (world.addr, "/-/-/nothing", admin),
            (world.admin, "/v3/index.json", read),
            (world.admin, "/-/nothing", admin),
        ] {
            let expected = if expected == 200 { 404 } else { expected };
            let answer = get(door, path, &headers).await;
            assert_eq!(answer.status, expected, "{path} {name}");
        }
        let ours = [&headers[..], &[("sec-fetch-site", "same-origin")]].concat();
        let expected = if admin == 200 { 303 } else { admin };
        assert_eq!(form(world.admin, &ours).await.status, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_come_from_pages_of_their_own_door() {
    for public in [None, Some("https://nuget.example/feed")] {
        let world = world(|it| it.bases.public_url = public.map(|url| url.parse().unwrap())).await;
        let (clients, admin) = (
            format!("http://{}", world.addr),
            format!("http://{}", world.admin),
        );
        let (elsewhere, named) = ("https://nuget.example", ("host", "cache.example"));
        for (headers, status) in [
            (&[][..], 403),
            (&[("origin", &*admin)], 303),
            (&[("origin", &clients)], 403),
            (&[("origin", elsewhere)], 403),
            (&[("origin", "null")], 403),
            (&[("sec-fetch-site", "same-origin")], 303),
            (
                &[("sec-fetch-site", "same-site"), ("origin", &clients)],
                403,
            ),
            // Names that lead here and are not ours: a lured browser would send both.
            (&[("origin", "http://cache.example"), named], 421),
            (&[("sec-fetch-site", "same-origin"), named], 421),
        ] {
            let answer = form(world.admin, headers).await;
            assert_eq!(answer.status, status, "{public:?} {headers:?}");
        }
        // At the other door there is no form at all.
        let answer = form(world.addr, &[("origin", &clients)]).await;
        let nothing = client::call(world.addr, Method::POST, "/-/nothing", &[], "").await;
        assert_eq!(
            (answer.status, nothing.status.as_u16()),
            (nothing.status, 405)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_access_rules_forms_are_for_this_machine_alone() {
    let world = world(|settings| {
        settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let ours = format!("http://{}", world.admin);
    for (client, status) in [("192.0.2.7", 403), ("127.0.0.1", 303)] {
        let headers = [("origin", ours.as_str()), ("x-forwarded-for", client)];
        let answer = form(world.admin, &headers).await;
        assert_eq!(answer.status, status, "{client}");
    }
    // A proxy says which host was asked.
    let through = [
        ("x-forwarded-host", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
    ];
    for (origin, status) in [("https://192.0.2.1", 303), (ours.as_str(), 403)] {
        let headers = [&through[..], &[("origin", origin)]].concat();
        assert_eq!(form(world.admin, &headers).await.status, status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_in_by_every_name_that_is_safe() {
    let public = |it: &mut Settings| {
        it.bases.public_url = Some("https://nuget.example/feed".parse().unwrap());
        it.bases.allowed_hosts = vec!["ops.example".to_owned()];
    };
    let open = world(public).await;
    let required = world(|settings| {
        public(settings);
        settings.access = AccessConfig {
            mode: AccessMode::Required,
            keys: vec![
                format!("ops:admin:{}", Digest::of(b"ops").to_hex())
                    .parse()
                    .unwrap(),
            ],
            ..AccessConfig::open()
        };
    })
    .await;
    let credentials = format!("Basic {}", STANDARD.encode("any:ops"));
    for (host, expected) in [
        ("localhost:1", 200),
        ("192.0.2.9:6843", 200),
        ("[2001:db8::1]:6843", 200),
        ("ops.example:6843", 200),
        ("nuget.example:6843", 200),
        ("evil.example", 421),
    ] {
        for path in ["/-/state", PACKAGE] {
            let answer = get(open.admin, path, &[HTML, ("host", host)]).await;
            assert_eq!(answer.status, expected, "{host}{path}: {}", answer.text());
            assert_eq!(
                answer.text().contains("add it to allowed_hosts"),
                expected != 200
            );
            let headers = [HTML, ("host", host), ("authorization", &credentials)];
            let answer = get(required.admin, path, &headers).await;
            assert_eq!(answer.status, 200, "{host}{path}");
        }
        // Machines are told by any name.
        for path in ["/metrics", "/-/ready"] {
            let answer = get(open.admin, path, &[("host", host)]).await;
            assert_eq!(answer.status, 200, "{host}{path}");
        }
    }
    let index = get(open.addr, "/v3/index.json", &[]).await.text();
    assert!(index.contains("https://nuget.example/feed/v3/"), "{index}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_have_the_same_certificates() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let clients = dir.path().join("clients.pem");
    std::fs::write(&clients, &authority.pem).unwrap();
    let mut options = options(dir.path(), &authority.issue(&["localhost"]));
    options.client_authorities = Some(clients);
    let tls = Arc::new(Tls::load(options).unwrap());
    let world = world(|it| it.tls = Some(tls)).await;
    let own = authority.issue(&["someone"]);
    for door in [world.addr, world.admin] {
        let mut shaker = Shaker::new(&authority.pem);
        assert!(!gets_in(&shaker, door).await);
        shaker.shows = Some(&own);
        assert!(gets_in(&shaker, door).await);
        let plain = client::raw(door, b"GET /-/health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(plain.starts_with(b"HTTP/1.1 400 "));
    }
    let mut stream = {
        let mut shaker = Shaker::new(&authority.pem);
        shaker.shows = Some(&own);
        shaker.connect(world.admin).await.unwrap()
    };
    // The certificate keeps a lured browser out: any name will do.
    let request = "GET /-/state HTTP/1.1\r\nhost: any.example\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}
