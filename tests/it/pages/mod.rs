//! Pages for people.
//!
//! - browsers get the set-up at `/`, for the address they came by; clients get where the index is
//! - the state shows feeds, failures and restores, a restore its requests, a package what is stored
//!   of it and who asked
//! - whatever clients send is shown as text, cut, and a bounded number of it
//! - no page loads anything, leads elsewhere, is kept or framed; what shows who asked needs admin
//! - forms count only when a page of ours sent them
//! - what is wrong is told to browsers in a page, to clients in plain words
//! - `pages = false` switches them off; the level of the log has no say in them

mod forms;
mod told;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use nugate::demo::ExampleFeed;
use nugate::entry::Digest;
use nugate::observe::journal::{REQUESTS_MAX, RESTORES_MAX};
use rustix::process::Signal;

use crate::support::client::{self, Response};
use crate::support::{Program, ScriptedUpstream, World, get, until};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");
const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const PACKAGE: &str = "/-/packages/example.core";
const SESSION: &str = "6f9619ff-8b86-d011-b42d-00c04fc964ff";

async fn page(world: &World, path: &str) -> Response {
    let answer = get(world.addr, path, &[HTML]).await;
    check(path, &answer);
    answer
}

/// What holds for every page.
#[track_caller]
fn check(path: &str, answer: &Response) {
    check_at(path, answer, 200);
}

/// The same for a page with another status.
#[track_caller]
fn check_at(path: &str, answer: &Response, status: u16) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{path}: {text}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let style = text.split_once("<style>").unwrap().1;
    let style = style.split_once("</style>").unwrap().0;
    let digest = STANDARD.encode(Digest::of(style.as_bytes()).as_bytes());
    let policy = answer.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        &format!("style-src 'sha256-{digest}'"),
    ] {
        assert!(policy.contains(part), "{path}: {part} is not in {policy}");
    }
    for word in ["<script", "javascript:", "style=\"", "@import", "onclick"] {
        assert!(!text.contains(word), "{path}: {word}");
    }
    // Links and what is loaded are relative, or part of the page.
    for attribute in [" href=\"", " src=\"", " action=\""] {
        for (at, _) in text.match_indices(attribute) {
            let value = &text[at + attribute.len()..];
            let value = &value[..value.find('"').unwrap()];
            let inside = value.starts_with("data:image/svg+xml,") || !value.contains(':');
            assert!(inside && !value.starts_with('/'), "{path}: {value}");
        }
    }
    for id in text.split(" id=\"").skip(1) {
        let id = &id[..id.find('"').unwrap()];
        assert_eq!(
            text.matches(&format!(" id=\"{id}\"")).count(),
            1,
            "{path}: {id}"
        );
    }
}

