//! The program, its settings and its environment.

use std::net::SocketAddr;

use rustix::process::Signal;
use tempfile::TempDir;

use super::*;
use crate::support::{Program, get};

/// Runs the program with these settings and asks it for a list; its whole output.
async fn run(lines: &str, environment: &[(&str, &str)], ask: &str) -> String {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("nugate.toml");
    std::fs::write(&path, format!("listen = '127.0.0.1:0'\n{lines}\n")).unwrap();
    let arguments = format!("serve --config {}", path.display());
    let mut program = Program::start_with(&arguments, environment);
    let address: SocketAddr = program.address();
    let response = get(address, ask, &[]).await;
    let metrics = get(address, "/metrics", &[]).await;
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(response.status, 200, "{response:?}\n{}", ended.err);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    format!("{response:?}{}{}{}", metrics.text(), ended.out, ended.err)
}

fn of_feed(url: &str) -> String {
    format!("[log]\nlevel = 'trace'\n[feeds.corp]\nurl = '{url}'\n")
}

const ASK: &str = "/v3/flat/a.tool/index.json";

/// `USER` as it stands in a URL.
const IN_URL: &str = "corp%5Cuser:pr%C3%B6xy%3As3cret";

#[tokio::test(flavor = "multi_thread")]
async fn the_password_comes_from_everywhere_and_shows_nowhere() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("pw"), format!("{}\n", USER.1)).unwrap();
    let folder = dir.path().to_str().unwrap();
    for (source, environment) in [
        (format!("proxy_password = '{}'", USER.1), &[][..]),
        (format!("proxy_password_file = '{folder}/pw'"), &[]),
        ("proxy_password_env = 'PW'".to_owned(), &[("PW", USER.1)]),
        (
            "proxy_password_credential = 'pw'".to_owned(),
            &[("CREDENTIALS_DIRECTORY", folder)],
        ),
        (String::new(), &[("NUGATE_PROXY_PASSWORD", USER.1)]),
    ] {
        let proxy = WebProxy::guarded().await;
        let up = plain(&proxy).await;
        let address = proxy.addr();
        let user = USER.0;
        let all = format!("proxy = 'http://{address}'\nproxy_username = '{user}'\n{source}\n");
        let shown = run(&(all + &of_feed(&up.index_url())), environment, ASK).await;
        not_in(&shown);
        assert!(!up.log().is_empty());
    }
}

#[track_caller]
fn not_in(shown: &str) {
    let encoded = &basic(USER)["Basic ".len()..];
    for secret in ["s3cret", IN_URL, encoded] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variables_that_all_programs_share_are_obeyed() {
    let proxy = WebProxy::guarded().await;
    let up = plain(&proxy).await;
    let with_user = format!("http://{IN_URL}@{}", proxy.addr());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let before = up.requests();
        let shown = run(&of_feed(&up.index_url()), &[(name, &with_user)], ASK).await;
        not_in(&shown);
        let told = format!("http=\"http://{}\"", proxy.addr());
        assert!(shown.contains(&told), "{shown}");
        assert!(up.requests() > before, "{name}");
    }
    // A setting goes before, and so does what is exempt.
    let direct = ScriptedUpstream::new(feed()).await;
    let before = proxy.log().len();
    let lines = of_feed(&direct.index_url());
    run(
        &format!("proxy = 'none'\n{lines}"),
        &[("HTTP_PROXY", &with_user)],
        ASK,
    )
    .await;
    let exempt = ("NO_PROXY", "localhost,127.0.0.0/8");
    run(&lines, &[("HTTP_PROXY", &with_user), exempt], ASK).await;
    // The other scheme has another.
    run(&lines, &[("HTTPS_PROXY", &with_user)], ASK).await;
    assert_eq!(proxy.log().len(), before);
    assert!(direct.requests() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_may_have_a_way_of_its_own() {
    let (proxy, other) = (WebProxy::guarded().await, WebProxy::open().await);
    let through = plain(&proxy).await;
    let direct = ScriptedUpstream::new(one("B.Tool")).await;
    let own = ScriptedUpstream::called("http://own.test", one("C.Tool")).await;
    other.knows("own.test:80", own.addr());
    let lines = format!(
        "proxy = 'http://{IN_URL}@{}'\n\
         [[feed]]\nname = 'through'\nurl = '{}'\nowns = ['A.*']\n\
         [[feed]]\nname = 'direct'\nurl = '{}'\nowns = ['B.*']\nproxy = 'none'\n\
         [[feed]]\nname = 'own'\nurl = '{}'\nowns = ['C.*']\nproxy = 'http://{}'\n",
        proxy.addr(),
        through.index_url(),
        direct.index_url(),
        own.index_url(),
        other.addr(),
    );
    for id in ["a.tool", "b.tool", "c.tool"] {
        run(&lines, &[], &format!("/v3/flat/{id}/index.json")).await;
    }
    assert!(
        proxy
            .log()
            .iter()
            .all(|asked| asked.target.starts_with("http://feed.test/"))
    );
    let log = other.log();
    assert!(!log.is_empty());
    for asked in log {
        assert!(asked.target.starts_with("http://own.test/"), "{asked:?}");
        knows_no_proxy(&asked.headers);
    }
    assert!(through.requests() > 0 && direct.requests() > 0 && own.requests() > 0);
}

fn one(id: &str) -> ExampleFeed {
    ExampleFeed::new([Package::new(id, "1.0.0")]).unwrap()
}

#[test]
fn what_is_no_proxy_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("nugate.toml");
    std::fs::write(&path, "[feeds.corp]\nurl = 'http://127.0.0.1:1/'\n").unwrap();
    let serve = format!("serve --config {}", path.display());
    for (name, value, expected) in [
        (
            "NUGATE_PROXY",
            "socks5://u:hunter2@h:1080",
            "environment NUGATE_PROXY: proxy = \"socks5://***@h:1080\": has another scheme than \
             http and https; allowed: none, or http:// or https:// with a host",
        ),
        (
            "HTTPS_PROXY",
            "u:hunter2@proxy corp:3128",
            "environment HTTPS_PROXY: proxy = \"***@proxy corp:3128\": has a space",
        ),
        (
            "http_proxy",
            "ftp://u:hunter2@h",
            "environment http_proxy: proxy = \"ftp://***@h\": has another scheme",
        ),
        (
            "NO_PROXY",
            "localhost,127.*",
            "environment NO_PROXY: no_proxy = \"127.*\": is not a host name; allowed: a host name",
        ),
        (
            "NUGATE_FEEDS__CORP__PROXY",
            "direct",
            "feeds.corp.proxy = \"direct\": does not begin with a scheme",
        ),
        (
            "NUGATE_PROXY_PASSWORD",
            "hunter2",
            "proxy_password: has no meaning without a `proxy` beside it",
        ),
    ] {
        let ended = Program::start_with(&serve, &[(name, value)]).end();
        assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""), "{name}");
        assert!(ended.err.contains(expected), "{name}: {}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    }
}
