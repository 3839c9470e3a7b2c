//! How a fill settles its question: verification, and what each kind of answer does to what is
//! stored.
//!
//! The rules say which step is taken; this takes it. Invariant: nothing is published that was not
//! verified, and the first bytes seen of something immutable stay.

use std::sync::Arc;

use http::HeaderMap;

use crate::entry::{Entry, Validators};
use crate::nuget::resource::Check;
use crate::observe::StaleReason;
use crate::policy::class::Class;
use crate::policy::{Answer, Step, absorb};
use crate::proxy::along::conclude;
use crate::proxy::error::Error;
use crate::proxy::fill::Fill;
use crate::proxy::flight::Outcome;
use crate::proxy::incoming::Incoming;
use crate::proxy::verify::Finding;
use crate::store::Finished;

/// How a fill ends: what clients get, and what is to be written down afterwards.
pub(super) struct Flown {
    /// What clients get.
    pub(super) outcome: Outcome,
    /// Metric label.
    pub(super) label: &'static str,
    /// A body to be sealed, and its entry.
    pub(super) publish: Option<(Finished, Entry)>,
}

/// A question that brought nothing: what it means for keeping, and for whoever has nothing stored.
pub(super) struct Missed {
    /// What it means for keeping.
    pub(super) answer: Answer,
    /// What whoever has nothing stored gets.
    pub(super) error: Error,
    /// Whether asking again at once, past caches, may help: what came was wrong, and nobody saw it.
    pub(super) again: bool,
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self {
            answer: Answer::Unavailable,
            error,
            again: false,
        }
    }
}

impl Fill {
    /// Verifies a body that was not known; good ones land and are to be published.
    pub(super) async fn examine(
        &self,
        finished: Finished,
        entry: Entry,
        incoming: Incoming<'_>,
    ) -> Result<Flown, Missed> {
        let key = self.pilot.key();
        let shown = incoming.shown;
        let finding = self.finding(&finished, incoming).await?;
        let again = !shown && matches!(finding, Finding::Mismatch(_));
        let keep = match finding {
            Finding::Good => true,
            Finding::Unknown(why) => {
                tracing::info!(%key, why, "kept a body that cannot be verified");
                true
            }
            Finding::Unproven => false,
            // A verifier stricter than the clients must not block a package for ever: what the
            // upstream sends twice is what it has.
            Finding::Suspect(why) | Finding::Mismatch(why)
                if self.stored_body().is_none()
                    && self.engine.seen_before(key, finished.digest) =>
            {
                self.count_refused();
                tracing::warn!(%key, why, "the feed sends it damaged: served, but not kept");
                false
            }
            Finding::Suspect(why) | Finding::Mismatch(why) | Finding::Bad(why) => {
                self.count_refused();
                let feed = self.engine.feed.name();
                let cause = format!("feed {feed} sent something unusable: {why}");
                finished.draft.fail(cause.as_str());
                return Err(Missed {
                    again,
                    ..Error::unusable(cause).into()
                });
            }
        };
        if entry.body.is_some_and(|stored| self.contradicts(stored)) {
            return Ok(self.keep_first().await);
        }
        if self.goes_back(&finished, &entry).await? {
            return Ok(self.keep_newer().await);
        }
        if !finished.draft.is_passed_on() {
            return self.land_body(finished, entry, keep).await;
        }
        if self.stored_body().is_some() && finished.draft.file().is_err() {
            // Nobody read it, because everybody waited for the verdict.
            let cause = "what the feed has now cannot be taken: the cache is degraded";
            return Err(Error::unusable(cause).into());
        }
        self.land_body(finished, entry, false).await
    }

    fn count_refused(&self) {
        let refused = &self.engine.metrics.refused_bodies;
        refused.with_label_values(&[self.target.rule.name]).inc();
    }

    async fn finding(&self, finished: &Finished, incoming: Incoming<'_>) -> Result<Finding, Error> {
        let file = match finished.draft.file() {
            Ok(file) => file,
            Err(_) if finished.draft.is_passed_on() => return Ok(self.finding_of_tail(finished)),
            Err(error) => return Err(self.engine.store_failed("verify", &error)),
        };
        let (check, digest, said) = (self.target.rule.check, finished.digest, incoming.said);
        let along = incoming.follower.finish().await;
        let place = match check {
            Check::Nupkg => self.engine.verifiers.place().await,
            _ => None,
        };
        let work = move || {
            let finding = conclude(along, file, (check, &said), &digest);
            drop(place);
            finding
        };
        let finding = tokio::task::spawn_blocking(work).await;
        finding.map_err(|_| Error::internal("verification panicked"))
    }

    async fn land_body(
        &self,
        finished: Finished,
        entry: Entry,
        keep: bool,
    ) -> Result<Flown, Missed> {
        if self.target.resource.is_none() {
            self.engine.adopt(&finished).await?;
        }
        if self.stored_body().is_some() {
            self.count_revalidation("changed");
        }
        self.engine.backoff.answered(self.pilot.key());
        let draft = Arc::clone(&finished.draft);
        let outcome = Outcome::Body {
            entry: Arc::new(entry.clone()),
            draft: Some(draft),
        };
        if keep {
            return Ok(Flown {
                outcome,
                label: "stored",
                publish: Some((finished, entry)),
            });
        }
        finished.draft.release();
        Ok(Flown {
            outcome,
            label: "passed",
            publish: None,
        })
    }

