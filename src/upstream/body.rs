//! The body of an upstream's response, decoded, limited and watched.
//!
//! Does not look at the content. Invariant: the end is reported only after the framing and the
//! content coding both said that the body is whole; everything else is an error, once, and then
//! nothing.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming};

use super::decode::{DecodeError, Decoder};
use super::error::{Kind, UpstreamError};
use super::limit::Permit;
use crate::folder;
use crate::pace::Toll;

/// The limits of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Longest wait for the next frame.
    pub(super) idle: Duration,
    /// Most decoded bytes.
    pub(super) size_max: u64,
    /// The request was HEAD: what the head announces does not follow.
    pub(super) bodiless: bool,
}

/// What an encoding may add to a body that it does not shorten, in bytes.
const ENCODING_OVERHEAD: u64 = 1 << 20;

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    Network(Incoming),
    Folder(folder::Body),
}

/// Why no more bytes come.
enum Broken {
    Network(hyper::Error),
    Folder(io::Error),
}

impl Source {
    /// What is delivered next; `None` at the end. Nothing is lost when the future is dropped.
    async fn frame(&mut self) -> Option<Result<Bytes, Broken>> {
        match self {
            Self::Network(incoming) => {
                let frame = incoming.frame().await?;
                let data = |frame: Frame<Bytes>| frame.into_data().unwrap_or_default();
                Some(frame.map(data).map_err(Broken::Network))
            }
            Self::Folder(body) => Some(body.next().await?.map_err(Broken::Folder)),
        }
    }
}

/// A body as it arrives; dropping it closes the connection unless the body was finished, and frees
/// its place among the feed's connections.
#[derive(Debug)]
pub struct UpstreamBody {
    what: String,
    limits: Limits,
    source: Option<(Source, Permit)>,
    decoder: Decoder,
    /// What is paid for bytes before they are handed on; none where nothing is limited.
    toll: Option<Toll>,
    /// Received and not yet paid for.
    unpaid: Bytes,
    /// Received, paid for, and not yet decoded.
    input: Bytes,
    received: u64,
    decoded: u64,
    length: Option<u64>,
    framed: bool,
    failure: Option<UpstreamError>,
}

impl UpstreamBody {
    /// The body that belongs to `head`. An unusable body is an error at once if the status is a
    /// success, else only when it is read: a 404 is an answer whatever its text is.
    pub(super) fn new(
        what: String,
        head: &Parts,
        (source, permit): (Incoming, Permit),
        limits: Limits,
    ) -> Result<Self, UpstreamError> {
        let bodiless = limits.bodiless || head.status == StatusCode::NOT_MODIFIED;
        let announced = source.size_hint().exact();
        let framed =
            bodiless || announced.is_some() || head.version == Version::HTTP_2 || is_chunked(head);
        let mut body = Self {
            what,
            limits,
            source: Some((Source::Network(source), permit)),
            decoder: Decoder::Identity,
            toll: None,
            unpaid: Bytes::new(),
            input: Bytes::new(),
            received: 0,
            decoded: 0,
            length: None,
            framed,
            failure: None,
        };
        if bodiless {
            body.length = Some(0);
        } else if let Err(error) = body.prepare(head, announced) {
            if head.status.is_success() {
                return Err(error);
            }
            body.fail(error);
        }
        Ok(body)
    }

    /// The body of a folder's answer.
    pub(super) fn local(
        what: String,
        (source, permit): (folder::Body, Permit),
        limits: Limits,
    ) -> Result<Self, UpstreamError> {
        let length = source.length();
        let body = Self {
            what,
            limits,
            source: Some((Source::Folder(source), permit)),
            decoder: Decoder::Identity,
            toll: None,
            unpaid: Bytes::new(),
            input: Bytes::new(),
            received: 0,
            decoded: 0,
            length: Some(length),
            framed: true,
            failure: None,
        };
        if length > limits.size_max {
            return Err(body.too_large());
        }
        Ok(body)
    }

    /// The same, its bytes handed on as `toll` allows. Time spent waiting for that is not the
    /// upstream's.
    #[must_use]
    pub(super) fn paying(self, toll: Option<Toll>) -> Self {
        Self { toll, ..self }
    }

    /// Whether its bytes are held back to keep to a rate.
    pub const fn is_paced(&self) -> bool {
        self.toll.is_some()
    }

