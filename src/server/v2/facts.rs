//! V3 documents asked for on behalf of a V2 client, and what they say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use moka::future::Cache;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::group::{Group, base_of_feed};
use crate::nuget::id::PackageId;
use crate::nuget::route;
use crate::nuget::v2::facts::{self, Hits, Page, Release};
use crate::nuget::v2::rows::Package;
use crate::observe::CacheStatus;
use crate::proxy::{Error, Reply, Request, offload};
use crate::server::v2::Failure;
use crate::server::v2::list::within;

/// Bytes of memory for what was read of registrations.
const MEMORY: u64 = 16 << 20;

/// Documents read at a time: each takes several times its size in memory.
const READERS_MAX: usize = 4;

/// Pages of one registration asked for at a time.
const PAGES_AT_ONCE: usize = 4;

/// Packages asked for at a time.
const PACKAGES_AT_ONCE: usize = 8;

/// Lists gathered from searches at a time.
const LISTS_MAX: usize = 2;

/// The registrations of a feed, the richest first: that of the others lacks versions.
const HIVES: [&str; 3] = ["registration-gz-semver2", "registration-gz", "registration"];

/// What V2 keeps between requests: registrations as they were read, by entity tag.
pub struct V2 {
    read: Cache<Arc<str>, Arc<Vec<Page>>>,
    turns: Semaphore,
    lists: Semaphore,
}

impl Default for V2 {
    fn default() -> Self {
        let weigh = |_: &Arc<str>, pages: &Arc<Vec<Page>>| {
            let of_page = |page: &Page| match page {
                Page::Items(items) => items.iter().map(|item| item.weight()).sum(),
                Page::At(url) => url.len(),
            };
            let bytes: usize = pages.iter().map(of_page).sum();
            u32::try_from(bytes + 256).unwrap_or(u32::MAX)
        };
        Self {
            read: Cache::builder()
                .max_capacity(MEMORY)
                .weigher(weigh)
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .build(),
            turns: Semaphore::new(READERS_MAX),
            lists: Semaphore::new(LISTS_MAX),
        }
    }
}

/// How the documents behind an answer came about, together.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The most remarkable of them.
    pub(super) cache: CacheStatus,
    /// The oldest.
    pub(super) age: Option<Duration>,
    /// What a developer should know.
    pub(super) warning: Option<Arc<str>>,
    /// Whether something was left out because asking is forbidden.
    incomplete: bool,
}

/// The facts for one request.
pub(super) struct Facts<'a> {
    group: &'a Group,
    v2: &'a V2,
    like: Request,
    seen: Mutex<Seen>,
}

/// Where a document is asked for.
struct Place {
    group: Group,
    base: Arc<str>,
}

