//! An example feed over https, with faults planted in it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nugate::demo::ExampleFeed;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::authority::Authority;

type Change = Box<dyn Fn(&mut Response<Bytes>) + Send + Sync>;

/// A fault at a path.
pub struct Planted {
    path: String,
    change: Change,
}

impl Planted {
    /// A service index that is changed.
    pub fn index(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        let change = move |response: &mut Response<Bytes>| {
            let mut value = serde_json::from_slice(response.body()).unwrap();
            change(&mut value);
            let body = Bytes::from(serde_json::to_vec(&value).unwrap());
            response.headers_mut().remove("content-length");
            *response.body_mut() = body;
        };
        Self {
            path: "/v3/index.json".to_owned(),
            change: Box::new(change),
        }
    }

    /// A redirect.
    pub fn redirect(path: &str, to: &str) -> Self {
        let to = to.to_owned();
        let change = move |response: &mut Response<Bytes>| {
            *response = Response::builder()
                .status(302)
                .header("location", &to)
                .body(Bytes::new())
                .unwrap();
        };
        Self {
            path: path.to_owned(),
            change: Box::new(change),
        }
    }
}

/// The feed; it ends with the runtime of the test.
pub struct Https {
    addr: SocketAddr,
    ca: PathBuf,
    _dir: TempDir,
}

impl Https {
    pub async fn new(feed: ExampleFeed, planted: Vec<Planted>) -> Self {
        let authority = Authority::new("the feed's authority");
        let pair = authority.issue(&["localhost", "127.0.0.1"]);
        let dir = TempDir::new().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, &authority.pem).unwrap();
        let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let served = Arc::new((Mutex::new(feed), planted, base(addr)));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, served) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move {
                    // A client that does not trust us goes away.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| answer(Arc::clone(&served), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            addr,
            ca,
            _dir: dir,
        }
    }

    /// `https://localhost:PORT`.
    pub fn base(&self) -> String {
        base(self.addr)
    }

    /// URL of the service index.
    pub fn index_url(&self) -> String {
        format!("{}/v3/index.json", self.base())
    }

    /// The environment of a program that trusts it.
    pub fn trusted(&self) -> [(&str, &str); 1] {
        [("SSL_CERT_FILE", self.ca.to_str().unwrap())]
    }
}

fn base(addr: SocketAddr) -> String {
    format!("https://localhost:{}", addr.port())
}

type Served = (Mutex<ExampleFeed>, Vec<Planted>, String);

async fn answer(
    served: Arc<Served>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (feed, planted, base) = &*served;
    let mut response = feed.lock().unwrap().answer(base, &head, &body);
    for planted in planted.iter().filter(|it| it.path == head.uri.path()) {
        (planted.change)(&mut response);
    }
    Ok(response.map(Full::new))
}
