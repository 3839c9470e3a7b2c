//! A feed's credential goes to the feed, and nowhere else.
//!
//! - every form of it is sent with every request, in place of what a client sends
//! - hosts that the service index or a redirect names get nothing; listed ones do
//! - another name, port or address of the same machine is another host
//! - what a redirect led away from is not sent again when it leads back
//! - signed download URLs are followed as they are, and told to nobody
//! - a feed that refuses the credential: 502 that names the feed, or what is stored; no prompt
//! - wherever the secret comes from, no log, error or answer has it

use std::io::Write as _;

use http::HeaderName;
use nugate::config::{Credential, Scheme, Secret};
use nugate::demo::{ExampleFeed, Package};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::client::{Response, get};
use crate::support::upstream::Seen;
use crate::support::{Program, ScriptedUpstream, World, stored};

const LIST: &str = "flat/a.tool/index.json";
const NUPKG: &str = "flat/a.tool/1.0.0/a.tool.1.0.0.nupkg";
const SECRET: &str = "hunter2-secret";
/// `me:hunter2-secret`.
const BASIC: &str = "Basic bWU6aHVudGVyMi1zZWNyZXQ=";

fn feed() -> ExampleFeed {
    ExampleFeed::new([Package::new("A.Tool", "1.0.0")]).unwrap()
}

fn credential(scheme: Scheme, hosts: &[&str]) -> Credential {
    Credential {
        scheme,
        secret: Secret::new(SECRET),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    }
}

fn basic(hosts: &[&str]) -> Credential {
    let username = "me".to_owned();
    credential(Scheme::Basic { username }, hosts)
}

/// A feed, and a second host that has everything the feed has.
async fn two() -> (ScriptedUpstream, ScriptedUpstream) {
    let up = ScriptedUpstream::new(feed()).await;
    let other = ScriptedUpstream::at([127, 0, 0, 2], feed()).await;
    (up, other)
}

/// A service index that names the version lists and packages below `flat`.
fn flat_at(up: &ScriptedUpstream, flat: &str) {
    let index = json!({"version": "3.0.0", "resources": [
        {"@id": format!("{flat}/v3-flatcontainer/"), "@type": "PackageBaseAddress/3.0.0"},
        {"@id": format!("{}/search-usnc/query", up.base_url()), "@type": "SearchQueryService"},
    ]});
    up.on("/v3/index.json").reply(200, index.to_string());
}

fn authority(url: &str) -> &str {
    url.strip_prefix("http://").unwrap()
}

#[track_caller]
fn carried(log: &[Seen], name: &str, value: &str) {
    assert!(!log.is_empty());
    for seen in log {
        assert_eq!(seen.header(name), value, "{seen:?}");
    }
}

