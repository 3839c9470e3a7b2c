//! Documents as clients get them: pure functions of a stored body, memoised.
//!
//! A view depends on the body, the links that are known, our base URL and the encoding; nothing of
//! a request but its base URL reaches it, so a made-up `Host` can poison nothing. What is stored
//! stays as the upstream sent it.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use moka::future::Cache;
use moka::notification::RemovalCause;
use prometheus::IntCounterVec;
use tokio::sync::Semaphore;

use crate::entry::Digest;
use crate::nuget::publish::Publish;
use crate::nuget::resource::{DocRule, View};
use crate::nuget::rewrite::{self, Place};
use crate::nuget::service_index::{RenderOptions, WebLinks};
use crate::nuget::v2::links;
use crate::observe::Metrics;
use crate::proxy::discovery::Discovered;
use crate::proxy::error::Error;
use crate::proxy::offload::offload;

/// Documents rendered at a time: each may take several times its size in memory.
const RENDERS_MAX: usize = 4;

/// Below this, compressing costs more bytes and time than it saves.
const GZIP_MIN: usize = 1024;

/// What a document costs in memory beside its bytes.
const OVERHEAD: u64 = 512;

/// A document ready to be sent.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The body in the encoding.
    pub bytes: Bytes,
    /// Strong entity tag of exactly these bytes, with quotes.
    pub etag: Arc<str>,
    /// Whether `bytes` is gzip.
    pub gzip: bool,
    /// Pages that links of the document were replaced by: token and upstream URL.
    pub pages: Arc<[(String, String)]>,
    /// How many links were left as they are, under no known base.
    pub left: u64,
}

/// What a view is a function of, besides the body.
#[derive(Clone)]
pub struct Subject {
    /// The kind of document.
    pub rule: &'static DocRule,
    /// Our path segment of its resource.
    pub slug: &'static str,
    /// Digest of the stored body.
    pub digest: Digest,
    /// Our base URL, ending in `/v3/`.
    pub base: Arc<str>,
    /// What is known of the upstream, for documents with links.
    pub discovered: Option<Arc<Discovered>>,
    /// Whether the client accepts gzip.
    pub gzip: bool,
    /// What becomes of templates of web pages.
    pub web_links: WebLinks,
    /// Whether the service index offers V2.
    pub v2: bool,
    /// What becomes of pushes.
    pub publish: Publish,
}

/// What a view is found under.
pub type MemoKey = (Digest, &'static str, Arc<str>, u64, bool);

/// The memo.
pub struct Views {
    memo: Cache<MemoKey, Arc<Rendered>>,
    turns: Semaphore,
}

impl Views {
    /// A memo of at most `bytes` bytes; what it drops to make room is counted.
    pub fn new(bytes: u64, evictions: &IntCounterVec) -> Self {
        let evicted = evictions.with_label_values(&["views"]);
        let weigh = |_: &MemoKey, view: &Arc<Rendered>| {
            u32::try_from(view.bytes.len() as u64 + OVERHEAD).unwrap_or(u32::MAX)
        };
        let memo = Cache::builder()
            .max_capacity(bytes)
            .weigher(weigh)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    evicted.inc();
                }
            })
            .build();
        Self {
            memo,
            turns: Semaphore::new(RENDERS_MAX),
        }
    }

    /// The view if it is in memory.
    pub async fn hot(&self, subject: &Subject) -> Option<Arc<Rendered>> {
        self.at(&subject.key()).await
    }

    /// The view under this key if it is in memory.
    pub async fn at(&self, key: &MemoKey) -> Option<Arc<Rendered>> {
        self.memo.get(key).await
    }

    /// The view of a body that `load` fetches if the view is not in memory. However many ask, it is
    /// rendered once.
    ///
    /// # Errors
    /// What `load` fails with, and [`Error::Upstream`] when the body cannot be shown.
    pub async fn render(
        &self,
        subject: Subject,
        metrics: &Metrics,
        load: impl Future<Output = Result<Bytes, Error>>,
    ) -> Result<Arc<Rendered>, Error> {
        let encoding = if subject.gzip { "gzip" } else { "identity" };
        let key = subject.key();
        let work = async move {
            let _turn = self.turns.acquire().await;
            let body = load.await?;
            metrics.views.with_label_values(&[encoding]).inc();
            let rendered = render(subject, body).await?;
            metrics.links_left.inc_by(rendered.left);
            Ok(Arc::new(rendered))
        };
        self.memo
            .try_get_with(key, work)
            .await
            .map_err(|error: Arc<Error>| (*error).clone())
    }
}

