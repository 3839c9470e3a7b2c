//! What commands do with a cache, beside a running daemon or without one.
//!
//! An [`Order`] goes in, [`Event`]s come out, the last of them the report or why there is none.
//! With a daemon both travel over its control socket; without, the command does the same by itself.
//! Everything works in small steps: neither the writer of the index nor the runtime waits for a
//! command, and one whose listener has gone stops at the next step.

mod bundle;
mod order;
mod packages;
mod pins;
mod purge;
mod repair;
mod room;
mod stats;
mod verify;
mod warm;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

pub use bundle::{Export, Import, PublicKey, SigningKey};
pub use order::{
    Amount, Amounts, Event, Exported, FeedState, Finding, Imported, NotWarmed, Order, PinReport,
    Purged, Report, Room, SinceStart, Stats, Verified, Warm, Warmed, date,
};
pub use packages::{CachedPackage, Document, Listed, Listing};
pub use pins::renew as renew_pins;

use crate::clock::Time;
use crate::entry::Digest;
use crate::group::Group;
use crate::nuget::route;
use crate::store::{Quota, Row, Store, StoreError};

/// Entries read at a time.
const PAGE: u64 = 512;

/// Events that wait for a listener; the command waits with them.
pub const EVENTS: usize = 64;

/// How long a listener may keep an event waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// What commands work on.
#[derive(Clone)]
pub struct Cache {
    /// The store.
    pub store: Store,
    /// How much it may hold, as far as is known now.
    pub quota: Arc<ArcSwap<Quota>>,
    /// The names of the feeds, in the order of precedence.
    pub feeds: Arc<[String]>,
    /// The daemon, if it is one that does the work.
    pub running: Option<Running>,
}

/// A daemon that serves from the cache.
#[derive(Clone)]
pub struct Running {
    /// Its feeds.
    pub group: Group,
    /// When it started.
    pub started_at: Time,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
    #[error("nobody listens any more")]
    Deserted,
}

/// Where events go.
struct Events {
    sender: mpsc::Sender<Event>,
    /// Thousandths of the way that were told last.
    told: AtomicU64,
}

impl Events {
    fn new(sender: mpsc::Sender<Event>) -> Self {
        let told = AtomicU64::new(u64::MAX);
        Self { sender, told }
    }

    /// Fails when nobody listens, so that a command ends with who gave it.
    async fn tell(&self, event: Event) -> Result<(), Failure> {
        let sent = self.sender.send_timeout(event, PATIENCE).await;
        sent.map_err(|_| Failure::Deserted)
    }

    /// Told a thousand times at most, and to the end.
    async fn progress(&self, done: u64, of: u64) -> Result<(), Failure> {
        if self.sender.is_closed() {
            return Err(Failure::Deserted);
        }
        let done = done.min(of);
        let part = done.saturating_mul(1000) / of.max(1);
        if self.told.swap(part, Ordering::Relaxed) == part {
            return Ok(());
        }
        self.tell(Event::Progress { done, of }).await
    }
}

impl Cache {
    /// Carries an order out; the last event is its end. It stops when the receiver is dropped.
    pub async fn carry_out(self, order: Order, events: mpsc::Sender<Event>) {
        let events = Events::new(events);
        let done = match order {
            Order::Stats => self.stats().await.map(Box::new).map(Report::Stats),
            Order::Gc {
                dry_run,
                size_max,
                damaged,
            } => {
                let room = self.make_room(dry_run, (size_max, damaged), &events).await;
                room.map(Report::Room)
            }
            Order::Verify { repair } => self.verify(repair, &events).await.map(Report::Verified),
            Order::Purge { subject, dry_run } => {
                let purged = self.purge(&subject, dry_run, &events).await;
                purged.map(Report::Purged)
            }
            Order::Pin { subjects } => self.pin(&subjects).await.map(Report::Pins),
            Order::Unpin { subjects } => self.unpin(&subjects).await.map(Report::Pins),
            Order::Pins => self.pinned().await.map(Report::Pins),
            Order::Warm(warm) => self.warm(warm, &events).await.map(Report::Warmed),
            Order::Export(order) => self.export(order, &events).await.map(Report::Exported),
            Order::Import(order) => self.import(order, &events).await.map(Report::Imported),
        };
        let last = match done {
            Ok(report) => Event::Done(report),
            Err(failure) => Event::Failed(failure.to_string()),
        };
        // Whoever listened may have gone.
        let _ = events.tell(last).await;
    }

    /// Carries an order out whose events on the way nobody wants to hear.
    ///
    /// # Errors
    /// Why it is not done, for people.
    pub async fn finish(self, order: Order) -> Result<Report, String> {
        let (sender, mut events) = mpsc::channel(EVENTS);
        let last = async {
            let mut last = None;
            while let Some(event) = events.recv().await {
                last = Some(event);
            }
            last
        };
        match tokio::join!(self.carry_out(order, sender), last).1 {
            Some(Event::Done(report)) => Ok(report),
            Some(Event::Failed(why)) => Err(why),
            _ => Err("the order broke off".to_owned()),
        }
    }

    /// Calls `each` for every entry whose key begins with `prefix`, some at a time.
    async fn for_each_row(&self, prefix: &str, mut each: impl FnMut(&Row)) -> Result<(), Failure> {
        let mut after = String::new();
        loop {
            let rows = self.store.rows(prefix, &after, PAGE).await?;
            rows.iter().for_each(&mut each);
            match rows.last() {
                Some(last) if rows.len() as u64 == PAGE => last.key.as_str().clone_into(&mut after),
                _ => return Ok(()),
            }
        }
    }
}

/// How many of those that name a body are left, while they are taken away one by one in thought.
#[derive(Default)]
struct Left(HashMap<Digest, u64>);

impl Left {
    /// Takes one away, and says whether it was the last.
    async fn is_last(&mut self, store: &Store, body: Digest) -> Result<bool, Failure> {
        let known = self.0.get(&body).copied();
        let named = match known {
            Some(named) => named,
            None => store
                .named(vec![body])
                .await?
                .first()
                .copied()
                .unwrap_or_default(),
        };
        let left = named.saturating_sub(1);
        if left == 0 {
            self.0.remove(&body);
        } else {
            self.0.insert(body, left);
        }
        Ok(left == 0)
    }
}

/// Kind of the document that an entry is about: the name of its rule in the protocol table.
fn kind_of(row: &Row) -> &'static str {
    let read = route::read_key(&row.key);
    read.map_or("other", |(_, target)| target.rule.name)
}
