//! Response bodies as hyper reads them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};

use crate::observe::Metrics;
use crate::pace::Toll;
use crate::proxy::Continued;
use crate::server::paced::Paced;
use crate::server::sendfile::{Outbox, Sending};
use crate::store::BlobReader;

/// Why a body breaks off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that comes in pieces.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// A response body. Sent bytes are counted as they are handed to the connection.
pub struct ResponseBody {
    source: Source,
    left: Option<u64>,
    meter: Option<Meter>,
    /// None where nothing is limited.
    paced: Option<Box<Paced>>,
}

/// Counts what a body sends.
struct Meter {
    metrics: Arc<Metrics>,
    saved: bool,
}

/// Where the bytes are from.
pub(super) enum Source {
    Empty,
    Bytes(Bytes),
    Blob(BlobReader),
    Sending(Sending),
    Pieces(Pieces),
}

impl ResponseBody {
    /// Nothing.
    pub const fn empty() -> Self {
        Self {
            source: Source::Empty,
            left: Some(0),
            meter: None,
            paced: None,
        }
    }

    /// Nothing, of a body that would have this length.
    pub const fn announced(length: Option<u64>) -> Self {
        Self {
            source: Source::Empty,
            left: length,
            meter: None,
            paced: None,
        }
    }

    /// Bytes in memory.
    pub const fn bytes(bytes: Bytes) -> Self {
        let left = Some(bytes.len() as u64);
        Self {
            source: Source::Bytes(bytes),
            left,
            meter: None,
            paced: None,
        }
    }

    /// A range of a stored body.
    pub fn blob(reader: BlobReader) -> Self {
        let left = Some(reader.left());
        Self {
            source: Source::Blob(reader),
            left,
            meter: None,
            paced: None,
        }
    }

    /// A body that is still arriving, of this length if it is known.
    pub fn draft(reader: Continued, length: Option<u64>) -> Self {
        let stream = futures_util::stream::unfold(reader, |mut reader| async {
            let next = reader.next().await?;
            Some((next.map_err(Into::into), reader))
        });
        Self {
            source: Source::Pieces(Box::pin(stream)),
            left: length,
            meter: None,
            paced: None,
        }
    }

    /// Pieces of unknown length in all.
    pub const fn stream(pieces: Pieces) -> Self {
        Self::pieces(pieces, None)
    }

    /// Pieces of this length in all, if it is known.
    pub const fn pieces(pieces: Pieces, length: Option<u64>) -> Self {
        Self {
            source: Source::Pieces(pieces),
            left: length,
            meter: None,
            paced: None,
        }
    }

    /// The same body, counted; `saved` says that its bytes were spared the way from the upstream.
    pub fn metered(self, metrics: &Arc<Metrics>, saved: bool) -> Self {
        Self {
            meter: Some(Meter {
                metrics: Arc::clone(metrics),
                saved,
            }),
            ..self
        }
    }

    /// The same body, sent as `toll` allows.
    pub(super) fn paced(self, toll: Option<Toll>) -> Self {
        let paced = toll.map(|toll| Box::new(Paced::new(toll)));
        Self { paced, ..self }
    }

    /// The same body on a connection that sends files by itself.
    pub(super) fn sent_by(mut self, outbox: &Outbox) -> Self {
        self.source = match self.source {
            Source::Blob(reader) if Sending::suits(&reader) => {
                Source::Sending(Sending::new(reader, outbox.clone()))
            }
            source => source,
        };
        self
    }

    /// Its length, if it is known.
    pub const fn length(&self) -> Option<u64> {
        self.left
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.paced {
            None => self.source.poll_next(cx, u64::MAX),
            Some(paced) => paced.poll_next(cx, &mut self.source, self.left),
        }
    }
}

impl Source {
    /// Whether its pieces cannot be divided afterwards.
    pub(super) const fn is_sent_whole(&self) -> bool {
        matches!(self, Self::Sending(_))
    }

    /// The next piece; of one that cannot be divided, at most so many bytes.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        most: u64,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Blob(reader) => reader
                .poll_next(cx)
                .map(|next| next.map(|bytes| bytes.map_err(Into::into))),
            Self::Sending(sending) => sending.poll_next(cx, most),
            Self::Pieces(pieces) => pieces.as_mut().poll_next(cx),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let next = ready!(this.poll_source(cx));
        if let Some(Ok(bytes)) = &next {
            let sent = bytes.len() as u64;
            this.left = this.left.map(|left| left.saturating_sub(sent));
            if let Some(meter) = &this.meter {
                meter.metrics.client_bytes.inc_by(sent);
                if meter.saved {
                    meter.metrics.saved_bytes.inc_by(sent);
                }
            }
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        // A draft of known length still has to be released before it may end.
        !matches!(self.source, Source::Pieces(_)) && self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
