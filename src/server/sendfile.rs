//! Files that go from the page cache to the socket without passing through user space.
//!
//! On a plain HTTP/1.1 connection a file's bytes need not be read: the kernel can send them itself
//! (`sendfile(2)`). hyper writes what a body gives it by address, head and pieces together
//! (`poll_write_vectored`). So the body of a file gives stand-ins: slices of a region that is never
//! looked at, as long as the piece of the file that is meant. What piece that is waits in the
//! connection's [`Outbox`], in the order of sending; [`SendFile`] knows a stand-in by its address and
//! sends the piece instead.
//!
//! Invariant: stand-ins are given only to a connection that [`SendFile`] writes, in HTTP/1; anyone
//! else would send zeros. Invariant: a stand-in without its piece ends the connection.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::server::body::BodyError;
use crate::store::{BlobReader, OpenBlob};

/// The longest piece: between two of them it is looked whether the file is still good.
pub(super) const PIECE_MAX: usize = 1024 * 1024;

/// Up to here, reading costs less than a system call of its own.
const READ_MAX: u64 = 16 * 1024;

/// Stand-ins of pieces that follow each other end at different addresses, so that a mix-up is seen.
const ENDS: usize = 61;

/// Addresses that stand for pieces of files. Its pages are never touched and so cost nothing.
static REGION: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; PIECE_MAX + ENDS].into_boxed_slice());

/// The pieces of files that a connection is to send, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox(Arc<Mutex<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    waiting: VecDeque<Piece>,
    pushed: usize,
}

#[derive(Debug)]
struct Piece {
    blob: Arc<OpenBlob>,
    offset: u64,
    left: usize,
    /// Where its stand-in ends.
    end: usize,
}

impl Outbox {
    /// What stands for the next `length` bytes of `blob` at `offset`: 1 to [`PIECE_MAX`] of them.
    pub(super) fn push(&self, blob: &Arc<OpenBlob>, offset: u64, length: usize) -> Bytes {
        let region: &'static [u8] = &REGION;
        let length = length.min(PIECE_MAX);
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = pieces.pushed % ENDS;
        pieces.pushed = pieces.pushed.wrapping_add(1);
        let stand_in = &region[start..start + length];
        pieces.waiting.push_back(Piece {
            blob: Arc::clone(blob),
            offset,
            left: length,
            end: stand_in.as_ptr_range().end.addr(),
        });
        Bytes::from_static(stand_in)
    }

    /// Sends some of the piece that `stand_in` is what is left of.
    fn send(&self, socket: &TcpStream, stand_in: &[u8]) -> io::Result<usize> {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = stand_in.as_ptr_range().end.addr();
        let piece = pieces.waiting.front_mut();
        let piece = piece.filter(|piece| piece.end == end && piece.left == stand_in.len());
        let piece = piece.ok_or_else(|| io::Error::other("a piece of a file is out of order"))?;
        let file = piece.blob.file();
        let sent = rustix::fs::sendfile(socket, file, Some(&mut piece.offset), piece.left);
        if matches!(sent, Ok(0) | Err(Errno::IO)) {
            // It is the disk, not the socket.
            piece.blob.fail();
        }
        let sent = sent?;
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.left -= sent;
        if piece.left == 0 {
            pieces.waiting.pop_front();
        }
        Ok(sent)
    }
}

/// A stored body that the kernel sends.
pub(super) struct Sending {
    reader: BlobReader,
    outbox: Outbox,
    /// A piece that is being brought into memory.
    coming: Option<JoinHandle<io::Result<()>>>,
    /// The system cannot say what is in memory.
    reads: bool,
}

impl Sending {
    /// Whether it is a file, and long enough for this to pay.
    pub(super) fn suits(reader: &BlobReader) -> bool {
        reader.is_file() && reader.left() > READ_MAX
    }

    pub(super) const fn new(reader: BlobReader, outbox: Outbox) -> Self {
        Self {
            reader,
            outbox,
            coming: None,
            reads: false,
        }
    }

