//! Waiting for a share: of lines, and of what may be asked.
//!
//! Whose turn it is and how long it takes is decided by [`crate::policy::pacing`]; here is who waits,
//! and what is shared by all of a direction. A limit that is not set is a `None`, which costs nothing.

mod allowance;
mod line;
mod lines;
mod toll;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

pub use allowance::Allowance;
pub use line::{Calendar, Line, Turn};
pub use lines::{Lines, Options};
pub use toll::Toll;
pub use zone::{Zone, ZoneError};

use crate::policy::pacing::Payer;

/// Most requests of one client that wait for its own rate.
pub const QUEUE_MAX: usize = 1024;

/// Longest wait of a request for its client's rate: below the 60 seconds that some clients wait for
/// the first byte.
const WAIT_MAX: Duration = Duration::from_secs(50);

/// When a client whose queue is full may come again.
const COME_AGAIN: Duration = Duration::from_secs(10);

/// When a client that must not wait in it may come again.
const SOON: Duration = Duration::from_secs(1);

/// Why a request is refused for now: its client asks too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// The setting that says how much it may ask.
    pub setting: &'static str,
    /// When it may come again.
    pub retry_after: Duration,
}

/// The limits towards one feed.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// Bytes of this feed.
    pub feed: Option<Line>,
    /// Bytes of all feeds together.
    pub all: Option<Line>,
    /// Documents that each client has the feeds asked for.
    pub fetches: Option<Line>,
    /// Searches that each client has the feeds asked for.
    pub searches: Option<Arc<Allowance>>,
}

impl Upstream {
    /// What a body of `payer` pays; none when nothing is limited.
    pub fn toll(&self, payer: &Payer) -> Option<Toll> {
        Toll::of([self.feed.as_ref(), self.all.as_ref()], payer)
    }

    /// Lets a question to the feed pass: a search at once or not at all, anything else in its turn.
    ///
    /// # Errors
    /// [`Throttled`], when its client asks too much.
    pub async fn admit(&self, payer: &Payer, search: bool) -> Result<(), Throttled> {
        if matches!(payer, Payer::Background | Payer::Shared) {
            return Ok(());
        }
        match (search, &self.searches, &self.fetches) {
            (true, Some(searches), _) => searches.take(payer),
            (false, _, Some(fetches)) => queue(fetches, payer, "clients.fetches_per_second").await,
            _ => Ok(()),
        }
    }
}

/// The limits towards clients.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// Bytes to clients.
    pub bytes: Option<Line>,
    /// Requests of each client.
    pub requests: Option<Line>,
    /// Searches and pushes of each client.
    pub searches: Option<Arc<Allowance>>,
}

/// The setting of [`Clients::requests`].
const REQUESTS: &str = "clients.requests_per_second";

impl Clients {
    /// Whether anything is limited that a restore asks for.
    pub const fn is_limited(&self) -> bool {
        self.bytes.is_some() || self.requests.is_some()
    }

    /// Waits until it is the turn of a request.
    ///
    /// # Errors
    /// [`Throttled`], when its client asks too much.
    pub async fn admit(&self, payer: &Payer) -> Result<(), Throttled> {
        match &self.requests {
            Some(requests) => queue(requests, payer, REQUESTS).await,
            None => Ok(()),
        }
    }
}

impl Clients {
    /// Lets a request pass if it is its turn at once.
    ///
    /// # Errors
    /// [`Throttled`], when its client asks too much.
    pub fn admit_now(&self, payer: &Payer) -> Result<(), Throttled> {
        let Some(requests) = &self.requests else {
            return Ok(());
        };
        match requests.turn(payer.clone()).take(1, false).now_or_never() {
            Some(Some(_)) => Ok(()),
            Some(None) | None => Err(Throttled {
                setting: REQUESTS,
                retry_after: SOON,
            }),
        }
    }
}

async fn queue(line: &Line, payer: &Payer, setting: &'static str) -> Result<(), Throttled> {
    let mut turn = line.turn(payer.clone());
    match tokio::time::timeout(WAIT_MAX, turn.take(1, false)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) | Err(_) => Err(Throttled {
            setting,
            retry_after: COME_AGAIN,
        }),
    }
}
