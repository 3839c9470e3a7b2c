//! What a body pays on its way: a share of each line that it goes through.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use crate::pace::{Line, Turn};
use crate::policy::pacing::Payer;

/// What is left of a body when it counts as near its end, in bytes: this much of a package is held
/// back until all of it has come.
const ENDING: u64 = 80 * 1024;

/// The shares of one body.
#[derive(Debug)]
pub struct Toll {
    first: Turn,
    second: Option<Turn>,
    /// Taken from the first line and not yet from the second.
    paid: u64,
}

impl Toll {
    /// What a body of `payer` pays on these lines; none when there are none.
    pub fn of(lines: [Option<&Line>; 2], payer: &Payer) -> Option<Self> {
        let mut turns = lines
            .into_iter()
            .flatten()
            .map(|line| line.turn(payer.clone()));
        Some(Self {
            first: turns.next()?,
            second: turns.next(),
            paid: 0,
        })
    }

    /// Takes up to `wanted` bytes, one at least, of a body of which so many are `left` if that is
    /// known.
    pub fn poll(&mut self, cx: &mut Context<'_>, wanted: u64, left: Option<u64>) -> Poll<u64> {
        let ending = left.is_some_and(|left| left <= ENDING);
        if self.paid == 0 {
            let granted = ready!(self.first.poll(cx, wanted, ending));
            self.paid = granted.unwrap_or(wanted);
        }
        let mut granted = self.paid.min(wanted);
        if let Some(second) = &mut self.second {
            let passed = ready!(second.poll(cx, granted, ending));
            granted = passed.unwrap_or(granted).min(granted);
        }
        self.paid -= granted;
        Poll::Ready(granted)
    }

    /// [`Toll::poll`] as a future; nothing is lost when it is dropped.
    pub async fn take(&mut self, wanted: u64, left: Option<u64>) -> u64 {
        poll_fn(|cx| self.poll(cx, wanted, left)).await
    }
}
