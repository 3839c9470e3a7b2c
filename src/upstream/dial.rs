//! New connections: to the host itself, or to the proxy that leads there.
//!
//! Which of the two depends on scheme, host and port alone, so that connections of a pool, which are
//! kept by these, all came about in the same way. Invariants: a proxy's credential is in what is
//! sent to the proxy and nowhere else; where there is to be a proxy, nothing is asked without it.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::reach::{Resolver, unfit};
use super::tunnel::{self, Fault, ProxyError, Raw};
use crate::config::{Family, Proxies, Proxy};

type BoxError = Box<dyn Error + Send + Sync>;

/// A proxy, ready to be asked.
#[derive(Debug)]
pub(super) struct Hop {
    name: String,
    uri: Uri,
    credential: Option<HeaderValue>,
}

impl Hop {
    fn of(proxy: &Proxy) -> Result<Self, String> {
        let name = proxy.to_string();
        let unusable = |_| format!("proxy {name} cannot be named");
        let credential = proxy.credential.as_ref().map(|it| {
            let pair = format!("{}:{}", it.username, it.password.expose());
            let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let uri = Uri::try_from(proxy.url.as_str()).map_err(unusable)?;
        let credential = credential.transpose();
        let credential = credential.map_err(|_| format!("proxy {name} cannot be authorized to"))?;
        Ok(Self {
            name,
            uri,
            credential,
        })
    }

    /// The field that a request for it carries, if it wants one.
    pub(super) const fn credential(&self) -> Option<&HeaderValue> {
        self.credential.as_ref()
    }

    /// That this went wrong with it.
    pub(super) fn failed(&self, fault: Fault) -> ProxyError {
        let proxy = self.name.clone();
        ProxyError { proxy, fault }
    }
}

/// The way to each host.
#[derive(Debug)]
pub(super) struct Ways {
    proxies: Proxies,
    plain: Option<Arc<Hop>>,
    tls: Option<Arc<Hop>>,
}

impl Ways {
    /// Those of these proxies; the error names the one that cannot be used.
    pub(super) fn of(proxies: &Proxies) -> Result<Self, String> {
        let hop = |proxy: &Option<Proxy>| {
            let hop = proxy.as_ref().map(Hop::of).transpose()?;
            Ok::<_, String>(hop.map(Arc::new))
        };
        Ok(Self {
            plain: hop(&proxies.plain)?,
            tls: hop(&proxies.tls)?,
            proxies: proxies.clone(),
        })
    }

    /// The proxy on the way to `uri`; `None` where it is asked directly.
    pub(super) fn hop(&self, uri: &Uri) -> Option<&Arc<Hop>> {
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let hop = if is_tls { &self.tls } else { &self.plain };
        let hop = hop.as_ref()?;
        let (host, port) = place(uri);
        self.proxies.of(is_tls, bare(host), port).map(|_| hop)
    }
}

/// Host and port.
pub(super) fn place(uri: &Uri) -> (&str, u16) {
    let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    (uri.host().unwrap_or_default(), port)
}

/// A host without the brackets of IPv6.
fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialer {
    /// To hosts.
    pub(super) direct: HttpConnector<Resolver>,
    /// To proxies, in TLS where their address says so.
    pub(super) outer: HttpsConnector<HttpConnector<Resolver>>,
    /// To which of them.
    pub(super) ways: Arc<Ways>,
    /// The longest wait for a connection to a proxy, and again for the tunnel.
    pub(super) limit: Duration,
    /// Which addresses are connected to.
    pub(super) family: Family,
}

impl Dialer {
    async fn straight(mut self, target: Uri) -> Result<Stream, BoxError> {
        let address = bare(place(&target).0).parse::<IpAddr>();
        if let Some(address) = address.ok().filter(|address| !self.family.admits(*address)) {
            return Err(unfit(&address.to_string(), self.family).into());
        }
        poll_fn(|cx| self.direct.poll_ready(cx)).await?;
        let raw = Raw::Http(self.direct.call(target).await?);
        Ok(Stream {
            raw,
            to_proxy: false,
        })
    }

    async fn round(mut self, target: Uri, hop: Arc<Hop>) -> Result<Stream, BoxError> {
        let reaching = async {
            poll_fn(|cx| self.outer.poll_ready(cx)).await?;
            self.outer.call(hop.uri.clone()).await
        };
        let raw = match timeout(self.limit, reaching).await {
            Err(_) => return Err(hop.failed(Fault::Far(self.limit)).into()),
            Ok(Err(error)) => {
                let why = super::error::reason(&*error);
                return Err(hop.failed(Fault::Unreachable(why)).into());
            }
            Ok(Ok(raw)) => raw,
        };
        if target.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Stream {
                raw,
                to_proxy: true,
            });
        }
        let (host, port) = place(&target);
        let target = format!("{host}:{port}");
        let opening = tunnel::open(raw, &target, hop.credential());
        let opened = timeout(self.limit, opening).await;
        let opened = opened.unwrap_or(Err(Fault::Silent(self.limit)));
        let raw = opened.map_err(|fault| hop.failed(fault))?;
        Ok(Stream {
            raw,
            to_proxy: false,
        })
    }
}

impl Service<Uri> for Dialer {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let this = self.clone();
        match self.ways.hop(&target).cloned() {
            Some(hop) => Box::pin(this.round(target, hop)),
            None => Box::pin(this.straight(target)),
        }
    }
}

/// A connection to a host, through a tunnel or not; or to a proxy that passes requests on.
pub(super) struct Stream {
    raw: Raw,
    /// Requests are for the proxy, in absolute form (RFC 9112 section 3.2.2).
    to_proxy: bool,
}

impl Stream {
    /// What it is below all TLS.
    pub(super) fn tcp(&self) -> &TcpStream {
        match &self.raw {
            Raw::Http(stream) => stream.inner(),
            Raw::Https(tls) => tls.inner().get_ref().0.inner().inner(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("to_proxy", &self.to_proxy)
            .finish_non_exhaustive()
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.raw.connected().proxy(self.to_proxy)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.raw).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.raw).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.raw).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.raw.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.raw).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.raw).poll_shutdown(cx)
    }
}
