//! A push or deletion: a request whose body is the client's, passed on as it arrives.
//!
//! Made once, on a connection of its own: the body cannot be sent a second time, so nothing is tried
//! again and no redirect is followed. The whole body is never held. Invariants: a body that broke off
//! never looks complete to the upstream; an answer that comes before the end of the upload is passed
//! on, and what is left of the upload stays with the caller.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::config::Secret;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, LOCATION, USER_AGENT, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::ext::ReasonPhrase;
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use super::Feed;
use super::body::{Limits, UpstreamBody};
use super::client::uri;
use super::error::{Kind, UpstreamError, describe};
use super::fetch::{CLIENT_VERSION, OWN_AGENT, OWN_VIA};
use super::limit::Permit;
use super::redirect;
use crate::policy::pacing::Payer;

/// Most pushes to one feed at a time; further ones wait.
pub(super) const PUSHES_MAX: usize = 16;

/// Most bytes of an answer that are passed on.
const ANSWER_MAX: u64 = 64 * 1024;

/// Longest time for one upload.
const UPLOAD_TIME: Duration = Duration::from_hours(1);

/// Pieces of a body on their way from the client to the upstream.
const PIECES: usize = 2;

const API_KEY: HeaderName = HeaderName::from_static("x-nuget-apikey");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-nuget-protocol-version");

/// A request body as it comes from a client.
pub type Upload = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The headers of a client's request that go upstream with it; nothing else does.
#[derive(Clone, Debug, Default)]
pub struct PushHeaders(HeaderMap);

impl PushHeaders {
    /// Those of `request`: content type, key, and what the client says of itself. The key is marked
    /// sensitive, so that it is shown nowhere.
    pub fn of(request: &HeaderMap) -> Self {
        let mut headers = HeaderMap::new();
        for name in [
            CONTENT_TYPE,
            USER_AGENT,
            CLIENT_VERSION,
            PROTOCOL_VERSION,
            API_KEY,
        ] {
            if let Some(value) = request.get(&name) {
                let mut value = value.clone();
                value.set_sensitive(name == API_KEY);
                headers.insert(name, value);
            }
        }
        Self(headers)
    }

    /// The same, with this key unless there is one. A secret that is no header value is left out.
    #[must_use]
    pub fn or_key(mut self, key: &Secret) -> Self {
        if !self.0.contains_key(API_KEY)
            && let Ok(mut value) = HeaderValue::from_str(key.expose())
        {
            value.set_sensitive(true);
            self.0.insert(API_KEY, value);
        }
        self
    }
}

/// What is to be asked.
#[derive(Clone, Debug)]
pub struct Push<'a> {
    /// PUT, DELETE or POST.
    pub method: Method,
    /// Where; the key of the client goes to this origin alone.
    pub url: &'a Url,
    /// Sent with it.
    pub headers: PushHeaders,
    /// Most bytes of the upload.
    pub size_max: u64,
    /// Longest wait for the head of the answer after the end of the upload.
    pub answer_timeout: Duration,
}

/// The upstream's answer.
#[derive(Debug)]
pub struct Pushed {
    /// Any status but a redirect.
    pub status: StatusCode,
    /// The words behind the status where they are the upstream's own: clients show them.
    pub reason: Option<ReasonPhrase>,
    /// Headers as received.
    pub headers: HeaderMap,
    /// The decoded body, at most 64 KiB of it.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The upstream could not be asked, or did not answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The upload is longer than this many bytes.
    #[error("the upload is longer than {0} bytes")]
    TooLarge(u64),
    /// No further byte of the upload came within this time.
    #[error("no further byte of the upload within {0:?}")]
    Stalled(Duration),
    /// The client ended the upload before its end.
    #[error("the upload broke off")]
    Cut,
}

