//! Fetching from scripted servers on loopback: each connection gets one raw reply, in order.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::upstream::FeedOptions;

/// What a connection is answered with.
enum Reply {
    /// These bytes, then the end.
    Close(Vec<u8>),
    /// These bytes, then nothing more.
    Hold(Vec<u8>),
}

fn close(text: impl AsRef<[u8]>) -> Reply {
    Reply::Close(text.as_ref().to_vec())
}

fn hold(text: impl AsRef<[u8]>) -> Reply {
    Reply::Hold(text.as_ref().to_vec())
}

const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
const DOWN: &str =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

fn reply(head: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n");
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    close([head.as_bytes(), length.as_bytes(), body].concat())
}

/// A server that gives one reply per connection, and the request heads it saw.
async fn server(replies: Vec<Reply>) -> (Url, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!(
        "http://{}/doc.json?sig=secret",
        listener.local_addr().unwrap()
    );
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        for reply in replies {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            seen.send(String::from_utf8_lossy(&head).into_owned())
                .unwrap();
            match reply {
                Reply::Close(bytes) => stream.write_all(&bytes).await.unwrap(),
                Reply::Hold(bytes) => {
                    stream.write_all(&bytes).await.unwrap();
                    silent.push(stream);
                }
            }
        }
        std::future::pending::<()>().await;
    });
    (Url::parse(&url).unwrap(), requests)
}

/// A URL at which nobody listens.
async fn nobody() -> Url {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    Url::parse(&format!(
        "http://{}/doc.json",
        listener.local_addr().unwrap()
    ))
    .unwrap()
}

fn feed(url: &Url) -> Feed {
    Feed::new(options(url)).unwrap()
}

fn options(url: &Url) -> FeedOptions {
    FeedOptions {
        name: "main".to_owned(),
        url: url.clone(),
        redirect_hosts: Vec::new(),
        connect_timeout: Duration::from_secs(5),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        attempts: 2,
        connections_max: 4,
        requests_per_second: 0,
        extra_roots: Vec::new(),
    }
}

struct Given {
    urls: Vec<Url>,
    method: Method,
    validators: Validators,
    identity: ClientIdentity,
    allowed: HashSet<String>,
    size_max: u64,
}

impl Given {
    fn new(urls: &[&Url]) -> Self {
        Self {
            urls: urls.iter().copied().cloned().collect(),
            method: Method::GET,
            validators: Validators::default(),
            identity: ClientIdentity::default(),
            allowed: HashSet::new(),
            size_max: 1024 * 1024,
        }
    }

    async fn fetch(&self, feed: &Feed) -> Result<Fetched, UpstreamError> {
        feed.fetch(Fetch {
            urls: &self.urls,
            method: self.method.clone(),
            validators: &self.validators,
            encoding: Encoding::Gzip,
            allowed_hosts: &self.allowed,
            identity: &self.identity,
            size_max: self.size_max,
        })
        .await
    }
}

async fn read(mut body: UpstreamBody) -> Result<Vec<u8>, UpstreamError> {
    let mut whole = Vec::new();
    while let Some(block) = body.next().await {
        match block {
            Ok(block) => whole.extend_from_slice(&block),
            Err(error) => {
                assert!(body.next().await.is_none(), "an error is told once");
                return Err(error);
            }
        }
    }
    Ok(whole)
}