/// The page once it says this: what was asked is told of a moment later.
async fn says(world: &World, path: &str, part: &str) -> String {
    until(&format!("{path} says {part}"), async || {
        get(world.addr, path, &[HTML]).await.text().contains(part)
    })
    .await;
    page(world, path).await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_how_clients_are_set_up() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.options.v2 = true;
    })
    .await;
    let text = page(&world, "/").await.text();
    let index = format!("http://{}/v3/index.json", world.addr);
    for part in [
        format!("<code>{index}</code>"),
        format!("dotnet nuget add source {index} --name nugate --allow-insecure-connections\n"),
        format!(
            "&#60;add key=&#34;nugate&#34; value=&#34;{index}&#34; protocolVersion=&#34;3&#34;"
        ),
        format!("nuget sources add -Name nugate -Source {index}<"),
        format!("--source=http://{}/api/v2<", world.addr),
        format!("&quot;registryUrls&quot;: [&quot;{index}&quot;]").replace("&quot;", "\""),
    ] {
        assert!(text.contains(&part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("PASSWORD"), "{text}");
    // Clients look for the service index there.
    for accept in ["*/*", "application/json"] {
        let answer = get(world.addr, "/", &[("accept", accept)]).await;
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("location"), "v3/index.json");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_the_one_that_the_browser_came_by() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.bases.public_url = Some("https://nuget.example/feed".parse().unwrap());
    })
    .await;
    let text = page(&world, "/feed/").await.text();
    assert!(text.contains("<code>https://nuget.example/feed/v3/index.json</code>"));
    assert!(!text.contains("nsecure"), "{text}");
    assert!(!text.contains("api/v2"), "{text}");
    let world = World::demo().await;
    let evil = [HTML, ("host", "evil.example")];
    for path in ["/", "/-/state", PACKAGE] {
        let answer = get(world.addr, path, &evil).await;
        assert_eq!(answer.status, 421, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_read_and_nothing_else() {
    let world = World::demo().await;
    for path in ["/", "/-/state", "/-/packages", PACKAGE] {
        let (whole, head) = (
            page(&world, path).await,
            client::head(world.addr, path, &[HTML]).await,
        );
        assert_eq!(head.status, 200, "{path}");
        assert!(head.body.is_empty());
        // Times differ, not their lengths: the clock stands still.
        assert_eq!(head.header("content-length"), whole.body.len().to_string());
        let answer = client::call(world.addr, Method::DELETE, path, &[HTML], "").await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = if path == PACKAGE {
            "GET, HEAD, POST"
        } else {
            "GET, HEAD"
        };
        assert_eq!(answer.header("allow"), allowed, "{path}");
    }
    for path in [
        "/-/nothing",
        "/-/packages/",
        "/-/packages/a%2Fb",
        "/-/packages/%3Cscript%3E",
        "/-/packages/..",
        "/-/restores/",
        "/-/restores/6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "/-/restores/%00",
    ] {
        let answer = get(world.addr, path, &[HTML]).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}");
        assert!(!answer.text().contains("<script>"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_shown_with_its_requests() {
    let world = World::demo().await;
    let session = [
        ("x-nuget-session-id", SESSION),
        ("user-agent", "NuGet/7 <b>"),
    ];
    world.get_with("index.json", &session).await;
    world.get_with(CORE, &session).await;
    world.quiet().await;
    world.get_with(CORE, &session).await;
    world
        .get_with("flat/example.nowhere/index.json", &session)
        .await;
    // What is of no restore, and what only says so.
    world.get("flat/example.json/index.json").await;
    for other in ["", "x", "6f9619ff8b86d011b42d00c04fc964fe", "<script>"] {
        world
            .get_with("index.json", &[("x-nuget-session-id", other)])
            .await;
    }
    let path = format!("/-/restores/{SESSION}");
    let text = says(&world, &path, "example.nowhere").await;
    for part in [
        "<dd>4</dd>",
        "NuGet/7 &#60;b&#62;",
        "404 passed",
        "200 hit",
        "200 miss",
        "hit: 1 ",
        "absent: 1 ",
        "example.core.1.0.0.nupkg",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("example.json"), "{text}");
    let state = says(&world, "/-/state", SESSION).await;
    assert_eq!(state.matches("href=\"restores/").count(), 1, "{state}");
    assert!(state.contains(">live<"), "{state}");
    world.later(20);
    let state = page(&world, "/-/state").await.text();
    assert!(!state.contains(">live<"), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_send_is_shown_as_text_and_bounded() {
    let world = World::demo().await;
    let long = format!("\"><script>alert(1)</script>{}", "x".repeat(2000));
    let session = |number: usize| format!("00000000-0000-0000-0000-{number:012x}");
    for number in 0..RESTORES_MAX + 3 {
        let id = session(number);
        let headers = [("x-nuget-session-id", id.as_str()), ("user-agent", &long)];
        world.get_with("index.json", &headers).await;
    }
    let last = session(RESTORES_MAX + 2);
    let state = says(&world, "/-/state", &last).await;
    assert_eq!(state.matches("href=\"restores/").count(), RESTORES_MAX);
    for gone in 0..3 {
        let answer = get(world.addr, &format!("/-/restores/{}", session(gone)), &[]).await;
        assert_eq!(answer.status, 404);
    }
    assert!(!state.contains("<script"), "{state}");
    assert!(state.contains("&#60;script&#62;alert(1)"), "{state}");
    assert!(
        !state.contains(&"x".repeat(200)),
        "a client's text is not cut"
    );
    let asked = [("x-nuget-session-id", last.as_str())];
    for _ in 0..REQUESTS_MAX + 5 {
        world.get_with("index.json", &asked).await;
    }
    let text = says(&world, &format!("/-/restores/{last}"), "6 further requests").await;
    assert_eq!(text.matches("<tr role=\"row\"><th").count(), 1);
    assert_eq!(text.matches("class=\"lane\"").count(), REQUESTS_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_shows_what_fails_and_how_the_feed_is() {
    let mut world = World::demo().await;
    let state = page(&world, "/-/state").await.text();
    for part in [
        "not asked yet",
        "None so far",
        "None since the start",
        "Nothing is stored yet",
    ] {
        assert!(state.contains(part), "{part} is not in\n{state}");
    }
    world.hit("index.json").await;
    let state = says(&world, "/-/state", ">answers<").await;
    assert!(state.contains("service index"), "{state}");
    let nothing = "flat/nothing.here/index.json";
    assert_eq!(world.get(nothing).await.status, 404);
    world.up.down().await;
    assert_eq!(world.get("flat/example.core/index.json").await.status, 502);
    // The figures are gathered every few seconds at most.
    let state = says(&world, "/-/state", "does not answer").await;
    for part in [
        "502 passed",
        "GET /v3/flat/example.core/index.json",
        "nugate: ",
        "127.0.0.1",
    ] {
        assert!(state.contains(part), "{part} is not in\n{state}");
    }
    // What is asked in vain is no failure.
    assert!(!state.contains(nothing), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_tells_what_is_stored_and_who_asked() {
    let world = World::demo().await;
    assert!(
        page(&world, PACKAGE)
            .await
            .text()
            .contains("No version of it is stored")
    );
    world.hit(CORE).await;
    world.hit("flat/example.core/index.json").await;
    world
        .hit("flat/example.json/1.2.0/example.json.1.2.0.nupkg")
        .await;
    let text = says(
        &world,
        PACKAGE,
        "<td role=\"cell\" data-name=\"Version\">1.0.0</td>",
    )
    .await;
    let digest = Digest::of(&world.nupkg("Example.Core", "1.0.0")).to_hex();
    for part in [
        &*digest,
        "example.core.1.0.0.nupkg</code>",
        "2027-01-15 08:00:00</time>",
        "127.0.0.1",
        "versions",
        "<dd>test</dd>",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // Every spelling is the same package.
    let other = page(&world, "/-/packages/Example%2ECore").await.text();
    assert!(other.contains(&digest));
    let listing = page(&world, "/-/packages").await.text();
    assert!(listing.contains("<a href=\"packages/example.core\">example.core</a>"));
    assert!(listing.contains("example.json"));
    let some = page(&world, "/-/packages?q=Example.C").await.text();
    assert!(some.contains("example.core") && !some.contains("example.json"));
    let none = page(&world, "/-/packages?q=%22%3E%3Cscript%3E")
        .await
        .text();
    assert!(none.contains("No stored package has an id that begins so"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_has_pages_unless_it_is_told_not_to() {
    let up = ScriptedUpstream::new(ExampleFeed::demo()).await;
    let arguments = format!("serve --listen 127.0.0.1:0 --upstream {}", up.index_url());
    let quiet = [("NUGATE_LOG__LEVEL", "error")];
    let mut program = Program::start_with(&arguments, &quiet);
    let address = program.address();
    let session = [("x-nuget-session-id", SESSION)];
    assert_eq!(
        get(address, &format!("/v3/{CORE}"), &session).await.status,
        200
    );
    // Nothing is logged, and all is remembered.
    until("the restore is shown", async || {
        let state = get(address, "/-/state", &[]).await;
        check("/-/state", &state);
        state.text().contains(SESSION)
    })
    .await;
    program.signal(Signal::TERM);
    let ended = program.end();
    assert!(!ended.err.contains("nupkg"), "{}", ended.err);
    let mut program = Program::start_with(&arguments, &[("NUGATE_PAGES", "false")]);
    let address = program.address();
    for (path, status) in [("/", 302), ("/-/state", 404), (PACKAGE, 404)] {
        assert_eq!(get(address, path, &[HTML]).await.status, status, "{path}");
    }
}

/// What the form on the page of a package sends.
pub async fn form(addr: SocketAddr, headers: &[(&str, &str)], body: &str) -> Response {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let headers = [headers, &[kind]].concat();
    let body = body.to_owned();
    client::call(addr, Method::POST, PACKAGE, &headers, body).await
}
