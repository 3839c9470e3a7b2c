//! Makes room: what was not used for longest goes first, in small steps between other writes.
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
use super::hot::Hot;
use super::quota::{Excess, Quota, excess};
use super::records;
use super::responses;
use super::table::{self, Totals};
use crate::clock::Stopwatch;
use crate::entry::{Digest, Entry, Key, Stored};

/// The most entries that go in one transaction; other writes wait for no more than that.
const STEP: u64 = 64;

/// Between two times that room is made for others on the disk: files that clients still read take
/// room until they are closed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What making room needs to know and to tell.
pub(super) struct Evictor {
    quota: Quota,
    dir: PathBuf,
    bodies: Arc<Bodies>,
    memory: Memory,
    evictions: IntCounter,
    /// What is still to go of what was too much.
    goal: Option<Excess>,
    /// When room was made for others on the disk.
    made_room: Option<Stopwatch>,
}

/// The entries in memory.
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) hot: Cache<Key, Arc<Hot>>,
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
            goal: None,
            made_room: None,
        }
    }

    /// Removes a few entries if there is too much, and keeps `totals` right. Says whether more
    /// have to go.
    pub(super) fn step(
        &mut self,
        db: &mut Connection,
        totals: &mut Totals,
    ) -> rusqlite::Result<bool> {
        let Some(goal) = self.goal.take().or_else(|| self.excess(totals)) else {
            return Ok(false);
        };
        let held = |totals: &Totals| {
            if goal.queries {
                totals.queries_bytes
            } else {
                totals.bodies_bytes
            }
        };
        let (mut after, mut gone, mut unnamed) = (*totals, Vec::new(), Vec::new());
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !goal.queries && after.responses > 0 {
            // What raw routes keep goes before packages: its upstreams are asked again anyway.
            let bodies = responses::drop_oldest(&transaction, STEP, &mut after)?;
            unnamed.extend(bodies);
        }
        let victims = table::least_used(&transaction, goal.queries, STEP)?;
        for (key, body) in victims {
            if held(totals) - held(&after) >= goal.bytes {
                break;
            }
            table::remove(&transaction, &key, &mut after)?;
            if !table::is_named(&transaction, &body.digest)? {
                unnamed.push(body);
            }
            gone.push(key);
        }
        transaction.commit()?;
        let freed = held(totals).saturating_sub(held(&after));
        *totals = after;
        let progress = !gone.is_empty() || !unnamed.is_empty();
        if progress && freed < goal.bytes {
            let bytes = goal.bytes - freed;
            self.goal = Some(Excess { bytes, ..goal });
        }
        self.evictions.inc_by(gone.len() as u64);
        self.let_go(&gone, &unnamed);
        Ok(self.goal.is_some())
    }

    /// The entries in memory.
    pub(super) fn known(&self) -> impl Iterator<Item = (Key, Arc<Entry>)> {
        let hot = self.memory.hot.iter();
        hot.map(|(key, hot)| (Key::clone(&key), Arc::clone(&hot.entry)))
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
        excess(&self.quota, totals, free)
    }

    /// Entries leave memory before their bodies leave the disk.
    fn let_go(&self, gone: &[Key], unnamed: &[Stored]) {
        // An older row can no longer be put into memory.
        *self
            .memory
            .forgotten
            .write()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        for key in gone {
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
fn free_bytes(dir: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
