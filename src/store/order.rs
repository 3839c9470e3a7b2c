//! What the writer of the index can be told to do.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::error::StoreError;
use super::evict::{Evicted, Goal};
use super::quota::Quota;
use super::table::Totals;
use crate::clock::Time;
use crate::entry::{Digest, Entry, Kept, Key};

/// How many orders may wait; whoever brings more waits with them.
pub(super) const QUEUE: usize = 1024;

/// Something to write, and where the answer goes.
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// What to write.
pub(super) enum Task {
    Put(Key, Arc<Entry>),
    /// The same, with a record from which it can be had again when the index is lost.
    PutLasting(Key, Arc<Entry>),
    /// Entries from their records, where there are none yet.
    Restore(Vec<(Key, Arc<Entry>)>),
    /// Put the database aside, if it is still the one of this generation.
    Replace(u64),
    Forget(String),
    Remove(Key),
    Touch(Key, Time),
    /// Remove the body unless an entry names it.
    RemoveOrphan(Digest),
    Remember(String, Vec<u8>),
    /// A response, by URI and variant.
    Keep(String, String, Arc<Kept>),
    /// All responses of a URI.
    ForgetResponses(String),
    /// Pin what these prefixes cover, by the name of the pin; over what the name had.
    Pin(String, Vec<String>),
    Unpin(String),
    /// Remove a few entries, whatever the quota says; what went is put there.
    Evict(Goal, Arc<Mutex<Evicted>>),
    /// Keep no more than this from now on.
    Limit(Quota),
    /// Nothing; answered after everything before it is committed.
    Sync,
    /// Answered after everything before it is committed and the database is closed.
    Close,
}

/// Totals as others see them.
pub(super) type SharedTotals = Arc<Mutex<Totals>>;

impl Order {
    pub(super) fn reply(self, answer: Result<u64, StoreError>) {
        // Whoever asked may have gone; the order was carried out all the same.
        let _ = self.answer.send(answer);
    }
}
