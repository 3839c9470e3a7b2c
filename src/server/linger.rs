//! A connection that is not reset while its last bytes are on the way.
//!
//! Closing a socket with unread input makes the kernel reset the connection and throw away output
//! that the client has not got yet: the end of a body over HTTP/2, whose window updates keep coming,
//! or the answer to an upload that was refused early. So the output is closed first, and input is
//! read and dropped until the client closes too (RFC 9112 section 9.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::clock::Tick;

/// How long the client has to take the rest and close; who got the last output longer ago has it.
const LIMIT: Duration = Duration::from_secs(2);

/// Input dropped at a time.
const BLOCK: usize = 16 * 1024;

/// A connection that lingers when it is shut down.
pub struct Lingering<S> {
    stream: S,
    written: Option<Tick>,
    closing: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    /// Wraps a connection on which nothing was sent yet.
    pub const fn new(stream: S) -> Self {
        Self {
            stream,
            written: None,
            closing: None,
        }
    }

    /// It is not to linger: the client waits for no answer, and another for its place.
    pub fn hurry(&mut self) {
        self.written = None;
    }

    fn is_recent(&self) -> bool {
        self.written.is_some_and(|since| since.elapsed() < LIMIT)
    }
}

impl<S: AsyncRead + Unpin> Lingering<S> {
    /// Ready when the client has closed, or has had its time.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = &mut self.closing else {
            return Poll::Ready(());
        };
        if limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut space = [0; BLOCK];
        loop {
            let mut block = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut block)) {
                Ok(()) if !block.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written = Some(Tick::now());
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written = Some(Tick::now());
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if self.is_recent() {
                self.closing = Some(Box::pin(tokio::time::sleep(LIMIT)));
            }
        }
        self.poll_closed(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What a client reads after sending more than is read, while the server answers and closes.
    async fn read_by_a_busy_client<S>(wrap: impl FnOnce(TcpStream) -> S) -> io::Result<usize>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let (stream, _) = listener.accept().await?;
        client.write_all(&[1; 1000]).await?;
        let server = async {
            let mut server = wrap(stream);
            server.write_all(&vec![2; 2_000_000]).await?;
            server.shutdown().await?;
            drop(server);
            io::Result::Ok(())
        };
        let reader = async {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await?;
            drop(client);
            io::Result::Ok(all.len())
        };
        let (server, read) = tokio::join!(server, reader);
        server?;
        read
    }

    #[tokio::test]
    async fn unread_input_does_not_cost_output() {
        let read = read_by_a_busy_client(Lingering::new).await;
        assert_eq!(read.unwrap(), 2_000_000);
    }

    #[tokio::test]
    async fn a_client_that_does_not_close_is_left_after_a_while() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut lingering = Lingering::new(ours);
        lingering.write_all(b"x").await.unwrap();
        lingering.shutdown().await.unwrap();
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"x");
    }

    #[tokio::test]
    async fn who_got_nothing_is_not_waited_for() {
        let (ours, _theirs) = tokio::io::duplex(1000);
        let mut idle = Lingering::new(ours);
        let shut = tokio::time::timeout(LIMIT / 4, idle.shutdown());
        shut.await.unwrap().unwrap();
    }
}
