//! Uploads to several feeds: a package whose id another feed owns goes to none.
//!
//! The beginning of an upload is held back until it tells the id, so that a feed that must not have
//! the package gets nothing of it. Bounded by what is looked at for the id; a package that does not
//! tell it there is refused, because whose it is would be a guess.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::group::Group;
use crate::nuget::manifest::{self, BEGINNING_MAX};
use crate::proxy::PublishError;
use crate::server::body::BodyError;
use crate::upstream::Upload;

/// Bytes after which the id is looked for at first; then after twice as many, and so on.
const FIRST_LOOK: usize = 4 * 1024;

/// Why an upload was ended here.
pub(super) type Refusal = Arc<OnceLock<PublishError>>;

/// An upload whose package is for the member that takes pushes, or is not passed on.
pub(super) struct Guarded {
    group: Group,
    upload: Upload,
    /// What is held back; `None` once the package may pass.
    held: Option<Vec<u8>>,
    look_at: usize,
    refusal: Refusal,
}

impl Guarded {
    /// Guards an upload to `group`; why it was ended shows in the second.
    pub(super) fn new(group: Group, upload: Upload) -> (Self, Refusal) {
        let refusal = Refusal::default();
        let guarded = Self {
            group,
            upload,
            held: Some(Vec::new()),
            look_at: FIRST_LOOK,
            refusal: Arc::clone(&refusal),
        };
        (guarded, refusal)
    }

    /// What becomes of what is held back; `None` when more of it must be seen.
    fn decide(&mut self, ended: bool) -> Option<Result<Frame<Bytes>, BodyError>> {
        let held = self.held.as_deref().unwrap_or_default();
        if !ended && held.len() < self.look_at {
            return None;
        }
        let found = manifest::identity(&held[..held.len().min(BEGINNING_MAX)]);
        if found.is_none() && !ended && held.len() < BEGINNING_MAX {
            self.look_at = held.len().saturating_mul(2).min(BEGINNING_MAX);
            return None;
        }
        let taker = match found {
            Some((id, _)) => self.group.publisher_of(&id).map(drop),
            None => Err(PublishError::Unidentified),
        };
        let held = self.held.take().unwrap_or_default();
        Some(match taker {
            Ok(()) => Ok(Frame::data(Bytes::from(held))),
            Err(error) => {
                let told = error.to_string();
                drop(self.refusal.set(error));
                Err(told.into())
            }
        })
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let next = ready!(Pin::new(&mut self.upload).poll_frame(cx));
            let Some(held) = self.held.as_mut() else {
                return Poll::Ready(next);
            };
            let ended = match next {
                Some(Ok(frame)) => {
                    held.extend_from_slice(&frame.into_data().unwrap_or_default());
                    false
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => true,
            };
            if let Some(decided) = self.decide(ended) {
                return Poll::Ready(Some(decided));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.as_ref().is_none_or(Vec::is_empty) && self.upload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, Vec::len) as u64;
        let mut hint = self.upload.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint.set_lower(hint.lower().saturating_add(held));
        hint
    }
}
