//! Looks for the packages of an index that was lost, while the store is already in use.
//!
//! Threads of their own read; the writer writes. What was stored anew meanwhile stays as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::database;
use super::order::{Order, Task};
use super::records;
use crate::entry::{Entry, Key};

/// Records written in one transaction.
const BATCH: usize = 256;

/// Name of the note that the index is not complete yet.
pub(super) const NOTE: &str = "rebuild";

/// What [`NOTE`] says as long as that is so.
pub(super) const DUE: &[u8] = b"due";

/// What looking for packages needs.
pub(super) struct Rebuild {
    /// The database.
    pub(super) path: PathBuf,
    /// Where bodies and records are.
    pub(super) root: Arc<Path>,
    /// How often the database was replaced.
    pub(super) generation: Arc<AtomicU64>,
    /// The writer's queue.
    pub(super) orders: mpsc::WeakSender<Order>,
    /// Whether packages are being looked for: as long, a body without an entry may be one of theirs.
    pub(super) running: Arc<AtomicBool>,
}

impl Rebuild {
    /// One whose writer is gone.
    #[cfg(test)]
    pub(super) fn idle(dir: &Path) -> Self {
        Self {
            path: dir.join("index"),
            root: dir.into(),
            generation: Arc::default(),
            orders: mpsc::channel(1).0.downgrade(),
            running: Arc::default(),
        }
    }

    /// Looks for all packages, in a thread of its own.
    pub(super) fn start(&self) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let (root, running) = (Arc::clone(&self.root), Arc::clone(&self.running));
        let (orders, generation) = (self.orders.clone(), Arc::clone(&self.generation));
        spawn("rebuild", move || {
            while let Some(orders) = orders.upgrade() {
                let of = generation.load(Ordering::Acquire);
                let Some(found) = find(&root, &orders) else {
                    break;
                };
                // Else the new database was lost as well meanwhile.
                if of == generation.load(Ordering::Acquire) {
                    tracing::info!(found, "the packages of the lost index were found again");
                    send(&orders, Task::Remember(NOTE.to_owned(), Vec::new()));
                    break;
                }
            }
            running.store(false, Ordering::Release);
        });
    }

    /// Reads the whole database, in a thread of its own, and has it replaced if it is damaged.
    pub(super) fn check(&self) {
        let (path, generation) = (self.path.clone(), self.generation.load(Ordering::Acquire));
        let orders = self.orders.clone();
        spawn("check", move || {
            let Err(error) = database::check(&path) else {
                return;
            };
            tracing::warn!(%error, "the index was checked after an unclean end");
            if database::is_damaged(&error)
                && let Some(orders) = orders.upgrade()
            {
                send(&orders, Task::Replace(generation));
            }
        });
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(name.to_owned());
    if let Err(error) = thread.spawn(work) {
        tracing::warn!(%error, "the index is not looked after");
    }
}

/// Brings the entries of all records to the writer; `None` when the store was closed meanwhile.
fn find(root: &Path, orders: &mpsc::Sender<Order>) -> Option<usize> {
    let mut found = 0;
    let mut batch: Vec<(Key, Arc<Entry>)> = Vec::new();
    let mut open = true;
    records::walk(root, |key, entry| {
        batch.push((key, Arc::new(entry)));
        if batch.len() >= BATCH {
            found += batch.len();
            open = send(orders, Task::Restore(std::mem::take(&mut batch)));
        }
        open
    });
    found += batch.len();
    (open && send(orders, Task::Restore(batch))).then_some(found)
}

/// Waits until the order was carried out; says whether it was.
fn send(orders: &mpsc::Sender<Order>, task: Task) -> bool {
    let (answer, done) = oneshot::channel();
    let order = Order { task, answer };
    orders.blocking_send(order).is_ok() && matches!(done.blocking_recv(), Ok(Ok(_)))
}
