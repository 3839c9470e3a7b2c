//! Authorities of the company, a certificate of our own, and addresses.

use std::net::IpAddr;
use std::time::Duration;

use nugate::clock::{Clock, Time};
use nugate::config::{ClientCertificates, Family, Source, TlsVersion};
use nugate::server::{Tls, TlsOptions};
use nugate::upstream::{Identity, read_authorities, read_identity};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::support::Program;
use crate::support::client::try_get;

const ASK: &str = "flat/a.tool/index.json";

/// A nugate that wants a certificate of `clients`, as a feed at `https://localhost`; it serves `up`.
async fn guarded(authority: &Authority, clients: &Authority, dir: &TempDir) -> World {
    let (certificate, key) = authority
        .issue(&["localhost", "127.0.0.1"])
        .write(dir.path());
    let authorities = dir.path().join("clients.pem");
    std::fs::write(&authorities, &clients.pem).unwrap();
    let options = TlsOptions {
        certificate,
        key,
        client_authorities: Some(authorities),
        client_certificates: ClientCertificates::Required,
        version_min: TlsVersion::V1_2,
        handshake_timeout: Duration::from_secs(60),
    };
    let tls = Arc::new(Tls::load(options).unwrap());
    World::with(feed(), |settings| settings.tls = Some(tls)).await
}

