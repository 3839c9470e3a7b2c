//! The one thread that writes the index.
//!
//! Whatever is queued when it gets to work becomes one transaction, so a burst of entries costs one
//! commit. Every order is answered after its commit; when the transaction fails, every order in it
//! gets the error and the totals stay what they were.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;

use super::database;
use super::error::{StoreError, StoreErrorKind};
use super::evict::Evictor;
use super::order::{Order, SharedTotals, Task};
use super::rebuild::{DUE, NOTE, Rebuild};
use super::records;
use super::table::{self, Totals};
use super::{pins, responses};
use crate::clock::Stopwatch;
use crate::entry::{Entry, Key, Stored};

/// The most orders in one transaction.
const BATCH: usize = 512;

/// How many remembered 404s are kept.
const ABSENT: u64 = 10_000;

/// How long a body stays after its entry was written anew.
const REPLACED: Duration = Duration::from_secs(5);

/// The state of the thread.
pub(super) struct Writer {
    db: Connection,
    totals: SharedTotals,
    evictor: Evictor,
    /// Bodies that an entry named until it was written anew, and since when.
    replaced: VecDeque<(Stopwatch, Stored)>,
    /// Whether the last write failed.
    failing: bool,
    rebuild: Rebuild,
}

/// What a transaction did beside its answers.
#[derive(Default)]
struct Changes {
    /// Bodies that lost their last entry by being replaced.
    unnamed: Vec<Stored>,
    /// Keys that lost their entry.
    gone: Vec<Key>,
}

impl Writer {
    pub(super) fn new(
        db: Connection,
        totals: SharedTotals,
        evictor: Evictor,
        rebuild: Rebuild,
    ) -> Self {
        Self {
            db,
            totals,
            evictor,
            replaced: VecDeque::new(),
            failing: false,
            rebuild,
        }
    }

    /// Looks for packages if the database is `new` or not complete yet, and for damage if its last
    /// user was cut off.
    pub(super) fn begin(&mut self, new: bool, cut_off: bool) {
        let due = || matches!(table::recall(&self.db, NOTE), Ok(Some(note)) if note == DUE);
        if (new && records::exist(&self.rebuild.root)) || due() {
            self.find_packages();
        }
        if cut_off && !new {
            self.rebuild.check();
        }
    }

    fn find_packages(&self) {
        if let Err(error) = table::remember(&self.db, NOTE, DUE) {
            tracing::warn!(%error, "packages are not looked for again after a restart");
        }
        self.rebuild.start();
    }

    /// Says whether there is another database now.
    fn replace_if_damaged(&mut self, why: &rusqlite::Error) -> bool {
        if !database::is_damaged(why) {
            return false;
        }
        let replaced = self.replace(why);
        if let Err(error) = &replaced {
            tracing::error!(%error, "the damaged index could not be replaced");
        }
        replaced.is_ok()
    }

    /// Puts the database aside for an empty one, which gets what is in memory, and has packages
    /// looked for.
    fn replace(&mut self, why: &rusqlite::Error) -> Result<(), StoreError> {
        self.db = Connection::open_in_memory()
            .map_err(|error| StoreError::index("close index", error))?;
        self.db = database::replace(&self.rebuild.path, why)?;
        self.rebuild.generation.fetch_add(1, Ordering::AcqRel);
        let mut totals = Totals::default();
        let known: Vec<_> = self.evictor.known().collect();
        let kept = known
            .chunks(BATCH)
            .try_for_each(|some| restore(&mut self.db, some, &mut totals));
        if let Err(error) = kept {
            tracing::warn!(%error, "what was in memory could not be written to the new index");
        }
        self.publish(totals);
        self.find_packages();
        Ok(())
    }

