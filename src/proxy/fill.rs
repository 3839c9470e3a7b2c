//! The fill: asks the upstream for one document on behalf of all who wait for it.
//!
//! A task of its own: no client's leaving ends it, and it may end its flight only by landing or by
//! being dropped. The order is locate, fetch, absorb, receive, verify, land, publish. Clients are
//! served from the draft as soon as it is verified; publishing (seal, then the entry) follows, and
//! the key stays taken until it is done.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, Method};

use crate::entry::{Entry, Stored, Validators};
use crate::nuget::resource::{Check, View};
use crate::nuget::route::Target;
use crate::observe::StaleReason;
use crate::policy::class::Class;
use crate::policy::{Answer, Step, absorb};
use crate::proxy::engine::{Engine, Located};
use crate::proxy::error::Error;
use crate::proxy::flight::{Arrival, Outcome, Pilot};
use crate::proxy::verify::{Finding, verify};
use crate::store::{DraftWriter, Finished, HOLD_BACK};
use crate::upstream::{ClientIdentity, Encoding, Fetch, Fetched, UpstreamBody};

/// Bytes gathered before they are written: one hop to the blocking pool for each.
const BATCH: usize = 256 * 1024;

/// How every zip archive begins that is not empty.
const ARCHIVE: &[u8; 4] = b"PK\x03\x04";

/// A deserted body is received to its end when less than this is missing.
const NEARLY_DONE: u64 = 1 << 20;

/// One question to the upstream.
pub(super) struct Fill {
    /// What it works with.
    pub(super) engine: Arc<Engine>,
    /// Its hold on the flight.
    pub(super) pilot: Pilot,
    /// What is asked for.
    pub(super) target: Target,
    /// What was stored when the question arose.
    pub(super) seen: Option<Arc<Entry>>,
    /// Who asks, passed on to the upstream.
    pub(super) identity: ClientIdentity,
    /// Whether somebody waits; a refresh behind clients' backs is never deserted.
    pub(super) awaited: bool,
}

/// How a fill ends: what clients get, and what is to be written down afterwards.
struct Flown {
    outcome: Outcome,
    label: &'static str,
    publish: Option<(Finished, Entry)>,
}

/// A question that brought nothing: what it means for keeping, and for whoever has nothing stored.
struct Missed {
    answer: Answer,
    error: Error,
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self {
            answer: Answer::Unavailable,
            error,
        }
    }
}

impl Fill {
    /// Asks, lands, publishes.
    pub(super) async fn fly(self) {
        let flown = match self.ask().await {
            Ok(flown) => flown,
            Err(missed) => self.without_answer(missed),
        };
        self.engine
            .metrics
            .fills
            .with_label_values(&[flown.label])
            .inc();
        if let Some((finished, _)) = &flown.publish {
            finished.draft.release();
        }
        self.pilot.land(flown.outcome);
        if let Some((finished, entry)) = flown.publish {
            self.engine
                .publish(self.pilot.key(), &finished, entry)
                .await;
        }
    }

    async fn ask(&self) -> Result<Flown, Missed> {
        if let Some(entry) = self.overtaken().await {
            return Ok(confirmed(entry));
        }
        let located = self.engine.locate(&self.target).await?;
        let fetched = self.fetch(&located).await?;
        let answer = Answer::of_status(fetched.status.as_u16());
        let rule = self.target.rule;
        let seen = self.seen.as_deref();
        let now = self.engine.clock.now();
        let kind = (rule.class, rule.negative);
        match absorb(answer, seen, kind, &self.engine.options.freshness, now) {
            Step::Replace => self.receive(fetched).await,
            Step::Keep => self.keep(&fetched.headers).await,
            Step::KeepMissing => self.keep_missing().await,
            Step::RememberAbsent => self.remember_absent(fetched.url.as_str()).await,
            Step::PassAbsent => {
                self.engine.absent_at(&self.target).await;
                Ok(failed(Error::NotFound, "absent"))
            }
            Step::PassRefused => Ok(failed(Error::Refused(fetched.status.as_u16()), "refused")),
            Step::ServeStale | Step::Fail => Err(Missed {
                answer,
                error: self.refusal(answer, &fetched),
            }),
        }
    }

