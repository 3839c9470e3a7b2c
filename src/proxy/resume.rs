//! A body on its way in, over as many responses as it takes.
//!
//! One that breaks off is continued by a request for the rest, or by a second copy whose beginning is
//! compared with what is there. Readers of the draft see nothing of it. Invariant: what is appended
//! to a draft belongs to the same representation as what is in it, by a strong validator or byte by
//! byte; no permit for the upstream is held while another is waited for.

use std::slice;

use http::StatusCode;
use url::Url;

use crate::nuget::resource::View;
use crate::proxy::error::Error;
use crate::proxy::fill::Fill;
use crate::proxy::incoming::{Broken, Incoming};
use crate::proxy::locate::Located;
use crate::proxy::parts::Part;
use crate::proxy::settle::Missed;
use crate::store::DraftWriter;
use crate::upstream::{Fetched, Rest, Wanted, validator};

/// Why a response does not continue a body.
enum Stop {
    /// Another request may.
    Again(Error),
    /// The upstream has something else now.
    Changed,
    /// The upstream will not.
    Refused(Error),
}

impl Fill {
    /// Asks for the document, or only for the rest if its beginning was kept.
    pub(super) async fn fetch_or_continue(
        &self,
        located: &Located,
    ) -> Result<(Fetched, Option<Part>), Error> {
        let (parts, key) = (&self.engine.parts, self.pilot.key());
        let first = located.urls.first().map(Url::as_str);
        let fits =
            |part: &Part| self.stored_body().is_none() && Some(part.entry.url.as_str()) == first;
        let Some(mut part) = parts.take(key).filter(fits) else {
            let struck = self.engine.has_struck(key);
            let wanted = if struck { Wanted::Anew } else { Wanted::Whole };
            return Ok((self.fetch(located, &located.urls, wanted).await?, None));
        };
        let rest = part.rest();
        let wanted = Wanted::Rest(&rest);
        let fetched = match self.fetch(located, &located.urls, wanted).await {
            Ok(fetched) => fetched,
            Err(error) => {
                parts.keep(key, part);
                return Err(error);
            }
        };
        if fetched.status != StatusCode::PARTIAL_CONTENT {
            return Ok((fetched, None));
        }
        match rest.follows(&fetched.headers, part.length) {
            Ok(length) if fetched.url.as_str() == part.entry.url && self.may_be(length) => {
                self.count_resume("taken-up");
                part.length = Some(length);
                Ok((fetched, Some(part)))
            }
            _ => {
                drop(fetched);
                let wanted = Wanted::Whole;
                Ok((self.fetch(located, &located.urls, wanted).await?, None))
            }
        }
    }

    /// Continues a body that broke off with another response.
    pub(super) async fn go_on(
        &self,
        incoming: &mut Incoming<'_>,
        writer: &DraftWriter,
        broken: Broken,
    ) -> Result<(), Missed> {
        let from = writer.written();
        if incoming.length == Some(from) {
            // Only the mark of its end was cut off.
            return Ok(());
        }
        // Without framing a cut cannot be told from the end.
        if !broken.passing || !incoming.said.framed {
            return Err(broken.cause.into());
        }
        let mut cause = broken.cause;
        incoming.sound = true;
        while let Some(pause) = incoming.tries.next(from) {
            if self.is_deserted(from, incoming.length) {
                return Err(Error::Abandoned.into());
            }
            tokio::time::sleep(pause).await;
            let stop = match self.next_response(incoming, writer).await {
                Ok(outcome) => {
                    tracing::info!(key = %self.pilot.key(), %cause, from, outcome, "a download was resumed");
                    self.count_resume(outcome);
                    incoming.sound = false;
                    return Ok(());
                }
                Err(stop) => stop,
            };
            match stop {
                Stop::Again(error) => cause = error,
                Stop::Changed => {
                    incoming.sound = false;
                    self.count_resume("changed");
                    let why = "the feed sent other bytes when a download was resumed";
                    return Err(Missed {
                        again: !incoming.shown,
                        ..Error::unusable(why).into()
                    });
                }
                Stop::Refused(error) => {
                    incoming.sound = false;
                    self.count_resume("refused");
                    return Err(error.into());
                }
            }
        }
        self.count_resume("failed");
        Err(cause.into())
    }

