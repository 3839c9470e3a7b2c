//! What a browser is told where there is no page for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use nugate::config::{AccessConfig, AccessMode};
use nugate::demo::ExampleFeed;
use nugate::entry::Digest;

use super::{CORE, HTML, OURS, PACKAGE, SESSION, check_at, form};
use crate::support::client;
use crate::support::{World, get, until};

/// What a browser is told at a path, and that clients are told the same in plain words.
async fn told(world: &World, path: &str, headers: &[(&str, &str)], status: u16) -> String {
    let plain = get(world.addr, path, headers).await;
    assert_eq!(plain.status, status, "{path}");
    assert_eq!(plain.header("content-type"), "text/plain; charset=utf-8");
    let answer = get(world.addr, path, &[headers, &[HTML]].concat()).await;
    check_at(path, &answer, status);
    assert_eq!(
        answer.header("www-authenticate"),
        plain.header("www-authenticate")
    );
    let text = answer.text();
    let why = plain.text().trim_end().replace('"', "&#34;");
    assert!(text.contains(&why), "{path}: {why} is not in\n{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_in_a_page_what_is_wrong_and_clients_in_plain_words() {
    let world = World::demo().await;
    for (path, up) in [
        ("/nothing", "href=\"./\""),
        ("/-/nothing", "href=\"../\""),
        ("/feeds/nothing/v3/index.json", "href=\"../../../\""),
        ("/feeds/test/nothing", "href=\"../../\""),
        ("/-/%3Cscript%3E/x/", "href=\"../../../\""),
        (&format!("/-/restores/{SESSION}"), "href=\"../../\""),
    ] {
        let text = told(&world, path, &[], 404).await;
        assert!(text.contains("<h1>404 Not Found</h1>"), "{path}");
        assert!(text.contains(up), "{path}: {up} is not in\n{text}");
        assert!(text.contains("-/state\""), "{path}");
    }
    // Where clients ask, nothing depends on what they accept.
    let deep = "/a".repeat(20);
    for (path, status) in [
        ("/v3/nothing", 404),
        ("/v3/flat/nothing.here/index.json", 404),
        ("/feeds/test/v3/nothing", 404),
        ("/api/v2/nothing", 404),
        ("/raw/nothing/", 404),
        (&deep, 404),
    ] {
        let (plain, html) = (
            get(world.addr, path, &[]).await,
            get(world.addr, path, &[HTML]).await,
        );
        for answer in [plain, html] {
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
            assert!(!answer.text().contains('<'), "{path}");
        }
    }
    let refused = client::call(world.addr, Method::DELETE, "/-/state", &[HTML], "").await;
    check_at("/-/state", &refused, 405);
    assert_eq!(refused.header("allow"), "GET, HEAD");
    let head = client::head(world.addr, "/nothing", &[HTML]).await;
    assert_eq!(head.header("content-type"), "text/html; charset=utf-8");
    assert!(head.body.is_empty());
    world.app().stop();
    told(&world, "/-/ready", &[], 503).await;
}

/// A page that says no leads to nothing that they may not see.
async fn told_no(world: &World, team: &str) {
    for (credentials, status) in [("", 401), (team, 403)] {
        let text = told(world, "/-/state", &[("authorization", credentials)], status).await;
        assert!(
            text.contains("href=\"../\"") && !text.contains("-/state"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_who_asked_needs_admin() {
    let key = |name: &str, scope: &str| {
        let digest = Digest::of(name.as_bytes()).to_hex();
        format!("{name}:{scope}:{digest}").parse().unwrap()
    };
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.access = AccessConfig {
            mode: AccessMode::Required,
            keys: vec![key("ops", "admin"), key("team", "read"), key("ci", "push")],
            ..AccessConfig::open()
        };
    })
    .await;
    let basic = |name: &str| format!("Basic {}", STANDARD.encode(format!("any:{name}")));
    let (ops, team, ci) = (basic("ops"), basic("team"), basic("ci"));
    for (credentials, setup, rest) in [
        ("", 401, 401),
        (&basic("nobody"), 401, 401),
        (&team, 200, 403),
        (&ci, 403, 403),
        (&ops, 200, 200),
    ] {
        let headers = [HTML, ("authorization", credentials)];
        for (path, expected) in [
            ("/", setup),
            ("/-/state", rest),
            ("/-/packages", rest),
            (PACKAGE, rest),
        ] {
            let answer = get(world.addr, path, &headers).await;
            assert_eq!(answer.status, expected, "{path} {credentials}");
            let challenge = if expected == 401 {
                "Basic realm=\"nugate\""
            } else {
                ""
            };
            assert_eq!(answer.header("www-authenticate"), challenge, "{path}");
        }
        let sent = form(world.addr, &[OURS, headers[1]], "do=pin").await;
        let expected = if rest == 200 { 303 } else { rest };
        assert_eq!(sent.status, expected, "{credentials}");
    }
    told_no(&world, &team).await;
    let setup = get(world.addr, "/", &[HTML, ("authorization", &team)]).await;
    for part in [
        "packageSourceCredentials",
        "--username USER --password PASSWORD",
        "hostRules",
    ] {
        assert!(setup.text().contains(part), "{part}");
    }
    // The name of the key is told, and the key nowhere.
    world.get_with(CORE, &[("authorization", &team)]).await;
    let headers = [HTML, ("authorization", ops.as_str())];
    until("it is told who asked", async || {
        get(world.addr, PACKAGE, &headers)
            .await
            .text()
            .contains("data-name=\"Client\">team<")
    })
    .await;
}
