//! What an answer from the store rests on, so that the same request need not be walked through again.
//!
//! A [`Standing`] is taken where the engine has just found a stored document fresh. It holds as long
//! as everything that this depends on is what it was: the entry, the changes of its package, the
//! links that are known, the body. Whoever finds that it does not hold walks the request through
//! again. It decides nothing: what is fresh, [`judge`] says each time, and how a document looks, the
//! memo of views.
//!
//! Invariant: what a standing gives is what [`Proxy::serve`](crate::proxy::Proxy::serve) would give
//! for the same request, one without directives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;

use crate::clock::Time;
use crate::entry::{Entry, Key, Stored};
use crate::nuget::resource::View;
use crate::observe::CacheStatus;
use crate::policy::class::Class;
use crate::policy::directives::Directives;
use crate::policy::judge::Question;
use crate::policy::{Verdict, judge};
use crate::proxy::discovery::Discovered;
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::views::{MemoKey, Rendered};
use crate::proxy::{Body, Reply, Request};
use crate::store::{Blob, HotEntry, OpenBlob};

/// Between two times that the caches are asked, so that they know of the use and look whether the file
/// was changed.
const LOOK: Duration = Duration::from_secs(1);

/// What a fresh answer from the store rests on.
pub struct Standing {
    /// Weak, since to remember an answer is no reason to keep a store open.
    engine: Weak<Engine>,
    key: Key,
    class: Class,
    entry: Arc<HotEntry>,
    stored: Stored,
    /// How many changes were known.
    changes: u64,
    /// It is what a restore begins with.
    begins: bool,
    form: Form,
    /// When the caches were last asked, in milliseconds.
    looked_at: AtomicU64,
}

/// How the body becomes what clients get. Weak, since what the caches let go of is not kept for this.
enum Form {
    Raw(Held),
    View {
        key: MemoKey,
        shown: Weak<Rendered>,
        /// For documents with links.
        known: Option<Weak<Discovered>>,
    },
}

/// A stored body as the store has it: an open file, or bytes in memory.
enum Held {
    File(Weak<OpenBlob>),
    Bytes(Weak<Bytes>),
}

impl Held {
    /// The body, if asking the store for it would find the same.
    fn blob(&self) -> Option<Blob> {
        match self {
            Self::File(open) => open
                .upgrade()
                .filter(|open| open.is_at_hand())
                .map(Blob::File),
            Self::Bytes(bytes) => bytes.upgrade().map(|bytes| Blob::Bytes((*bytes).clone())),
        }
    }
}

impl Engine {
    /// A reply from the store that is fresh, with what it rests on; errors as
    /// [`Engine::present_stored`].
    pub(super) async fn present_fresh(
        self: &Arc<Self>,
        request: &Request,
        key: &Key,
        entry: Arc<Entry>,
    ) -> Result<Reply, Error> {
        let before = self.discovery.current();
        let reply = self
            .present_stored(request, &entry, CacheStatus::Hit)
            .await?;
        // What is current before and after was current all the time: each adoption is a new one.
        let after = self.discovery.current();
        let same = match (&before, &after) {
            (Some(before), Some(after)) => Arc::ptr_eq(before, after),
            (before, after) => before.is_none() && after.is_none(),
        };
        let standing = if same {
            self.standing(request, (key, &entry), &reply.body, after)
                .await
        } else {
            None
        };
        let standing = standing.map(Box::new);
        Ok(Reply { standing, ..reply })
    }

    /// `None` where nothing is certain, and for the like of which there will be no second.
    async fn standing(
        self: &Arc<Self>,
        request: &Request,
        (key, entry): (&Key, &Arc<Entry>),
        body: &Body,
        known: Option<Arc<Discovered>>,
    ) -> Option<Standing> {
        // Counted first: a change in between makes it fall.
        let changes = self.outdated.changes();
        if self.outdated.concerns(&request.target, entry.checked_at) {
            return None;
        }
        let hot = self.store.hot_entry(key)?;
        let stored = entry.body.filter(|_| Arc::ptr_eq(hot.entry(), entry))?;
        let rule = request.target.rule;
        let form = if rule.view == View::Raw {
            Form::Raw(match body {
                Body::Blob(Blob::File(open)) => Held::File(Arc::downgrade(open)),
                _ => Held::Bytes(Arc::downgrade(&self.store.hot_small(&stored)?)),
            })
        } else {
            let known = known.filter(|_| rule.view.has_links());
            let weak = known.as_ref().map(Arc::downgrade);
            let key = self.subject(request, stored.digest, known).key();
            let shown = Arc::downgrade(&self.views.at(&key).await?);
            Form::View {
                key,
                shown,
                known: weak,
            }
        };
        Some(Standing {
            engine: Arc::downgrade(self),
            key: key.clone(),
            class: rule.class,
            entry: hot,
            stored,
            changes,
            begins: rule.view == View::ServiceIndex,
            form,
            looked_at: AtomicU64::new(self.clock.now().as_millis()),
        })
    }

    fn is_current(&self, known: &Weak<Discovered>) -> bool {
        let current = self.discovery.current();
        current.is_some_and(|current| Arc::as_ptr(&current) == known.as_ptr())
    }
}

impl Standing {
    /// How the document is kept.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The body and its age, as a request without directives gets them from the store now; `None`
    /// when it has to be walked through. Never waits. The use is written down as any other.
    pub fn hold(&self) -> Option<(Body, Duration)> {
        let engine = self.engine.upgrade()?;
        let now = engine.clock.now();
        let looks = self.is_to_look(now);
        if looks {
            let hot = engine.store.hot_entry(&self.key)?;
            if !Arc::ptr_eq(&hot, &self.entry) {
                return None;
            }
            if self.begins {
                engine.connect_ahead();
            }
        }
        if !self.entry.is_current() || engine.outdated.changes() != self.changes {
            return None;
        }
        let entry = self.entry.entry();
        let options = &engine.options;
        let question = Question {
            key: &self.key,
            class: self.class,
            freshness: &engine.freshness(),
            network: options.network,
            directives: Directives::default(),
            outdated: false,
            // What is fresh is fresh whatever the feed is like.
            backing_off: false,
            now,
        };
        if judge(Some(entry), &question) != Verdict::Fresh {
            return None;
        }
        let body = match &self.form {
            Form::Raw(held) => {
                let blob = held.blob().filter(|_| !looks);
                Body::Blob(blob.or_else(|| engine.store.hot_body(&self.stored))?)
            }
            Form::View { key, shown, known } => {
                if known.as_ref().is_some_and(|it| !engine.is_current(it)) {
                    return None;
                }
                match shown.upgrade().filter(|_| !looks) {
                    Some(shown) => Body::of_view(&shown),
                    // It never has to wait.
                    None => Body::of_view(&*engine.views.at(key).now_or_never()??),
                }
            }
        };
        Some((body, now.since(entry.checked_at)))
    }

    /// Whether it is time to ask the caches; of several who come at once, one does.
    fn is_to_look(&self, now: Time) -> bool {
        let last = self.looked_at.load(Ordering::Relaxed);
        let elapsed = now.since(Time::from_millis(last));
        // A clock that was set back makes looks no rarer.
        (elapsed >= LOOK || now.as_millis() < last)
            && self
                .looked_at
                .compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
