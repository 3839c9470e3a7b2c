//! Makes bodies survive a power cut, many at a time and off everybody's way.
//!
//! One thread syncs whatever waits: first the files, then each of their folders once. Nobody waits
//! longer than a second for a slow disk: then a body counts as stored unsynced. That is safe, for a
//! body that this process did not write is verified before the end of it leaves; it only may have to
//! be fetched anew after a power cut.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::oneshot;

use super::content::Written;
use super::error::StoreError;

/// How many bodies may wait; the next is stored unsynced.
const QUEUE: usize = 256;

/// The most bodies in one go.
const BATCH: usize = 64;

/// The longest wait for the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread that syncs.
pub(super) struct Syncer {
    queue: Mutex<Option<SyncSender<Order>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    unsynced: IntCounter,
    patience: Duration,
}

/// A body to be synced, and where the answer goes.
struct Order {
    written: Written,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Syncer {
    /// Starts the thread; `unsynced` counts bodies that were not waited for.
    pub(super) fn start(root: &Path, unsynced: IntCounter) -> Result<Self, StoreError> {
        let (queue, orders) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sync".to_owned())
            .spawn(move || run(&orders))
            .map_err(|error| StoreError::io("start the syncing of", root, error))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            unsynced,
            patience: PATIENCE,
        })
    }

    /// Syncs a body, or gives up waiting for it.
    pub(super) async fn sync(&self, written: Written) -> Result<(), StoreError> {
        let (answer, synced) = oneshot::channel();
        if self.try_send(Order { written, answer })?
            && let Ok(answered) = tokio::time::timeout(self.patience, synced).await
        {
            return answered.map_err(|_| StoreError::closed())?;
        }
        self.unsynced.inc();
        Ok(())
    }

    /// Says whether there was room in the queue.
    fn try_send(&self, order: Order) -> Result<bool, StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or_else(StoreError::closed)?;
        match queue.try_send(order) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::closed()),
        }
    }

    /// Syncs what waits and takes nothing more; blocks.
    pub(super) fn close(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // One that panicked has nothing left to sync.
            let _ = thread.join();
        }
    }
}

fn run(orders: &Receiver<Order>) {
    let mut batch = Vec::new();
    while let Ok(first) = orders.recv() {
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(next) = orders.try_recv()
        {
            batch.push(next);
        }
        work(&mut batch);
    }
}

fn work(batch: &mut Vec<Order>) {
    let mut folders = BTreeSet::new();
    let mut written = Vec::new();
    for order in batch.drain(..) {
        match sync(&order.written.path) {
            Ok(()) => {
                folders.extend(order.written.folders.iter().cloned());
                written.push(order);
            }
            Err(error) => order.fail(error),
        }
    }
    let failed: BTreeSet<PathBuf> = folders
        .into_iter()
        .filter(|folder| sync(folder).is_err())
        .collect();
    for order in written {
        match order.written.folders.iter().find(|it| failed.contains(*it)) {
            None => drop(order.answer.send(Ok(()))),
            Some(folder) => {
                let error = std::io::Error::other("its names were not synced");
                let error = StoreError::io("sync", folder, error);
                order.fail(error);
            }
        }
    }
}

impl Order {
    /// What the kernel could not write it may show as written: such a body must not stay.
    fn fail(self, error: StoreError) {
        if let Err(error) = std::fs::remove_file(&self.written.path) {
            tracing::warn!(%error, "a body that could not be synced could not be removed");
        }
        if let Err(Err(error)) = self.answer.send(Err(error)) {
            tracing::error!(%error, "a stored body could not be synced; it was removed");
        }
    }
}

/// Makes a file, or the names in a folder, survive a power cut.
fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::io("sync", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path, name: &str) -> Written {
        let path = dir.join(name);
        std::fs::write(&path, name).unwrap();
        Written {
            path,
            folders: vec![dir.to_owned()],
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("unsynced", "x").unwrap()
    }

    #[tokio::test]
    async fn what_waits_is_synced_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let syncer = Syncer::start(dir.path(), counter()).unwrap();
        let all = (0..100).map(|number| syncer.sync(written(dir.path(), &number.to_string())));
        let all = futures_util::future::join_all(all).await;
        assert!(all.into_iter().all(|synced| synced.is_ok()));
        syncer.close();
        syncer.close();
        let late = syncer.sync(written(dir.path(), "late")).await;
        assert!(late.is_err());
        assert_eq!(syncer.unsynced.get(), 0);
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_synced_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let syncer = Syncer::start(dir.path(), counter()).unwrap();
        let lost = Written {
            folders: vec![dir.path().join("nowhere")],
            ..written(dir.path(), "a")
        };
        let path = lost.path.clone();
        assert!(syncer.sync(lost).await.is_err());
        assert!(!path.exists());
        assert!(syncer.sync(written(dir.path(), "b")).await.is_ok());
    }

    #[tokio::test]
    async fn a_disk_that_hangs_is_not_waited_for() {
        let (queue, orders) = sync_channel(1);
        let syncer = Syncer {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::default(),
            unsynced: counter(),
            patience: Duration::from_millis(1),
        };
        let dir = tempfile::tempdir().unwrap();
        let waiting = syncer.sync(written(dir.path(), "slow"));
        let crowded = async {
            tokio::task::yield_now().await;
            syncer.sync(written(dir.path(), "more")).await
        };
        let both = tokio::join!(waiting, crowded);
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(syncer.unsynced.get(), 2);
        drop(orders);
    }
}