/// An id as a path segment.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl<'a> Facts<'a> {
    /// Facts for the client whose request is `like` this.
    pub(super) const fn new(group: &'a Group, v2: &'a V2, like: Request) -> Self {
        let seen = Seen {
            cache: CacheStatus::Own,
            age: None,
            warning: None,
            incomplete: false,
        };
        Self {
            group,
            v2,
            like,
            seen: Mutex::new(seen),
        }
    }

    /// Our base, ending in `/v3/`.
    pub(super) fn base(&self) -> &str {
        &self.like.base
    }

    /// The reply with this body.
    pub(super) fn reply(&self, content_type: &str, body: Vec<u8>) -> Result<Reply, Error> {
        super::reply(content_type, body, self.like.gzip, self.seen())
    }

    /// Whether something was left out because asking is forbidden.
    pub(super) fn is_incomplete(&self) -> bool {
        self.seen().incomplete
    }

    /// Work on the blocking pool, as much at a time as documents are read.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _turn = self.v2.turns.acquire().await;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| Error::internal("working out a list panicked"))
    }

    fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All versions of a package; `None` when the feed has none.
    pub(super) async fn package(&self, id: &PackageId) -> Result<Option<Arc<Package>>, Error> {
        for hive in HIVES {
            let path = format!("{hive}/{}/index.json", segment(id.as_str()));
            match self
                .read(&self.place(), &path, facts::registration_index)
                .await
            {
                Ok(pages) => return self.releases(&pages).await.map(Some),
                Err(Error::NotOffered(_)) => {}
                Err(error @ (Error::NotFound | Error::RememberedNotFound)) => {
                    self.note(|seen| seen.add(error.cache_status(), Duration::ZERO));
                    return Ok(None);
                }
                // What V3 clients get as a 404, with which they go on to their next source.
                Err(error @ Error::Offline { list: true }) => {
                    self.note(|seen| {
                        seen.add(error.cache_status(), Duration::ZERO);
                        seen.incomplete = true;
                    });
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NotOffered("RegistrationsBaseUrl"))
    }

    /// Several packages, in the order of the ids.
    pub(super) async fn packages(
        &self,
        ids: &[&PackageId],
    ) -> Result<Vec<Option<Arc<Package>>>, Failure> {
        let asked: Vec<_> = ids.iter().map(|id| self.package(id)).collect();
        let mut asked = futures_util::stream::iter(asked).buffered(PACKAGES_AT_ONCE);
        let mut found = Vec::with_capacity(ids.len());
        let mut weight = 0;
        while let Some(package) = asked.try_next().await? {
            weight += package.as_deref().map_or(0, Package::weight);
            within(weight, found.len())?;
            found.push(package);
        }
        Ok(found)
    }

    /// Waits until few others gather long lists; the list is gathered while the permit is held.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.v2.lists.acquire().await.ok()
    }

    async fn releases(&self, pages: &[Page]) -> Result<Arc<Package>, Error> {
        let asked: Vec<_> = pages.iter().map(|page| self.items(page)).collect();
        let parts: Vec<Vec<Arc<Release>>> = futures_util::stream::iter(asked)
            .buffered(PAGES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Arc::new(Package::new(parts.concat())))
    }

    async fn items(&self, page: &Page) -> Result<Vec<Arc<Release>>, Error> {
        let url = match page {
            Page::Items(items) => return Ok(items.clone()),
            Page::At(url) => url,
        };
        let (place, path) = self.place_of(url).ok_or_else(|| {
            Error::unusable("a page of the registration lies under none of the feed's bases")
        })?;
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let read = |body: &[u8]| Ok(vec![Page::Items(facts::registration_page(body)?)]);
        let pages = self
            .read(&place, path, read)
            .await
            .map_err(|error| match error {
                // The index names it: a list without it would be wrong.
                Error::NotFound | Error::RememberedNotFound => {
                    Error::unusable("the feed has no page that its registration names")
                }
                error => error,
            })?;
        match pages.first() {
            Some(Page::Items(items)) => Ok(items.clone()),
            _ => Ok(Vec::new()),
        }
    }

    /// Where a document of ours is, and its path there: pages of several feeds lie below the feed
    /// they are from.
    fn place_of<'u>(&self, url: &'u str) -> Option<(Place, &'u str)> {
        if let Some(path) = url.strip_prefix(self.base()) {
            return Some((self.place(), path));
        }
        self.group.members().find_map(|member| {
            let base = base_of_feed(self.base(), member.name());
            let path = url.strip_prefix(&*base)?;
            let group = self.group.alone(member.name())?;
            Some((Place { group, base }, path))
        })
    }

    fn place(&self) -> Place {
        Place {
            group: self.group.clone(),
            base: Arc::clone(&self.like.base),
        }
    }

    /// What the search finds from `skip` on.
    pub(super) async fn search(&self, question: &Question<'_>) -> Result<Hits, Error> {
        let (body, _) = self
            .document(&self.place(), "query", Some(&question.query()))
            .await?;
        facts::search(&body).map_err(|error| Error::unusable(format!("the search: {error}")))
    }

    /// What `read` makes of a document; the same document is read once.
    async fn read(
        &self,
        place: &Place,
        path: &str,
        read: fn(&[u8]) -> Result<Vec<Page>, facts::Unusable>,
    ) -> Result<Arc<Vec<Page>>, Error> {
        let (body, etag) = self.document(place, path, None).await?;
        let work = async {
            let _turn = self.v2.turns.acquire().await;
            let read = move |body: &Bytes| {
                let pages = read(body).map(Arc::new);
                pages.map_err(|error| Error::unusable(format!("a registration: {error}")))
            };
            offload(body.len(), "reading a registration", move || read(&body)).await?
        };
        match etag {
            Some(etag) => {
                let read = self.v2.read.try_get_with(etag.into(), work).await;
                read.map_err(|error: Arc<Error>| (*error).clone())
            }
            None => work.await,
        }
    }

    /// A document as V3 clients get it, and its entity tag.
    async fn document(
        &self,
        place: &Place,
        path: &str,
        query: Option<&str>,
    ) -> Result<(Bytes, Option<String>), Error> {
        let target = route::parse(path, query).map_err(|error| {
            Error::unusable(format!("a registration names a page that is none: {error}"))
        })?;
        let request = Request {
            target,
            base: Arc::clone(&place.base),
            head: false,
            whole: true,
            gzip: false,
            ..self.like.clone()
        };
        let reply = place.group.serve(&request).await?;
        self.note(|seen| {
            seen.add(reply.cache, reply.age);
            seen.warning = seen.warning.take().or(reply.warning);
        });
        let missing = || Error::internal("a document came without its body");
        let body = reply.body.document().ok_or_else(missing)?;
        Ok((body, reply.etag))
    }
}

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// The words.
    pub(super) term: &'a str,
    /// Whether prereleases count.
    pub(super) prerelease: bool,
    /// Whether versions of `SemVer` 2.0.0 count.
    pub(super) semver2: bool,
    /// How many packages are left out.
    pub(super) skip: usize,
    /// How many are wanted.
    pub(super) take: usize,
}

impl Question<'_> {
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("q", self.term)
            .append_pair("skip", &self.skip.to_string())
            .append_pair("take", &self.take.to_string())
            .append_pair("prerelease", if self.prerelease { "true" } else { "false" });
        if self.semver2 {
            query.append_pair("semVerLevel", "2.0.0");
        }
        query.finish()
    }
}

impl Seen {
    fn add(&mut self, cache: CacheStatus, age: Duration) {
        if rank(cache) > rank(self.cache) {
            self.cache = cache;
        }
        self.age = self.age.max(Some(age));
    }
}

/// How remarkable it is.
const fn rank(cache: CacheStatus) -> u8 {
    match cache {
        CacheStatus::Own => 0,
        CacheStatus::Negative => 1,
        CacheStatus::Hit => 2,
        CacheStatus::HitStale => 3,
        CacheStatus::Revalidated => 4,
        CacheStatus::Joined => 5,
        CacheStatus::Passed
        | CacheStatus::Relayed
        | CacheStatus::VaryMiss
        | CacheStatus::Replaced
        | CacheStatus::Miss => 6,
        CacheStatus::Refused => 7,
        CacheStatus::Stale(_) => 8,
    }
}
