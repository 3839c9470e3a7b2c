//! Makes room: what was not used for longest goes first, in small steps between other writes. What
//! is pinned stays.
//!
//! Runs in the writer's thread, so that no entry can come to name a body while it is decided that
//! none does. A body that is just being sealed stays: its entry is on the way.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::sync::Cache;
use prometheus::IntCounter;
use rusqlite::{Connection, TransactionBehavior};

use super::StoreOptions;
use super::bodies::Bodies;
use super::hot::HotEntry;
use super::pins::{self, Pinned};
use super::quota::{Excess, Quota, excess};
use super::records;
use super::responses;
use super::table::{self, Totals};
use crate::clock::{Clock, Stopwatch};
use crate::entry::{Digest, Entry, Key, Stored};

/// The most entries that go in one transaction; other writes wait for no more than that.
pub const STEP: usize = 64;

/// The most entries that are looked at for it when some are pinned.
const LOOK: u64 = 512;

/// Between two times that room is made for others on the disk: files that clients still read take
/// room until they are closed. Also between two looks when all that is left is pinned.
const PATIENCE: Duration = Duration::from_secs(30);

/// What making room needs to know and to tell.
pub(super) struct Evictor {
    quota: Quota,
    dir: PathBuf,
    bodies: Arc<Bodies>,
    memory: Memory,
    evictions: IntCounter,
    pinned: Pinned,
    clock: Clock,
    /// What is still to go of what was too much.
    goal: Option<Goal>,
    /// When room was made for others on the disk.
    made_room: Option<Stopwatch>,
    /// When nothing was left that may go.
    exhausted: Option<Stopwatch>,
}

/// What has to go, and how far the search for it has come.
#[derive(Clone, Debug)]
pub struct Goal {
    pub(super) excess: Excess,
    /// Use and key of the entry looked at last; those before it are pinned.
    pub(super) after: (u64, String),
}

impl From<Excess> for Goal {
    fn from(excess: Excess) -> Self {
        let after = (0, String::new());
        Self { excess, after }
    }
}

impl Goal {
    /// How many bytes have to go.
    pub const fn bytes(&self) -> u64 {
        self.excess.bytes
    }

    /// Whether only answers to queries have to go.
    pub const fn is_of_queries(&self) -> bool {
        self.excess.queries
    }

    /// The same when this many bytes have gone already; `None` when that is enough.
    pub fn less(mut self, bytes: u64) -> Option<Self> {
        self.excess.bytes = self.excess.bytes.saturating_sub(bytes);
        (self.excess.bytes > 0).then_some(self)
    }
}

/// What went in one step.
#[derive(Debug, Default)]
pub struct Evicted {
    /// The entries, and the bodies that they named.
    pub entries: Vec<(Key, Stored)>,
    /// Responses of raw routes.
    pub responses: u64,
    /// Bytes of bodies that no entry names any more.
    pub bytes: u64,
    /// What is still to go, if something is left that may.
    pub rest: Option<Goal>,
}

/// The entries in memory.
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) hot: Cache<Key, Arc<HotEntry>>,
    /// Counts removals; held while memory is filled from a row.
    pub(super) forgotten: Arc<RwLock<u64>>,
}

impl Evictor {
    pub(super) fn new(options: StoreOptions, bodies: Arc<Bodies>, memory: Memory) -> Self {
        Self {
            quota: options.quota,
            dir: options.dir,
            bodies,
            memory,
            evictions: options.evictions,
            pinned: Pinned::default(),
            clock: options.clock,
            goal: None,
            made_room: None,
            exhausted: None,
        }
    }

    /// Removes a few entries if there is too much, and keeps `totals` right. Says whether more
    /// have to go.
    pub(super) fn step(
        &mut self,
        db: &mut Connection,
        totals: &mut Totals,
    ) -> rusqlite::Result<bool> {
        let excess = |this: &mut Self| this.excess(totals).map(Goal::from);
        let Some(goal) = self.goal.take().or_else(|| excess(self)) else {
            return Ok(false);
        };
        let wanted = goal.bytes();
        let evicted = self.evict(db, totals, goal)?;
        if evicted.rest.is_none() && evicted.bytes < wanted && !self.pinned.is_empty() {
            self.exhausted = Some(Stopwatch::start());
        }
        self.goal = evicted.rest;
        Ok(self.goal.is_some())
    }

    /// Keeps no more than this from the next step on.
    pub(super) fn limit(&mut self, quota: Quota) {
        self.quota = quota;
        self.goal = None;
        self.exhausted = None;
    }

