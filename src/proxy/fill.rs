//! The fill: asks the upstream for one document on behalf of all who wait for it.
//!
//! A task of its own: no client's leaving ends it, and it may end its flight only by landing or by
//! being dropped. The order is locate, fetch, absorb, receive, verify, land, publish. Clients are
//! served from the draft as soon as it is verified; publishing (seal, then the entry) follows, and
//! the key stays taken until it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use url::Url;

use crate::entry::{Entry, Stored, Validators};
use crate::nuget::resource::{Check, View};
use crate::nuget::route::Target;
use crate::policy::class::Class;
use crate::policy::{Answer, Step, absorb};
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::flight::{Arrival, Pilot};
use crate::proxy::gallery;
use crate::proxy::incoming::Incoming;
use crate::proxy::locate::Located;
use crate::proxy::parts::Part;
use crate::proxy::settle::{Flown, Missed, confirmed, failed};
use crate::store::DraftWriter;
use crate::upstream::{ClientIdentity, Encoding, Fetch, Fetched, Wanted};

/// The longest a document may take from its first byte to its last.
const DOCUMENT_TIME: Duration = Duration::from_secs(600);

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
    /// Whether a body was being received: further requests for it are unconditional.
    pub(super) underway: AtomicBool,
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
        let unreadable = match self.lost {
            Some(lost) => self.engine.forget_lost(key, &self.target, lost).await,
            None => false,
        };
        if self.stored_body().is_some() && self.engine.lookup(key).await.is_none() {
            // Healed away meanwhile: it must not be confirmed, but fetched.
            self.seen = None;
        }
        if !unreadable && let Some(entry) = self.overtaken().await {
            return Ok(confirmed(entry));
        }
        let located = self.engine.locate(&self.target).await?;
        let (mut fetched, mut part) = self.fetch_or_continue(&located).await?;
        if part.is_none() && self.confirms_another(&fetched) {
            self.underway.store(true, Relaxed);
            (fetched, part) = (
                self.fetch(&located, &located.urls, Wanted::Whole).await?,
                None,
            );
        }
        let answer = match part {
            Some(_) => Answer::Body,
            None => self.answer(&fetched),
        };
        let rule = self.target.rule;
        // Who had it deleted believes that it is gone.
        let deleted = answer == Answer::Absent && self.is_deleted();
        let seen = self.seen.as_deref().filter(|_| !deleted);
        let now = self.engine.clock.now();
        let kind = (rule.class, rule.negative);
        match absorb(answer, seen, kind, &self.engine.freshness(), now) {
            Step::Replace => match self.receive(&located, fetched, part).await {
                Err(missed) if missed.again => self.receive_anew(&located, missed).await,
                flown => flown,
            },
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
                again: false,
            }),
        }
    }

    /// What the response says; a 304 counts only from where the stored body came from.
    fn answer(&self, fetched: &Fetched) -> Answer {
        let answer = Answer::of_status(fetched.status.as_u16());
        let elsewhere = |seen: &Arc<Entry>| seen.url != fetched.url.as_str();
        if answer == Answer::NotModified
            && (self.seen.as_ref().is_none_or(elsewhere) || self.confirms_another(fetched))
        {
            return Answer::Unavailable;
        }
        if fetched.status == http::StatusCode::GONE && self.engine.feed.is_folder() {
            return Answer::Gone;
        }
        gallery::meant(answer, fetched.status, &self.target)
    }

    /// What another fill stored between the judgement and this fill's start.
    async fn overtaken(&self) -> Option<Arc<Entry>> {
        let entry = self.engine.lookup(self.pilot.key()).await?;
        let same = self.seen.as_ref().is_some_and(|seen| **seen == *entry);
        let outdated = self.engine.is_outdated(&self.target, entry.checked_at);
        (!same && !entry.is_absent() && !outdated).then_some(entry)
    }

    /// Those of the stored body, for where it came from.
    fn validators(&self, urls: &[Url], wanted: Wanted<'_>) -> &Validators {
        let first = urls.first().map(Url::as_str);
        match (&self.seen, wanted) {
            (Some(seen), Wanted::Whole | Wanted::Anew)
                if !self.underway.load(Relaxed)
                    && !seen.is_absent()
                    && Some(seen.url.as_str()) == first =>
            {
                &seen.validators
            }
            _ => &Validators::NONE,
        }
    }

    /// Asks for as much as is `wanted` at `urls`, which are some of those located.
    pub(super) async fn fetch(
        &self,
        located: &Located,
        urls: &[Url],
        wanted: Wanted<'_>,
    ) -> Result<Fetched, Error> {
        let rule = self.target.rule;
        let validators = self.validators(urls, wanted);
        let (encoding, size_max) = match rule.view {
            View::Raw => (Encoding::Identity, self.engine.options.package_size_max),
            _ => (Encoding::Gzip, self.engine.options.document_size_max),
        };
        let fetch = Fetch {
            urls,
            method: Method::GET,
            validators,
            encoding,
            wanted,
            allowed_hosts: &located.hosts,
            identity: &self.identity,
            size_max,
            question: rule.class == Class::Query,
            // Who has something stored is served that, and who searches asks again.
            patient: self.awaited && self.seen.is_none() && rule.class != Class::Query,
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

    /// Receives a body, or the rest of one of which `part` is there.
    async fn receive(
        &self,
        located: &Located,
        fetched: Fetched,
        part: Option<Part>,
    ) -> Result<Flown, Missed> {
        let store = &self.engine.store;
        let (mut incoming, entry, (mut writer, draft)) = if let Some(part) = part {
            let incoming = Incoming::rest(self, located, (fetched, &part));
            let entry = Entry {
                fetched_at: self.engine.clock.now(),
                checked_at: self.pilot.began(),
                ..part.entry
            };
            (incoming, entry, store.draft_from(part.body))
        } else {
            let entry = self.entry_of(&fetched.headers, fetched.url.as_str());
            let incoming = Incoming::whole(self, located, fetched);
            let draft = store.draft(incoming.length);
            (incoming, entry, draft)
        };
        writer.keep(self.kept_without_disk());
        incoming.said.content_type.clone_from(&entry.content_type);
        let arrival = Arrival {
            draft,
            entry: Arc::new(entry.clone()),
            length: incoming.length,
        };
        let poured = self.pour_in_time(&mut incoming, &mut writer, &arrival);
        if let Err(missed) = poured.await {
            arrival.draft.fail(missed.error.to_string());
            incoming.put_by(self, writer, entry);
            return Err(missed);
        }
        let finished = writer.finish();
        let finished = finished.map_err(|error| self.engine.store_failed("draft", &error))?;
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
        self.examine(finished, entry, incoming).await
    }

    /// Asks once more, past the caches on the way, because what came was wrong and nobody has seen
    /// any of it.
    async fn receive_anew(&self, located: &Located, missed: Missed) -> Result<Flown, Missed> {
        tracing::warn!(key = %self.pilot.key(), error = %missed.error, "the feed is asked again");
        self.underway.store(true, Relaxed);
        let fetched = self.fetch(located, &located.urls, Wanted::Anew).await?;
        if self.answer(&fetched) != Answer::Body {
            return Err(missed);
        }
        self.receive(located, fetched, None).await
    }

    /// A document is waited for whole, so it has a time limit; a package has one between its pieces.
    async fn pour_in_time(
        &self,
        incoming: &mut Incoming<'_>,
        writer: &mut DraftWriter,
        arrival: &Arrival,
    ) -> Result<(), Missed> {
        let pouring = self.pour(incoming, writer, arrival);
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

    /// Writes the body as it arrives and says so once something has arrived that is not held back.
    async fn pour(
        &self,
        incoming: &mut Incoming<'_>,
        writer: &mut DraftWriter,
        arrival: &Arrival,
    ) -> Result<(), Missed> {
        self.underway.store(true, Relaxed);
        // Whoever has something stored waits for the verdict and keeps what it has on failure.
        let silent = self.target.rule.view != View::Raw || self.stored_body().is_some();
        loop {
            let blocks = match incoming.gather(self, writer.written()).await {
                Ok(blocks) if blocks.is_empty() => return Ok(()),
                Ok(blocks) => blocks,
                Err(broken) => {
                    self.go_on(incoming, writer, broken).await?;
                    continue;
                }
            };
            writer
                .append(blocks)
                .await
                .map_err(|error| self.engine.store_failed("draft", &error))?;
            let written = writer.written();
            incoming.follower.nudge(&arrival.draft);
            if !silent && !incoming.shown && arrival.draft.shown() > 0 {
                incoming.shown = true;
                self.pilot.announce(arrival.clone());
            }
            incoming.shown |= self.wait_for_room(writer, arrival).await?;
            if self.is_deserted(written, incoming.length) {
                incoming.sound = true;
                return Err(Error::Abandoned.into());
            }
        }
    }

    /// Whether the rest of a body may be given up. Documents are small, and a client that gave up
    /// waiting for one asks again: they are always finished. So is what is newer than something
    /// stored: its clients got the stored one after a moment and left.
    pub(super) fn may_stop(&self) -> bool {
        self.awaited && self.target.rule.view == View::Raw && self.stored_body().is_none()
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
    pub(super) fn is_outdated(&self) -> bool {
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
            validators: Validators::of(headers),
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
