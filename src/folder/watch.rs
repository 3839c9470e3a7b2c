//! Notices what changes in a folder: a thread that scans when the kernel says so, and now and then
//! in any case.
//!
//! The kernel does not tell of changes that another machine makes, and watches a limited number of
//! folders; where it cannot be relied on, scans follow each other more closely. Invariant: while
//! nothing changes, scans take a small part of the time however many files there are.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use super::inventory::Inventory;
use super::scan::{RootId, Scanner};
use crate::clock::Stopwatch;

/// Changes that follow each other within this time are looked at together.
const QUIET: Duration = Duration::from_millis(20);
/// The longest a change waits for others.
const QUIET_MAX: Duration = Duration::from_millis(200);
/// Pause before the next scan where the kernel tells of changes: bounds, and multiple of the time
/// the last scan took.
const WATCHED: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_mins(5), 500);
/// The same where it does not.
const UNWATCHED: (Duration, Duration, u32) =
    (Duration::from_millis(800), Duration::from_mins(1), 50);
/// Pause after any scan: multiple of the time it took, and bound.
const REST: (u32, Duration) = (4, Duration::from_millis(300));

/// What is known of the folder.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// The first scan is under way.
    Unknown,
    /// What it holds.
    Here(Arc<Inventory>),
    /// Why it cannot be looked at.
    Gone(Arc<str>),
}

/// The latest view, and which request for a scan it answers.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// What is known.
    pub(super) view: View,
    /// Number of the last request made before the scan began.
    pub(super) answers: u64,
}

/// The other end of the thread; dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Watcher {
    state: watch::Receiver<State>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wake: SyncSender<()>,
    requests: AtomicU64,
    ended: AtomicBool,
    /// The kernel does not tell of everything.
    blind: AtomicBool,
}

impl Shared {
    fn wake(&self) {
        // A full queue has a wake-up in it already.
        let _ = self.wake.try_send(());
    }
}

