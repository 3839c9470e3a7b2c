//! https.
//!
//! - TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2 as ALPN agrees; `version_min` refuses older ones
//! - documents link to https, and repository signatures are offered
//! - sessions are resumed, however many clients there are, until the pair changes
//! - a changed pair is used by new handshakes; one that cannot be used is told and the old one kept
//! - clients without, with a good and with a foreign certificate, by what is asked of them
//! - handshakes that take too long, that are none, or that speak plain HTTP, end
//! - `nugate cert` makes what `nugate serve` uses; SIGHUP reads it again

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nugate::config::{ClientCertificates, TlsVersion};
use nugate::demo::ExampleFeed;
use nugate::server::{Reloaded, Tls, TlsOptions};
use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::authority::{Authority, Pair, Shaker, connect};
use crate::support::{Program, World, client, until};

const ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

const NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// A server's, with a pair whose files are in `dir`.
pub fn options(dir: &Path, pair: &Pair) -> TlsOptions {
    let (certificate, key) = pair.write(dir);
    TlsOptions {
        certificate,
        key,
        client_authorities: None,
        client_certificates: ClientCertificates::Required,
        version_min: TlsVersion::V1_2,
        handshake_timeout: Duration::from_secs(60),
    }
}

async fn world(options: TlsOptions) -> (World, Arc<Tls>) {
    let tls = Arc::new(Tls::load(options).unwrap());
    let used = Arc::clone(&tls);
    let world = World::with(ExampleFeed::demo(), |it| it.tls = Some(used)).await;
    (world, tls)
}

/// GET on an established stream; status and body.
async fn get(stream: TlsStream<TcpStream>, addr: SocketAddr, path: &str) -> (u16, String) {
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let host = format!("localhost:{}", addr.port());
    let response: http::Response<Incoming> = if is_h2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("https://{host}{path}"));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("host", host);
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(request).await.unwrap()
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The certificate that the server shows a new client.
async fn shown(addr: SocketAddr, authority: &Authority) -> Vec<u8> {
    let stream = Shaker::new(&authority.pem).connect(addr).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].to_vec()
}

/// Whether a client that shakes hands so gets an answer. In TLS 1.3 the client is done before the
/// server has judged its certificate.
pub async fn gets_in(shaker: &Shaker<'_>, addr: SocketAddr) -> bool {
    let Ok(mut stream) = shaker.connect(addr).await else {
        return false;
    };
    let request = b"GET /-/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = Vec::new();
    let done = stream.write_all(request).await;
    if done.is_err() || stream.read_to_end(&mut answer).await.is_err() {
        return false;
    }
    answer.starts_with(b"HTTP/1.1 200")
}

