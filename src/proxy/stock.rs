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
use crate::proxy::{Body, Error, Proxy, Reply, Request};

/// Keys read at a time.
const PAGE: u64 = 4096;

/// Most keys that are looked at: some 100 MB of ids and versions.
const KEYS_MAX: usize = 500_000;

/// What was in stock when the store held so many entries and bytes.
pub(super) struct Stocks(moka::future::Cache<(u64, u64), Arc<Stock<Stored>>>);

impl Default for Stocks {
    fn default() -> Self {
        Self(moka::future::Cache::new(1))
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
        let finding = if completes {
            stock.complete(query)
        } else {
            stock.search(query)
        };
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
        let totals = self.store.totals();
        let state = (totals.entries, totals.bodies_bytes);
        self.stocks
            .0
            .optionally_get_with(state, self.take_stock())
            .await
    }

    async fn take_stock(&self) -> Option<Arc<Stock<Stored>>> {
        let prefix = format!("{}/flat/", self.feed.name());
        let (mut packages, mut after, mut seen) = (Vec::new(), String::new(), 0);
        while seen < KEYS_MAX {
            let rows = self.store.rows(&prefix, &after, PAGE).await;
            let rows = rows
                .map_err(|error| self.store_failed("index", &error))
                .ok()?;
            let Some(last) = rows.last() else { break };
            last.key.as_str().clone_into(&mut after);
            seen += rows.len();
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