    /// Another response that goes on where the draft ends, and how it came to.
    async fn next_response(
        &self,
        incoming: &mut Incoming<'_>,
        writer: &DraftWriter,
    ) -> Result<&'static str, Stop> {
        let from = writer.written();
        let validator = incoming.validator.clone().filter(|_| from > 0);
        let rest = validator.map(|validator| Rest { from, validator });
        let wanted = rest.as_ref().map_or(Wanted::Whole, Wanted::Rest);
        let url = slice::from_ref(&incoming.url);
        let fetched = self
            .fetch(incoming.located, url, wanted)
            .await
            .map_err(Stop::Again)?;
        match (fetched.status, rest) {
            (StatusCode::PARTIAL_CONTENT, Some(rest)) => {
                match rest.follows(&fetched.headers, incoming.length) {
                    Ok(length) if self.may_be(length) => {
                        incoming.length = Some(length);
                        incoming.body = fetched.body;
                        Ok("continued")
                    }
                    Ok(_) => Err(Stop::Changed),
                    Err(why) => {
                        // It does not know ranges: all of it is asked for.
                        incoming.validator = None;
                        Err(Stop::Again(self.unfit(why)))
                    }
                }
            }
            (StatusCode::OK, _) => self.compare(incoming, writer, fetched).await,
            (status, _) => Err(Stop::Refused(
                self.unfit(&format!("it answered with status {}", status.as_u16())),
            )),
        }
    }

    /// Reads a whole response up to where the draft ends; what lies before must be the same.
    async fn compare(
        &self,
        incoming: &mut Incoming<'_>,
        writer: &DraftWriter,
        fetched: Fetched,
    ) -> Result<&'static str, Stop> {
        let known = writer.written();
        let mut body = fetched.body;
        let lengths = (body.length(), incoming.length);
        if matches!(lengths, (Some(now), Some(before)) if now != before) || !body.framed() {
            return Err(Stop::Changed);
        }
        let mut at = 0;
        while at < known {
            let Some(block) = body.next().await else {
                return Err(Stop::Changed);
            };
            let block = block.map_err(|error| Stop::Again(self.engine.upstream_failed(&error)))?;
            let same = writer.matches(at, &block).await;
            if !same.map_err(|error| Stop::Refused(self.engine.store_failed("draft", &error)))? {
                return Err(Stop::Changed);
            }
            at += block.len() as u64;
            let beyond = usize::try_from(at.saturating_sub(known)).unwrap_or(0);
            let behind = block.slice(block.len() - beyond.min(block.len())..);
            self.engine.count_upstream_bytes(block.len() - behind.len());
            incoming.pending = Some(behind).filter(|behind| !behind.is_empty());
        }
        incoming.validator = validator(&fetched.headers, body.length());
        incoming.length = incoming.length.or(body.length());
        incoming.body = body;
        Ok("compared")
    }

    /// Whether nobody wants a body of which `written` bytes are there, and its rest is not worth
    /// fetching; the flight is then given up.
    pub(super) fn is_deserted(&self, written: u64, length: Option<u64>) -> bool {
        self.may_stop() && !worth_finishing(written, length) && self.pilot.give_up_if_deserted()
    }

    fn may_be(&self, length: u64) -> bool {
        let options = &self.engine.options;
        match self.target.rule.view {
            View::Raw => length <= options.package_size_max,
            _ => length <= options.document_size_max,
        }
    }

    fn unfit(&self, why: &str) -> Error {
        let feed = self.engine.feed.name();
        Error::unusable(format!(
            "feed {feed}: a download could not be resumed: {why}"
        ))
    }

    fn count_resume(&self, outcome: &str) {
        let resumes = &self.engine.metrics.resumes;
        resumes.with_label_values(&[outcome]).inc();
    }
}

/// A deserted body is received to its end when less than this is missing.
const NEARLY_DONE: u64 = 1 << 20;

/// A thin line must not be eaten by downloads nobody wants any more; what is at least half there,
/// nearly there, or of unknown length is finished.
const fn worth_finishing(written: u64, length: Option<u64>) -> bool {
    match length {
        Some(length) => written >= length / 2 || length.saturating_sub(written) < NEARLY_DONE,
        None => true,
    }
}
