//! Answers of members as parts of one, and the memo of what was made of them.
//!
//! A combined document is a function of its parts, and a part is named by its entity tag; so a
//! request for the same parts parses nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use prometheus::IntCounterVec;

use crate::group::{Group, Place};
use crate::nuget::merge::{Ids, MergeError};
use crate::nuget::route::Target;
use crate::nuget::version::PackageVersion;
use crate::observe::CacheStatus;
use crate::proxy::{Body, Error, Rendered, Reply, Request, encode, offload};

/// Bytes of memory for what was read in parts.
const FACTS_MEMORY: u64 = 16 << 20;

/// A document of one member.
#[derive(Clone)]
pub(super) struct Part {
    /// Who it is from.
    pub(super) place: Place,
    /// The document, not compressed.
    pub(super) bytes: Bytes,
    /// Its entity tag.
    pub(super) etag: String,
    age: Duration,
    cache: CacheStatus,
    warning: Option<Arc<str>>,
}

/// What was read in a document.
pub(super) enum Facts {
    /// Versions of a list.
    Versions(HashSet<PackageVersion>),
    /// URLs of the pages of a registration.
    Pages(Vec<String>),
    /// Results of a search.
    Results(Ids),
}

impl Facts {
    /// About how many bytes of memory they take.
    fn weight(&self) -> usize {
        let (count, text): (usize, usize) = match self {
            Self::Versions(versions) => {
                let texts = versions.iter().map(|version| version.as_str().len());
                (versions.len(), texts.sum())
            }
            Self::Pages(urls) => (urls.len(), urls.iter().map(String::len).sum()),
            Self::Results(found) => {
                let texts = found.ids.iter().flatten().map(|id| id.as_str().len());
                (found.ids.len(), texts.sum())
            }
        };
        512 + count * 64 + text
    }
}

/// The memo of combined documents and of what was read in parts.
pub(super) struct Memo {
    documents: moka::future::Cache<String, Rendered>,
    facts: moka::sync::Cache<String, Arc<Facts>>,
}

impl Memo {
    /// A memo of at most `bytes` bytes; what it drops to make room is counted.
    pub(super) fn new(bytes: u64, evictions: &IntCounterVec) -> Self {
        let evicted = evictions.with_label_values(&["views"]);
        let weigh = |key: &String, document: &Rendered| {
            u32::try_from(key.len() + document.bytes.len() + 512).unwrap_or(u32::MAX)
        };
        Self {
            documents: moka::future::Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .eviction_listener(move |_, _, cause| {
                    if cause == RemovalCause::Size {
                        evicted.inc();
                    }
                })
                .build(),
            facts: moka::sync::Cache::builder()
                .max_capacity(FACTS_MEMORY)
                .weigher(|key: &String, facts: &Arc<Facts>| {
                    u32::try_from(key.len() + facts.weight()).unwrap_or(u32::MAX)
                })
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// What `read` finds in a part, read once.
    pub(super) fn facts(
        &self,
        kind: &str,
        part: &Part,
        read: impl FnOnce(&[u8]) -> Result<Facts, MergeError>,
    ) -> Result<Arc<Facts>, Error> {
        let key = format!("{kind} {}", part.etag);
        if let Some(facts) = self.facts.get(&key) {
            return Ok(facts);
        }
        let facts = Arc::new(read(&part.bytes).map_err(|error| unusable(&error))?);
        self.facts.insert(key, Arc::clone(&facts));
        Ok(facts)
    }
}

/// What a combined document is, besides its parts.
pub(super) struct Recipe<'a> {
    /// The request it is for.
    pub(super) request: &'a Request,
    /// Everything the document depends on, besides kind, base URL and parts.
    pub(super) detail: String,
    /// What a developer should know beside what the parts say.
    pub(super) warning: Option<String>,
}

impl<'a> Recipe<'a> {
    /// Nothing but the parts matters.
    pub(super) const fn of(request: &'a Request) -> Self {
        Self {
            request,
            detail: String::new(),
            warning: None,
        }
    }
}

impl Group {
    /// The reply made of `parts` by `merge`, from memory if the very same was made before.
    pub(super) async fn combined<F>(
        &self,
        recipe: Recipe<'_>,
        parts: Vec<Part>,
        merge: F,
    ) -> Result<Reply, Error>
    where
        F: FnOnce(&[Part]) -> Result<Vec<u8>, MergeError> + Send + 'static,
    {
        let key = key_of(&recipe, &parts);
        let mut reply = summary(&parts, recipe.warning.as_deref());
        let gzip = recipe.request.gzip;
        let size: usize = parts.iter().map(|part| part.bytes.len()).sum();
        let merged = move || {
            let bytes = merge(&parts).map_err(|error| unusable(&error))?;
            encode(Bytes::from(bytes), gzip)
        };
        let work = async move { offload(size, "combining documents", merged).await? };
        let documents = &self.0.memo.documents;
        let made = documents.try_get_with(key, work).await;
        let made = made.map_err(|error: Arc<Error>| (*error).clone())?;
        reply.etag = Some(made.etag.to_string());
        reply.gzip = made.gzip;
        reply.body = Body::Bytes(made.bytes);
        Ok(reply)
    }

