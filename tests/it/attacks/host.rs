//! A request decides what its own answer says, and never what others get.
//!
//! - no header or parameter of a request shows in anything served afterwards, from memory or disk
//! - two hosts that alternate get their own links each time

use futures_util::future::join_all;
use nugate::demo::ExampleFeed;
use nugate::policy::http::Lifetimes;
use nugate::proxy::generic::RouteOptions;

use crate::support::client::get;
use crate::support::{ScriptedUpstream, World};

/// Documents with links, of all protocols.
const DOCUMENTS: &[&str] = &[
    "/v3/index.json",
    "/v3/registration-gz-semver2/example.core/index.json",
    "/v3/registration/example.core/1.0.0.json",
    "/v3/query?q=example",
    "/v3/vulnerabilities/index.json",
    "/v3/catalog/index.json",
    "/api/v2/",
    "/api/v2/FindPackagesById()?id='Example.Core'",
    "/api/v2/Packages(Id='Example.Core',Version='1.0.0')",
    "/raw/tools/tools.json",
];

const EVIL: &[(&str, &str)] = &[
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-server", "evil.example"),
    ("x-forwarded-proto", "evil"),
    ("x-forwarded-port", "666"),
    ("x-forwarded-prefix", "/evil"),
    ("x-forwarded-path", "/evil"),
    ("forwarded", "for=evil;host=evil.example;proto=evil"),
    ("x-host", "evil.example"),
    ("x-original-host", "evil.example"),
    ("x-http-host-override", "evil.example"),
    ("x-original-url", "/evil"),
    ("x-rewrite-url", "/evil"),
    ("base-url", "http://evil.example/"),
    ("origin", "http://evil.example"),
    ("referer", "http://evil.example/"),
    ("accept-language", "evil"),
    ("accept", "text/evil"),
    ("content-type", "text/evil"),
    ("cookie", "evil=1"),
    ("authorization", "Bearer evil"),
    ("x-nuget-apikey", "evil"),
    ("x-http-method-override", "EVIL"),
    ("range", "evil=0-1"),
    ("if-none-match", "\"evil\""),
    ("x-request-id", "evil"),
];

async fn world() -> World {
    let up = ScriptedUpstream::demo().await;
    let tools = format!(
        r#"{{"nuget.exe":[{{"url":"{}/files/nuget.exe"}}]}}"#,
        up.base_url()
    );
    let on = up.on("/files/tools.json").reply(200, tools);
    drop(on.header("cache-control", "max-age=600, public"));
    let url = format!("{}/files/", up.base_url()).parse().unwrap();
    World::before(up, |settings| {
        settings.options.v2 = true;
        settings.bases.allowed_hosts = vec!["other.example".to_owned()];
        settings.routes = vec![RouteOptions {
            name: "tools".to_owned(),
            url,
            unsafe_methods: false,
            relay_credentials: false,
            lifetimes: Lifetimes::default(),
            size_max: 1 << 20,
            rewrite: vec!["tools.json".to_owned()],
        }];
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_request_says_of_itself_reaches_others() {
    let mut world = world().await;
    for path in DOCUMENTS {
        for header in EVIL {
            get(world.addr, path, &[*header]).await;
        }
        get(world.addr, path, &[("host", "evil.example")]).await;
        // Parameters of documents that have none.
        if !path.contains('?') {
            let unkeyed = format!("{path}?callback=evil&base=http://evil.example/");
            get(world.addr, &unkeyed, &[]).await;
        }
    }
    world.quiet().await;
    for round in ["warm", "restarted"] {
        for path in DOCUMENTS {
            let clean = get(world.addr, path, &[("accept-encoding", "identity")]).await;
            assert_eq!(clean.status, 200, "{round} {path}: {}", clean.text());
            let all = format!("{:?} {}", clean.headers, clean.text()).to_lowercase();
            assert!(
                !all.contains("evil") && !all.contains(":666/"),
                "{round} {path}: {all}"
            );
        }
        world.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_take_turns_a_thousand_times() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.bases.allowed_hosts = vec!["other.example".to_owned()];
    })
    .await;
    let path = "/v3/registration/example.core/1.0.0.json";
    get(world.addr, path, &[]).await;
    for _ in 0..50 {
        let hosts = (0..20).map(|at| ["localhost", "other.example"][at % 2]);
        let asked = hosts.map(async |host| {
            let text = get(world.addr, path, &[("host", host)]).await.text();
            let other = ["localhost", "other.example"]
                .into_iter()
                .find(|it| *it != host);
            assert!(text.contains(&format!("http://{host}/v3/")), "{text}");
            assert!(!text.contains(other.unwrap()), "{text}");
        });
        join_all(asked).await;
    }
}