impl Feed {
    /// Passes `upload` on and waits for the answer. `tap` sees every piece that is passed on. What
    /// was not read of the upload is still there afterwards.
    pub async fn push(
        &self,
        push: Push<'_>,
        upload: &mut Upload,
        tap: impl FnMut(&Bytes),
    ) -> Result<Pushed, PushError> {
        let what = describe(&push.method, push.url);
        if upload.size_hint().lower() > push.size_max {
            return Err(PushError::TooLarge(push.size_max));
        }
        let permit = self.push_gate.admit(&what, &Payer::Shared).await?;
        let ticket = self.hosts.enter_push(push.url, &what)?;
        let (feeder, body) = relay(upload.size_hint().exact());
        let limits = Limits {
            idle: self.options.idle_timeout,
            size_max: push.size_max,
            bodiless: false,
        };
        let mut pumping = pin!(timeout(
            UPLOAD_TIME,
            pump(&what, upload, (feeder, limits), tap)
        ));
        let mut answering = pin!(async {
            let answer = self.ask(&push, &what, body).await;
            match &answer {
                Ok(response) => ticket.answered_push(response.status().as_u16()),
                Err(error) => ticket.failed(error),
            }
            answer
        });
        let mut sent = false;
        let response = tokio::select! {
            biased;
            response = &mut answering => response?,
            pumped = &mut pumping => {
                pumped.map_err(|_| PushError::Stalled(UPLOAD_TIME))??;
                sent = true;
                let Ok(response) = timeout(push.answer_timeout, answering).await else {
                    let why = format!("no answer within {:?}", push.answer_timeout);
                    return Err(UpstreamError::new(Kind::Timeout, &what, why).into());
                };
                response?
            }
        };
        let status = response.status();
        let receiving = self.receive(response, &what, permit);
        if sent || !status.is_success() {
            // A refusal ends the upload, but not before it was read: the connection ends with it.
            return Ok(receiving.await?);
        }
        // The answer counts, whatever becomes of the rest of the upload.
        let (pushed, _) = tokio::join!(receiving, pumping);
        Ok(pushed?)
    }

    async fn ask(
        &self,
        push: &Push<'_>,
        what: &str,
        body: RelayBody,
    ) -> Result<Response<Incoming>, UpstreamError> {
        self.reach
            .check(push.url)
            .map_err(|refusal| UpstreamError::new(Kind::Protocol, what, refusal))?;
        let mut request = Request::new(body);
        *request.method_mut() = push.method.clone();
        *request.uri_mut() = uri(push.url)
            .map_err(|error| UpstreamError::caused(Kind::Protocol, what, "unusable url", error))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, OWN_AGENT);
        headers.extend(push.headers.0.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(VIA, OWN_VIA);
        let response = self.pusher.request(request).await;
        response.map_err(|error| UpstreamError::of_send(what, error))
    }

    /// The whole answer. One that breaks off is passed on as far as it came: its status says what
    /// became of the push.
    async fn receive(
        &self,
        response: Response<Incoming>,
        what: &str,
        permit: Permit,
    ) -> Result<Pushed, UpstreamError> {
        let (head, source) = response.into_parts();
        if redirect::is_redirect(head.status) {
            let to = head.headers.get(LOCATION);
            let to = to.and_then(push_target).unwrap_or_default();
            let why = format!(
                "{} redirects{to}, which is not followed, because an upload cannot be sent twice",
                head.status
            );
            return Err(UpstreamError::new(Kind::Redirect, what, why));
        }
        let limits = Limits {
            idle: self.options.idle_timeout,
            size_max: ANSWER_MAX,
            bodiless: false,
        };
        let mut body = Vec::new();
        if let Ok(mut source) = UpstreamBody::new(what.to_owned(), &head, (source, permit), limits)
        {
            while let Some(Ok(piece)) = source.next().await {
                body.extend_from_slice(&piece);
            }
        }
        Ok(Pushed {
            status: head.status,
            reason: head.extensions.get::<ReasonPhrase>().cloned(),
            headers: head.headers,
            body: Bytes::from(body),
        })
    }
}

