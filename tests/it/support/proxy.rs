//! A proxy as companies have: it knows where names are, may want a password, and logs every head.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use nugate::config::{Proxies, Proxy, ProxyCredential, Secret};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::authority::Pair;
use super::port;

/// The user that a guarded proxy knows, and the password.
pub const USER: (&str, &str) = ("corp\\user", "pröxy:s3cret");

/// A request as the proxy saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    /// `host:port` of CONNECT, else a URL.
    pub target: String,
    pub headers: HeaderMap,
}

/// What it does.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Its work.
    Works,
    /// Answers everything with this status, with these fields, and with a page for people.
    Answers(u16, &'static [(&'static str, &'static str)]),
    /// Says nothing.
    Silent,
}

struct Shared {
    places: Mutex<HashMap<String, SocketAddr>>,
    expected: Option<String>,
    manner: Mutex<Manner>,
    log: Mutex<Vec<Asked>>,
    tls: Option<TlsAcceptor>,
    ended: watch::Sender<bool>,
}

/// The proxy; it ends with the runtime of the test.
pub struct WebProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    down: Mutex<Option<TcpSocket>>,
}

impl WebProxy {
    /// One that lets everyone in.
    pub async fn open() -> Self {
        Self::start(None, None).await
    }

    /// One that wants [`USER`].
    pub async fn guarded() -> Self {
        Self::start(Some(basic(USER)), None).await
    }

    /// The same in TLS.
    pub async fn guarded_tls(pair: &Pair) -> Self {
        Self::start(Some(basic(USER)), Some(acceptor(pair))).await
    }

    async fn start(expected: Option<String>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            places: Mutex::default(),
            expected,
            manner: Mutex::new(Manner::Works),
            log: Mutex::default(),
            tls,
            ended: watch::Sender::new(false),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            addr,
            shared,
            down: Mutex::new(None),
        }
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// It finds `host:port` at this address.
    pub fn knows(&self, target: &str, addr: SocketAddr) {
        self.shared
            .places
            .lock()
            .unwrap()
            .insert(target.to_owned(), addr);
    }

    /// From now on it does this.
    pub fn be(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// All requests so far, oldest first.
    pub fn log(&self) -> Vec<Asked> {
        self.shared.log.lock().unwrap().clone()
    }

    /// Refuses connections from now on, and ends those there are.
    pub async fn down(&self) {
        self.shared.ended.send_replace(true);
        // The listener, every connection and every tunnel holds one.
        self.shared.ended.closed().await;
        let socket = port::held(self.addr).await;
        *self.down.lock().unwrap() = Some(socket);
    }

    /// It, asked for everything, as nobody.
    pub fn for_all(&self) -> Proxies {
        self.with(None)
    }

    /// It, asked for everything, as this user.
    pub fn for_all_as(&self, (username, password): (&str, &str)) -> Proxies {
        self.with(Some(ProxyCredential {
            username: username.to_owned(),
            password: Secret::new(password),
        }))
    }

    fn with(&self, credential: Option<ProxyCredential>) -> Proxies {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{}/", self.addr).parse().unwrap();
        let proxy = Some(Proxy { url, credential });
        Proxies {
            plain: proxy.clone(),
            tls: proxy,
            exempt: Vec::new(),
        }
    }
}

/// A pair of user name and password as Basic credentials.
pub fn basic((user, password): (&str, &str)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn acceptor(pair: &Pair) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// TLS in front of a server that speaks none; where it listens.
pub async fn in_tls(pair: &Pair, behind: SocketAddr) -> SocketAddr {
    let acceptor = acceptor(pair);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await
                    && let Ok(mut upstream) = TcpStream::connect(behind).await
                {
                    let _ = copy_bidirectional(&mut stream, &mut upstream).await;
                }
            });
        }
    });
    addr
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut ended = shared.ended.subscribe();
    loop {
        let stream = tokio::select! {
            _ = ended.wait_for(|&ended| ended) => {
                // Before anyone learns that this has ended.
                drop(listener);
                return;
            }
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let shared = Arc::clone(&shared);
        let mut ended = ended.clone();
        tokio::spawn(async move {
            let serving = async {
                match shared.tls.clone() {
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &shared).await;
                        }
                    }
                    None => serve(stream, &shared).await,
                }
            };
            tokio::select! {
                _ = ended.wait_for(|&ended| ended) => {}
                () = serving => {}
            }
        });
    }
}

async fn serve<S>(stream: S, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(|request| {
        let shared = Arc::clone(shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    let connection = connection.serve_connection(TokioIo::new(stream), service);
    // The other side may go away at any time.
    let _ = connection.with_upgrades().await;
}

async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    shared.log.lock().unwrap().push(Asked {
        method: request.method().clone(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
    });
    let manner = shared.manner.lock().unwrap().clone();
    match manner {
        Manner::Works => {}
        Manner::Answers(status, fields) => return page(status, fields),
        Manner::Silent => std::future::pending().await,
    }
    let shown = request.headers().get("proxy-authorization");
    let is_known = shown.and_then(|shown| shown.to_str().ok()) == shared.expected.as_deref();
    if shared.expected.is_some() && !is_known {
        return page(407, &[("proxy-authenticate", "Basic realm=\"corp\"")]);
    }
    let authority = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    let target = match authority.rsplit_once(':') {
        Some(_) => authority,
        None => format!("{authority}:80"),
    };
    let place = shared.places.lock().unwrap().get(&target).copied();
    let Some(place) = place else {
        return page(503, &[]);
    };
    let Ok(stream) = TcpStream::connect(place).await else {
        return page(502, &[]);
    };
    if request.method() == Method::CONNECT {
        tokio::spawn(tunnel(request, stream, shared.ended.subscribe()));
        return Response::new(Full::default());
    }
    forward(request, stream).await
}

async fn tunnel(request: Request<Incoming>, mut to: TcpStream, mut ended: watch::Receiver<bool>) {
    let Ok(from) = hyper::upgrade::on(request).await else {
        return;
    };
    let mut from = TokioIo::new(from);
    tokio::select! {
        _ = ended.wait_for(|&ended| ended) => {}
        _ = copy_bidirectional(&mut from, &mut to) => {}
    }
}

/// Passes a request on without what was for the proxy.
async fn forward(mut request: Request<Incoming>, to: TcpStream) -> Response<Full<Bytes>> {
    let path = request.uri().path_and_query().unwrap().as_str().parse();
    *request.uri_mut() = path.unwrap();
    request.headers_mut().remove("proxy-authorization");
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(to)).await;
    let (mut sender, connection) = shaken.unwrap();
    tokio::spawn(connection);
    let Ok(response) = sender.send_request(request).await else {
        return page(502, &[]);
    };
    let (mut head, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        return page(502, &[]);
    };
    head.headers.remove("transfer-encoding");
    Response::from_parts(head, Full::new(body.to_bytes()))
}

fn page(status: u16, fields: &[(&'static str, &'static str)]) -> Response<Full<Bytes>> {
    let page = "<html><body>The proxy of the company says no.</body></html>";
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "text/html");
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response
        .body(Full::new(Bytes::from_static(page.as_bytes())))
        .unwrap()
}
