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

use std::sync::{Arc, Weak};
use std::time::Duration;

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
use crate::proxy::views::MemoKey;
use crate::proxy::{Body, Reply, Request};

/// What a fresh answer from the store rests on.
pub struct Standing {
    /// Weak, since to remember an answer is no reason to keep a store open.
    engine: Weak<Engine>,
    key: Key,
    class: Class,
    entry: Arc<Entry>,
    stored: Stored,
    /// How many changes were known.
    changes: u64,
    form: Form,
}

/// How the body becomes what clients get.
enum Form {
    Raw,
    View {
        key: MemoKey,
        /// For documents with links. Weak: what is no longer current is not kept for this.
        known: Option<Weak<Discovered>>,
    },
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
        let standing = same.then(|| self.standing(request, key, entry, after));
        let standing = standing.flatten().map(Box::new);
        Ok(Reply { standing, ..reply })
    }

    /// `None` where nothing is certain, and for the like of which there will be no second.
    fn standing(
        self: &Arc<Self>,
        request: &Request,
        key: &Key,
        entry: Arc<Entry>,
        known: Option<Arc<Discovered>>,
    ) -> Option<Standing> {
        // Counted first: a change in between makes it fall.
        let changes = self.outdated.changes();
        if self.outdated.concerns(&request.target, entry.checked_at) {
            return None;
        }
        let stored = entry.body?;
        let rule = request.target.rule;
        let form = if rule.view == View::Raw {
            Form::Raw
        } else {
            let known = known.filter(|_| rule.view.has_links());
            let weak = known.as_ref().map(Arc::downgrade);
            let key = self.subject(request, stored.digest, known).key();
            Form::View { key, known: weak }
        };
        Some(Standing {
            engine: Arc::downgrade(self),
            key: key.clone(),
            class: rule.class,
            entry,
            stored,
            changes,
            form,
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
    pub async fn hold(&self) -> Option<(Body, Duration)> {
        let engine = self.engine.upgrade()?;
        let entry = engine.store.hot(&self.key)?;
        if !Arc::ptr_eq(&entry, &self.entry) || engine.outdated.changes() != self.changes {
            return None;
        }
        let now = engine.clock.now();
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
        if judge(Some(&entry), &question) != Verdict::Fresh {
            return None;
        }
        let body = match &self.form {
            Form::Raw => Body::Blob(engine.store.hot_body(&self.stored)?),
            Form::View { key, known } => {
                if known.as_ref().is_some_and(|it| !engine.is_current(it)) {
                    return None;
                }
                Body::of_view(&*engine.views.at(key).await?)
            }
        };
        Some((body, now.since(entry.checked_at)))
    }
}