    /// What another fill stored between the judgement and this fill's start.
    async fn overtaken(&self) -> Option<Arc<Entry>> {
        let entry = self.engine.lookup(self.pilot.key()).await?;
        let same = self.seen.as_ref().is_some_and(|seen| **seen == *entry);
        (!same && !entry.is_absent()).then_some(entry)
    }

    async fn fetch(&self, located: &Located) -> Result<Fetched, Error> {
        let rule = self.target.rule;
        let none = Validators::default();
        let first = located.urls.first().map(url::Url::as_str);
        let validators = match &self.seen {
            Some(seen) if !seen.is_absent() && Some(seen.url.as_str()) == first => &seen.validators,
            _ => &none,
        };
        let (encoding, size_max) = match rule.view {
            View::Raw => (Encoding::Identity, self.engine.options.package_size_max),
            _ => (Encoding::Gzip, self.engine.options.document_size_max),
        };
        let fetch = Fetch {
            urls: &located.urls,
            method: Method::GET,
            validators,
            encoding,
            allowed_hosts: &located.hosts,
            identity: &self.identity,
            size_max,
        };
        self.engine.fetch(rule, fetch).await
    }

    fn refusal(&self, answer: Answer, fetched: &Fetched) -> Error {
        let (feed, status) = (self.engine.feed.name(), fetched.status.as_u16());
        Error::unusable(match answer {
            Answer::Denied => format!(
                "feed {feed} answered {status} to nugate itself: its credentials are missing or wrong"
            ),
            _ => format!("feed {feed} answered with status {status}"),
        })
    }

    async fn receive(&self, fetched: Fetched) -> Result<Flown, Missed> {
        let Fetched {
            headers,
            mut body,
            url,
            ..
        } = fetched;
        let length = body.length();
        let entry = self.entry_of(&headers, url.as_str());
        let (writer, draft) = self.engine.store.draft(length);
        let arrival = Arrival {
            draft: Arc::clone(&draft),
            entry: Arc::new(entry.clone()),
            length,
        };
        let finished = match self.pour(&mut body, writer, arrival).await {
            Ok(finished) => finished,
            Err(error) => {
                draft.fail(error.to_string());
                return Err(error.into());
            }
        };
        let stored = Stored {
            digest: finished.digest,
            size: finished.size,
        };
        if let Some(known) = self.known_body(stored) {
            self.count_revalidation("same-body");
            return Ok(self.restamped(known, Some(&entry)).await);
        }
        self.examine(
            finished,
            Entry {
                body: Some(stored),
                ..entry
            },
        )
        .await
    }

    /// Writes the body as it arrives and says so once more has arrived than is held back.
    async fn pour(
        &self,
        body: &mut UpstreamBody,
        mut writer: DraftWriter,
        arrival: Arrival,
    ) -> Result<Finished, Error> {
        // Whoever has something stored waits for the verdict and keeps what it has on failure.
        let mut silent = self.target.rule.view != View::Raw || self.stored_body().is_some();
        // Clients of something stored get it after a moment and leave; the newer one is for the next.
        let needs_readers = self.awaited && self.stored_body().is_none();
        while let Some(block) = body.next().await {
            let blocks = self.gather(body, block)?;
            writer
                .append(blocks)
                .await
                .map_err(|error| self.engine.store_failed("draft", &error))?;
            let written = arrival.draft.written();
            if !silent && written > HOLD_BACK {
                silent = true;
                self.pilot.announce(arrival.clone());
            }
            if needs_readers && self.pilot.deserted() && !worth_finishing(written, arrival.length) {
                return Err(Error::Abandoned);
            }
        }
        writer
            .finish()
            .map_err(|error| self.engine.store_failed("draft", &error))
    }

