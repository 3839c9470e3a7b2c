//! HTTP/1.1 by hand: requests as they come, responses framed, cut and stalled as a script says.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Seen, released};
use crate::support::script::{Break, Framing, Script};

/// Sends a response as a script says.
pub(super) struct Writer<'a> {
    pub(super) script: &'a Script,
    pub(super) stream: &'a mut TcpStream,
}

impl Writer<'_> {
    /// Whether the connection can be used again.
    pub(super) async fn write(
        mut self,
        response: Response<Bytes>,
        bodiless: bool,
        releases: &mut watch::Receiver<usize>,
    ) -> io::Result<bool> {
        let framing = self.script.framing;
        self.stream.write_all(&head(&response, framing)).await?;
        if bodiless {
            return Ok(framing != Framing::Close);
        }
        let body = response.into_body();
        let (size, pause) = self.script.pieces.unwrap_or((64 * 1024, Duration::ZERO));
        let mut sent = 0;
        let mut broken = match self.script.broken {
            Some((_, Break::Midway)) => Some((body.len() / 2, Break::Reset)),
            broken => broken,
        };
        while sent < body.len() || broken.is_some() {
            if let Some((_, how)) = broken.filter(|&(after, _)| sent >= after.min(body.len())) {
                self.stream.flush().await?;
                match how {
                    Break::Close => return Ok(false),
                    Break::Reset | Break::Midway => {
                        socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO))?;
                        return Ok(false);
                    }
                    Break::Stall => released(releases, self.script).await,
                }
                broken = None;
                continue;
            }
            let limit = broken.map_or(body.len(), |(after, _)| after.min(body.len()));
            let end = limit.min(sent + size.max(1));
            self.piece(&body[sent..end]).await?;
            sent = end;
            tokio::time::sleep(pause).await;
        }
        if matches!(framing, Framing::Chunked | Framing::Both) {
            self.stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(framing != Framing::Close)
    }

    async fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        if matches!(self.script.framing, Framing::Chunked | Framing::Both) {
            let size = format!("{:x}\r\n", piece.len());
            self.stream.write_all(size.as_bytes()).await?;
        }
        self.stream.write_all(piece).await?;
        if matches!(self.script.framing, Framing::Chunked | Framing::Both) {
            self.stream.write_all(b"\r\n").await?;
        }
        self.stream.flush().await
    }
}

fn head(response: &Response<Bytes>, framing: Framing) -> Vec<u8> {
    let status = response.status();
    let own = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let own = own.and_then(|reason| std::str::from_utf8(reason.as_bytes()).ok());
    let reason = own.or(status.canonical_reason()).unwrap_or("Unknown");
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    let headers = response.headers();
    match framing {
        Framing::Length
            if !headers.contains_key("content-length") && status != 304 && status != 204 =>
        {
            let _ = write!(text, "content-length: {}\r\n", response.body().len());
        }
        Framing::Length => {}
        Framing::Chunked => text.push_str("transfer-encoding: chunked\r\n"),
        Framing::Both => {
            let length = response.body().len();
            let _ = write!(
                text,
                "content-length: {length}\r\ntransfer-encoding: chunked\r\n"
            );
        }
        Framing::Close => text.push_str("connection: close\r\n"),
    }
    let mut head = text.into_bytes();
    for (name, value) in headers {
        if framing == Framing::Length || name != "content-length" {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The head of the next request of a connection; `None` when the other side has closed it.
pub(super) async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace();
    let method: Method = parts.next().unwrap().parse().unwrap();
    let path_and_query = parts.next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    Ok(Some(Seen {
        body: Bytes::new(),
        method,
        path_and_query,
        headers,
    }))
}

/// A request body, or at least `enough` bytes of it; `arrived` learns of every byte.
pub(super) async fn read_body(
    stream: &mut BufReader<TcpStream>,
    headers: &HeaderMap,
    enough: usize,
    arrived: &watch::Sender<usize>,
) -> io::Result<Bytes> {
    let mut body = Vec::new();
    if headers.contains_key("transfer-encoding") {
        while body.len() < enough {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            read_part(stream, &mut body, size, arrived).await?;
            stream.read_line(&mut line).await?;
            if size == 0 {
                break;
            }
        }
        return Ok(Bytes::from(body));
    }
    let length = headers
        .get("content-length")
        .map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    read_part(stream, &mut body, enough.min(length), arrived).await?;
    Ok(Bytes::from(body))
}

async fn read_part(
    stream: &mut BufReader<TcpStream>,
    body: &mut Vec<u8>,
    mut size: usize,
    arrived: &watch::Sender<usize>,
) -> io::Result<()> {
    while size > 0 {
        let mut part = vec![0; size.min(64 * 1024)];
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        body.extend_from_slice(&part[..read]);
        size -= read;
        arrived.send_modify(|all| *all += read);
    }
    Ok(())
}
