//! The body of a request on its way to the upstream of a generic route.
//!
//! Bounded in length and in pauses. What goes wrong with it is the client's doing, and is told as
//! that, however the question to the upstream ends then. It says as much of its length as the
//! client did, so that it is framed for the upstream as it was for us.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::Sleep;

use crate::server::body::BodyError;

/// Why a body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It broke off, or what should say how it goes on does not.
    #[error("the request body did not come to its end")]
    Cut,
    /// It has more bytes than are passed on.
    #[error("the request body is too long")]
    Long,
    /// The client keeps us waiting for more of it.
    #[error("no more of the request body came in time")]
    Slow,
}

impl Fault {
    /// Its status.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Cut => StatusCode::BAD_REQUEST,
            Self::Long => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// What became of a body that somebody else reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<OnceLock<Fault>>);

impl Fate {
    /// Why it did not come to its end, if it did not.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.get().copied()
    }
}

/// A body with its bounds.
pub(super) struct Bounded {
    body: UnsyncBoxBody<Bytes, BodyError>,
    pause_max: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    fate: Fate,
}

impl Bounded {
    /// `body` with at most `length_max` bytes, and waits of at most `pause_max` for more of it.
    pub(super) fn new<B>(body: B, length_max: usize, pause_max: Duration) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Self {
            body: Limited::new(body, length_max).boxed_unsync(),
            pause_max,
            pause: None,
            fate: Fate::default(),
        }
    }

    /// What becomes of it.
    pub(super) fn fate(&self) -> Fate {
        self.fate.clone()
    }

    fn fails(
        &self,
        fault: Fault,
        error: BodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Only the first one counts.
        let _ = self.fate.0.set(fault);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) if error.is::<LengthLimitError>() => {
                this.fails(Fault::Long, error)
            }
            Poll::Ready(Some(Err(error))) => this.fails(Fault::Cut, error),
            Poll::Ready(next) => {
                this.pause = None;
                Poll::Ready(next)
            }
            Poll::Pending => {
                let limit = this.pause_max;
                let pause = this
                    .pause
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                ready!(pause.as_mut().poll(cx));
                this.fails(Fault::Slow, Fault::Slow.into())
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn its_length_stays_known_and_has_a_limit() {
        let body = || Full::new(Bytes::from_static(b"hello"));
        let pause = Duration::from_secs(60);
        let fits = Bounded::new(body(), 5, pause);
        let fate = fits.fate();
        assert_eq!(fits.size_hint().exact(), Some(5));
        assert_eq!(fits.collect().await.unwrap().to_bytes(), "hello");
        assert_eq!(fate.fault(), None);
        let long = Bounded::new(body(), 4, pause);
        let fate = long.fate();
        assert!(long.collect().await.is_err());
        assert_eq!(fate.fault(), Some(Fault::Long));
    }
}