/// The body of a GET that is answered with `reply`, or why there is none.
async fn get(reply: Reply, size_max: u64) -> Result<Vec<u8>, UpstreamError> {
    let (url, _requests) = server(vec![reply]).await;
    let mut options = options(&url);
    options.attempts = 1;
    let mut given = Given::new(&[&url]);
    given.size_max = size_max;
    read(given.fetch(&Feed::new(options).unwrap()).await?.body).await
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn validators_and_identity_are_sent_byte_for_byte() {
    let not_modified = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: 0x8D2\r\n\r\n";
    let (url, mut requests) = server(vec![close(not_modified), close(OK)]).await;
    let feed = feed(&url);
    let mut given = Given::new(&[&url]);
    given.validators.etag = Some(HeaderValue::from_static("0x8D23AD938EF4481"));
    given.validators.last_modified =
        Some(HeaderValue::from_static("Sat, 01 Jan 2022 00:00:00 GMT"));
    given.identity.user_agent = Some(HeaderValue::from_static("NuGet xplat/6.9"));
    given.identity.session_id = Some(HeaderValue::from_static("abc"));
    let fetched = given.fetch(&feed).await.unwrap();
    assert_eq!(fetched.status, StatusCode::NOT_MODIFIED);
    assert_eq!(read(fetched.body).await.unwrap(), b"");
    let request = requests.recv().await.unwrap();
    for line in [
        "GET /doc.json?sig=secret HTTP/1.1",
        &format!("host: {}", crate::upstream::authority(&url)),
        "if-none-match: 0x8D23AD938EF4481",
        "if-modified-since: Sat, 01 Jan 2022 00:00:00 GMT",
        "accept-encoding: gzip",
        "via: 1.1 nugate",
        "user-agent: NuGet xplat/6.9",
        "x-nuget-session-id: abc",
    ] {
        assert!(request.lines().any(|l| l == line), "{line} in {request}");
    }

    Given::new(&[&url]).fetch(&feed).await.unwrap();
    let request = requests.recv().await.unwrap();
    assert!(request.contains(concat!(
        "user-agent: nugate/",
        env!("CARGO_PKG_VERSION"),
        "\r\n"
    )));
    assert!(!request.contains("if-"));
}

#[tokio::test]
async fn bodies_are_decoded_by_their_label() {
    let packed = gzip(b"hello");
    let check = async |head: &str, body: &[u8], expected: Result<&[u8], Kind>| {
        let got = get(reply(head, body), 1024).await;
        assert_eq!(
            got.as_deref().map_err(|error| error.kind),
            expected,
            "{head}"
        );
    };
    check("200 OK", b"hello", Ok(b"hello")).await;
    check("200 OK\r\nContent-Encoding: gzip", &packed, Ok(b"hello")).await;
    check("200 OK", &packed, Ok(&packed)).await;
    check("404 Gone\r\nContent-Encoding: gzip", &packed, Ok(b"hello")).await;
    let refused = Err(Kind::BadEncoding);
    check(
        "200 OK\r\nContent-Encoding: gzip, aws-chunked",
        &packed,
        refused,
    )
    .await;
    check("200 OK\r\nContent-Encoding: gzip", b"hello", refused).await;
    check(
        "200 OK\r\nContent-Encoding: gzip",
        &packed[..packed.len() - 3],
        refused,
    )
    .await;
    check("200 OK\r\nContent-Encoding: br", &packed, refused).await;
    let mut damaged = packed.clone();
    damaged[packed.len() - 8] ^= 1;
    check("200 OK\r\nContent-Encoding: gzip", &damaged, refused).await;
}

#[tokio::test]
async fn an_unreadable_body_does_not_hide_a_404() {
    let (url, _requests) = server(vec![reply("404 Not Found\r\nContent-Encoding: br", b"x")]).await;
    let fetched = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap();
    assert_eq!(fetched.status, StatusCode::NOT_FOUND);
    assert_eq!(
        read(fetched.body).await.unwrap_err().kind,
        Kind::BadEncoding
    );
}

#[tokio::test]
async fn cut_bodies_are_errors() {
    let check = async |reply: &str| {
        let error = get(close(reply), 1024).await.unwrap_err();
        assert_eq!(error.kind, Kind::Cut, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    };
    check("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello").await;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel").await;
    check("HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f").await;
    check("").await;
    check("HTTP/1.1 200 OK\r\nContent-").await;
}

#[tokio::test]
async fn length_and_framing_are_told() {
    let check = async |reply: &str, length: Option<u64>, framed: bool| {
        let (url, _requests) = server(vec![close(reply)]).await;
        let body = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap().body;
        assert_eq!((body.length(), body.framed()), (length, framed), "{reply}");
        assert_eq!(read(body).await.unwrap(), b"hello");
    };
    check(OK, Some(5), true).await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    check(chunked, None, true).await;
    check("HTTP/1.0 200 OK\r\n\r\nhello", None, false).await;
    check(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        None,
        false,
    )
    .await;
}

#[tokio::test]
async fn a_head_is_answered_by_a_head() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 9999\r\n\r\n";
    let (url, mut requests) = server(vec![close(head)]).await;
    let mut given = Given::new(&[&url]);
    given.method = Method::HEAD;
    given.size_max = 100;
    let fetched = given.fetch(&feed(&url)).await.unwrap();
    assert_eq!(fetched.headers["content-length"], "9999");
    assert_eq!(read(fetched.body).await.unwrap(), b"");
    assert!(requests.recv().await.unwrap().starts_with("HEAD /doc.json"));
}

#[tokio::test]
async fn bodies_over_the_limit_are_errors() {
    let check = async |reply: Reply, fits: bool| {
        let kind = get(reply, 5).await.map_err(|error| error.kind);
        let expected = if fits {
            Ok(b"hello".to_vec())
        } else {
            Err(Kind::TooLarge)
        };
        assert_eq!(kind, expected);
    };
    check(close(OK), true).await;
    check(hold("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), false).await;
    check(
        hold("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n"),
        false,
    )
    .await;
    let bomb = gzip(&vec![0; 4_000_000]);
    let error = get(reply("200 OK\r\nContent-Encoding: gzip", &bomb), 300_000).await;
    assert_eq!(error.unwrap_err().kind, Kind::TooLarge);
}

#[tokio::test]
async fn the_next_url_is_asked_when_one_fails() {
    let dead = nobody().await;
    let (down, _at_down) = server(vec![close(DOWN)]).await;
    let (good, _at_good) = server(vec![close(OK)]).await;
    let fetched = Given::new(&[&dead, &down, &good])
        .fetch(&feed(&good))
        .await
        .unwrap();
    assert_eq!((fetched.attempts, &fetched.url), (3, &good));
    assert_eq!(read(fetched.body).await.unwrap(), b"hello");
}

#[tokio::test]
async fn passing_failures_are_repeated_and_others_are_answers() {
    let (url, mut requests) = server(vec![close(DOWN), close(""), close(OK)]).await;
    let mut options = options(&url);
    options.attempts = 3;
    let feed = Feed::new(options).unwrap();
    let fetched = Given::new(&[&url]).fetch(&feed).await.unwrap();
    assert_eq!((fetched.status, fetched.attempts), (StatusCode::OK, 3));
    for _ in 0..3 {
        assert!(requests.try_recv().is_ok());
    }

    let (url, _requests) = server(vec![close(DOWN), close(DOWN), close(DOWN)]).await;
    let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!((error.kind, error.retryable()), (Kind::Status(503), true));

    for status in [401, 403, 404, 410, 501] {
        let (url, _requests) = server(vec![reply(&format!("{status} X"), b"")]).await;
        let fetched = Given::new(&[&url]).fetch(&feed).await.unwrap();
        assert_eq!((fetched.status.as_u16(), fetched.attempts), (status, 1));
    }
}

#[tokio::test]
async fn a_refused_connection_is_told_plainly() {
    let url = nobody().await;
    let error = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Connect);
    assert_eq!(
        error.to_string(),
        format!("GET {url}: cannot connect: connection refused")
    );
}

#[tokio::test]
async fn a_host_without_address_is_told_plainly() {
    // A label of 64 characters is refused by every resolver before it asks anyone.
    let url = Url::parse(&format!("http://{}.invalid/a", "a".repeat(64))).unwrap();
    let mut options = options(&url);
    options.attempts = 1;
    let error = Given::new(&[&url])
        .fetch(&Feed::new(options).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Dns, "{error}");
    assert!(
        error.to_string().contains("cannot resolve the host: "),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_there_is_read_without_waiting() {
    let plain = vec![b' '; 1_000_000];
    let packed = reply("200 OK\r\nContent-Encoding: gzip", &gzip(&plain));
    let (url, _requests) = server(vec![packed]).await;
    let mut body = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap().body;
    let mut length = body.next().await.unwrap().unwrap().len();
    let mut blocks = 0;
    while let Some(block) = body.try_next() {
        length += block.unwrap().len();
        blocks += 1;
    }
    assert!(blocks > 0, "one frame decodes to several blocks");
    assert_eq!(length + read(body).await.unwrap().len(), plain.len());
}

fn redirect_to(url: &Url) -> Reply {
    reply(&format!("302 Found\r\nLocation: {url}"), b"over there")
}

#[tokio::test]
async fn redirects_are_followed_without_what_belongs_to_the_origin() {
    let (cdn, mut at_cdn) = server(vec![close(OK)]).await;
    let (url, mut at_feed) = server(vec![redirect_to(&cdn)]).await;
    let mut given = Given::new(&[&url]);
    given.validators.etag = Some(HeaderValue::from_static("\"a\""));
    given.identity.session_id = Some(HeaderValue::from_static("abc"));
    given.allowed.insert(crate::upstream::authority(&cdn));
    let fetched = given.fetch(&feed(&url)).await.unwrap();
    assert_eq!((&fetched.url, fetched.attempts), (&url, 1));
    assert_eq!(read(fetched.body).await.unwrap(), b"hello");
    let first = at_feed.recv().await.unwrap();
    assert!(first.contains("if-none-match: \"a\"") && first.contains("session-id: abc"));
    let second = at_cdn.recv().await.unwrap();
    assert!(!second.contains("if-none-match") && !second.contains("session-id"));
    assert!(second.contains(&format!("host: {}\r\n", crate::upstream::authority(&cdn))));
}

#[tokio::test]
async fn redirects_to_unnamed_hosts_and_in_circles_are_errors() {
    let (cdn, mut at_cdn) = server(vec![close(OK)]).await;
    let (url, _requests) = server(vec![redirect_to(&cdn)]).await;
    let error = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Redirect);
    let host = crate::upstream::authority(&cdn);
    let named = format!("redirect to {host} refused; add it to feeds.main.redirect_hosts");
    assert!(error.to_string().contains(&named), "{error}");
    assert!(at_cdn.try_recv().is_err());

    let circle =
        "HTTP/1.1 307 X\r\nConnection: close\r\nLocation: /doc.json\r\nContent-Length: 0\r\n\r\n";
    let (url, mut requests) = server((0..8).map(|_| close(circle)).collect()).await;
    let error = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Redirect);
    assert!(
        error.to_string().ends_with("more than 5 redirects"),
        "{error}"
    );
    assert_eq!(std::iter::from_fn(|| requests.try_recv().ok()).count(), 6);
}

#[tokio::test]
async fn silence_has_a_limit() {
    let (url, _requests) = server(vec![
        hold("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
        hold(""),
    ])
    .await;
    let mut options = options(&url);
    options.idle_timeout = Duration::from_millis(100);
    options.header_timeout = Duration::from_millis(300);
    let feed = Feed::new(options).unwrap();
    let mut body = Given::new(&[&url]).fetch(&feed).await.unwrap().body;
    assert_eq!(body.next().await.unwrap().unwrap(), "hello");
    assert!(body.try_next().is_none());
    let error = body.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(
        error
            .to_string()
            .ends_with("no further byte of the body within 100ms"),
        "{error}"
    );
    drop(body);

    let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(
        error.to_string().ends_with("no response head within 300ms"),
        "{error}"
    );
    assert_eq!(feed.gate.free(), 4);
}

#[tokio::test]
async fn permits_last_as_long_as_bodies() {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let (url, _requests) = server(vec![hold(start), close(OK), close("")]).await;
    let mut options = options(&url);
    options.attempts = 1;
    let feed = Feed::new(options).unwrap();
    let first = Given::new(&[&url]).fetch(&feed).await.unwrap();
    let mut second = Given::new(&[&url]).fetch(&feed).await.unwrap();
    assert_eq!(feed.gate.free(), 2);
    drop(first);
    assert_eq!(feed.gate.free(), 3);
    while second.body.next().await.is_some() {}
    assert_eq!(
        feed.gate.free(),
        4,
        "a finished body frees its permit before it is dropped"
    );
    Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!(feed.gate.free(), 4);
}

/// An HTTP/2 server with a certificate of a private authority, and that authority.
async fn tls_server(authority: &str) -> (SocketAddr, CertificateDer<'static>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap().der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let service = hyper::service::service_fn(async |request: Request<Incoming>| {
                let seen = request.uri().to_string();
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(seen))))
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, root)
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_given() {
    let (address, root) = tls_server("ours").await;
    let port = address.port();
    let url = Url::parse(&format!("https://user:pw@localhost:{port}/a")).unwrap();
    let mut trusting = options(&url);
    trusting.extra_roots = vec![root];
    let fetched = Given::new(&[&url])
        .fetch(&Feed::new(trusting).unwrap())
        .await
        .unwrap();
    assert!(fetched.body.framed());
    let seen = read(fetched.body).await.unwrap();
    assert_eq!(seen, format!("https://localhost:{port}/a").as_bytes());

    let (_, stranger) = tls_server("theirs").await;
    let mut options = options(&url);
    options.extra_roots = vec![stranger];
    let feed = Feed::new(options).unwrap();
    let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!(error.kind, Kind::Tls, "{error}");
    let text = "tls handshake failed: certificate of an authority that is not trusted";
    assert!(error.to_string().ends_with(text), "{error}");
}

#[test]
fn unusable_settings_are_refused() {
    let check = |options: FeedOptions, kind| {
        assert_eq!(Feed::new(options).unwrap_err().kind, kind);
    };
    check(
        options(&Url::parse("ftp://feed.example/").unwrap()),
        Kind::Protocol,
    );
    let mut broken = options(&Url::parse("https://feed.example/").unwrap());
    broken.extra_roots = vec![CertificateDer::from(vec![1, 2, 3])];
    check(broken, Kind::Tls);
}