    /// Removes a few entries towards `goal`, whatever the quota says, and keeps `totals` right.
    pub(super) fn evict(
        &mut self,
        db: &mut Connection,
        totals: &mut Totals,
        mut goal: Goal,
    ) -> rusqlite::Result<Evicted> {
        let Excess { queries, bytes } = goal.excess;
        let held = |totals: &Totals| {
            if queries {
                totals.queries_bytes
            } else {
                totals.bodies_bytes
            }
        };
        let (mut after, mut gone, mut unnamed) = (*totals, Vec::new(), Vec::new());
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !queries && after.responses > 0 {
            // What raw routes keep goes before packages: its upstreams are asked again anyway.
            let bodies = responses::drop_oldest(&transaction, STEP as u64, &mut after)?;
            unnamed.extend(bodies);
        }
        table::forget_future_uses(&transaction, self.clock.now())?;
        let look = self.pinned.is_empty().then_some(STEP as u64);
        let look = look.unwrap_or(LOOK);
        let victims = table::least_used(&transaction, queries, &goal.after, look)?;
        let more = victims.len() as u64 == look;
        for (key, body, used_at) in victims {
            if held(totals).saturating_sub(held(&after)) >= bytes || gone.len() == STEP {
                break;
            }
            goal.after = (used_at, key.as_str().to_owned());
            if self.pinned.covers(key.as_str()) {
                continue;
            }
            table::remove(&transaction, &key, &mut after)?;
            if !table::is_named(&transaction, &body.digest)? {
                unnamed.push(body);
            }
            gone.push((key, body));
        }
        transaction.commit()?;
        let freed = held(totals).saturating_sub(held(&after));
        let responses = totals.responses - after.responses;
        *totals = after;
        let progress = more || !gone.is_empty() || !unnamed.is_empty();
        self.evictions.inc_by(gone.len() as u64);
        self.let_go(&gone, &unnamed);
        goal.excess.bytes = bytes.saturating_sub(freed);
        Ok(Evicted {
            entries: gone,
            responses,
            bytes: freed,
            rest: (progress && freed < bytes).then_some(goal),
        })
    }

    /// Learns from the index what is pinned.
    pub(super) fn learn_pins(&mut self, db: &Connection) {
        match pins::prefixes(db) {
            Ok(prefixes) => self.pinned = Pinned::new(prefixes),
            Err(error) => tracing::warn!(%error, "what is pinned could not be read"),
        }
        self.exhausted = None;
    }

    /// Removes the bodies that were not used for longest, although their entries stay: for a disk so
    /// full that the index cannot be written. Whoever asks for one finds it missing, and it is fetched
    /// anew.
    pub(super) fn make_room_for_index(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.made_room = None;
        let victims = table::least_used(db, false, &(0, String::new()), LOOK)?;
        let gone: Vec<_> = victims
            .into_iter()
            .filter(|(key, ..)| !self.pinned.covers(key.as_str()))
            .map(|(key, body, _)| (key, body))
            .take(STEP)
            .collect();
        let bodies: Vec<_> = gone.iter().map(|(_, body)| *body).collect();
        self.evictions.inc_by(gone.len() as u64);
        self.let_go(&gone, &bodies);
        Ok(())
    }

    /// The entries in memory.
    pub(super) fn known(&self) -> impl Iterator<Item = (Key, Arc<Entry>)> {
        let hot = self.memory.hot.iter();
        hot.map(|(key, hot)| (Key::clone(&key), Arc::clone(hot.entry())))
    }

    /// Removes a body unless an entry names it or is about to; says whether it did.
    pub(super) fn remove_unnamed(&self, db: &Connection, body: &Digest) -> bool {
        matches!(table::is_named(db, body), Ok(false)) && self.unlink(body)
    }

    fn excess(&mut self, totals: &Totals) -> Option<Excess> {
        let waits = |since: &Stopwatch| since.elapsed() < PATIENCE;
        let free = if self.made_room.as_ref().is_some_and(waits) {
            None
        } else {
            free_bytes(&self.dir)
        };
        if free.is_some_and(|free| free < self.quota.free_min) {
            self.made_room = Some(Stopwatch::start());
        }
        let excess = excess(&self.quota, totals, free)?;
        // Nothing but pinned bodies was left a moment ago.
        let exhausted = self.exhausted.as_ref().is_some_and(waits);
        (excess.queries || !exhausted).then_some(excess)
    }

    /// Entries leave memory before their bodies leave the disk.
    fn let_go(&self, gone: &[(Key, Stored)], unnamed: &[Stored]) {
        // An older row can no longer be put into memory.
        *self
            .memory
            .forgotten
            .write()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        for (key, _) in gone {
            self.memory.hot.invalidate(key);
            records::remove(&self.bodies.root, key);
        }
        for body in unnamed {
            self.unlink(&body.digest);
        }
    }

    fn unlink(&self, body: &Digest) -> bool {
        self.bodies.unlink(body).unwrap_or_else(|error| {
            tracing::warn!(%error, "a body that no entry names could not be removed");
            false
        })
    }

    /// One that has nothing to do.
    #[cfg(test)]
    pub(super) fn idle(dir: &std::path::Path) -> Self {
        let options = super::tests::options(dir);
        let bodies = Arc::new(Bodies::new(dir.to_owned(), &options).unwrap());
        let memory = Memory {
            hot: Cache::new(1),
            forgotten: Arc::default(),
        };
        Self::new(options, bodies, memory)
    }
}

/// What is left on the disk for those without privileges.
pub(super) fn free_bytes(dir: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
