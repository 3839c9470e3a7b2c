//! A response body that keeps to its client's share.
//!
//! Invariant: what stands for a piece of a file is handed on whole, because half of it means nothing
//! ([`crate::server::sendfile`]); so its share is taken before it is made.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::pace::Toll;
use crate::server::body::{BodyError, Source};

/// What a body has paid for and not sent, and what it has and has not paid for.
pub(super) struct Paced {
    toll: Toll,
    credit: u64,
    held: Bytes,
}

impl Paced {
    pub(super) const fn new(toll: Toll) -> Self {
        Self {
            toll,
            credit: 0,
            held: Bytes::new(),
        }
    }

    /// The next bytes of `source`, as many as are paid for; `left` of it are not sent yet.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
        left: Option<u64>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let held = self.held.len();
            if held > 0 {
                if self.credit == 0 {
                    self.credit = ready!(self.toll.poll(cx, held as u64, left));
                }
                let paid = usize::try_from(self.credit).unwrap_or(held).clamp(1, held);
                self.credit = self.credit.saturating_sub(paid as u64);
                return Poll::Ready(Some(Ok(self.held.split_to(paid))));
            }
            let whole = source.is_sent_whole() && left != Some(0);
            if whole && self.credit == 0 {
                self.credit = ready!(self.toll.poll(cx, left.unwrap_or(u64::MAX), left));
            }
            let most = if whole { self.credit } else { u64::MAX };
            match ready!(source.poll_next(cx, most)) {
                Some(Ok(bytes)) if bytes.len() as u64 <= self.credit => {
                    self.credit -= bytes.len() as u64;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Ok(bytes)) => self.held = bytes,
                other => return Poll::Ready(other),
            }
        }
    }
}
