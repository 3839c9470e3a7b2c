//! `nugate doctor`.
//!
//! - a healthy feed has no fault, over http and https, and neither has nugate
//! - each planted fault is named, and nothing else; it says whom it breaks, and the cure
//! - exit code 3 when something does not work, 0 when some things work worse

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nugate::clock::Clock;
use nugate::demo::{ExampleFeed, Package};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::disk::Disk;
use crate::support::program::Ended;
use crate::support::{Program, ScriptedUpstream, World};

use super::https::{Https, Planted};

const HIVE: &str = "/v3/registration5-gz-semver2/paged";

/// A feed with a package whose registration has pages of its own.
fn feed() -> ExampleFeed {
    let paged = (0..130).map(|minor| Package::new("Paged", format!("1.{minor}.0")));
    let small = Package::new("Small", "1.0.0");
    ExampleFeed::new(paged.chain([small])).unwrap()
}

/// The same, as it is fit for http.
async fn plain() -> ScriptedUpstream {
    ScriptedUpstream::new(feed().without("RepositorySignatures")).await
}

fn doctor(arguments: &str, environment: &[(&str, &str)]) -> Ended {
    Program::start_with(&format!("doctor {arguments} --json"), environment).end()
}

/// What is wrong: the names of the checks, each once, in the order of the report.
#[track_caller]
fn faults(ended: &Ended) -> Vec<String> {
    let report: Value =
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let mut names: Vec<String> = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        let fault = ["warning", "failed"]
            .iter()
            .any(|it| finding["verdict"] == *it);
        for told in ["breaks", "cure"] {
            let text = finding[told].as_str().unwrap_or_default();
            assert_eq!(!text.is_empty(), fault, "{finding}");
        }
        let name = finding["check"].as_str().unwrap();
        if fault && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let failed = report["failed"].as_u64().unwrap() > 0;
    assert_eq!(ended.code, Some(if failed { 3 } else { 0 }), "{ended:?}");
    names
}

