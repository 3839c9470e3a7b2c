//! Answers of the upstream that are not believed: an older document after a newer one, and a 304
//! for something else than what is stored.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::ETAG;
use http::{HeaderValue, StatusCode};

use crate::entry::{Entry, Validators};
use crate::nuget::commit::commit_time;
use crate::nuget::resource::View;
use crate::observe::StaleReason;
use crate::policy::class::Class;
use crate::policy::older::{Dated, goes_back};
use crate::proxy::error::Error;
use crate::proxy::fill::Fill;
use crate::proxy::settle::{Flown, failed, stale};
use crate::store::Finished;
use crate::upstream::Fetched;

impl Fill {
    /// Whether a 304 names another version than the stored one, which it then does not confirm (RFC
    /// 9111 section 4.3.4).
    pub(super) fn confirms_another(&self, fetched: &Fetched) -> bool {
        let named = fetched.headers.get(ETAG);
        let seen = self.seen.as_ref();
        let known = seen.and_then(|seen| seen.validators.etag.as_ref());
        fetched.status == StatusCode::NOT_MODIFIED
            && matches!((named, known), (Some(named), Some(known)) if opaque(named) != opaque(known))
    }

    /// Whether a document is older than the stored one and not believed yet.
    pub(super) async fn goes_back(
        &self,
        finished: &Finished,
        entry: &Entry,
    ) -> Result<bool, Error> {
        let rule = self.target.rule;
        let changing = !matches!(rule.class, Class::Immutable | Class::Query);
        let Some(seen) = self.seen.as_ref().filter(|seen| !seen.is_absent()) else {
            return Ok(false);
        };
        let engine = &self.engine;
        let comparable = changing && rule.view != View::Raw && !engine.feed.is_folder();
        if !comparable || !engine.options.keep_newer || self.is_outdated() {
            return Ok(false);
        }
        let mut new = dated(&entry.validators);
        let mut known = dated(&seen.validators);
        if let (true, Some(body)) = (rule.name.starts_with("registration"), seen.body) {
            let limit = engine.options.document_size_max;
            new.committed = commit_time(&engine.whole(&finished.draft, limit).await?);
            // One that cannot be read is no reason to refuse another.
            let stored = engine.load_whole(&body).await.ok();
            known.committed = stored.and_then(|stored| commit_time(&stored));
        }
        Ok(goes_back(
            new,
            known,
            seen.missing_since,
            engine.clock.now(),
        ))
    }

    /// The feed sent an older document: the newer one stays, and is asked for again soon.
    pub(super) async fn keep_newer(&self) -> Flown {
        self.count_revalidation("older");
        let Some(seen) = &self.seen else {
            return failed(Error::NotFound, "absent");
        };
        let now = self.engine.clock.now();
        let stamped = Entry {
            missing_since: seen.missing_since.or(Some(now)),
            ..Entry::clone(seen)
        };
        let entry = self.put(stamped).await;
        self.engine.backoff.failed(self.pilot.key(), now);
        let cause = "the feed sent an older document; nugate serves the newer one";
        stale(entry, StaleReason::Older, Arc::from(cause))
    }
}

fn dated(validators: &Validators) -> Dated {
    let modified = validators.last_modified.as_ref();
    Dated {
        committed: None,
        modified: modified.and_then(date),
    }
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// What servers append to the tag of a body they compress, but not to that of a 304.
const CODINGS: [&[u8]; 3] = [b"--gzip", b"-gzip", b";gzip"];

/// For weak comparison (RFC 9110 section 8.8.3.2); some servers leave the quotes out.
fn opaque(tag: &HeaderValue) -> &[u8] {
    let tag = tag.as_bytes().trim_ascii();
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    let inner = tag
        .strip_prefix(b"\"")
        .and_then(|tag| tag.strip_suffix(b"\""));
    let tag = inner.unwrap_or(tag);
    let plain = CODINGS.iter().find_map(|coding| tag.strip_suffix(*coding));
    plain.unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_has_many_tags() {
        for tag in [
            "\"a\"",
            "W/\"a\"",
            "a",
            "\"a-gzip\"",
            "\"a--gzip\"",
            " \"a;gzip\" ",
        ] {
            let tag = HeaderValue::from_str(tag).unwrap();
            assert_eq!(opaque(&tag), b"a", "{tag:?}");
        }
        assert_eq!(opaque(&HeaderValue::from_static("\"\"")), b"");
    }
}
