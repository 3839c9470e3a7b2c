//! Asks the daemon's feeds as its clients do, without a listener between.
//!
//! Links of documents are followed as they are shown to clients, so that what is fetched is what
//! clients ask for.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::group::Group;
use crate::jobs::command::Cache;
use crate::nuget::route;
use crate::observe::CacheStatus;
use crate::policy::directives::Directives;
use crate::proxy::{Body, Error, Request};
use crate::upstream::ClientIdentity;

/// Where clients would see everything. Over https the service index has all resources.
const ROOT: &str = "https://localhost/";

/// A document or package that is there.
pub(super) struct Answer {
    /// The document; empty for a package that is not in memory.
    pub(super) bytes: Bytes,
    /// Its length.
    pub(super) length: u64,
    /// Whether the feed was not asked.
    pub(super) stored: bool,
}

/// Who asks.
#[derive(Clone)]
pub(super) struct Asker {
    group: Group,
}

impl Asker {
    pub(super) fn new(group: &Group) -> Self {
        Self {
            group: group.clone(),
        }
    }

    /// The document or package at a path below our root, all of it.
    pub(super) async fn ask(&self, path: &str) -> Result<Answer, Error> {
        let (group, base, rest) = self.place_of(path)?;
        let target = route::parse(rest, None).map_err(|_| Error::NotFound)?;
        let request = Request {
            target,
            base,
            head: false,
            whole: true,
            gzip: false,
            directives: Directives::default(),
            identity: ClientIdentity::default(),
        };
        let reply = group.serve(&request).await?;
        let length = match &reply.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Blob(blob) => blob.size(),
            Body::Draft { length, .. } | Body::Head(length) => length.unwrap_or_default(),
        };
        let bytes = reply.body.document().unwrap_or_default();
        let stored = matches!(reply.cache, CacheStatus::Hit | CacheStatus::HitStale);
        Ok(Answer {
            bytes,
            length,
            stored,
        })
    }

    /// A document as JSON.
    pub(super) async fn json(&self, path: &str) -> Result<(Value, Answer), Error> {
        let answer = self.ask(path).await?;
        let value = serde_json::from_slice(&answer.bytes);
        let value = value.map_err(|error| Error::unusable(format!("{path}: no JSON: {error}")))?;
        Ok((value, answer))
    }

    /// Whether what is at a path is stored for one of the feeds.
    pub(super) async fn is_stored(&self, cache: &Cache, path: &str) -> bool {
        let Ok((group, _, rest)) = self.place_of(path) else {
            return false;
        };
        let Ok(target) = route::parse(rest, None) else {
            return false;
        };
        for member in group.members() {
            let entry = cache.store.entry(&target.key(member.name())).await;
            if entry.is_ok_and(|entry| entry.is_some_and(|entry| entry.body.is_some())) {
                return true;
            }
        }
        false
    }

    /// Whom a path is for, the base of its links, and what is below `/v3/`.
    fn place_of<'p>(&self, path: &'p str) -> Result<(Group, Arc<str>, &'p str), Error> {
        if let Some(rest) = path.strip_prefix("v3/") {
            return Ok((self.group.clone(), format!("{ROOT}v3/").into(), rest));
        }
        let (feed, rest) = path
            .strip_prefix("feeds/")
            .and_then(|rest| rest.split_once("/v3/"))
            .ok_or(Error::NotFound)?;
        let group = self.group.alone(feed).ok_or(Error::NotFound)?;
        Ok((group, format!("{ROOT}feeds/{feed}/v3/").into(), rest))
    }
}

/// The path below our root that a link of a document leads to; `None` for one that leads elsewhere,
/// or to a part of a document.
pub(super) fn path_of(link: &str) -> Option<&str> {
    link.strip_prefix(ROOT).filter(|path| !path.contains('#'))
}