/// The feed's own document at a path, changed.
fn changed(up: &ScriptedUpstream, path: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let base = up.base_url().to_owned();
    let document = up.change(|feed| feed.document(&base, path, "")).unwrap();
    let mut value = serde_json::from_slice(&document.body).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_feed_has_no_fault() {
    let up = plain().await;
    let ended = doctor(&up.index_url(), &[]);
    assert!(faults(&ended).is_empty(), "{ended:?}");
    // It looked at everything that a client would ask for.
    for path in [
        "/v3-flatcontainer/paged/index.json",
        &format!("{HIVE}/page/1.0.0/1.63.0.json"),
        &format!("{HIVE}/1.129.0.json"),
        "/v3-flatcontainer/paged/1.129.0/paged.1.129.0.nupkg",
    ] {
        assert!(up.count(path) > 0, "{path} was not asked for: {ended:?}");
    }
    let https = Https::new(feed(), Vec::new()).await;
    let ended = doctor(&https.index_url(), &https.trusted());
    assert!(faults(&ended).is_empty(), "{ended:?}");

    let world = World::new(feed()).await;
    let ended = doctor(&format!("http://{}/v3/index.json", world.addr), &[]);
    assert!(faults(&ended).is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_clients_cannot_use_is_named() {
    let up = plain().await;
    let index = "/v3/index.json";
    let check = |expected: &str, body: Vec<u8>| {
        up.on(index).reply(200, body).times(usize::MAX);
        assert_eq!(faults(&doctor(&up.index_url(), &[])), [expected]);
        up.behave();
    };
    let entries = |value: &mut Value, keep: fn(&str) -> bool| {
        let entries = value["resources"].as_array_mut().unwrap();
        let all = entries.len();
        entries.retain(|entry| keep(entry["@type"].as_str().unwrap()));
        assert!(entries.len() < all);
    };
    let missing = changed(&up, index, |value| {
        entries(value, |name| name != "SearchQueryService/3.0.0-beta");
    });
    check("types", missing);
    let missing = changed(&up, index, |value| {
        entries(value, |name| !name.starts_with("PackageBaseAddress"));
    });
    check("types", missing);
    let version = changed(&up, index, |value| value["version"] = json!("4.0.0"));
    check("version", version);
    check("index", b"<!DOCTYPE html><title>log in</title>".to_vec());
    let array = changed(&up, index, |value| {
        let name = value["resources"][0]["@type"].take();
        value["resources"][0]["@type"] = json!([name]);
    });
    check("entries", array);
    up.on(index).reply(401, "").times(usize::MAX);
    assert_eq!(faults(&doctor(&up.index_url(), &[])), ["credentials"]);
    up.behave();
    up.on(index).reply(500, "").times(usize::MAX);
    assert_eq!(faults(&doctor(&up.index_url(), &[])), ["reach"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_over_http_are_named() {
    let up = ScriptedUpstream::new(feed()).await;
    let ended = doctor(&up.index_url(), &[]);
    assert_eq!(faults(&ended), ["signatures-https"]);
    assert!(
        ended.out.contains("RepositorySignatures/5.0.0"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_redirects_to_http_are_named() {
    let link = Planted::index(|value| {
        let entries = value["resources"].as_array_mut().unwrap();
        let flat = |entry: &&mut Value| entry["@type"] == "PackageBaseAddress/3.0.0";
        entries.iter_mut().find(flat).unwrap()["@id"] = json!("http://feed.example/flat/");
    });
    let https = Https::new(feed(), vec![link]).await;
    let ended = doctor(&https.index_url(), &https.trusted());
    assert_eq!(faults(&ended), ["links-https"]);
    assert!(ended.out.contains("http://feed.example/flat/"), "{ended:?}");

    let list = "/v3-flatcontainer/paged/index.json";
    let redirect = Planted::redirect(list, "http://feed.example/list.json");
    let https = Https::new(feed(), vec![redirect]).await;
    let ended = doctor(&https.index_url(), &https.trusted());
    assert_eq!(faults(&ended), ["redirects-https"]);
    assert!(
        ended.out.contains("http://feed.example/list.json"),
        "{ended:?}"
    );

    // A redirect that stays https is followed.
    let index = format!("{}/v3-flatcontainer/small/index.json", https.base());
    let redirect = Planted::redirect(list, &index);
    let https = Https::new(feed(), vec![redirect]).await;
    let stranger = Authority::new("a stranger");
    let dir = TempDir::new().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &stranger.pem).unwrap();
    let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    assert_eq!(faults(&doctor(&https.index_url(), &environment)), ["trust"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_registrations_are_named() {
    let up = plain().await;
    let base = up.base_url().to_owned();
    let path = format!("{HIVE}/index.json");
    let document = up.change(|feed| feed.document(&base, &path, "")).unwrap();
    // It is gzip, as that of nuget.org is whatever a client accepts.
    up.on(&path).reply(200, document.body).times(usize::MAX);
    let ended = doctor(&up.index_url(), &[]);
    assert_eq!(faults(&ended), ["hive-label"]);
    assert!(ended.out.contains(&path), "{ended:?}");
    up.behave();

    let page = format!("{HIVE}/page/1.64.0/1.127.0.json");
    up.on(&page).reply(404, "").times(usize::MAX);
    let ended = doctor(&up.index_url(), &[]);
    assert_eq!(faults(&ended), ["page-links"]);
    assert!(ended.out.contains(&page), "{ended:?}");
    up.behave();

    let old = "/v3/registration5-semver1/paged";
    let page = format!("{old}/page/1.128.0/1.129.0.json");
    let newer = changed(&up, &page, |value| {
        value["items"][0]["catalogEntry"]["version"] = json!("1.128.0-beta.1");
    });
    up.on(&page).reply(200, newer).times(usize::MAX);
    assert_eq!(faults(&doctor(&up.index_url(), &[])), ["hive-semver1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_named() {
    let up = plain().await;
    let index = "/v3/index.json";
    for (seconds, expected) in [(60, &[][..]), (3600, &["clock"])] {
        let date = Clock::System.now().to_system() - Duration::from_secs(seconds);
        let body = changed(&up, index, |_| {});
        let date = httpdate::fmt_http_date(date);
        up.on(index)
            .reply(200, body)
            .header("date", &date)
            .times(usize::MAX);
        assert_eq!(faults(&doctor(&up.index_url(), &[])), expected, "{seconds}");
        up.behave();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_cannot_be_reached_is_named() {
    let mut up = plain().await;
    up.down().await;
    assert_eq!(faults(&doctor(&up.index_url(), &[])), ["reach"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_there_is_named() {
    let up = plain().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    // Over http in absolute form, over https by a tunnel, from the variable and from the file.
    for url in [
        up.index_url(),
        "https://feed.example/v3/index.json".to_owned(),
    ] {
        let variables = [("HTTPS_PROXY", &*proxy), ("HTTP_PROXY", &*proxy)];
        assert_eq!(faults(&doctor(&url, &variables)), ["proxy"], "{url}");
    }
    let dir = TempDir::new().unwrap();
    let file = configured(&up, &dir.path().join("cache"), "0 B");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("proxy = \"{proxy}\"\n{settings}")).unwrap();
    assert_eq!(faults(&doctor(&format!("--config {file}"), &[])), ["proxy"]);
}

/// A configuration over a healthy feed.
fn configured(up: &ScriptedUpstream, cache: &Path, free_min: &str) -> String {
    let file = cache.parent().unwrap().join("nugate.toml");
    let (url, cache) = (up.index_url(), cache.display());
    let text = format!(
        "[[feed]]\nname = \"test\"\nurl = \"{url}\"\n[cache]\ndir = \"{cache}\"\nfree_min = \"{free_min}\"\n"
    );
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named() {
    let up = plain().await;
    let dir = TempDir::new().unwrap();
    let cache = dir.path().join("cache");
    let file = configured(&up, &cache, "0 B");
    assert!(faults(&doctor(&format!("--config {file}"), &[])).is_empty());
    // Nothing was made by looking.
    assert!(!cache.exists());
    std::fs::create_dir(&cache).unwrap();
    if let Some(disk) = Disk::tmpfs(&cache, "size=4m") {
        let file = configured(&up, &cache, "2 MiB");
        assert!(faults(&doctor(&format!("--config {file}"), &[])).is_empty());
        disk.fill(1 << 20);
        assert_eq!(faults(&doctor(&format!("--config {file}"), &[])), ["disk"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_looked_at_with_its_cache_and_feed() {
    let up = plain().await;
    let dir = TempDir::new().unwrap();
    let cache = dir.path().join("cache");
    let file = configured(&up, &cache, "0 B");
    let mut daemon = Program::start(&format!("--config {file} --listen 127.0.0.1:0"));
    let address: SocketAddr = daemon.address();
    let ended = doctor(
        &format!("--config {file}"),
        &[("NUGATE_LISTEN", &address.to_string())],
    );
    assert!(faults(&ended).is_empty(), "{ended:?}");
    for part in [
        "a daemon runs on it",
        &format!("http://{address}/v3/index.json"),
        &up.index_url(),
    ] {
        assert!(ended.out.contains(part), "{part} is not in {ended:?}");
    }
    let arguments = format!("--listen {address} --config {file} doctor");
    let text = Program::start(&arguments).end();
    assert!(text.out.contains("0 failed, 0 warnings"), "{text:?}");
    let wrong = Program::start("doctor ftp://feed.example/").end();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}
