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
use crate::upstream::{FeedOptions, Outbound, Rest};

mod bodies;
mod tls;
mod trouble;

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
        hold: Duration::ZERO,
        connections_max: 4,
        requests_per_second: 0,
        outbound: Outbound::default(),
        credential: None,
        pass_types: Vec::new(),
    }
}

struct Given {
    urls: Vec<Url>,
    method: Method,
    validators: Validators,
    identity: ClientIdentity,
    allowed: HashSet<String>,
    size_max: u64,
    patient: bool,
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
            patient: false,
        }
    }

    fn request(&self) -> Fetch<'_> {
        Fetch {
            urls: &self.urls,
            method: self.method.clone(),
            validators: &self.validators,
            encoding: Encoding::Gzip,
            wanted: Wanted::Whole,
            allowed_hosts: &self.allowed,
            identity: &self.identity,
            size_max: self.size_max,
            question: false,
            patient: self.patient,
        }
    }

    async fn fetch(&self, feed: &Feed) -> Result<Fetched, UpstreamError> {
        feed.fetch(self.request()).await
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
