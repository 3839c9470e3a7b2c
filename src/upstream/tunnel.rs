//! A tunnel through a proxy: one `CONNECT` (RFC 9110 section 9.3.6) and its answer.
//!
//! What the proxy answers is about the way to the host and never taken for an answer of the host.
//! hyper-util has a tunnel too, but tells neither the status of a refusal nor when one is late.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::fetch::OWN_AGENT;

/// A connection to a host, or to a proxy.
pub(super) type Raw = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Most bytes of the head of an answer.
const HEAD_MAX: usize = 16 * 1024;

/// Most fields of it.
const FIELDS_MAX: usize = 64;

/// What went wrong with a proxy, and with which; its text has no password.
#[derive(Debug, thiserror::Error)]
#[error("proxy {proxy} {fault}")]
pub(super) struct ProxyError {
    /// Its address, fit for logs.
    pub(super) proxy: String,
    /// What went wrong.
    pub(super) fault: Fault,
}

/// What can go wrong with a proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no connection to it, because of this.
    Unreachable(String),
    /// There is none within this time.
    Far(Duration),
    /// It did not answer within this time.
    Silent(Duration),
    /// The connection ended before its answer.
    Cut,
    /// It wants a credential: with whether it was sent one.
    Credential(bool),
    /// It answered this instead of opening the tunnel, or of passing the request on.
    Refused(StatusCode),
    /// What it sent is no answer, because of this.
    Garbled(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Far(limit) => write!(f, "cannot be reached: no connection within {limit:?}"),
            Self::Silent(limit) => write!(f, "opened no tunnel within {limit:?}"),
            Self::Cut => f.write_str("closed the connection before its answer"),
            Self::Credential(true) => f.write_str(
                "answered 407: it refuses the user name or password that nugate has for it",
            ),
            Self::Credential(false) => f.write_str(
                "answered 407: it wants a user name and password (proxy_username, proxy_password)",
            ),
            Self::Refused(status) => write!(f, "answered {status}: it does not lead there"),
            Self::Garbled(why) => write!(f, "did not answer as a proxy: {why}"),
        }
    }
}

/// Asks the proxy at the other end of `raw` for a tunnel to `target`, a host and a port.
pub(super) async fn open(
    raw: Raw,
    target: &str,
    credential: Option<&HeaderValue>,
) -> Result<Raw, Fault> {
    let request = request(target, credential)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX).max_headers(FIELDS_MAX);
    let shaken = builder.handshake(raw).await;
    let (mut sender, connection) = shaken.map_err(|error| lost(&error))?;
    // Ends with this function, if the tunnel is not open by then.
    let mut driving = JoinSet::new();
    driving.spawn(connection.with_upgrades());
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| lost(&error))?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            return Err(Fault::Credential(credential.is_some()));
        }
        status => return Err(Fault::Refused(status)),
    }
    let tunnel = hyper::upgrade::on(response).await;
    let tunnel = tunnel.map_err(|error| lost(&error))?;
    let parts = tunnel.downcast::<Raw>();
    let parts = parts.map_err(|_| Fault::Garbled("the connection is not ours"))?;
    // In TLS the client speaks first, so these bytes are not the host's.
    if !parts.read_buf.is_empty() {
        return Err(Fault::Garbled("bytes behind the answer"));
    }
    Ok(parts.io)
}

fn request(target: &str, credential: Option<&HeaderValue>) -> Result<Request<Empty<Bytes>>, Fault> {
    let unusable = |_| Fault::Garbled("the host cannot be named to it");
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = target.parse().map_err(unusable)?;
    let host = HeaderValue::from_str(target);
    let host = host.map_err(|_| Fault::Garbled("the host cannot be named to it"))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, OWN_AGENT);
    if let Some(credential) = credential {
        headers.insert(PROXY_AUTHORIZATION, credential.clone());
    }
    Ok(request)
}

fn lost(error: &hyper::Error) -> Fault {
    if error.is_parse() || error.is_parse_too_large() {
        Fault::Garbled("no HTTP")
    } else {
        Fault::Cut
    }
}