fn series(world: &World, line: &str) -> bool {
    world.app().proxy().metrics().render().contains(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_protocols_are_agreed_on() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let (world, _tls) = world(options(dir.path(), &authority.issue(NAMES))).await;
    for (versions, alpn, agreed) in [
        (ONLY_12, &["h2", "http/1.1"][..], "h2"),
        (ONLY_13, &["h2", "http/1.1"], "h2"),
        (ONLY_13, &["http/1.1"], "http/1.1"),
        (ONLY_12, &["http/1.1", "h2"], "h2"),
        (ONLY_13, &[], ""),
    ] {
        let shaker = Shaker {
            versions,
            alpn,
            ..Shaker::new(&authority.pem)
        };
        let stream = shaker.connect(world.addr).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(versions[0].version));
        assert_eq!(
            session.alpn_protocol().unwrap_or_default(),
            agreed.as_bytes()
        );
        let (status, body) = get(stream, world.addr, "/v3/index.json").await;
        assert_eq!(status, 200, "{alpn:?}");
        let base = format!("https://localhost:{}/v3/", world.addr.port());
        assert!(
            body.contains(&base) && !body.contains("\"http://localhost"),
            "{body}"
        );
        assert!(body.contains("RepositorySignatures/"), "{body}");
    }
    let strange = Shaker {
        alpn: &["ftp"],
        ..Shaker::new(&authority.pem)
    };
    assert!(strange.connect(world.addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_can_be_refused() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let options = TlsOptions {
        version_min: TlsVersion::V1_3,
        ..options(dir.path(), &authority.issue(NAMES))
    };
    let (world, _tls) = world(options).await;
    for (versions, expected) in [(ONLY_12, false), (ONLY_13, true)] {
        let shaker = Shaker {
            versions,
            ..Shaker::new(&authority.pem)
        };
        assert_eq!(gets_in(&shaker, world.addr).await, expected, "{expected}");
    }
}

/// More than what rustls remembers by itself.
const MANY: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_however_many_clients_there_are() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let (world, tls) = world(options(dir.path(), &authority.issue(NAMES))).await;
    for versions in [ONLY_12, ONLY_13] {
        let shaker = Shaker {
            versions,
            ..Shaker::new(&authority.pem)
        };
        let clients: Vec<_> = (0..MANY).map(|_| shaker.client()).collect();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            for client in &clients {
                let stream = connect(client, world.addr).await.unwrap();
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
                // In TLS 1.3 what resumes comes after the handshake, before an answer.
                assert_eq!(get(stream, world.addr, "/-/health").await.0, 200);
            }
        }
        authority.issue(NAMES).write(dir.path());
        assert_eq!(tls.reload().unwrap(), Reloaded::Changed);
        let stream = connect(&clients[0], world.addr).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Full));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_pair_is_used_and_a_bad_one_is_not() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let (world, tls) = world(options(dir.path(), &authority.issue(NAMES))).await;
    let first = shown(world.addr, &authority).await;
    let old = Shaker::new(&authority.pem)
        .connect(world.addr)
        .await
        .unwrap();
    assert_eq!(tls.reload().unwrap(), Reloaded::Same);

    let second = authority.issue(NAMES);
    second.write(dir.path());
    assert_eq!(tls.reload().unwrap(), Reloaded::Changed);
    let now = shown(world.addr, &authority).await;
    assert_ne!(now, first);
    // What was agreed on before goes on.
    assert_eq!(get(old, world.addr, "/-/health").await.0, 200);

    let third = authority.issue(NAMES);
    for (certificate, key, part) in [
        (&third.certificate, &second.key, "cannot be used together"),
        (
            &third.certificate,
            &String::new(),
            "server.key has no usable private key",
        ),
        (
            &String::new(),
            &third.key,
            "server.crt has no usable certificate",
        ),
        (
            &third.key,
            &third.certificate,
            "server.crt has no usable certificate",
        ),
    ] {
        let (certificate, key) = (certificate.clone(), key.clone());
        Pair { certificate, key }.write(dir.path());
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("BEGIN"), "{error}");
        // Told once, not every time it is looked at.
        assert_eq!(tls.reload().unwrap(), Reloaded::Same);
        assert_eq!(shown(world.addr, &authority).await, now);
    }
    std::fs::remove_file(dir.path().join("server.key")).unwrap();
    assert!(
        tls.reload()
            .unwrap_err()
            .to_string()
            .contains("server.key cannot be read")
    );
    assert_eq!(shown(world.addr, &authority).await, now);
    third.write(dir.path());
    assert_eq!(tls.reload().unwrap(), Reloaded::Changed);
    assert_ne!(shown(world.addr, &authority).await, now);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_clients() {
    let (authority, stranger) = (Authority::new("clients"), Authority::new("strangers"));
    let (ours, foreign) = (authority.issue(&["client"]), stranger.issue(&["client"]));
    for (asked, without) in [
        (ClientCertificates::Required, false),
        (ClientCertificates::Optional, true),
    ] {
        let dir = TempDir::new().unwrap();
        let bundle = dir.path().join("clients.crt");
        std::fs::write(&bundle, &authority.pem).unwrap();
        let options = TlsOptions {
            client_authorities: Some(bundle),
            client_certificates: asked,
            ..options(dir.path(), &authority.issue(NAMES))
        };
        let (world, _tls) = world(options).await;
        for (shows, expected) in [
            (None, without),
            (Some(&ours), true),
            (Some(&foreign), false),
        ] {
            for versions in [ONLY_12, ONLY_13] {
                let shaker = Shaker {
                    versions,
                    shows,
                    ..Shaker::new(&authority.pem)
                };
                let found = gets_in(&shaker, world.addr).await;
                assert_eq!(found, expected, "{asked:?} {}", shows.is_some());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_ends() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let options = TlsOptions {
        handshake_timeout: Duration::from_millis(200),
        ..options(dir.path(), &authority.issue(NAMES))
    };
    let (world, _tls) = world(options).await;
    // Nothing, and the beginning of a record of which no more comes.
    for said in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1]] {
        assert_eq!(client::raw(world.addr, said).await, b"");
    }
    let slow = "nugate_connections_ended_total{reason=\"slow-handshake\"} 2";
    until("both are counted", async || series(&world, slow)).await;
    let told = client::raw(
        world.addr,
        b"GET /v3/index.json HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .await;
    let told = String::from_utf8(told).unwrap();
    assert!(
        told.starts_with("HTTP/1.1 400 ") && told.contains("https://"),
        "{told}"
    );
    client::raw(world.addr, &[0; 64]).await;
    let broken = "nugate_connections_ended_total{reason=\"handshake\"} 2";
    until("both are counted", async || series(&world, broken)).await;
    assert!(series(&world, "nugate_connections 0\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_makes_uses_and_renews_a_certificate() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("certs");
    let command = format!("cert localhost 127.0.0.1 --json --out {}", folder.display());
    let made = Program::start(&command).end();
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""));
    let told: serde_json::Value = serde_json::from_str(&made.out).unwrap();
    let file = |name: &str| told[name].as_str().unwrap().to_owned();
    let again = Program::start(&command).end();
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("is there already"), "{}", again.err);

    let (certificate, key) = (file("certificate"), file("key"));
    let mut program = Program::start_with(
        "serve --listen 127.0.0.1:0 --upstream http://127.0.0.1:1/v3/index.json",
        &[
            ("NUGATE_TLS__CERTIFICATE", &certificate),
            ("NUGATE_TLS__KEY", &key),
        ],
    );
    let addr = program.address();
    let pem = std::fs::read_to_string(file("authority")).unwrap();
    assert!(gets_in(&Shaker::new(&pem), addr).await);

    let other = Authority::new("other");
    let bad = other.issue(NAMES);
    std::fs::write(&key, &bad.key).unwrap();
    program.signal(Signal::HUP);
    std::fs::write(&certificate, &bad.certificate).unwrap();
    let renewed = Shaker::new(&other.pem);
    // Whichever of the two writes the signal fell between: the second is seen at the next look.
    until("the new pair is shown", async || {
        program.signal(Signal::HUP);
        gets_in(&renewed, addr).await
    })
    .await;
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains("at     https://127.0.0.1:"),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("nsecure"), "{}", ended.out);
    assert!(
        ended.err.contains("the certificate was changed"),
        "{}",
        ended.err
    );
}

#[test]
fn a_pair_that_cannot_be_used_stops_the_start() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let (certificate, key) = authority.issue(NAMES).write(dir.path());
    std::fs::write(&key, &authority.issue(NAMES).key).unwrap();
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let environment = [
        ("NUGATE_TLS__CERTIFICATE", certificate.as_str()),
        ("NUGATE_TLS__KEY", &key),
    ];
    let ended = Program::start_with("serve --listen 127.0.0.1:0", &environment).end();
    assert_eq!(ended.code, Some(1));
    for part in ["tls: ", &certificate, &key, "cannot be used together"] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    let ended = Program::start_with("serve", &environment[..1]).end();
    assert_eq!(ended.code, Some(64));
    assert!(ended.err.contains("tls.key: is missing"), "{}", ended.err);
}