impl Watcher {
    /// Begins to scan.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn start(root: &Path, feed: &str) -> std::io::Result<Self> {
        let (wake, woken) = mpsc::sync_channel(1);
        let shared = Arc::new(Shared {
            wake,
            requests: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            blind: AtomicBool::new(false),
        });
        let first = State {
            view: View::Unknown,
            answers: 0,
        };
        let (publish, state) = watch::channel(first);
        let task = Task {
            feed: feed.to_owned(),
            scanner: Scanner::new(root.to_owned()),
            shared: Arc::clone(&shared),
            publish,
            watch: None,
        };
        let root = root.to_owned();
        std::thread::Builder::new()
            .name("folder".to_owned())
            .spawn(move || task.run(&root, &woken))?;
        Ok(Self { state, shared })
    }

    /// The latest view.
    pub(super) fn latest(&self) -> View {
        self.state.borrow().view.clone()
    }

    /// The latest view, once there is one.
    pub(super) async fn view(&self) -> View {
        let known = |state: &State| !matches!(state.view, View::Unknown);
        self.wait(known).await
    }

    /// The view of a scan that begins after this call.
    pub(super) async fn look_again(&self) -> View {
        let request = self.shared.requests.fetch_add(1, Ordering::SeqCst) + 1;
        self.shared.wake();
        self.wait(move |state| state.answers >= request).await
    }

    async fn wait(&self, until: impl FnMut(&State) -> bool) -> View {
        let mut state = self.state.clone();
        let found = state.wait_for(until).await;
        match found {
            Ok(state) => state.view.clone(),
            Err(_) => View::Gone(Arc::from("the thread that looks at it has ended")),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

/// The thread.
struct Task {
    feed: String,
    scanner: Scanner,
    shared: Arc<Shared>,
    publish: watch::Sender<State>,
    /// The root that is watched, if it can be.
    watch: Option<(RootId, Option<RecommendedWatcher>)>,
}

impl Task {
    fn run(mut self, root: &Path, woken: &Receiver<()>) {
        while !self.shared.ended.load(Ordering::SeqCst) {
            let watched = self.watch_root(root);
            let watch = Stopwatch::start();
            self.look();
            let took = watch.elapsed();
            // One that the kernel does not tell of everything is looked at more often.
            let (least, most, times) = if watched { WATCHED } else { UNWATCHED };
            let pause = took.saturating_mul(times).clamp(least, most);
            match woken.recv_timeout(pause) {
                Ok(()) => self.settle(woken, took.saturating_mul(REST.0).min(REST.1)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Waits until nothing has changed for a moment, but not for long.
    fn settle(&self, woken: &Receiver<()>, rest: Duration) {
        let watch = Stopwatch::start();
        while !self.shared.ended.load(Ordering::SeqCst) {
            let waited = watch.elapsed();
            let pause = QUIET.max(rest.saturating_sub(waited));
            let silent = woken.recv_timeout(pause).is_err();
            let waited = watch.elapsed();
            if waited >= rest && (silent || waited >= QUIET_MAX) {
                return;
            }
        }
    }

    fn look(&mut self) {
        let watch = Stopwatch::start();
        let answers = self.shared.requests.load(Ordering::SeqCst);
        let view = match self.scanner.scan() {
            Ok(inventory) => View::Here(Arc::new(inventory)),
            Err(error) => View::Gone(Arc::from(error.to_string())),
        };
        tracing::debug!(
            feed = self.feed,
            seconds = watch.elapsed().as_secs_f64(),
            "looked through the folder"
        );
        self.tell(&view);
        self.publish.send_replace(State { view, answers });
    }

    /// Logs what people want to know: that the folder came, changed or went.
    fn tell(&self, view: &View) {
        let before = self.publish.borrow().view.clone();
        let feed = &self.feed;
        match (&before, view) {
            (View::Here(old), View::Here(new)) if old.tag == new.tag => {}
            (View::Gone(old), View::Gone(new)) if old == new => {}
            (_, View::Here(new)) => {
                let (ids, packages) = (new.packages.len(), new.len());
                tracing::info!(feed, ids, packages, "the folder was looked through");
            }
            (_, View::Gone(why)) => {
                tracing::error!(feed, path = %self.scanner.root().display(), %why, "the folder cannot be read");
            }
            (_, View::Unknown) => {}
        }
    }

    /// Watches the folder that is there now; whether the kernel tells of all changes in it.
    fn watch_root(&mut self, root: &Path) -> bool {
        let id = self.scanner.root_id();
        let same = |id: RootId| self.watch.as_ref().is_some_and(|(own, _)| *own == id);
        if !id.is_some_and(same) {
            self.shared.blind.store(is_remote(root), Ordering::SeqCst);
            self.watch = id.map(|id| (id, self.begin(root)));
        }
        let told = matches!(&self.watch, Some((_, Some(_))));
        told && !self.shared.blind.load(Ordering::SeqCst)
    }

    fn begin(&self, root: &Path) -> Option<RecommendedWatcher> {
        let begun = begin(root, &self.shared);
        if let Err(error) = &begun {
            let feed = &self.feed;
            tracing::info!(feed, %error, "the folder is not watched, but looked at often");
        }
        begun.ok()
    }
}

fn begin(root: &Path, shared: &Arc<Shared>) -> notify::Result<RecommendedWatcher> {
    let shared = Arc::downgrade(shared);
    let tell = move |event: notify::Result<Event>| {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match event {
            Ok(event) if !is_change(&event) => return,
            Ok(_) => {}
            // Most likely there are more folders than may be watched.
            Err(_) => shared.blind.store(true, Ordering::SeqCst),
        }
        shared.wake();
    };
    let config = Config::default().with_follow_symlinks(false);
    let mut watcher = RecommendedWatcher::new(tell, config)?;
    watcher.watch(root, RecursiveMode::Recursive)?;
    Ok(watcher)
}

/// Reading is no change; scans read.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Whether other machines can change it without this kernel knowing: NFS, SMB, FUSE, 9P, Ceph,
/// AFS.
#[cfg(target_os = "linux")]
fn is_remote(root: &Path) -> bool {
    const MAGIC: &[u32] = &[
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
    ];
    rustix::fs::statfs(root).is_ok_and(|found| {
        let kind = u32::try_from(found.f_type & 0xffff_ffff).unwrap_or(0);
        MAGIC.contains(&kind)
    })
}

#[cfg(not(target_os = "linux"))]
const fn is_remote(_root: &Path) -> bool {
    false
}
