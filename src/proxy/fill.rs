//! The fill: asks the upstream for one document on behalf of all who wait for it.
//!
//! A task of its own: no client's leaving ends it, and it may end its flight only by landing or by
//! being dropped. The order is locate, fetch, absorb, receive, verify, land, publish. Clients are
//! served from the draft as soon as it is verified; publishing (seal, then the entry) follows, and
//! the key stays taken until it is done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, Method};

use crate::entry::{Entry, Stored, Validators};
use crate::nuget::resource::{Check, View};
use crate::nuget::route::Target;
use crate::policy::class::Class;
use crate::policy::{Answer, Step, absorb};
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::flight::{Arrival, Pilot};
use crate::proxy::locate::Located;
use crate::proxy::settle::{Flown, Missed, confirmed, failed};
use crate::store::{DraftWriter, Finished, HOLD_BACK};
use crate::upstream::{ClientIdentity, Encoding, Fetch, Fetched, UpstreamBody};

/// Bytes gathered before they are written: one hop to the blocking pool for each.
const BATCH: usize = 256 * 1024;

/// The longest a document may take from its first byte to its last.
const DOCUMENT_TIME: Duration = Duration::from_secs(600);

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
    /// A stored body that was found missing or damaged: it is to be fetched, not confirmed.
    pub(super) lost: Option<Stored>,
    /// Who asks, passed on to the upstream.
    pub(super) identity: ClientIdentity,
    /// Whether somebody waits; a refresh behind clients' backs is never deserted.
    pub(super) awaited: bool,
}

impl Fill {
    /// Asks, lands, publishes.
    pub(super) async fn fly(mut self) {
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
        let Some((finished, entry)) = flown.publish else {
            return self.pilot.land(flown.outcome);
        };
        self.pilot.land_before_publishing(flown.outcome);
        if self.pilot.is_current() {
            let package = self.target.rule.check == Check::Nupkg;
            self.engine
                .publish(self.pilot.key(), &finished, entry, package)
                .await;
        }
    }

    async fn ask(&mut self) -> Result<Flown, Missed> {
        let key = self.pilot.key();
        if let Some(lost) = self.lost {
            self.engine.forget_lost(key, &self.target, lost).await;
        }
        if self.stored_body().is_some() && self.engine.lookup(key).await.is_none() {
            // Healed away meanwhile: it must not be confirmed, but fetched.
            self.seen = None;
        }
        if let Some(entry) = self.overtaken().await {
            return Ok(confirmed(entry));
        }
        let located = self.engine.locate(&self.target).await?;
        let fetched = self.fetch(&located).await?;
        let answer = self.answer(&fetched);
        let rule = self.target.rule;
        // Who had it deleted believes that it is gone.
        let deleted = answer == Answer::Absent && self.is_deleted();
        let seen = self.seen.as_deref().filter(|_| !deleted);
        let now = self.engine.clock.now();
        let kind = (rule.class, rule.negative);
        match absorb(answer, seen, kind, &self.engine.options.freshness, now) {
            Step::Replace => self.receive(fetched).await,
            Step::Keep => self.keep(&fetched.headers).await,
            Step::KeepMissing => self.keep_missing().await,
            Step::RememberAbsent => self.remember_absent(fetched.url.as_str()).await,
            Step::PassAbsent => {
                self.pass_absent().await;
                Ok(failed(Error::NotFound, "absent"))
            }
            Step::PassRefused => Ok(failed(Error::Refused(fetched.status.as_u16()), "refused")),
            Step::ServeStale | Step::Fail => Err(Missed {
                answer,
                error: self.refusal(answer, &fetched),
            }),
        }
    }

    /// What the response says; a 304 counts only from where the stored body came from.
    fn answer(&self, fetched: &Fetched) -> Answer {
        let answer = Answer::of_status(fetched.status.as_u16());
        let elsewhere = |seen: &Arc<Entry>| seen.url != fetched.url.as_str();
        if answer == Answer::NotModified && self.seen.as_ref().is_none_or(elsewhere) {
            return Answer::Unavailable;
        }
        if fetched.status == http::StatusCode::GONE && self.engine.feed.is_folder() {
            return Answer::Gone;
        }
        answer
    }