    pub(super) async fn keep(&self, headers: &HeaderMap) -> Result<Flown, Missed> {
        self.count_revalidation("not-modified");
        let Some(seen) = &self.seen else {
            return Err(Error::unusable("the upstream answered 304 to a plain request").into());
        };
        // Fields that a 304 has replace the stored ones, the others stay (RFC 9111 section 3.2).
        let sent = Validators::of(headers);
        let validators = Validators {
            etag: sent.etag.or_else(|| seen.validators.etag.clone()),
            last_modified: sent
                .last_modified
                .or_else(|| seen.validators.last_modified.clone()),
        };
        let newer = Entry {
            validators,
            ..Entry::clone(seen)
        };
        Ok(self.restamped(Arc::clone(seen), Some(&newer)).await)
    }

    /// The stored body, confirmed now; validators as the newer response has them (RFC 9111 section
    /// 4.3.4), where it has any.
    pub(super) async fn restamped(&self, known: Arc<Entry>, newer: Option<&Entry>) -> Flown {
        self.engine.backoff.answered(self.pilot.key());
        let validators = newer
            .map(|newer| newer.validators.clone())
            .filter(|validators| !validators.is_empty())
            .unwrap_or_else(|| known.validators.clone());
        let url = newer.map_or_else(|| known.url.clone(), |newer| newer.url.clone());
        let stamped = Entry {
            checked_at: self.pilot.began(),
            missing_since: None,
            validators,
            url,
            ..Entry::clone(&known)
        };
        confirmed(self.put(stamped).await)
    }

    pub(super) async fn keep_missing(&self) -> Result<Flown, Missed> {
        self.count_revalidation("missing");
        self.engine.absent_at(&self.target).await;
        let Some(seen) = &self.seen else {
            return Ok(failed(Error::NotFound, "absent"));
        };
        let now = self.engine.clock.now();
        let mut stamped = Entry {
            // One in the future is of a clock that was wrong.
            missing_since: seen.missing_since.map(|since| since.min(now)).or(Some(now)),
            ..Entry::clone(seen)
        };
        if self.target.rule.class == Class::Immutable {
            stamped.checked_at = now;
        }
        let entry = self.put(stamped).await;
        self.engine.backoff.failed(self.pilot.key(), now);
        let cause = "the feed does not have it any more; nugate kept it";
        Ok(stale(entry, StaleReason::Missing, cause.into()))
    }

    /// The feed has no such document, which is not worth remembering: nothing stored stays, or an
    /// outage would bring it back.
    pub(super) async fn pass_absent(&self) {
        self.engine.absent_at(&self.target).await;
        self.engine.backoff.answered(self.pilot.key());
        if self.seen.is_some() && self.pilot.is_current() {
            self.engine.remove(self.pilot.key()).await;
        }
    }

    pub(super) async fn remember_absent(&self, url: &str) -> Result<Flown, Missed> {
        self.engine.absent_at(&self.target).await;
        self.engine.backoff.answered(self.pilot.key());
        let entry = Entry::absent(url.to_owned(), self.pilot.began());
        self.put(entry).await;
        Ok(failed(Error::NotFound, "absent"))
    }

    /// The feed sent other bytes for something immutable: the first seen stay.
    pub(super) async fn keep_first(&self) -> Flown {
        self.engine.metrics.changed_bodies.inc();
        tracing::error!(key = %self.pilot.key(), "the feed sent other bytes for a known version; the first are kept");
        let Some(seen) = &self.seen else {
            return failed(Error::NotFound, "absent");
        };
        let stamped = Entry {
            checked_at: self.engine.clock.now(),
            ..Entry::clone(seen)
        };
        let entry = self.put(stamped).await;
        let cause = "the feed sent other bytes for this version; nugate serves those it saw first";
        stale(entry, StaleReason::Changed, cause.into())
    }

    /// What everyone gets when the upstream gave no usable answer.
    pub(super) fn without_answer(&self, missed: Missed) -> Flown {
        if matches!(missed.error, Error::Abandoned) {
            return failed(missed.error, "abandoned");
        }
        let now = self.engine.clock.now();
        // A host that is left alone was not asked for this key.
        if !matches!(missed.error, Error::LeftAlone { .. }) {
            self.engine.backoff.failed(self.pilot.key(), now);
        }
        if self.seen.is_some() {
            self.count_revalidation("failed");
        }
        let rule = self.target.rule;
        let kind = (rule.class, rule.negative);
        let freshness = self.engine.freshness();
        let step = absorb(missed.answer, self.seen.as_deref(), kind, &freshness, now);
        match &self.seen {
            Some(seen) if step == Step::ServeStale && seen.is_absent() => {
                failed(Error::RememberedNotFound, "stale")
            }
            Some(seen) if step == Step::ServeStale => {
                let cause = Arc::from(missed.error.to_string());
                stale(Arc::clone(seen), StaleReason::Error, cause)
            }
            _ => failed(missed.error, "failed"),
        }
    }
}

/// The stored body is right.
pub(super) const fn confirmed(entry: Arc<Entry>) -> Flown {
    let outcome = Outcome::Body { entry, draft: None };
    Flown {
        outcome,
        label: "confirmed",
        publish: None,
    }
}

/// The stored body is served unconfirmed.
pub(super) const fn stale(entry: Arc<Entry>, reason: StaleReason, cause: Arc<str>) -> Flown {
    Flown {
        outcome: Outcome::Stale {
            entry,
            reason,
            cause,
        },
        label: "stale",
        publish: None,
    }
}

/// There is no document.
pub(super) const fn failed(error: Error, label: &'static str) -> Flown {
    Flown {
        outcome: Outcome::Failed(error),
        label,
        publish: None,
    }
}
