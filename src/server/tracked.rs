//! What hyper reads from and writes to, telling the connection's [`Activity`] of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::activity::{Activity, LINGER};
use crate::server::body::{BodyError, ResponseBody};
use crate::server::linger::Lingering;

/// How much of an upload that nobody reads is taken in, for as long as [`LINGER`], and the longest pause
/// in it.
const LINGER_BYTES: usize = 256 << 20;
const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// What is taken in of a request before anything is made to read it.
const AHEAD: usize = 2048;

/// A stream whose traffic is told.
pub struct Stream<S> {
    inner: S,
    activity: Arc<Activity>,
    /// What arrived and nobody has read yet.
    ahead: Bytes,
}

impl<S> Stream<S> {
    /// Tells `activity` of the traffic of `inner`.
    pub const fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self {
            inner,
            activity,
            ahead: Bytes::new(),
        }
    }

    /// Gives back what was read and not used.
    pub fn put_back(&mut self, unread: Bytes) {
        if !unread.is_empty() {
            self.ahead = [unread, std::mem::take(&mut self.ahead)].concat().into();
        }
    }

    fn told(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(count)) if count > 0) {
            self.activity.sent();
        }
        self.activity.behind(written.is_pending());
        written
    }
}

impl<S> Stream<Lingering<S>> {
    /// Makes room at once when it is shut down.
    pub fn hurry(&mut self) {
        self.inner.hurry();
    }
}

impl<S: AsyncRead + Unpin> Stream<S> {
    /// Ready when there is something to read and the version of HTTP is known, or the client has
    /// closed: whether there is something.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.ahead.is_empty() || !self.activity.is_understood() {
            let mut space = [0; AHEAD];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            let heard = buffer.filled();
            if heard.is_empty() {
                break;
            }
            self.activity.heard(heard);
            self.ahead = [&self.ahead, heard].concat().into();
        }
        Poll::Ready(Ok(!self.ahead.is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.activity.heard(&buffer.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.told(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.told(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A request under way, until its response is over or given up.
pub struct Exchange {
    activity: Arc<Activity>,
    waiting: bool,
    answered: bool,
}

impl Exchange {
    /// A request begins.
    pub fn begin(activity: &Arc<Activity>) -> Self {
        activity.begin();
        Self {
            activity: Arc::clone(activity),
            waiting: true,
            answered: false,
        }
    }

    /// There will be none after it.
    pub fn last(&self) {
        self.activity.last();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.activity.answered(self.answered);
        self.activity.end(self.waiting);
    }
}

/// The body of a response, which belongs to a request under way.
pub struct Answer {
    body: ResponseBody,
    exchange: Exchange,
}

impl Answer {
    /// `body` ends `exchange`.
    pub fn new(body: ResponseBody, mut exchange: Exchange) -> Self {
        exchange.answered = body.is_end_stream();
        Self { body, exchange }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let next = Pin::new(&mut this.body).poll_frame(cx);
        let was_waiting = std::mem::replace(&mut this.exchange.waiting, next.is_pending());
        this.exchange
            .activity
            .polled(was_waiting, next.is_pending());
        this.exchange.answered = matches!(next, Poll::Ready(None)) || this.body.is_end_stream();
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request. What is left of it when it is dropped is taken in for a while: a
/// connection closed on a client that is still sending loses the answer it has not read yet.
pub struct Upload {
    body: Option<Incoming>,
    lingers: bool,
}

impl Upload {
    /// The body of a request; not `lingers` when the connection is to be closed at once, or when
    /// the client waits for a word (`Expect: 100-continue`) before it sends anything.
    pub const fn new(body: Incoming, lingers: bool) -> Self {
        Self {
            body: Some(body),
            lingers,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        if let Some(body) = left.filter(|_| self.lingers) {
            tokio::spawn(tokio::time::timeout(LINGER, async {
                let mut body = Limited::new(body, LINGER_BYTES);
                while let Ok(Some(Ok(_))) = tokio::time::timeout(LINGER_PAUSE, body.frame()).await {
                }
            }));
        }
    }
}