    /// What stands for the next piece, of at most so many bytes; or bytes where the system cannot say
    /// what is in memory.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        most: u64,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.reads {
            return self.poll_read(cx);
        }
        let Some(place) = ready!(self.reader.poll_file(cx)) else {
            return self.poll_read(cx);
        };
        let (blob, offset, allowed) = match place {
            Ok(place) => place,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        };
        let length = allowed.min(PIECE_MAX as u64).min(most);
        if let Some(coming) = &mut self.coming {
            let come = ready!(Pin::new(coming).poll(cx));
            self.coming = None;
            return Poll::Ready(Some(match come {
                Ok(Ok(())) => Ok(self.push(&blob, offset, length)),
                Ok(Err(error)) => {
                    blob.fail();
                    Err(error.into())
                }
                Err(panicked) => Err(panicked.into()),
            }));
        }
        let range = offset..offset + length;
        match blob.is_resident(range.clone()) {
            Some(true) => Poll::Ready(Some(Ok(self.push(&blob, offset, length)))),
            Some(false) => {
                let job = move || blob.bring_in(range);
                self.coming = Some(tokio::task::spawn_blocking(job));
                self.poll_next(cx, most)
            }
            None => {
                self.reads = true;
                self.poll_read(cx)
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let next = self.reader.poll_next(cx);
        next.map(|next| next.map(|bytes| bytes.map_err(Into::into)))
    }

    fn push(&mut self, blob: &Arc<OpenBlob>, offset: u64, length: u64) -> Bytes {
        let length = usize::try_from(length).unwrap_or(PIECE_MAX);
        let stand_in = self.outbox.push(blob, offset, length);
        self.reader.skip(stand_in.len() as u64);
        stand_in
    }
}

/// Whether these bytes stand for a piece of a file.
fn is_stand_in(bytes: &[u8]) -> bool {
    let region = REGION.as_ptr_range();
    !bytes.is_empty() && region.contains(&bytes.as_ptr())
}

/// A socket that sends the pieces of files that an outbox holds.
pub(super) struct SendFile {
    socket: TcpStream,
    outbox: Outbox,
}

impl SendFile {
    pub(super) fn new(socket: TcpStream, outbox: Outbox) -> Self {
        Self { socket, outbox }
    }

    /// Does `send` when the socket takes something.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.socket.try_io(Interest::WRITABLE, &mut send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_piece(&self, cx: &mut Context<'_>, stand_in: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, || self.outbox.send(&self.socket, stand_in))
    }

    /// Sends `head`, which is in memory, to be followed by a piece.
    fn poll_head(&self, cx: &mut Context<'_>, head: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, || {
            let mut control = SendAncillaryBuffer::default();
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            Ok(rustix::net::sendmsg(
                &self.socket,
                head,
                &mut control,
                flags,
            )?)
        })
    }
}

