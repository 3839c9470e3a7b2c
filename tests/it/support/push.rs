//! Pushes as clients make them: a form with one part, in one piece or bit by bit.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Method;
use nugate::demo::Package;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::World;
use super::client::{self, Response};

/// The content type of [`form`].
pub const FORM: (&str, &str) = (
    "content-type",
    "multipart/form-data; boundary=\"boundary-7\"",
);

/// A package as clients send it.
pub fn form(nupkg: &[u8]) -> Bytes {
    let head = b"--boundary-7\r\nContent-Type: application/octet-stream\r\nContent-Disposition: \
        form-data; name=package; filename=package.nupkg\r\n\r\n"
        .as_slice();
    Bytes::from([head, nupkg, b"\r\n--boundary-7--\r\n"].concat())
}

/// The form of a package without content.
pub fn form_of(id: &str, version: &str) -> Bytes {
    form(&Package::new(id, version).nupkg().unwrap())
}

impl World {
    /// A request below our `/v3/` with any method and a body.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        client::call(self.addr, method, &format!("/v3/{path}"), headers, body).await
    }

    /// Pushes a package without content.
    pub async fn push(&self, id: &str, version: &str) -> Response {
        let form = form_of(id, version);
        self.call(Method::PUT, "publish/", &[FORM], form).await
    }
}

/// A push that is under way.
pub struct Uploading(TcpStream);

/// What came back, as it was on the wire.
#[derive(Debug)]
pub struct Raw(pub String);

impl Raw {
    /// The first line.
    pub fn status_line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }
}

impl Uploading {
    /// Sends the head of a push: `framing` is its `Content-Length` or `Transfer-Encoding` line.
    pub async fn begin(addr: SocketAddr, framing: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let head = format!(
            "PUT /v3/publish/ HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{}: {}\r\n\
             {framing}\r\n\r\n",
            FORM.0, FORM.1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends one chunk.
    pub async fn chunk(&mut self, bytes: &[u8]) {
        self.raw(format!("{:x}\r\n", bytes.len()).as_bytes()).await;
        self.raw(bytes).await;
        self.raw(b"\r\n").await;
    }

    /// Reads `count` bytes of the answer.
    pub async fn read(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Everything up to the end of the connection.
    pub async fn answer(mut self) -> Raw {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).await.unwrap();
        Raw(String::from_utf8(bytes).unwrap())
    }
}