fn identity(clients: &Authority) -> Arc<Identity> {
    let dir = TempDir::new().unwrap();
    let (certificate, key) = clients.issue(&["nugate"]).write(dir.path());
    Arc::new(read_identity(&certificate, &key, Time::default()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_asks_for_a_certificate_is_shown_ours_and_others_are_not() {
    let (authority, clients) = (authority(), Authority::new("Its clients"));
    let dir = TempDir::new().unwrap();
    let inner = guarded(&authority, &clients, &dir).await;
    let port = inner.addr.port();
    let ask = async |own: &str, shows: bool| {
        let up = ScriptedUpstream::new(feed()).await;
        // The host of the feed, and another name of it that the service index gives.
        let index = format!(
            r#"{{"version":"3.0.0","resources":[
                {{"@id":"https://localhost:{port}/v3/flat/","@type":"PackageBaseAddress/3.0.0"}}]}}"#
        );
        up.on("/v3/index.json").reply(200, index);
        let front = in_tls(&authority.issue(&["127.0.0.1"]), up.addr()).await;
        let url = match own {
            "itself" => format!("https://localhost:{port}/v3/index.json"),
            _ => format!("https://{front}/v3/index.json"),
        };
        let outer = World::before(up, |settings| {
            settings.feed.url = url.parse().unwrap();
            settings.feed.outbound.extra_roots = vec![authority.root()];
            settings.feed.outbound.identity = shows.then(|| identity(&clients));
        })
        .await;
        outer.get(ASK).await
    };
    assert_eq!(ask("itself", true).await.status, 200);
    let without = ask("itself", false).await;
    assert_eq!(without.status, 502, "{without:?}");
    // The index is had, but who is named in it does not get to see who we are.
    let elsewhere = ask("elsewhere", true).await;
    assert_eq!(elsewhere.status, 502, "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_and_our_certificate_are_read_from_files() {
    let (authority, clients) = (authority(), Authority::new("Its clients"));
    let (dir, own) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let inner = guarded(&authority, &clients, &dir).await;
    let other = Authority::new("Another");
    let bundle = own.path().join("bundle.pem");
    std::fs::write(&bundle, format!("{}\n{}", other.pem, authority.pem)).unwrap();
    let (certificate, key) = clients.issue(&["nugate"]).write(own.path());
    let config = own.path().join("nugate.toml");
    let url = format!("https://localhost:{}/v3/index.json", inner.addr.port());
    let (bundle, certificate, key) = (bundle.display(), certificate.display(), key.display());
    for (all, feed) in [
        (format!("ca_file = '{bundle}'"), String::new()),
        (String::new(), format!("ca_file = '{bundle}'")),
    ] {
        let text = format!(
            "listen = '127.0.0.1:0'\n{all}\n[feeds.corp]\nurl = '{url}'\n{feed}\n\
             client_certificate = '{certificate}'\nclient_key = '{key}'\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut program = Program::start(&format!("serve --config {}", config.display()));
        let address = program.address();
        let answer = try_get(address, &format!("/v3/{ASK}"), &[]).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Starts a program that has this in the settings of its feed, and fails.
#[track_caller]
fn fails(dir: &TempDir, line: &str, expected: &str) {
    let config = dir.path().join("nugate.toml");
    let url = "https://feed.test/index.json";
    let text = format!("listen = '127.0.0.1:0'\n[feeds.corp]\nurl = '{url}'\n{line}\n");
    std::fs::write(&config, text).unwrap();
    let cache = dir.path().join("cache");
    let (config, cache) = (config.display(), cache.display());
    let ended = Program::start(&format!("serve --config {config} --cache-dir {cache}")).end();
    let found = (ended.code, ended.out.as_str());
    assert_eq!(found, (Some(1), ""), "{line}: {}", ended.err);
    assert!(ended.err.contains(expected), "{line}: {}", ended.err);
    assert!(!ended.err.contains("PRIVATE"), "{}", ended.err);
}

#[test]
fn files_that_cannot_be_used_stop_the_start() {
    let dir = TempDir::new().unwrap();
    let pair = authority().issue(&["nugate"]);
    let (certificate, key) = pair.write(dir.path());
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let empty = write("empty.pem", "");
    let both = write("both.pem", &format!("{}{}", pair.certificate, pair.key));
    let other = write("other.key", &authority().issue(&["other"]).key);
    let missing = dir.path().join("missing.pem").display().to_string();
    let own = certificate.display();
    for (line, expected) in [
        (
            format!("ca_file = '{missing}'"),
            format!("outgoing connections: {missing} cannot be read: No such file"),
        ),
        (
            format!("ca_file = '{empty}'"),
            format!("{empty} has no usable authority: it has no CERTIFICATE"),
        ),
        (
            format!("ca_file = '{both}'"),
            format!("{both} has no usable authority: there is a private key"),
        ),
        (
            format!("client_certificate = '{own}'\nclient_key = '{own}'"),
            format!("{own} has no usable private key"),
        ),
        (
            format!("client_certificate = '{own}'\nclient_key = '{other}'"),
            "feed corp: client certificate not usable".to_owned(),
        ),
    ] {
        fails(&dir, &line, &expected);
    }
    assert!(read_identity(&certificate, &key, Clock::System.now()).is_ok());
    assert!(read_authorities(&certificate, Clock::System.now()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_begin_where_they_are_told_to() {
    for source in [None, Some("127.0.0.9")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let up = ScriptedUpstream::new(feed()).await;
        let world = World::before(up, |settings| {
            settings.feed.url = format!("http://127.0.0.1:{port}/index.json")
                .parse()
                .unwrap();
            settings.feed.outbound.source = Source {
                v4: source.map(|source| source.parse().unwrap()),
                v6: None,
            };
        })
        .await;
        let mut asking = std::pin::pin!(world.get("index.json"));
        let mut peers = Vec::new();
        // Each try is hung up on. The port is kept: given back, it could be anybody's.
        let answer = loop {
            tokio::select! {
                answer = &mut asking => break answer,
                accepted = listener.accept() => peers.push(accepted.unwrap().1.ip()),
            }
        };
        assert_eq!(answer.status, 502);
        let expected: IpAddr = source.unwrap_or("127.0.0.1").parse().unwrap();
        assert!(!peers.is_empty() && peers.iter().all(|peer| *peer == expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kind_of_addresses_alone_is_connected_to() {
    for (host, family, works) in [
        ("127.0.0.1", Family::V4, true),
        ("127.0.0.1", Family::V6, false),
        ("localhost", Family::V4, true),
        // Looked up, it has both or this one alone.
        ("localhost", Family::V6, false),
        ("localhost", Family::Any, true),
    ] {
        let up = ScriptedUpstream::new(feed()).await;
        let url = format!("http://{host}:{}/v3/index.json", up.addr().port());
        let world = World::before(up, |settings| {
            settings.feed.url = url.parse().unwrap();
            settings.feed.outbound.family = family;
        })
        .await;
        let answer = world.get("index.json").await;
        assert_eq!(answer.status == 200, works, "{host} {family:?} {answer:?}");
        if !works && host != "localhost" {
            let text = answer.text();
            assert!(
                text.contains("127.0.0.1 has no ipv6 address, and others"),
                "{text}"
            );
        }
    }
}