    fn prepare(&mut self, head: &Parts, announced: Option<u64>) -> Result<(), UpstreamError> {
        if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH)
        {
            // Two boxes on the way may disagree where it ends (RFC 9112 section 6.3).
            let why = "the response has two lengths";
            return Err(UpstreamError::new(Kind::Protocol, &self.what, why));
        }
        self.decoder =
            Decoder::for_headers(&head.headers).map_err(|error| self.undecodable(&error))?;
        if announced.is_some_and(|length| length > self.limits.size_max) {
            return Err(self.too_large());
        }
        self.length = announced.filter(|_| self.decoder.is_identity());
        Ok(())
    }

    /// Length of the decoded body in bytes, when the response announced it.
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the response says where its body ends. If not (HTTP/1.0 without `Content-Length`),
    /// a cut looks like the end and only the content can tell.
    pub const fn framed(&self) -> bool {
        self.framed
    }

    /// The next block of at most 256 KiB; `None` when the body is whole, or after an error.
    pub async fn next(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        loop {
            if let Some(block) = self.block() {
                return Some(block);
            }
            if !self.unpaid.is_empty() {
                self.pay().await;
                continue;
            }
            let (source, _) = self.source.as_mut()?;
            if let Ok(frame) = tokio::time::timeout(self.limits.idle, source.frame()).await {
                self.accept(frame);
            } else {
                let why = format!("no further byte of the body within {:?}", self.limits.idle);
                self.fail(UpstreamError::new(Kind::Timeout, &self.what, why));
            }
        }
    }

    /// The next block if it is there already; `None` says nothing about the end.
    pub fn try_next(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        loop {
            if let Some(block) = self.block() {
                return Some(block);
            }
            if !self.unpaid.is_empty() {
                self.pay().now_or_never()?;
                continue;
            }
            let (source, _) = self.source.as_mut()?;
            let frame = source.frame().now_or_never()?;
            self.accept(frame);
        }
    }

    /// Pays for some of what was received. Nothing is lost when the future is dropped.
    async fn pay(&mut self) {
        let unpaid = self.unpaid.len();
        let paid = match &mut self.toll {
            Some(toll) => {
                let coming = self
                    .length
                    .map(|length| length.saturating_sub(self.received));
                let left = coming.map(|coming| coming + unpaid as u64);
                toll.take(unpaid as u64, left).await
            }
            None => unpaid as u64,
        };
        let paid = usize::try_from(paid).unwrap_or(unpaid).clamp(1, unpaid);
        self.input = self.unpaid.split_to(paid);
    }

    /// Takes over what the source delivered; `None` is its end.
    fn accept(&mut self, data: Option<Result<Bytes, Broken>>) {
        match data {
            Some(Ok(data)) => {
                self.received += data.len() as u64;
                if self.toll.is_some() {
                    self.unpaid = data;
                } else {
                    self.input = data;
                }
                // Encoded bytes that decode to nothing must not be read for ever.
                if self.received > self.limits.size_max.saturating_add(ENCODING_OVERHEAD) {
                    let error = self.too_large();
                    self.fail(error);
                }
            }
            Some(Err(Broken::Network(error))) => {
                self.fail(UpstreamError::of_body(&self.what, error));
            }
            Some(Err(Broken::Folder(error))) => {
                let why = "the file cannot be read";
                self.fail(UpstreamError::caused(Kind::Folder, &self.what, why, error));
            }
            None => {
                self.source = None;
                if let Err(error) = self.decoder.finish() {
                    self.fail(self.undecodable(&error));
                }
            }
        }
    }

    /// A block from what was received, or the failure that is still to be told.
    fn block(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        let error = match self.decoder.next(&mut self.input) {
            Ok(None) => return None,
            Ok(Some(block)) => {
                self.decoded = self.decoded.saturating_add(block.len() as u64);
                if self.decoded <= self.limits.size_max {
                    return Some(Ok(block));
                }
                self.too_large()
            }
            Err(error) => self.undecodable(&error),
        };
        self.fail(error);
        self.failure.take().map(Err)
    }

    fn fail(&mut self, error: UpstreamError) {
        self.source = None;
        self.unpaid = Bytes::new();
        self.input = Bytes::new();
        self.decoder = Decoder::Identity;
        self.failure = Some(error);
    }

    fn too_large(&self) -> UpstreamError {
        let why = format!(
            "response body is longer than {} bytes",
            self.limits.size_max
        );
        UpstreamError::new(Kind::TooLarge, &self.what, why)
    }

    fn undecodable(&self, error: &DecodeError) -> UpstreamError {
        // Without framing the end of the data is the only sign of a cut.
        let cut = matches!(error, DecodeError::EndsEarly(_)) && !self.framed;
        let kind = if cut { Kind::Cut } else { Kind::BadEncoding };
        UpstreamError::new(kind, &self.what, error)
    }
}

fn is_chunked(head: &Parts) -> bool {
    let coding = head.headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let last = coding.and_then(|value| value.as_bytes().rsplit(|byte| *byte == b',').next());
    head.version == Version::HTTP_11
        && last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}
