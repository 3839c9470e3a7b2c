//! From the configuration to the options of what a daemon is made of.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::daemon::StartError;
use crate::clock::Clock;
use crate::config::{self, Config, FeedConfig, GenericConfig, LogFormat, LogLevel, Proxy};
use crate::observe::Metrics;
use crate::observe::access_log::Format;
use crate::pace::{self, Lines};
use crate::policy::http::Lifetimes;
use crate::proxy::Options;
use crate::proxy::generic::{Route, RouteOptions};
use crate::server::access::{Access, UsersError};
use crate::server::{BaseRules, Tls, TlsError, TlsOptions};
use crate::store::{Quota, Store, StoreError, StoreErrorKind, StoreOptions};
use crate::upstream::{Feed, FeedOptions, Outbound, read_authorities, read_identity};

/// How much a cache may hold.
pub(in crate::cli) fn quota(config: &Config) -> Quota {
    Quota {
        size_max: config.cache.size_max,
        queries_max: config.cache.queries_size_max,
        free_min: config.cache.free_min,
    }
}

/// By which rules links are built.
pub(super) fn bases(config: &Config) -> BaseRules {
    BaseRules {
        public_url: config.public_url.clone(),
        allowed_hosts: config.allowed_hosts.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
    }
}

/// How each request is told of, if the level of the log is such that it is.
pub(super) fn access_format(config: &Config) -> Option<Format> {
    let told = match config.log.level {
        LogLevel::Error | LogLevel::Warn => false,
        LogLevel::Info | LogLevel::Debug | LogLevel::Trace => true,
    };
    told.then_some(match config.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    })
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

/// What clients and feeds may take of the lines.
pub(super) fn pace_options(config: &Config) -> pace::Options {
    pace::Options {
        clients: config.clients,
        windows: config.bandwidth.iter().map(|limit| limit.window).collect(),
        time_zone: config.time_zone.clone(),
    }
}

/// What keeps a daemon from starting with this configuration that only its own parts can tell, each
/// with the key of the setting: files that are named and cannot be used, credentials that no header
/// carries, a time zone that is not known. Opens neither the cache nor a socket; needs a runtime.
pub(in crate::cli) fn rehearse(config: &Config) -> Vec<(String, String)> {
    let mut mistakes = Vec::new();
    for feed in config.feeds() {
        let made = feed_options(feed, pace::Upstream::default())
            .and_then(|options| Ok(Feed::new(options)?));
        if let Err(error) = made {
            mistakes.push((format!("feeds.{}.url", feed.name), error.to_string()));
        }
    }
    let Ok(metrics) = Metrics::new().map(Arc::new) else {
        return mistakes;
    };
    match Lines::new(&pace_options(config), &Clock::System, &metrics) {
        Err(error) => mistakes.push(("time_zone".to_owned(), error.to_string())),
        Ok(lines) => match routes(config, &lines) {
            Err(StartError::Route { name, source }) => {
                mistakes.push((format!("raw.{name}.url"), source.to_string()));
            }
            Err(error) => mistakes.push(("raw".to_owned(), error.to_string())),
            Ok(_) => {}
        },
    }
    if let Err(error) = tls(config) {
        mistakes.push(("tls.certificate".to_owned(), error.to_string()));
    }
    if let Err(error) = access(config, &metrics) {
        mistakes.push(("access.users_file".to_owned(), error.to_string()));
    }
    mistakes
}

/// The certificate, read once.
pub(super) fn tls(config: &Config) -> Result<Option<Arc<Tls>>, TlsError> {
    let tls = config.tls.pair().map(|(certificate, key)| TlsOptions {
        certificate: certificate.clone(),
        key: key.clone(),
        client_authorities: config.tls.client_authorities.clone(),
        client_certificates: config.tls.client_certificates,
        version_min: config.tls.version_min,
        handshake_timeout: config.tls.handshake_timeout,
    });
    Ok(tls.map(Tls::load).transpose()?.map(Arc::new))
}

/// The users and keys, read once.
pub(super) fn access(config: &Config, metrics: &Arc<Metrics>) -> Result<Access, UsersError> {
    let proxies = config.trusted_proxies.clone();
    Access::open(&config.access, proxies, Arc::clone(metrics))
}

/// A feed with these limits.
pub(in crate::cli) fn feed_options(
    feed: &FeedConfig,
    pace: pace::Upstream,
) -> Result<FeedOptions, StartError> {
    Ok(FeedOptions {
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
        outbound: outbound(&feed.name, &feed.outbound.settled)?,
        credential: feed.auth.credential.clone(),
        pass_types: feed.pass_types.clone(),
        pace,
    })
}

/// How connections are made: certificates are read here, and the way is told.
pub(in crate::cli) fn outbound(
    name: &str,
    settings: &config::Outbound,
) -> Result<Outbound, StartError> {
    let now = Clock::System.now();
    let mut extra_roots = Vec::new();
    for file in &settings.ca_files {
        extra_roots.extend(read_authorities(file, now)?);
    }
    let identity = settings.identity.as_ref();
    let identity = identity.map(|(certificate, key)| read_identity(certificate, key, now));
    let proxies = &settings.proxies;
    if proxies.plain.is_some() || proxies.tls.is_some() {
        let shown = |proxy: &Option<Proxy>| {
            let proxy = proxy.as_ref().map(ToString::to_string);
            proxy.unwrap_or_else(|| "direct".to_owned())
        };
        let except: Vec<_> = proxies.exempt.iter().map(ToString::to_string).collect();
        tracing::info!(
            feed = name,
            https = shown(&proxies.tls),
            http = shown(&proxies.plain),
            except = except.join(","),
            "asked through a proxy"
        );
    }
    Ok(Outbound {
        proxies: proxies.clone(),
        extra_roots,
        identity: identity.transpose()?.map(Arc::new),
        source: settings.source,
        family: settings.family,
    })
}

/// The generic routes. They share the limits of the feed, and nothing else of it.
pub(super) fn routes(config: &Config, lines: &Lines) -> Result<Vec<Route>, StartError> {
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
            outbound: outbound(&format!("raw.{}", raw.name), &config.outbound.settled)?,
            credential: None,
            pass_types: Vec::new(),
            pace: lines.towards(config.feed.rate),
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
        document_size_max: config.cache.document_size_max,
        package_size_max: config.cache.package_size_max,
    }
}