#[track_caller]
fn nothing_of_it(log: &[Seen]) {
    assert!(!log.is_empty());
    for seen in log {
        assert_eq!(seen.headers.get("authorization"), None, "{seen:?}");
        assert!(
            !format!("{:?}", seen.headers).contains("hunter2"),
            "{seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_sent_with_every_request() {
    let header = |name| Scheme::Header(HeaderName::from_static(name));
    let username = "me".to_owned();
    for (scheme, name, value) in [
        (Scheme::Basic { username }, "authorization", BASIC),
        (Scheme::Bearer, "authorization", "Bearer hunter2-secret"),
        (header("x-nuget-apikey"), "x-nuget-apikey", SECRET),
        (header("x-jfrog-art-api"), "x-jfrog-art-api", SECRET),
    ] {
        let own = Some(credential(scheme, &[]));
        let world = World::with(feed(), |settings| settings.feed.credential = own).await;
        let clients = [
            ("authorization", "Basic Y2xpZW50OmNsaWVudA=="),
            ("x-nuget-apikey", "client"),
            ("cookie", "client=1"),
        ];
        for path in [
            LIST,
            NUPKG,
            "query?q=a",
            "registration-gz/a.tool/index.json",
        ] {
            let response = world.get_with(path, &clients).await;
            assert_eq!(response.status, 200, "{path}: {response:?}");
        }
        world.head("flat/a.tool/1.0.0/a.tool.nuspec").await;
        let log = world.up.log();
        carried(&log, name, value);
        for seen in log {
            assert_eq!(seen.headers.get_all(name).iter().count(), 1);
            assert!(
                !format!("{:?}", seen.headers).contains("client"),
                "{seen:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_the_service_index_get_nothing() {
    let (up, other) = two().await;
    flat_at(&up, other.base_url());
    let world = World::before(up, |settings| settings.feed.credential = Some(basic(&[]))).await;
    assert_eq!(world.get(LIST).await.status, 200);
    assert_eq!(world.get(NUPKG).await.status, 200);
    assert_eq!(world.get("query?q=a").await.status, 200);
    nothing_of_it(&other.log());
    carried(&world.up.log(), "authorization", BASIC);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_or_port_of_the_same_machine_is_another_host() {
    let up = ScriptedUpstream::new(feed()).await;
    let port = up.addr().port();
    flat_at(&up, &format!("http://localhost:{port}"));
    let world = World::before(up, |settings| settings.feed.credential = Some(basic(&[]))).await;
    assert_eq!(world.get(LIST).await.status, 200);
    let log = world.up.log();
    let of = |host: &str| -> Vec<Seen> {
        let wanted = |seen: &&Seen| seen.header("host") == format!("{host}:{port}");
        log.iter().filter(wanted).cloned().collect()
    };
    nothing_of_it(&of("localhost"));
    carried(&of("127.0.0.1"), "authorization", BASIC);

    let (up, other) = (
        ScriptedUpstream::new(feed()).await,
        ScriptedUpstream::new(feed()).await,
    );
    flat_at(&up, other.base_url());
    let world = World::before(up, |settings| settings.feed.credential = Some(basic(&[]))).await;
    assert_eq!(world.get(LIST).await.status, 200);
    nothing_of_it(&other.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_hosts_get_it_directly_and_by_redirect() {
    let (up, other) = two().await;
    let third = ScriptedUpstream::at([127, 0, 0, 3], feed()).await;
    flat_at(&up, other.base_url());
    let target = format!("{}/v3-flatcontainer/a.tool/index.json", third.base_url());
    other
        .on("/v3-flatcontainer/a.tool/index.json")
        .reply(307, "")
        .header("location", &target);
    let hosts = [authority(other.base_url()), authority(third.base_url())];
    let own = basic(&hosts);
    let world = World::before(up, |settings| {
        settings.feed.credential = Some(own.clone());
        settings.feed.redirect_hosts.clone_from(&own.hosts);
    })
    .await;
    assert_eq!(world.get(LIST).await.status, 200);
    assert_eq!(world.get(NUPKG).await.status, 200);
    for log in [world.up.log(), other.log(), third.log()] {
        carried(&log, "authorization", BASIC);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leaves_it_behind_for_good() {
    for status in [301, 302, 303, 307, 308] {
        let (up, other) = two().await;
        let flat = "/v3-flatcontainer/a.tool/index.json";
        let away = format!("{}{flat}", other.base_url());
        let back = format!("{}/back", up.base_url());
        up.on(flat).reply(status, "").header("location", &away);
        other.on(flat).reply(status, "").header("location", &back);
        up.on("/back").reply(200, r#"{"versions":["1.0.0"]}"#);
        let host = authority(other.base_url()).to_owned();
        let world = World::before(up, |settings| {
            settings.feed.credential = Some(basic(&[]));
            settings.feed.redirect_hosts = vec![host];
        })
        .await;
        assert_eq!(world.get(LIST).await.status, 200, "{status}");
        nothing_of_it(&other.log());
        let (back, before): (Vec<_>, Vec<_>) = world
            .up
            .log()
            .into_iter()
            .partition(|seen| seen.path() == "/back");
        nothing_of_it(&back);
        carried(&before, "authorization", BASIC);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_downloads_are_followed_as_they_are() {
    let (up, blobs) = two().await;
    let nupkg = Package::new("A.Tool", "1.0.0").nupkg().unwrap();
    let target = format!("{}/b/1?sv=2024&sig=c2lnbmF0dXJl%2F%3D", blobs.base_url());
    let path = "/v3-flatcontainer/a.tool/1.0.0/a.tool.1.0.0.nupkg";
    up.on(path).reply(303, "").header("location", &target);
    blobs.on("/b/1").reply(500, "").times(1);
    blobs.on("/b/1").reply(200, nupkg.clone());
    let host = authority(blobs.base_url()).to_owned();
    let world = World::before(up, |settings| {
        settings.feed.credential = Some(basic(&[]));
        settings.feed.redirect_hosts = vec![host];
    })
    .await;
    let failed = world.get(NUPKG).await;
    assert_eq!(failed.status, 502, "{failed:?}");
    assert!(!format!("{failed:?}").contains("c2lnbm"), "{failed:?}");
    assert_eq!(stored(&world, NUPKG).await.body, nupkg);
    let log = blobs.log();
    nothing_of_it(&log);
    for seen in log {
        assert_eq!(seen.path_and_query, "/b/1?sv=2024&sig=c2lnbmF0dXJl%2F%3D");
    }
    // The next client is not led to a signature that has run out.
    world.up.clear_log();
    assert_eq!(world.get(NUPKG).await.body, nupkg);
    assert_eq!(world.up.requests(), 0);
}

/// No challenge, no secret, and whose fault it is.
#[track_caller]
fn refused(response: &Response, status: u16) {
    assert_eq!(response.status, 502, "{response:?}");
    let text = response.text();
    let named = format!("feed test answered {status} to nugate itself");
    assert!(text.contains(&named), "{text}");
    for setting in ["feeds.test.auth", "feeds.test.credential_hosts"] {
        assert!(text.contains(setting), "{text}");
    }
    assert!(
        response.header("x-nuget-warning").contains(&named),
        "{response:?}"
    );
    assert_eq!(response.headers.get("www-authenticate"), None);
    assert_eq!(response.headers.get("set-cookie"), None);
    assert!(!format!("{response:?}").contains("hunter2"), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_refuses_the_credential_never_prompts_the_client() {
    for status in [401, 403, 407] {
        let world = World::with(feed(), |settings| {
            settings.feed.credential = Some(basic(&[]));
            settings.feed.attempts = 3;
        })
        .await;
        let list = "/v3-flatcontainer/a.tool/index.json";
        let package = "/v3-flatcontainer/a.tool/1.0.0/a.tool.1.0.0.nupkg";
        for path in ["/v3/index.json", list, package] {
            world
                .up
                .on(path)
                .reply(status, "give me a password")
                .header("www-authenticate", "Basic realm=\"feed\"")
                .header("set-cookie", "session=1");
        }
        // Another form of the credential or another attempt would not help.
        refused(&world.get("index.json").await, status);
        assert_eq!(world.up.count("/v3/index.json"), 1);
        let index = world.up.change(|feed| {
            let document = feed.document(world.up.base_url(), "/v3/index.json", "");
            document.unwrap().body
        });
        world.up.on("/v3/index.json").reply(200, index);
        let answer = world.get("index.json").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        refused(&world.get(LIST).await, status);
        refused(&world.get(NUPKG).await, status);
        let head = world.head("flat/a.tool/1.0.0/a.tool.1.0.0.nupkg").await;
        assert_eq!(head.status, 502, "{head:?}");
        assert_eq!(head.headers.get("www-authenticate"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_served_while_the_feed_refuses() {
    let world = World::with(feed(), |settings| {
        settings.feed.credential = Some(basic(&[]));
    })
    .await;
    let before = stored(&world, LIST).await;
    assert_eq!(before.status, 200);
    world
        .up
        .on("/v3-flatcontainer/a.tool/index.json")
        .reply(401, "")
        .header("www-authenticate", "Basic realm=\"feed\"");
    world.later(3600);
    let after = world.get(LIST).await;
    assert_eq!((after.status, &after.body), (before.status, &before.body));
    let warning = after.header("x-nuget-warning");
    assert!(warning.contains("feed test answered 401"), "{after:?}");
    assert_eq!(after.headers.get("www-authenticate"), None);
}

/// Runs the program with these settings of a feed and asks it for a list; its whole output.
async fn run(lines: &str, environment: &[(&str, &str)], up: &ScriptedUpstream) -> String {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("nugate.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    let text = format!(
        "listen = '127.0.0.1:0'\n[log]\nlevel = 'trace'\n[feeds.corp]\nurl = '{}'\n{lines}\n",
        up.index_url()
    );
    file.write_all(text.as_bytes()).unwrap();
    let arguments = format!("serve --config {}", path.display());
    let mut program = Program::start_with(&arguments, environment);
    let address = program.address();
    let response = get(address, &format!("/v3/{LIST}"), &[]).await;
    let metrics = get(address, "/metrics", &[]).await;
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(response.status, 200, "{response:?}\n{}", ended.err);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    format!("{response:?}{}{}{}", metrics.text(), ended.out, ended.err)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_takes_it_from_everywhere_and_shows_it_nowhere() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("corp-pat"), format!("{SECRET}\n")).unwrap();
    let folder = dir.path().to_str().unwrap();
    let file = format!("password_file = '{folder}/corp-pat'");
    let plain = format!("password = '{SECRET}'");
    for (source, environment) in [
        (plain.as_str(), &[][..]),
        (&file, &[]),
        ("password_env = 'CORP_PAT'", &[("CORP_PAT", SECRET)]),
        ("", &[("NUGATE_FEEDS__CORP__PASSWORD", SECRET)]),
        (
            "password_credential = 'corp-pat'",
            &[("CREDENTIALS_DIRECTORY", folder)],
        ),
    ] {
        let up = ScriptedUpstream::new(feed()).await;
        let lines = format!("auth = 'basic'\nusername = 'me'\n{source}");
        let shown = run(&lines, environment, &up).await;
        carried(&up.log(), "authorization", BASIC);
        for secret in [SECRET, BASIC, "bWU6aHVudGVyMi1zZWNyZXQ"] {
            assert!(!shown.contains(secret), "{source}: {shown}");
        }
    }
}

#[test]
fn a_secret_that_is_not_there_stops_the_program_before_it_starts() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("nugate.toml");
    for (line, expected) in [
        (
            "password_file = '/nowhere/pat'",
            "feeds.corp.password_file: names /nowhere/pat, which cannot be read: ",
        ),
        (
            "password_env = 'CORP_PAT'",
            "feeds.corp.password_env: names the variable CORP_PAT, which is not set",
        ),
        (
            "password_credential = 'pat'",
            "feeds.corp.password_credential: names the credential pat, but $CREDENTIALS_DIRECTORY",
        ),
        (
            "password = 'hunter2'\npassword_env = 'CORP_PAT'",
            "feeds.corp.password_env: is set beside password; allowed: exactly one of password, ",
        ),
    ] {
        let text = format!("[feeds.corp]\nurl = 'http://127.0.0.1:1/'\nauth = 'bearer'\n{line}\n");
        std::fs::write(&path, text).unwrap();
        let ended = Program::start(&format!("serve --config {}", path.display())).end();
        assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""), "{line}");
        assert!(ended.err.contains(expected), "{line}: {}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    }
}