    /// Works until told to close or until nobody can bring orders any more.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        self.evictor.learn_pins(&self.db);
        match table::count(&self.db) {
            Ok(totals) => self.publish(totals),
            Err(error) => {
                tracing::warn!(%error, "the store's totals could not be counted");
                self.replace_if_damaged(&error);
            }
        }
        let mut batch = Vec::new();
        loop {
            // Room is made in small steps, so that whoever waits for a write waits for one of them.
            let crowded = self.make_room();
            match if crowded {
                orders.try_recv().ok()
            } else {
                orders.blocking_recv()
            } {
                Some(first) => batch.push(first),
                None if crowded && !orders.is_closed() => continue,
                None => return,
            }
            while batch.len() < BATCH
                && let Ok(next) = orders.try_recv()
            {
                batch.push(next);
            }
            let close = batch
                .iter()
                .position(|order| matches!(order.task, Task::Close))
                .and_then(|at| batch.drain(at..).next());
            self.work(&mut batch);
            let patience = if close.is_some() {
                Duration::ZERO
            } else {
                REPLACED
            };
            self.sweep(patience);
            if let Some(close) = close {
                drop(self);
                close.reply(Ok(0));
                return;
            }
        }
    }

    /// Removes a few entries if there is too much; says whether more have to go.
    fn make_room(&mut self) -> bool {
        let mut totals = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let crowded = self.evictor.step(&mut self.db, &mut totals);
        self.publish(totals);
        crowded.unwrap_or_else(|error| {
            if !self.replace_if_damaged(&error) {
                self.tell(&error);
            }
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
                && let Err(error) = self.evictor.make_room_for_index(&self.db)
            {
                self.tell(&error);
            }
            false
        })
    }

    fn work(&mut self, batch: &mut Vec<Order>) {
        let before = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = commit(&mut self.db, batch, before);
        if let Err(error) = &done
            && self.replace_if_damaged(error)
        {
            let before = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            done = commit(&mut self.db, batch, before);
        }
        match done {
            Ok((answers, changes, totals)) => {
                self.failing = false;
                self.publish(totals);
                let unnamed = changes.unnamed.into_iter();
                let unnamed = unnamed.map(|body| (Stopwatch::start(), body));
                self.replaced.extend(unnamed);
                for key in &changes.gone {
                    records::remove(&self.rebuild.root, key);
                }
                for (order, answer) in batch.drain(..).zip(answers) {
                    let answer = self.after_commit(&order.task, answer);
                    order.reply(answer);
                }
            }
            Err(error) => {
                self.tell(&error);
                let error = Arc::new(error);
                for order in batch.drain(..) {
                    order.reply(Err(failed(&error)));
                }
            }
        }
    }

    /// What an order asks for beside its part of the transaction.
    fn after_commit(&mut self, task: &Task, answer: u64) -> Result<u64, StoreError> {
        match task {
            Task::RemoveOrphan(_) if self.rebuild.running.load(Ordering::Acquire) => Ok(0),
            Task::RemoveOrphan(digest) => {
                Ok(u64::from(self.evictor.remove_unnamed(&self.db, digest)))
            }
            Task::Replace(of) if *of == self.rebuild.generation.load(Ordering::Acquire) => {
                let why = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                let replaced = self.replace(&rusqlite::Error::SqliteFailure(why, None));
                replaced.map(|()| 0)
            }
            Task::PutLasting(key, entry) => {
                if let Err(error) = records::write(&self.rebuild.root, key, entry) {
                    tracing::warn!(%error, "a package would be lost with the index");
                }
                Ok(answer)
            }
            Task::Pin(..) | Task::Unpin(_) => {
                self.evictor.learn_pins(&self.db);
                Ok(answer)
            }
            Task::Limit(quota) => {
                self.evictor.limit(*quota);
                Ok(answer)
            }
            Task::Evict(goal, evicted) => {
                let mut totals = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
                let went = self.evictor.evict(&mut self.db, &mut totals, goal.clone());
                self.publish(totals);
                let went = went.map_err(|error| failed(&Arc::new(error)))?;
                *evicted.lock().unwrap_or_else(PoisonError::into_inner) = went;
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    /// Removes bodies replaced at least `patience` ago: whoever looked up their entry before has
    /// opened them by then.
    fn sweep(&mut self, patience: Duration) {
        while let Some((since, body)) = self.replaced.front()
            && since.elapsed() >= patience
        {
            self.evictor.remove_unnamed(&self.db, &body.digest);
            self.replaced.pop_front();
        }
    }

    /// Logs the first failure of a row.
    fn tell(&mut self, error: &rusqlite::Error) {
        if !self.failing {
            tracing::warn!(%error, "the index cannot be written");
        }
        self.failing = true;
    }

    fn publish(&self, totals: Totals) {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }
}

fn commit(
    db: &mut Connection,
    batch: &[Order],
    mut totals: Totals,
) -> rusqlite::Result<(Vec<u64>, Changes, Totals)> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut changes = Changes::default();
    let answers = batch
        .iter()
        .map(|order| carry_out(&transaction, &order.task, &mut totals, &mut changes))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    table::bound_absent(&transaction, ABSENT, &mut totals)?;
    transaction.commit()?;
    Ok((answers, changes, totals))
}

/// Writes entries where there are none.
fn restore(
    db: &mut Connection,
    entries: &[(Key, Arc<Entry>)],
    totals: &mut Totals,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (key, entry) in entries {
        table::put(&transaction, key, entry, totals)?;
    }
    transaction.commit()
}

fn carry_out(
    db: &Connection,
    task: &Task,
    totals: &mut Totals,
    changes: &mut Changes,
) -> rusqlite::Result<u64> {
    match task {
        Task::Put(key, entry) | Task::PutLasting(key, entry) => {
            changes.unnamed.extend(table::put(db, key, entry, totals)?);
            Ok(0)
        }
        Task::Restore(entries) => {
            for (key, entry) in entries {
                if table::entry(db, key)?.is_none() {
                    table::put(db, key, entry, totals)?;
                }
            }
            Ok(0)
        }
        Task::Forget(prefix) => {
            let gone = table::forget(db, prefix, totals)?;
            let forgotten = gone.len() as u64;
            changes.gone.extend(gone);
            Ok(forgotten)
        }
        Task::Touch(key, at) => table::touch(db, key, *at).map(|()| 0),
        Task::Remove(key) => {
            changes.gone.push(key.clone());
            table::remove(db, key, totals).map(|()| 0)
        }
        Task::Remember(name, value) => table::remember(db, name, value).map(|()| 0),
        Task::Keep(uri, variant, kept) => {
            let gone = responses::keep(db, (uri, variant), kept, totals)?;
            changes.unnamed.extend(gone);
            Ok(0)
        }
        Task::ForgetResponses(uri) => {
            let gone = responses::forget(db, uri, totals)?;
            changes.unnamed.extend(gone);
            Ok(0)
        }
        Task::Pin(name, prefixes) => pins::put(db, name, prefixes),
        Task::Unpin(name) => pins::remove(db, name),
        // Done after the commit: entries of the same batch may name the body.
        Task::RemoveOrphan(_)
        | Task::Replace(_)
        | Task::Evict(..)
        | Task::Limit(_)
        | Task::Sync
        | Task::Close => Ok(0),
    }
}

fn failed(error: &Arc<rusqlite::Error>) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreErrorKind::Full,
        _ => StoreErrorKind::Index,
    };
    StoreError::index("write index", Arc::clone(error)).with_kind(kind)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::Time;

    #[test]
    fn absent_entries_stay_bounded() {
        let mut db = Connection::open_in_memory().unwrap();
        table::prepare(&db).unwrap();
        let orders = |range: std::ops::Range<u64>| -> Vec<Order> {
            range
                .map(|i| Order {
                    task: Task::Put(
                        Key::new(format!("f/{i}")),
                        Arc::new(Entry::absent(String::new(), Time::from_millis(i))),
                    ),
                    answer: oneshot::channel().0,
                })
                .collect()
        };
        let (answers, _, totals) = commit(&mut db, &orders(0..ABSENT), Totals::default()).unwrap();
        assert_eq!((answers.len() as u64, totals.absent), (ABSENT, ABSENT));
        let (_, _, totals) = commit(&mut db, &orders(ABSENT..ABSENT + 3), totals).unwrap();
        assert_eq!((totals.absent, totals.entries), (ABSENT, ABSENT));
        assert_eq!(totals, table::count(&db).unwrap());
        assert_eq!(table::entry(&db, &Key::new("f/2")).unwrap(), None);
        assert!(table::entry(&db, &Key::new("f/3")).unwrap().is_some());
    }

    #[test]
    fn a_transaction_that_fails_answers_everyone_and_changes_nothing() {
        let db = Connection::open_in_memory().unwrap();
        table::prepare(&db).unwrap();
        db.execute_batch("DROP TABLE notes").unwrap();
        let totals = SharedTotals::default();
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(
            db,
            Arc::clone(&totals),
            Evictor::idle(dir.path()),
            Rebuild::idle(dir.path()),
        );
        let entry = Arc::new(Entry::absent(String::new(), Time::default()));
        let tasks = [
            Task::Put(Key::new("f/x"), entry),
            Task::Remember("n".to_owned(), Vec::new()),
        ];
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        for task in tasks {
            let (answer, receiver) = oneshot::channel();
            batch.push(Order { task, answer });
            answers.push(receiver);
        }
        writer.work(&mut batch);
        for mut answer in answers {
            let error = answer.try_recv().unwrap().unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Index);
        }
        assert_eq!(*totals.lock().unwrap(), Totals::default());
        assert_eq!(table::entry(&writer.db, &Key::new("f/x")).unwrap(), None);
    }
}