/// ` to HOST`, for people: a query can hold secrets.
fn push_target(location: &HeaderValue) -> Option<String> {
    let url = Url::parse(location.to_str().ok()?).ok()?;
    Some(format!(" to {}", redirect::authority(&url)))
}

/// Moves the upload until its end, or until the upstream wants no more of it.
async fn pump(
    what: &str,
    upload: &mut Upload,
    (feeder, limits): (mpsc::Sender<Piece>, Limits),
    mut tap: impl FnMut(&Bytes),
) -> Result<(), PushError> {
    let mut left = limits.size_max;
    loop {
        let next = timeout(limits.idle, upload.frame()).await;
        let frame = next.map_err(|_| PushError::Stalled(limits.idle))?;
        let piece = match frame {
            None => Piece::End,
            Some(Ok(frame)) => Piece::Data(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => {
                tracing::debug!(error, "an upload broke off");
                return Err(PushError::Cut);
            }
        };
        if let Piece::Data(bytes) = &piece {
            left = left
                .checked_sub(bytes.len() as u64)
                .ok_or(PushError::TooLarge(limits.size_max))?;
            tap(bytes);
        }
        let end = matches!(piece, Piece::End);
        let Ok(moved) = timeout(limits.idle, feeder.send(piece)).await else {
            let why = format!(
                "took no further byte of the upload within {:?}",
                limits.idle
            );
            return Err(UpstreamError::new(Kind::Timeout, what, why).into());
        };
        // An upstream that wants no more has answered, or is gone: the answer tells.
        if end || moved.is_err() {
            return Ok(());
        }
    }
}

/// A part of a body on its way.
enum Piece {
    Data(Bytes),
    End,
}

/// A request body that is fed from elsewhere; without [`Piece::End`] it ends with an error, so that
/// the upstream never takes a part for the whole.
pub(super) struct RelayBody {
    pieces: mpsc::Receiver<Piece>,
    left: Option<u64>,
    ended: bool,
}

/// A body of this length, if it is known, and where its pieces come in.
fn relay(length: Option<u64>) -> (mpsc::Sender<Piece>, RelayBody) {
    let (feeder, pieces) = mpsc::channel(PIECES);
    let body = RelayBody {
        pieces,
        left: length,
        ended: length == Some(0),
    };
    (feeder, body)
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = PushError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PushError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Data(bytes)) => {
                self.left = self
                    .left
                    .map(|left| left.saturating_sub(bytes.len() as u64));
                Some(Ok(Frame::data(bytes)))
            }
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(Err(PushError::Cut))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_of_a_client_goes_upstream_and_the_key_is_not_shown() {
        let mut request = HeaderMap::new();
        for name in [
            "content-type",
            "user-agent",
            "x-nuget-client-version",
            "x-nuget-protocol-version",
            "x-nuget-apikey",
            "authorization",
            "cookie",
            "x-nuget-session-id",
            "content-length",
            "expect",
            "te",
        ] {
            let name: HeaderName = name.parse().unwrap();
            request.insert(name, HeaderValue::from_static("secret"));
        }
        let headers = PushHeaders::of(&request);
        assert_eq!(headers.0.len(), 5);
        let shown = format!("{headers:?}");
        assert_eq!(shown.matches("secret").count(), 4, "{shown}");
        assert!(shown.contains("\"x-nuget-apikey\": Sensitive"), "{shown}");
    }

    #[tokio::test]
    async fn a_part_never_looks_whole() {
        let (feeder, body) = relay(None);
        feeder
            .send(Piece::Data(Bytes::from_static(b"part")))
            .await
            .unwrap();
        drop(feeder);
        assert!(body.collect().await.is_err());
        let (feeder, body) = relay(Some(5));
        assert_eq!(body.size_hint().exact(), Some(5));
        feeder
            .send(Piece::Data(Bytes::from_static(b"whole")))
            .await
            .unwrap();
        feeder.send(Piece::End).await.ok().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
    }
}