impl AsyncRead for SendFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SendFile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if is_stand_in(bytes) {
            return self.poll_piece(cx, bytes);
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(place) = slices.iter().position(|slice| is_stand_in(slice)) else {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        };
        let (head, rest) = slices.split_at(place);
        let length: usize = head.iter().map(|slice| slice.len()).sum();
        if length == 0 {
            return self.poll_piece(cx, &rest[0]);
        }
        let sent = ready!(self.poll_head(cx, head))?;
        if sent < length {
            return Poll::Ready(Ok(sent));
        }
        // What keeps the piece from being sent keeps it the next time too.
        match self.poll_piece(cx, &rest[0]) {
            Poll::Ready(Ok(more)) => Poll::Ready(Ok(sent + more)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(Ok(sent)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::store::Blob;

    fn bytes(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    fn stored(bytes: &[u8]) -> (Blob, std::fs::File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.sync_all().unwrap();
        let copy = file.try_clone().unwrap();
        (Blob::open(file).unwrap(), copy)
    }

    async fn pair(outbox: &Outbox) -> (SendFile, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let socket = SendFile::new(accepted.unwrap().0, outbox.clone());
        (socket, client.unwrap())
    }

    /// Writes everything as hyper does: what is in memory and what follows in one call.
    async fn write_all(socket: &mut SendFile, parts: &[Bytes]) -> io::Result<()> {
        let mut parts: VecDeque<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        while !parts.is_empty() {
            let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let write =
                |cx: &mut Context<'_>| Pin::new(&mut *socket).poll_write_vectored(cx, &slices);
            let mut sent = poll_fn(write).await?;
            while sent > 0 {
                let front = parts.pop_front().unwrap_or_default();
                if sent < front.len() {
                    parts.push_front(&front[sent..]);
                }
                sent -= sent.min(front.len());
            }
        }
        socket.shutdown().await
    }

    /// What of a body arrives, between a head and a tail that are in memory.
    async fn sent(body: &[u8], outbox: &Outbox, parts: Vec<Bytes>) {
        let (mut socket, mut client) = pair(outbox).await;
        let mut all = vec![Bytes::from_static(b"head")];
        all.extend(parts);
        all.push(Bytes::from_static(b"tail"));
        let mut arrived = Vec::new();
        let (written, read) = tokio::join!(
            write_all(&mut socket, &all),
            client.read_to_end(&mut arrived)
        );
        written.unwrap();
        read.unwrap();
        assert_eq!(arrived.len(), body.len() + 8);
        assert!(arrived == [b"head", body, b"tail"].concat());
    }

    async fn stand_ins(blob: &Blob, outbox: &Outbox) -> Vec<Bytes> {
        let mut sending = Sending::new(blob.reader(0..blob.size()), outbox.clone());
        let mut parts = Vec::new();
        while let Some(part) = poll_fn(|cx| sending.poll_next(cx, u64::MAX)).await {
            parts.push(part.unwrap());
        }
        parts
    }

    #[tokio::test]
    async fn a_file_arrives_between_what_is_in_memory() {
        let body = bytes(3 * PIECE_MAX + 17);
        let (blob, _) = stored(&body);
        let outbox = Outbox::default();
        let parts = stand_ins(&blob, &outbox).await;
        assert!(parts.iter().all(|part| is_stand_in(part)));
        sent(&body, &outbox, parts).await;
        assert!(outbox.0.lock().unwrap().waiting.is_empty());
    }

    #[tokio::test]
    async fn what_is_not_in_memory_is_brought_in_first() {
        let body = bytes(PIECE_MAX + 17);
        let (blob, file) = stored(&body);
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let outbox = Outbox::default();
        let parts = stand_ins(&blob, &outbox).await;
        sent(&body, &outbox, parts).await;
    }

    #[tokio::test]
    async fn a_piece_out_of_order_ends_the_connection() {
        let body = bytes(100_000);
        let (blob, _) = stored(&body);
        let outbox = Outbox::default();
        let mut parts = stand_ins(&blob, &outbox).await;
        parts.extend(stand_ins(&blob, &outbox).await);
        parts.swap(0, 1);
        let (mut socket, _client) = pair(&outbox).await;
        let error = write_all(&mut socket, &parts).await.unwrap_err();
        assert_eq!(error.to_string(), "a piece of a file is out of order");
    }

    #[tokio::test]
    async fn a_file_cut_short_ends_the_connection() {
        let body = bytes(100_000);
        let (blob, file) = stored(&body);
        let outbox = Outbox::default();
        let parts = stand_ins(&blob, &outbox).await;
        file.set_len(50_000).unwrap();
        let (mut socket, mut client) = pair(&outbox).await;
        let mut arrived = Vec::new();
        let (written, _) = tokio::join!(
            async {
                let written = write_all(&mut socket, &parts).await;
                drop(socket);
                written
            },
            client.read_to_end(&mut arrived)
        );
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(arrived == body[..50_000]);
    }
}
