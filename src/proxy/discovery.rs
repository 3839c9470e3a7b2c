//! What is known of the upstream: its service index, the bases its links lie under, its pages.
//!
//! The service index is a document like others, kept and revalidated by the same path; this module
//! holds what was understood of the latest one. Bases seen earlier stay known, because documents
//! stored under them still name them.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use url::Url;

use crate::entry::Digest;
use crate::nuget::link_map::LinkMap;
use crate::nuget::service_index::{GALLERY, ServiceIndex};
use crate::upstream::Feed;

/// Pages remembered, by token; each is a URL.
const PAGES_MAX: u64 = 4096;

/// What was understood of a service index.
#[derive(Debug)]
pub struct Discovered {
    /// Digest of the document it was understood from.
    pub digest: Digest,
    /// The upstream's service index.
    pub index: ServiceIndex,
    /// From the upstream's bases, past ones too, to our paths.
    pub map: LinkMap,
    /// From the upstream's V2 endpoints, past ones too, to ours, below our root.
    pub gallery: LinkMap,
    /// Hosts the index names.
    pub hosts: HashSet<String>,
    /// An address on each of those that are asked in the first place.
    pub origins: Vec<Url>,
}

/// The latest understanding, and the pages that links were replaced by.
pub struct Discovery {
    current: ArcSwapOption<Discovered>,
    pages: Cache<String, Arc<str>>,
    older: std::sync::Mutex<Vec<(String, String)>>,
}

impl Discovery {
    /// Nothing known yet, except `older`: bases and our paths for them, from earlier runs.
    pub fn new(older: Vec<(String, String)>) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            pages: Cache::new(PAGES_MAX),
            older: std::sync::Mutex::new(older),
        }
    }

    /// The latest understanding.
    pub fn current(&self) -> Option<Arc<Discovered>> {
        self.current.load_full()
    }

    /// Understands a service index and makes it the current one, unless it is only a stored one and
    /// there is a current one already. Returns it, and all bases known
    /// now if there are more of them than before.
    ///
    /// # Errors
    /// Text for people when the document is no usable service index.
    pub fn adopt(&self, body: &[u8], feed: &Feed, origin: Origin) -> Result<Adopted, String> {
        let index = ServiceIndex::parse(body, feed.url()).map_err(|error| error.to_string())?;
        let index = index.passing(feed.pass_types(), feed.url());
        for name in index.unknown() {
            tracing::debug!(
                resource_type = name,
                "the feed offers a resource nugate does not know"
            );
        }
        let mut older = self
            .older
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (Origin::Stored, Some(discovered)) = (origin, self.current()) {
            let bases = None;
            return Ok(Adopted { discovered, bases });
        }
        let mut map = index.link_map();
        let mut gallery = index.gallery_map();
        let more = remember(&mut older, &map) | remember(&mut older, &gallery);
        let of_gallery = |(_, ours): &(String, String)| ours == GALLERY;
        let (past, others) = older.iter().cloned().partition(of_gallery);
        map.merge_older(&LinkMap::new(others));
        gallery.merge_older(&LinkMap::new(past));
        let discovered = Arc::new(Discovered {
            digest: Digest::of(body),
            hosts: index.hosts().into_iter().collect(),
            origins: index.origins(),
            index,
            map,
            gallery,
        });
        self.current.store(Some(Arc::clone(&discovered)));
        let bases = more.then(|| older.clone());
        Ok(Adopted { discovered, bases })
    }

    /// Remembers where pages are.
    pub fn note_pages(&self, pages: &[(String, String)]) {
        for (token, url) in pages {
            self.pages.insert(token.clone(), Arc::from(url.as_str()));
        }
    }

    /// Where the page with this token is.
    pub fn page(&self, token: &str) -> Option<Arc<str>> {
        self.pages.get(token)
    }
}

/// Bases remembered over the life of a cache; a feed that moves more often is not followed back.
const BASES_MAX: usize = 256;

/// Adds bases that are new, and says whether there were any.
fn remember(older: &mut Vec<(String, String)>, fresh: &LinkMap) -> bool {
    let before = older.len();
    for (base, ours) in fresh.pairs() {
        let mut known = older.iter();
        let known =
            known.any(|(known, its)| known == base && (its == GALLERY) == (ours == GALLERY));
        if !known && older.len() < BASES_MAX {
            older.push((base.to_owned(), ours.to_owned()));
        }
    }
    older.len() > before
}

/// Where a service index comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was stored: of use only while nothing newer is known.
    Stored,
    /// It has just arrived.
    Arrived,
}

/// A service index that has become the current one.
pub struct Adopted {
    /// What was understood.
    pub discovered: Arc<Discovered>,
    /// All bases known now, when there are new ones to write down.
    pub bases: Option<Vec<(String, String)>>,
}
