//! Digests of packages that documents of the feed have stated, for when the package is fetched.
//!
//! In memory only, and of the documents that were shown: most packages are asked for by clients
//! that have just been shown what the feed says of them.

use bytes::Bytes;
use moka::sync::Cache;

use crate::nuget::id::PackageId;
use crate::nuget::resource::{Check, DocRule, View};
use crate::nuget::route::Target;
use crate::nuget::stated::{Stated, in_entries, in_leaf};
use crate::proxy::offload::offload;
use crate::upstream::Checksum;

/// Packages remembered, the least recently used go first.
const PACKAGES_MAX: u64 = 20_000;

/// What was stated.
pub(super) struct StatedDigests(Cache<(PackageId, String), Checksum>);

impl Default for StatedDigests {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(PACKAGES_MAX)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .build();
        Self(cache)
    }
}

impl StatedDigests {
    /// Takes note of what a document of this kind states.
    pub(super) async fn note(&self, rule: &DocRule, document: &Bytes) {
        let read: fn(&[u8]) -> Vec<Stated> = match rule.view {
            View::Atom => in_entries,
            View::Links(_) if rule.name == "catalog_leaf" => in_leaf,
            _ => return,
        };
        let document = document.clone();
        let found = offload(document.len(), "reading digests", move || read(&document)).await;
        for stated in found.unwrap_or_default() {
            if let Some(digest) = Checksum::stated(&stated.algorithm, &stated.value) {
                let key = (stated.id, stated.version.as_str().to_owned());
                self.0.insert(key, digest);
            }
        }
    }

    /// The digest that the package file `target` must have, if one was stated.
    pub(super) fn of(&self, target: &Target) -> Option<Checksum> {
        if target.rule.check != Check::Nupkg {
            return None;
        }
        let (id, version) = (target.id.clone()?, target.version.as_ref()?);
        self.0.get(&(id, version.as_str().to_owned()))
    }
}