    /// `first` and what has arrived behind it, without waiting for more.
    fn gather(
        &self,
        body: &mut UpstreamBody,
        first: Result<Bytes, crate::upstream::UpstreamError>,
    ) -> Result<Vec<Bytes>, Error> {
        let mut size = 0;
        let mut blocks = Vec::new();
        let mut next = Some(first);
        while let Some(block) = next {
            let block = block.map_err(|error| self.engine.upstream_failed(&error))?;
            size += block.len();
            blocks.push(block);
            next = if size < BATCH { body.try_next() } else { None };
        }
        self.engine.count_upstream_bytes(size);
        Ok(blocks)
    }

    /// Verifies a body that was not known; good ones land and are to be published.
    async fn examine(&self, finished: Finished, entry: Entry) -> Result<Flown, Missed> {
        let finding = self.finding(&finished, &entry).await?;
        let feed = self.engine.feed.name();
        let mut keep = true;
        match finding {
            Finding::Good => {}
            Finding::Unknown(why) => {
                tracing::info!(key = %self.pilot.key(), why, "kept a body that cannot be verified");
            }
            Finding::Bad(why) => {
                self.engine
                    .metrics
                    .refused_bodies
                    .with_label_values(&[self.target.rule.name])
                    .inc();
                if !self.sent_twice(&finished) {
                    let cause = format!("feed {feed} sent something unusable: {why}");
                    finished.draft.fail(cause.as_str());
                    return Err(Error::unusable(cause).into());
                }
                tracing::warn!(key = %self.pilot.key(), why, "served, but not kept");
                keep = false;
            }
        }
        if entry.body.is_some_and(|stored| self.contradicts(stored)) {
            return Ok(self.keep_first().await);
        }
        self.land_body(finished, entry, keep).await
    }

    /// A verifier stricter than the clients must not block a package for ever: an archive that the
    /// upstream sends twice is what it has. A page sent twice is still no document.
    fn sent_twice(&self, finished: &Finished) -> bool {
        let mut start = [0; ARCHIVE.len()];
        let archive = self.target.rule.check == Check::Nupkg
            && self.stored_body().is_none()
            && finished
                .draft
                .file()
                .is_ok_and(|mut file| file.read_exact(&mut start).is_ok() && start == *ARCHIVE);
        archive
            && self
                .engine
                .seen_bad_before(self.pilot.key(), finished.digest)
    }

