//! Settings of the engine.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::config::{Credential, Secret};
use crate::nuget::publish::Publish;
use crate::nuget::service_index::WebLinks;
use crate::nuget::v2::V2Source;
use crate::policy::class::{Freshness, Network};
use crate::proxy::Proxy;
use crate::proxy::engine::Engine;
use crate::upstream::{Authorizer, UpstreamError};

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long things stay fresh, to begin with.
    pub freshness: Freshness,
    /// How much the upstream is asked at all.
    pub network: Network,
    /// Whether `Cache-Control: no-cache` of a request makes the upstream be asked.
    pub honour_no_cache: bool,
    /// What becomes of templates of web pages.
    pub web_links: WebLinks,
    /// Whether the service index offers V2.
    pub v2: bool,
    /// Whether a document stays as it is when the upstream sends an older one.
    pub keep_newer: bool,
    /// What answers V2 clients.
    pub v2_source: V2Source,
    /// What becomes of pushes and deletions.
    pub publish: Publish,
    /// The feed's own key for pushes of those who may push here, to begin with.
    pub push_key: Option<Secret>,
    /// Longest wait for the feed's answer to a push, counted from the end of the upload.
    pub publish_timeout: Duration,
    /// Bytes of memory for rendered documents.
    pub memory: u64,
    /// Longest document, in bytes.
    pub document_size_max: u64,
    /// Longest package, in bytes.
    pub package_size_max: u64,
}

/// Settings that can change while requests are served; each request uses what holds when it looks.
pub(super) struct Live {
    pub(super) freshness: ArcSwap<Freshness>,
    pub(super) push_key: ArcSwapOption<Secret>,
}

/// New values of what can change while requests are served, ready to be used.
pub struct Tuning {
    freshness: Freshness,
    push_key: Option<Secret>,
    authorizer: Option<Arc<Authorizer>>,
}

impl Engine {
    /// How long things stay fresh.
    pub(super) fn freshness(&self) -> Freshness {
        **self.live.freshness.load()
    }
}

impl Proxy {
    /// Makes new values ready; nothing changes yet.
    ///
    /// # Errors
    /// When no header can carry the credential.
    pub fn tuning(
        &self,
        freshness: Freshness,
        push_key: Option<Secret>,
        credential: Option<Credential>,
    ) -> Result<Tuning, UpstreamError> {
        Ok(Tuning {
            freshness: self.0.feed.lifetimes(freshness),
            push_key,
            authorizer: self.0.feed.authorizer(credential)?,
        })
    }

    /// Uses new values from now on.
    pub fn tune(&self, tuning: Tuning) {
        let live = &self.0.live;
        live.freshness.store(Arc::new(tuning.freshness));
        live.push_key.store(tuning.push_key.map(Arc::new));
        self.0.feed.authorize_by(tuning.authorizer);
    }
}
