//! Search and autocompletion while the feed gives no answer: what is stored is searched.
//!
//! The same question asked before, however long ago, is the better answer and comes first. What a
//! restore decides by is never made here: the versions of an id are those of its stored list, which
//! the feed made, and not those that happen to be stored.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::entry::{Digest, Stored};
use crate::folder::{Description, Finding, Stock, completed_id};
use crate::nuget::merge::version_set;
use crate::nuget::resource::DocRule;
use crate::nuget::route;
use crate::observe::CacheStatus;
use crate::proxy::engine::Engine;
use crate::proxy::{Body, Error, Proxy, Reply, Request, offload};

/// Keys read at a time.
const PAGE: u64 = 4096;

/// Most packages that are searched: they take some 50 MB of memory.
const PACKAGES_MAX: usize = 50_000;

/// How long stock that was taken counts: whoever searches cannot have the index read all the time.
const FRESH: Duration = Duration::from_secs(10);

/// How long it is kept in memory when nobody searches.
const IDLE: Duration = Duration::from_secs(600);

/// What was in stock, by the period of [`FRESH`] in which it was taken.
pub(super) struct Stocks(moka::future::Cache<u64, Arc<Stock<Stored>>>);

impl Default for Stocks {
    fn default() -> Self {
        let cache = moka::future::Cache::builder().max_capacity(1);
        Self(cache.time_to_idle(IDLE).build())
    }
}

/// Whether what is stored may answer in place of a feed that fails so.
pub(super) fn may_answer(rule: &DocRule, error: &Error) -> bool {
    let is_failure = matches!(
        error,
        Error::Offline { .. } | Error::Upstream { .. } | Error::LeftAlone { limited: false, .. }
    );
    is_failure && matches!(rule.name, "search" | "autocomplete")
}

impl Proxy {
    /// The answer by what is stored; `error` where nothing is found.
    pub(super) async fn out_of_stock(
        &self,
        request: &Request,
        error: Error,
    ) -> Result<Reply, Error> {
        let query = request.target.query().unwrap_or_default();
        let completes = request.target.rule.name == "autocomplete";
        if completes && let Some(id) = completed_id(query) {
            let list = route::parse(&format!("flat/{id}/index.json"), None);
            let Ok(target) = list else { return Err(error) };
            let list = Request {
                target,
                head: false,
                whole: true,
                gzip: false,
                ..request.clone()
            };
            let list = Box::pin(self.serve(&list))
                .await
                .map_err(|_| error.clone())?;
            let bytes = list.body.document().unwrap_or_default();
            let versions = version_set(&bytes).map_err(|_| error.clone())?;
            let versions = versions
                .into_iter()
                .map(|version| (id.clone(), version, ()));
            return Ok(reply(Stock::new(versions).versions(query), &error));
        }
        let Some(stock) = self.0.stock().await else {
            return Err(error);
        };
        let (searched, query) = (Arc::clone(&stock), query.to_owned());
        let find = move || {
            if completes {
                searched.complete(&query)
            } else {
                searched.search(&query)
            }
        };
        let finding = offload(stock.bytes(), "searching what is stored", find).await?;
        // That there is nothing, the feed alone can say.
        if finding.is_empty() {
            return Err(error);
        }
        let descriptions = self.0.descriptions(&stock, &finding).await;
        Ok(reply(finding.answer(descriptions, &request.base), &error))
    }
}

impl Engine {
    /// The packages of this feed that are stored; `None` when the index cannot say.
    async fn stock(&self) -> Option<Arc<Stock<Stored>>> {
        let period = self.clock.now().as_millis() / FRESH.as_secs() / 1000;
        let stocks = &self.stocks.0;
        stocks.optionally_get_with(period, self.take_stock()).await
    }

    async fn take_stock(&self) -> Option<Arc<Stock<Stored>>> {
        let prefix = format!("{}/flat/", self.feed.name());
        let (mut packages, mut after) = (Vec::new(), String::new());
        while packages.len() < PACKAGES_MAX {
            let rows = self.store.rows(&prefix, &after, PAGE).await;
            let rows = rows
                .map_err(|error| self.store_failed("index", &error))
                .ok()?;
            let Some(last) = rows.last() else { break };
            last.key.as_str().clone_into(&mut after);
            let package = |row: &crate::store::Row| {
                let (_, target) = route::read_key(&row.key)?;
                let is_package = target.rule.name == "nupkg";
                is_package.then_some((target.id?, target.version?, row.body?))
            };
            packages.extend(rows.iter().filter_map(package));
        }
        let made = tokio::task::spawn_blocking(|| Stock::new(packages)).await;
        made.ok().map(Arc::new)
    }

    /// What the packages say that were found. One that is damaged, or going, says nothing.
    async fn descriptions(&self, stock: &Stock<Stored>, finding: &Finding) -> Vec<Description> {
        let mut files = Vec::new();
        for stored in stock.describing(finding) {
            files.extend(self.store.file(&stored).await.ok());
        }
        let read = move || files.into_iter().filter_map(Description::read).collect();
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

fn reply(answer: Bytes, error: &Error) -> Reply {
    let mut tag = Digest::of(&answer).to_hex();
    tag.truncate(32);
    Reply {
        body: Body::Bytes(answer),
        content_type: Some("application/json".to_owned()),
        etag: Some(format!("\"{tag}\"")),
        last_modified: None,
        gzip: false,
        varies: false,
        age: Duration::ZERO,
        cache: CacheStatus::Own,
        warning: Some(format!("only what is stored is found: {error}").into()),
        standing: None,
    }
}