    /// What one member answers to the question for `target`.
    pub(super) async fn part(
        &self,
        place: Place,
        target: &Target,
        request: &Request,
    ) -> Result<Part, Error> {
        let reply = self.at(place, &part_of(request, target)).await?;
        Part::of(place, reply)
    }
}

/// The question for a part of the answer to `request`.
pub(super) fn part_of(request: &Request, target: &Target) -> Request {
    Request {
        target: target.clone(),
        base: Arc::clone(&request.base),
        head: false,
        whole: true,
        gzip: false,
        directives: request.directives,
        identity: request.identity.clone(),
    }
}

impl Part {
    /// The part that a reply is.
    pub(super) fn of(place: Place, reply: Reply) -> Result<Self, Error> {
        match (reply.body.document(), reply.etag) {
            (Some(bytes), Some(etag)) => Ok(Self {
                place,
                bytes,
                etag,
                age: reply.age,
                cache: reply.cache,
                warning: reply.warning,
            }),
            _ => Err(Error::internal("a part is no document in memory")),
        }
    }
}

fn key_of(recipe: &Recipe<'_>, parts: &[Part]) -> String {
    let target = &recipe.request.target;
    let slug = target.resource.map_or("", |resource| resource.slug);
    let (base, gzip) = (&recipe.request.base, recipe.request.gzip);
    let mut key = format!("{slug}/{} {base} {gzip} {}", target.path(), recipe.detail);
    for part in parts {
        key.push(' ');
        key.push_str(&part.place.to_string());
        key.push(':');
        key.push_str(&part.etag);
    }
    key
}

/// A reply without a body yet: as old and as stale as the worst of its parts.
fn summary(parts: &[Part], warning: Option<&str>) -> Reply {
    let worst = parts
        .iter()
        .map(|part| part.cache)
        .max_by_key(|it| rank(*it));
    let causes = parts.iter().filter_map(|part| part.warning.as_deref());
    let causes: Vec<&str> = causes.chain(warning).collect();
    Reply {
        body: Body::Bytes(Bytes::new()),
        content_type: Some("application/json".to_owned()),
        etag: None,
        last_modified: None,
        gzip: false,
        varies: true,
        age: parts.iter().map(|part| part.age).max().unwrap_or_default(),
        cache: worst.unwrap_or(CacheStatus::Own),
        warning: (!causes.is_empty()).then(|| causes.join("; ").into()),
        standing: None,
    }
}

/// How far from a fresh hit: stale is the worst, then what had to be fetched.
const fn rank(cache: CacheStatus) -> u8 {
    match cache {
        CacheStatus::Own => 0,
        CacheStatus::Hit => 1,
        CacheStatus::HitStale => 2,
        CacheStatus::Revalidated => 3,
        CacheStatus::Joined => 4,
        CacheStatus::Miss => 5,
        CacheStatus::Passed
        | CacheStatus::Relayed
        | CacheStatus::VaryMiss
        | CacheStatus::Replaced => 6,
        CacheStatus::Negative | CacheStatus::Refused => 7,
        CacheStatus::Stale(_) => 8,
    }
}

/// Whether a member certainly has no such document, so that the next one may be asked. Offline,
/// what is not stored cannot be had from a member.
pub(super) const fn is_none(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound | Error::RememberedNotFound | Error::NotOffered(_) | Error::Offline { .. }
    )
}

/// Of two errors the one that says more: a failure, then "offline", then "there is none".
pub(super) fn weightier(known: Option<Error>, other: Error) -> Error {
    let weight = |error: &Error| match error {
        Error::NotOffered(_) => 0,
        Error::RememberedNotFound => 1,
        Error::NotFound => 2,
        Error::Offline { .. } => 3,
        _ => 4,
    };
    match known {
        Some(known) if weight(&known) >= weight(&other) => known,
        _ => other,
    }
}

pub(super) fn unusable(error: &MergeError) -> Error {
    Error::unusable(format!(
        "documents of several feeds cannot be combined: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;

    #[test]
    fn what_was_read_in_parts_is_bounded_by_its_size() {
        let memo = Memo::new(0, &Metrics::new().unwrap().evictions);
        let urls = vec!["https://feed.test/".repeat(100); 100];
        for number in 0..500 {
            let part = Part {
                place: 0,
                bytes: Bytes::new(),
                etag: format!("\"{number}\""),
                age: Duration::ZERO,
                cache: CacheStatus::Own,
                warning: None,
            };
            let read = |_: &[u8]| Ok(Facts::Pages(urls.clone()));
            memo.facts("pages", &part, read).unwrap();
        }
        memo.facts.run_pending_tasks();
        assert!(memo.facts.entry_count() > 10);
        assert!(memo.facts.entry_count() < 100);
        assert!(memo.facts.weighted_size() <= FACTS_MEMORY);
    }
}