impl Subject {
    /// What the view is found under. A version list or vulnerability page is the same under every
    /// base.
    pub fn key(&self) -> MemoKey {
        match self.rule.view {
            View::Raw | View::Document => (self.digest, "", Arc::from(""), 0, self.gzip),
            View::Links(_) | View::Atom | View::ServiceIndex => {
                let known = self.discovered.as_ref();
                let generation = known.map_or(0, |known| match self.rule.view {
                    View::Atom => {
                        known.map.generation() ^ known.gallery.generation().rotate_left(1)
                    }
                    _ => known.map.generation(),
                });
                // Our index is made of what was understood, which may be newer than what is stored.
                let digest = match (self.rule.view, known) {
                    (View::ServiceIndex, Some(known)) => known.digest,
                    _ => self.digest,
                };
                (
                    digest,
                    self.rule.name,
                    Arc::clone(&self.base),
                    generation,
                    self.gzip,
                )
            }
        }
    }
}

async fn render(subject: Subject, body: Bytes) -> Result<Rendered, Error> {
    let what = "rendering a document";
    offload(body.len(), what, move || transform(&subject, body)).await?
}

fn transform(subject: &Subject, body: Bytes) -> Result<Rendered, Error> {
    let (identity, pages, left) = match (subject.rule.view, &subject.discovered) {
        (View::Links(rule), Some(known)) => {
            let place = Place {
                base: &subject.base,
                slug: subject.slug,
            };
            let links = rewrite::links(&body, rule, &known.map, place)
                .map_err(|error| Error::unusable(format!("cannot show the document: {error}")))?;
            (Bytes::from(links.bytes), links.pages, links.left as u64)
        }
        (View::Atom, Some(known)) => {
            let place = links::Place {
                base: &subject.base,
                gallery: &known.gallery,
                documents: &known.map,
                web_links: subject.web_links,
            };
            let links = links::links(&body, place)
                .map_err(|error| Error::unusable(format!("cannot show the document: {error}")))?;
            (Bytes::from(links.bytes), Vec::new(), links.left as u64)
        }
        (View::ServiceIndex, Some(known)) => {
            let options = RenderOptions {
                base: &subject.base,
                web_links: subject.web_links,
                v2: subject.v2,
                publish: subject.publish,
            };
            (Bytes::from(known.index.render(&options)), Vec::new(), 0)
        }
        (View::Links(_) | View::Atom | View::ServiceIndex, None) => {
            return Err(Error::internal("the upstream's service index is not known"));
        }
        (View::Raw | View::Document, _) => (body, Vec::new(), 0),
    };
    Ok(Rendered {
        pages: pages.into(),
        left,
        ..encode(identity, subject.gzip)?
    })
}

/// A document without links left to replace, compressed if `gzip` allows and it is worth it.
///
/// # Errors
/// [`Error::Internal`] when compressing fails.
pub fn encode(identity: Bytes, gzip: bool) -> Result<Rendered, Error> {
    let gzip = gzip && identity.len() >= GZIP_MIN;
    let bytes = if gzip { compress(&identity)? } else { identity };
    let tag = Digest::of(&bytes).to_hex();
    let etag = format!("\"{}{}\"", &tag[..32], if gzip { "-gz" } else { "" });
    Ok(Rendered {
        bytes,
        etag: etag.into(),
        gzip,
        pages: Arc::default(),
        left: 0,
    })
}

fn compress(identity: &[u8]) -> Result<Bytes, Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(identity.len() / 4), Compression::new(5));
    encoder
        .write_all(identity)
        .and_then(|()| encoder.finish())
        .map(Bytes::from)
        .map_err(|error| Error::internal(format!("compressing failed: {error}")))
}