    async fn finding(&self, finished: &Finished, entry: &Entry) -> Result<Finding, Error> {
        let file = finished
            .draft
            .file()
            .map_err(|error| self.engine.store_failed("verify", &error))?;
        let (check, content_type) = (self.target.rule.check, entry.content_type.clone());
        let work = move || verify(check, content_type.as_deref(), file);
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

    async fn keep(&self, headers: &HeaderMap) -> Result<Flown, Missed> {
        self.count_revalidation("not-modified");
        let Some(seen) = &self.seen else {
            return Err(Error::unusable("the upstream answered 304 to a plain request").into());
        };
        let newer = Entry {
            validators: validators_of(headers),
            ..Entry::clone(seen)
        };
        Ok(self.restamped(Arc::clone(seen), Some(&newer)).await)
    }

    /// The stored body, confirmed now; validators as the newer response has them (RFC 9111 section
    /// 4.3.4), where it has any.
    async fn restamped(&self, known: Arc<Entry>, newer: Option<&Entry>) -> Flown {
        self.engine.backoff.answered(self.pilot.key());
        let validators = newer
            .map(|newer| newer.validators.clone())
            .filter(|validators| !validators.is_empty())
            .unwrap_or_else(|| known.validators.clone());
        let url = newer.map_or_else(|| known.url.clone(), |newer| newer.url.clone());
        let stamped = Entry {
            checked_at: self.engine.clock.now(),
            missing_since: None,
            validators,
            url,
            ..Entry::clone(&known)
        };
        confirmed(self.engine.put(self.pilot.key(), stamped).await)
    }

    async fn keep_missing(&self) -> Result<Flown, Missed> {
        self.count_revalidation("missing");
        self.engine.absent_at(&self.target).await;
        let Some(seen) = &self.seen else {
            return Ok(failed(Error::NotFound, "absent"));
        };
        let now = self.engine.clock.now();
        let mut stamped = Entry {
            missing_since: seen.missing_since.or(Some(now)),
            ..Entry::clone(seen)
        };
        if self.target.rule.class == Class::Immutable {
            stamped.checked_at = now;
        }
        let entry = self.engine.put(self.pilot.key(), stamped).await;
        self.engine.backoff.failed(self.pilot.key(), now);
        let cause = "the feed does not have it any more; nugate kept it";
        Ok(stale(entry, StaleReason::Missing, cause.into()))
    }

    async fn remember_absent(&self, url: &str) -> Result<Flown, Missed> {
        self.engine.absent_at(&self.target).await;
        self.engine.backoff.answered(self.pilot.key());
        let entry = Entry::absent(url.to_owned(), self.engine.clock.now());
        self.engine.put(self.pilot.key(), entry).await;
        Ok(failed(Error::NotFound, "absent"))
    }

    /// The feed sent other bytes for something immutable: the first seen stay.
    async fn keep_first(&self) -> Flown {
        self.engine.metrics.changed_bodies.inc();
        tracing::error!(key = %self.pilot.key(), "the feed sent other bytes for a known version; the first are kept");
        let Some(seen) = &self.seen else {
            return failed(Error::NotFound, "absent");
        };
        let stamped = Entry {
            checked_at: self.engine.clock.now(),
            ..Entry::clone(seen)
        };
        let entry = self.engine.put(self.pilot.key(), stamped).await;
        let cause = "the feed sent other bytes for this version; nugate serves those it saw first";
        stale(entry, StaleReason::Changed, cause.into())
    }

    /// What everyone gets when the upstream gave no usable answer.
    fn without_answer(&self, missed: Missed) -> Flown {
        if missed.error == Error::Abandoned {
            return failed(missed.error, "abandoned");
        }
        let now = self.engine.clock.now();
        self.engine.backoff.failed(self.pilot.key(), now);
        if self.seen.is_some() {
            self.count_revalidation("failed");
        }
        let rule = self.target.rule;
        let kind = (rule.class, rule.negative);
        let freshness = &self.engine.options.freshness;
        let step = absorb(missed.answer, self.seen.as_deref(), kind, freshness, now);
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

    fn stored_body(&self) -> Option<Stored> {
        self.seen.as_ref().and_then(|seen| seen.body)
    }

    fn known_body(&self, stored: Stored) -> Option<Arc<Entry>> {
        self.seen.clone().filter(|seen| seen.body == Some(stored))
    }

    fn contradicts(&self, stored: Stored) -> bool {
        self.target.rule.class == Class::Immutable
            && self.stored_body().is_some_and(|known| known != stored)
    }

    fn entry_of(&self, headers: &HeaderMap, url: &str) -> Entry {
        let now = self.engine.clock.now();
        Entry {
            body: None,
            url: url.to_owned(),
            validators: validators_of(headers),
            content_type: headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            fetched_at: now,
            checked_at: now,
            missing_since: None,
        }
    }

    fn count_revalidation(&self, outcome: &str) {
        self.engine
            .metrics
            .revalidations
            .with_label_values(&[outcome])
            .inc();
    }
}

fn validators_of(headers: &HeaderMap) -> Validators {
    Validators {
        etag: headers.get(ETAG).cloned(),
        last_modified: headers.get(LAST_MODIFIED).cloned(),
    }
}

/// A thin line must not be eaten by downloads nobody wants any more; what is at least half there,
/// nearly there, or of unknown length is finished.
const fn worth_finishing(written: u64, length: Option<u64>) -> bool {
    match length {
        Some(length) => written >= length / 2 || length.saturating_sub(written) < NEARLY_DONE,
        None => true,
    }
}

const fn confirmed(entry: Arc<Entry>) -> Flown {
    let outcome = Outcome::Body { entry, draft: None };
    Flown {
        outcome,
        label: "confirmed",
        publish: None,
    }
}

const fn stale(entry: Arc<Entry>, reason: StaleReason, cause: Arc<str>) -> Flown {
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

const fn failed(error: Error, label: &'static str) -> Flown {
    Flown {
        outcome: Outcome::Failed(error),
        label,
        publish: None,
    }
}
