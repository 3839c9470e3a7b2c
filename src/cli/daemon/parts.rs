//! From the configuration to the options of what a daemon is made of.

use crate::cli::daemon::StartError;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, FeedConfig, GenericConfig};
use crate::observe::Metrics;
use crate::policy::http::Lifetimes;
use crate::proxy::generic::{Route, RouteOptions};
use crate::proxy::{LongViews, Options};
use crate::store::{Quota, Store, StoreError, StoreErrorKind, StoreOptions};
use crate::upstream::FeedOptions;

/// How much a cache may hold.
pub(in crate::cli) fn quota(config: &Config) -> Quota {
    Quota {
        size_max: config.cache.size_max,
        queries_max: config.cache.queries_size_max,
        free_min: config.cache.free_min,
    }
}

/// A daemon without a cache is still better than none, unless the configuration says otherwise. Two
/// daemons with one directory are a mistake.
pub(super) async fn open_store(
    config: &Config,
    options: StoreOptions,
) -> Result<Store, StoreError> {
    match Store::open(options.clone()).await {
        Err(error) if !config.cache.required && error.kind != StoreErrorKind::Locked => {
            let cause = error.source.as_ref().map(ToString::to_string);
            tracing::error!(
                %error,
                cause,
                "THE CACHE CANNOT BE OPENED: nothing is kept until the next start; everything is passed on"
            );
            Store::off(options).await
        }
        opened => opened,
    }
}

/// How a store is opened that keeps at most this many large bodies open.
pub(in crate::cli) fn store_options(
    config: &Config,
    metrics: &Metrics,
    open_files: u64,
) -> StoreOptions {
    StoreOptions {
        dir: config.cache.dir.clone(),
        memory: config.cache.memory / 2,
        open_files,
        quota: quota(config),
        clock: Clock::System,
        evictions: metrics.evictions.with_label_values(&["entries"]),
        damaged: metrics.damaged_bodies.clone(),
        unsynced: metrics.unsynced_bodies.clone(),
    }
}

pub(super) fn feed_options(feed: &FeedConfig) -> FeedOptions {
    FeedOptions {
        name: feed.name.clone(),
        url: feed.url.clone(),
        redirect_hosts: feed
            .redirect_hosts
            .iter()
            .map(ToString::to_string)
            .chain(feed.auth.hosts().iter().cloned())
            .collect(),
        connect_timeout: feed.connect_timeout,
        header_timeout: feed.header_timeout,
        idle_timeout: feed.idle_timeout,
        attempts: feed.attempts,
        hold: feed.hold,
        connections_max: feed.connections_max as usize,
        requests_per_second: feed.requests_per_second,
        extra_roots: Vec::new(),
        credential: feed.auth.credential.clone(),
        pass_types: feed.pass_types.clone(),
    }
}

/// The generic routes. They share the limits of the feed, and nothing else of it.
pub(super) fn routes(config: &Config) -> Result<Vec<Route>, StartError> {
    let of = |raw: &GenericConfig| {
        let options = RouteOptions {
            name: raw.name.clone(),
            url: raw.url.clone(),
            unsafe_methods: raw.unsafe_methods,
            relay_credentials: raw.relay_credentials,
            lifetimes: Lifetimes {
                default: raw.ttl,
                heuristic_max: raw.heuristic_ttl,
                stale_if_unreachable: raw.stale_if_unreachable,
            },
            size_max: config.cache.package_size_max,
            rewrite: raw.rewrite.clone(),
        };
        let hosts = raw.redirect_hosts.iter();
        let upstream = FeedOptions {
            name: format!("raw.{}", raw.name),
            url: raw.url.clone(),
            redirect_hosts: hosts.map(ToString::to_string).collect(),
            connect_timeout: config.feed.connect_timeout,
            header_timeout: config.feed.header_timeout,
            idle_timeout: config.feed.idle_timeout,
            attempts: 1,
            hold: Duration::ZERO,
            connections_max: config.feed.connections_max as usize,
            requests_per_second: config.feed.requests_per_second,
            extra_roots: Vec::new(),
            credential: None,
            pass_types: Vec::new(),
        };
        Route::new(options, upstream).map_err(|source| StartError::Route {
            name: raw.name.clone(),
            source,
        })
    };
    config.raw.iter().map(of).collect()
}

/// `memory` is for rendered documents of this feed, in bytes.
pub(super) fn options(config: &Config, feed: &FeedConfig, memory: u64) -> Options {
    Options {
        freshness: config.freshness,
        network: config.network,
        honour_no_cache: config.honour_no_cache,
        web_links: config.web_links,
        v2: config.v2,
        keep_newer: feed.keep_newer,
        v2_source: feed.v2,
        publish: feed.publish,
        push_key: feed.push_key.clone(),
        publish_timeout: feed.publish_timeout,
        memory,
        long_views: match config.tls.pair() {
            Some(_) => LongViews::Bytes,
            None => LongViews::Files,
        },
        document_size_max: config.cache.document_size_max,
        package_size_max: config.cache.package_size_max,
    }
}
