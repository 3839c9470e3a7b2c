//! What the handling of requests shares, and how it is put together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use moka::sync::Cache;

use crate::group::Group;
use crate::observe::access_log::{AccessLog, Format};
use crate::pace::Clients;
use crate::proxy::Proxy;
use crate::proxy::generic::Generic;
use crate::server::access::Access;
use crate::server::base::BaseRules;
use crate::server::hot::HotAnswers;
use crate::server::pages::Pages;
use crate::server::trickle;
use crate::server::v2::V2;

/// Restore sessions that were warned, so that a console shows a warning once.
const SESSIONS_MAX: u64 = 4096;
const SESSION_LIFE: Duration = Duration::from_secs(3600);

/// Everything the handling of requests shares.
pub struct App {
    pub(super) group: Group,
    pub(super) raw: Option<Generic>,
    pub(super) bases: ArcSwap<BaseRules>,
    pub(super) access: Arc<Access>,
    pub(super) ready: AtomicBool,
    pub(super) requests: AtomicU64,
    /// Tells requests of this run from those of others.
    pub(super) run: u64,
    pub(super) warned: Cache<HeaderValue, ()>,
    pub(super) patience: Duration,
    pub(super) log: Option<AccessLog>,
    /// What each client may take.
    pub(super) pace: Clients,
    /// `None` where V2 is not spoken.
    pub(super) v2: Option<V2>,
    pub(super) hot: HotAnswers,
    /// `None` where there are no pages for people.
    pub(super) pages: Option<Pages>,
}

impl App {
    /// Handles requests with these feeds, under base URLs by these rules.
    pub fn new(feeds: impl Into<Group>, bases: BaseRules) -> Self {
        let group = feeds.into();
        let run = group.clock().now().as_millis() << 8 ^ u64::from(std::process::id());
        let warned = Cache::builder()
            .max_capacity(SESSIONS_MAX)
            .time_to_live(SESSION_LIFE)
            .build();
        Self {
            group,
            raw: None,
            bases: ArcSwap::from_pointee(bases),
            access: Arc::default(),
            ready: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            run,
            warned,
            patience: trickle::PATIENCE,
            log: None,
            pace: Clients::default(),
            v2: Some(V2::default()),
            hot: HotAnswers::new(),
            pages: None,
        }
    }

    /// The same, speaking V2 or not.
    #[must_use]
    pub fn with_v2(self, spoken: bool) -> Self {
        let v2 = spoken.then(V2::default);
        Self { v2, ..self }
    }

    /// The same, waiting this long for a document before its head is sent.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same, telling of each request.
    #[must_use]
    pub fn with_access_log(self, log: AccessLog) -> Self {
        let log = Some(log);
        Self { log, ..self }
    }

    /// The same, with pages for people.
    #[must_use]
    pub fn with_pages(self, pages: Pages) -> Self {
        let pages = Some(pages);
        Self { pages, ..self }
    }

    /// The same, for these clients only.
    #[must_use]
    pub fn with_access(self, access: Arc<Access>) -> Self {
        Self { access, ..self }
    }

    /// The same, with these limits for each client.
    #[must_use]
    pub fn with_pace(self, pace: Clients) -> Self {
        Self { pace, ..self }
    }

    /// The same, with generic routes below `/raw/`.
    #[must_use]
    pub fn with_raw(self, raw: Generic) -> Self {
        let raw = Some(raw);
        Self { raw, ..self }
    }

    /// Builds links by other rules from now on.
    pub fn set_bases(&self, bases: BaseRules) {
        self.bases.store(Arc::new(bases));
        self.hot.forget();
    }

    /// Tells of each request in this way from now on, or not at all; needs [`Self::with_access_log`].
    pub fn set_access_log(&self, format: Option<Format>) {
        if let Some(log) = &self.log {
            log.set(format);
        }
    }

    /// Waits until everything answered so far is stored.
    pub async fn quiet(&self) {
        if let Some(raw) = &self.raw {
            raw.quiet().await;
        }
        self.group.quiet().await;
    }

    /// The feeds behind it.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// The proxy of the first feed.
    pub fn proxy(&self) -> &Proxy {
        self.group.first().proxy()
    }

    /// From now on the daemon says that it is stopping.
    pub fn stop(&self) {
        self.ready.store(false, Ordering::Release);
    }
}
