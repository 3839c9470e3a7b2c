//! A body that is asked for again, because its reader fell behind one that is passed on.
//!
//! The store did not take it, so the bytes that are missing can only come from the feed: the whole
//! is asked for anew, and what the client has is read past. It goes on only with what is the same
//! by entity tag and length.

use bytes::Bytes;

use crate::proxy::flight::Seat;
use crate::proxy::reply::{Body, Reply, Request};
use crate::proxy::{Error, Proxy};
use crate::store::{BlobReader, DraftReader, StoreError, StoreErrorKind};

/// How often a response is continued.
const TIMES_MAX: u8 = 3;

/// How a request can be asked again.
pub struct Again {
    proxy: Proxy,
    request: Request,
    etag: Option<String>,
    times: u8,
}

/// Reads a body that may be asked for again on the way.
pub struct Continued {
    source: Source,
    length: Option<u64>,
    position: u64,
    /// What was read of the source beyond what the client had.
    first: Option<Bytes>,
    again: Option<Box<Again>>,
}

enum Source {
    Draft {
        reader: DraftReader,
        _seat: Option<Seat>,
    },
    Blob(BlobReader),
    Bytes(Option<Bytes>),
}

impl Again {
    pub(super) fn new(proxy: &Proxy, request: &Request, etag: Option<String>) -> Box<Self> {
        Box::new(Self {
            proxy: proxy.clone(),
            request: request.clone(),
            etag,
            times: 0,
        })
    }

    /// The same body from its first byte on.
    async fn ask(&mut self, length: Option<u64>) -> Result<Source, Error> {
        // The proxy makes bodies that hold this: the future would contain itself.
        let serving: futures_util::future::BoxFuture<'_, Result<Reply, Error>> =
            Box::pin(self.proxy.serve(&self.request));
        let reply = serving.await?;
        let (source, found) = match reply.body {
            Body::Draft {
                reader,
                length,
                seat,
                ..
            } => (
                Source::Draft {
                    reader,
                    _seat: seat,
                },
                length,
            ),
            Body::Blob(blob) => (Source::Blob(blob.reader(0..u64::MAX)), Some(blob.size())),
            Body::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (Source::Bytes(Some(bytes)), Some(length))
            }
            Body::Head(_) => return Err(Error::internal("a head instead of a body")),
        };
        if (&reply.etag, found) == (&self.etag, length) {
            return Ok(source);
        }
        Err(Error::unusable("the feed has something else by now"))
    }
}

impl Continued {
    /// Reads a draft of this length, if it is known; `seat` keeps its fill going.
    pub fn new(
        reader: DraftReader,
        length: Option<u64>,
        seat: Option<Seat>,
        again: Option<Box<Again>>,
    ) -> Self {
        Self {
            source: Source::Draft {
                reader,
                _seat: seat,
            },
            length,
            position: 0,
            first: None,
            again,
        }
    }

    /// The next bytes; `None` at the end; an error when the body turns out wrong or cannot be
    /// continued.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            let next = match self.first.take() {
                Some(first) => Some(Ok(first)),
                None => self.source.next().await,
            };
            match next {
                Some(Err(error)) if error.kind == StoreErrorKind::Behind => {
                    if let Err(cause) = self.resume().await {
                        tracing::warn!(%cause, "a response that fell behind could not be continued");
                        return Some(Err(error));
                    }
                }
                Some(Ok(bytes)) => {
                    self.position += bytes.len() as u64;
                    return Some(Ok(bytes));
                }
                next => return next,
            }
        }
    }

    /// Asks again and reads past what the client has.
    async fn resume(&mut self) -> Result<(), Error> {
        let again = self.again.as_mut();
        let again = again.filter(|again| again.times < TIMES_MAX);
        let again = again.ok_or_else(|| Error::internal("it was continued too often"))?;
        again.times += 1;
        let mut source = again.ask(self.length).await?;
        let mut missing = self.position;
        while missing > 0 {
            let bytes = match source.next().await {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Err(Error::internal(error.to_string())),
                None => return Err(Error::unusable("the feed's body is shorter by now")),
            };
            let length = bytes.len() as u64;
            if length > missing {
                let at = usize::try_from(missing).unwrap_or(bytes.len());
                self.first = Some(bytes.slice(at..));
                missing = 0;
            } else {
                missing -= length;
            }
        }
        self.source = source;
        Ok(())
    }
}

impl Source {
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        match self {
            Self::Draft { reader, .. } => reader.next().await,
            Self::Blob(reader) => reader.next().await,
            Self::Bytes(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()).map(Ok),
        }
    }
}