    /// What another fill stored between the judgement and this fill's start.
    async fn overtaken(&self) -> Option<Arc<Entry>> {
        let entry = self.engine.lookup(self.pilot.key()).await?;
        let same = self.seen.as_ref().is_some_and(|seen| **seen == *entry);
        let outdated = self.engine.is_outdated(&self.target, entry.checked_at);
        (!same && !entry.is_absent() && !outdated).then_some(entry)
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
        match answer {
            Answer::Denied => self.engine.denied(status, &fetched.url),
            _ => Error::unusable(format!("feed {feed} answered with status {status}")),
        }
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
        let finished = match self.pour_in_time(&mut body, writer, arrival).await {
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
        let entry = Entry {
            body: Some(stored),
            ..entry
        };
        self.examine(finished, entry, body.framed()).await
    }

    /// A document is waited for whole, so it has a time limit; a package has one between its pieces.
    async fn pour_in_time(
        &self,
        body: &mut UpstreamBody,
        writer: DraftWriter,
        arrival: Arrival,
    ) -> Result<Finished, Error> {
        let pouring = self.pour(body, writer, arrival);
        if self.target.rule.view == View::Raw {
            return pouring.await;
        }
        let late = |_| Error::Upstream {
            cause: format!("a document of the feed took longer than {DOCUMENT_TIME:?}").into(),
            timeout: true,
        };
        tokio::time::timeout(DOCUMENT_TIME, pouring)
            .await
            .map_err(late)?
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
            if self.may_stop()
                && !worth_finishing(written, arrival.length)
                && self.pilot.give_up_if_deserted()
            {
                return Err(Error::Abandoned);
            }
        }
        writer
            .finish()
            .map_err(|error| self.engine.store_failed("draft", &error))
    }

    /// Whether the rest of a body may be given up. Documents are small, and a client that gave up
    /// waiting for one asks again: they are always finished. So is what is newer than something
    /// stored: its clients got the stored one after a moment and left.
    fn may_stop(&self) -> bool {
        self.awaited && self.target.rule.view == View::Raw && self.stored_body().is_none()
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

    pub(super) fn stored_body(&self) -> Option<Stored> {
        self.seen.as_ref().and_then(|seen| seen.body)
    }

    pub(super) fn known_body(&self, stored: Stored) -> Option<Arc<Entry>> {
        self.seen.clone().filter(|seen| seen.body == Some(stored))
    }

    pub(super) fn contradicts(&self, stored: Stored) -> bool {
        self.target.rule.class == Class::Immutable
            && !self.engine.feed.is_folder()
            && self.stored_body().is_some_and(|known| known != stored)
            && !self.is_outdated()
    }

    /// Whether a push or deletion through nugate has changed what is stored.
    fn is_outdated(&self) -> bool {
        let checked_at = self.seen.as_ref().map(|seen| seen.checked_at);
        checked_at.is_some_and(|at| self.engine.is_outdated(&self.target, at))
    }

    fn is_deleted(&self) -> bool {
        let mut seen = self.seen.iter();
        seen.any(|seen| self.engine.outdated.deletes(&self.target, seen.checked_at))
    }

    /// Writes an entry down, unless a newer fill has the key by now.
    pub(super) async fn put(&self, entry: Entry) -> Arc<Entry> {
        if self.pilot.is_current() {
            self.engine.put(self.pilot.key(), entry).await
        } else {
            Arc::new(entry)
        }
    }

    fn entry_of(&self, headers: &HeaderMap, url: &str) -> Entry {
        Entry {
            body: None,
            url: url.to_owned(),
            validators: validators_of(headers),
            content_type: headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            fetched_at: self.engine.clock.now(),
            // The answer may be as old as the question (RFC 9111 section 4.2.3).
            checked_at: self.pilot.began(),
            missing_since: None,
        }
    }

    pub(super) fn count_revalidation(&self, outcome: &str) {
        self.engine
            .metrics
            .revalidations
            .with_label_values(&[outcome])
            .inc();
    }
}

/// Validators of a response.
pub(super) fn validators_of(headers: &HeaderMap) -> Validators {
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
