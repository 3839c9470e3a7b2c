//! A client that asks for exactly what the test says and hides nothing of the answer.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A complete response.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Response {
    /// A header's value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A response whose body arrives piece by piece.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
}

impl Stream {
    /// The next piece; `None` at the proper end, an error when the body is cut.
    pub async fn next(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Everything that is left; an error when the body is cut.
    pub async fn rest(self) -> hyper::Result<Response> {
        Ok(Response {
            status: self.status,
            headers: self.headers,
            body: self.body.collect().await?.to_bytes(),
        })
    }
}

/// GET on a connection of its own.
pub async fn get(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    try_get(addr, path, headers).await.unwrap()
}

/// GET; an error when there is no answer or its body is cut.
pub async fn try_get(
    addr: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> hyper::Result<Response> {
    let request = request(addr, Method::GET, path, headers);
    send(addr, request, false).await?.rest().await
}

/// GET up to the head of the response.
pub async fn open(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Stream {
    let request = request(addr, Method::GET, path, headers);
    send(addr, request, false).await.unwrap()
}

/// HEAD on a connection of its own.
pub async fn head(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = request(addr, Method::HEAD, path, headers);
    let response = send(addr, request, false).await.unwrap();
    response.rest().await.unwrap()
}

/// Any method, with a body.
pub async fn call(
    addr: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    let request = request(addr, method, path, headers).map(|_| Full::new(body.into()));
    let response = send(addr, request, false).await.unwrap();
    response.rest().await.unwrap()
}

/// GET over HTTP/2 without TLS (prior knowledge).
pub async fn get_h2(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    let url = format!("http://{addr}{path}");
    let mut request = request(addr, Method::GET, &url, headers);
    request.headers_mut().remove("host");
    let response = send(addr, request, true).await.unwrap();
    response.rest().await.unwrap()
}

/// Sends these bytes and reads until the other side closes; for requests no client would send.
pub async fn raw(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is the other side's way of refusing the rest of the request.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

fn request(
    addr: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request = request.header("host", addr.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::new())).unwrap()
}

async fn send(addr: SocketAddr, request: Request<Full<Bytes>>, h2: bool) -> hyper::Result<Stream> {
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let response = if h2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let (head, body) = response.into_parts();
    Ok(Stream {
        status: head.status,
        headers: head.headers,
        body,
    })
}
