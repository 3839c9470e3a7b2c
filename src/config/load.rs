//! From everything written to a [`Config`]: each value is read, the strongest last.
//!
//! A value that a stronger source overrides is checked all the same. The result exists only when
//! there is no mistake at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::access::AccessConfig;
use super::auth::{self, Auth};
use super::bandwidth::{ClientsConfig, LIMITS};
use super::edge::{self, TlsConfig};
use super::error::{ConfigError, ConfigErrors, Place};
use super::feeds::{feeds_of, single_only};
use super::generic::ROUTES;
use super::outbound;
use super::raw::{RawConfig, Value, Written};
use super::setting::Setting;
use super::show;
use super::source::Sources;
use super::table::{DEFAULT_FEED, settings};
use super::{
    CacheConfig, Config, FeedConfig, FeedOutbound, LogConfig, LogFormat, LogLevel, OutboundConfig,
    Publish, V2Source, WebLinks,
};
use crate::nuget::merge::Versions;
use crate::policy::class::{Freshness, Network};

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The key, with the feed's own name.
    pub key: String,
    /// The value as written, bounded; empty when the setting has none.
    pub value: String,
    /// The whole value as JSON, of the type that the setting has; secrets are `***`.
    pub json: Option<serde_json::Value>,
    /// Where it was written.
    pub place: Place,
}

impl Config {
    /// Reads a configuration; flags win over variables, those over the file, that over the defaults.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        read(sources).map(|(config, _)| config)
    }

    /// Tells where each value comes from, in the order of the documentation.
    pub fn explain(sources: &Sources) -> Result<Vec<Origin>, ConfigErrors> {
        let (config, raw) = read(sources)?;
        let keys = keys(&config);
        Ok(keys.map(|key| origin(key, &config, &raw)).collect())
    }

    /// A configuration to read the defaults into.
    #[expect(clippy::expect_used, reason = "the text of this URL is a constant")]
    pub(super) fn blank() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            admin_listen: None,
            public_url: None,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            network: Network::Online,
            honour_no_cache: true,
            web_links: WebLinks::Keep,
            v2: true,
            pages: true,
            shutdown_timeout: Duration::ZERO,
            connections_max: 0,
            versions: Versions::First,
            more_feeds: Vec::new(),
            connections_per_client_max: 0,
            outbound: OutboundConfig::default(),
            tls: TlsConfig::blank(),
            access: AccessConfig::open(),
            feed: FeedConfig {
                name: DEFAULT_FEED.to_owned(),
                url: Url::parse("http://localhost/").expect("a URL"),
                owns: Vec::new(),
                redirect_hosts: Vec::new(),
                connect_timeout: Duration::ZERO,
                header_timeout: Duration::ZERO,
                idle_timeout: Duration::ZERO,
                attempts: 0,
                hold: Duration::ZERO,
                keep_newer: true,
                connections_max: 0,
                requests_per_second: 0,
                rate: None,
                publish: Publish::Relay,
                v2: V2Source::Upstream,
                push_key: None,
                publish_timeout: Duration::ZERO,
                pass_types: Vec::new(),
                auth: Auth::default(),
                outbound: FeedOutbound::default(),
            },
            clients: ClientsConfig::default(),
            bandwidth: Vec::new(),
            time_zone: String::new(),
            raw: Vec::new(),
            cache: CacheConfig {
                dir: PathBuf::new(),
                size_max: 0,
                queries_size_max: 0,
                free_min: 0,
                scrub_rate: 0,
                required: false,
                memory: 0,
                document_size_max: 0,
                package_size_max: 0,
            },
            freshness: Freshness::default(),
            log: LogConfig {
                format: LogFormat::Text,
                level: LogLevel::Info,
            },
        }
    }
}

/// The configuration, and everything that was written for it.
pub(super) fn read(sources: &Sources) -> Result<(Config, RawConfig), ConfigErrors> {
    let mut raw = RawConfig::default();
    let defaults = format_defaults();
    raw.add_file("default", &defaults);
    raw.feeds.clear();
    for written in &mut raw.written {
        written.place = Place::Default;
    }
    if let Some((path, text)) = &sources.file {
        raw.add_file(&path.display().to_string(), text);
    }
    raw.add_environment(&sources.environment);
    raw.add_flags(&sources.flags);
    ROUTES.complete(&mut raw);
    LIMITS.complete(&mut raw);

    let mut config = Config::blank();
    let mut feeds = feeds_of(&mut raw, &config.feed);
    for written in &raw.written {
        if !written.is_of_feed() {
            apply(written, &mut config, &mut raw.errors);
            continue;
        }
        for feed in &mut feeds {
            if written.feed().is_none_or(|name| name == feed.name) {
                std::mem::swap(&mut config.feed, feed);
                apply(written, &mut config, &mut raw.errors);
                std::mem::swap(&mut config.feed, feed);
            }
        }
    }
    single_only(&mut raw, feeds.len());
    for feed in &mut feeds {
        auth::settle(feed, &mut raw, &sources.environment);
    }
    outbound::settle(
        &mut config.outbound,
        &mut feeds,
        (&mut raw, &sources.environment),
    );
    let mut feeds = feeds.into_iter();
    config.feed = feeds.next().unwrap_or(config.feed);
    config.more_feeds = feeds.collect();
    edge::check(&config, &mut raw);
    if !raw.written.iter().any(|w| w.setting.key == "cache.dir") {
        match default_dir(&sources.environment) {
            Some(dir) => config.cache.dir = dir,
            None => raw.errors.push(ConfigError {
                key: "cache.dir".to_owned(),
                value: None,
                place: Place::Default,
                message: "neither XDG_CACHE_HOME nor HOME is an absolute path: give --cache-dir"
                    .to_owned(),
            }),
        }
    }
    if raw.errors.is_empty() {
        Ok((config, raw))
    } else {
        Err(ConfigErrors(raw.errors))
    }
}

/// The defaults as a file, with dotted keys.
fn format_defaults() -> String {
    settings()
        .filter(|setting| !setting.default.is_empty() && !is_of_table(setting))
        .flat_map(|setting| {
            let key = setting.key.replace("NAME", DEFAULT_FEED);
            [
                key,
                " = ".to_owned(),
                setting.default.to_owned(),
                "\n".to_owned(),
            ]
        })
        .collect()
}

fn apply(written: &Written, config: &mut Config, errors: &mut Vec<ConfigError>) {
    config.turn_to_route(&written.key);
    config.turn_to_limit(&written.key);
    for problem in written
        .setting
        .apply(config, &written.value)
        .err()
        .into_iter()
        .flatten()
    {
        let item = problem.item.and_then(|index| {
            let value = written.value.items()?.get(index)?.shown();
            Some((value, written.items.get(index).unwrap_or(&written.place)))
        });
        let shown = || written.value.shown_for(written.setting);
        let (value, place) = item.unwrap_or_else(|| (shown(), &written.place));
        errors.push(ConfigError {
            key: written.key.clone(),
            value: Some(value),
            place: place.clone(),
            message: problem.message,
        });
    }
}

/// `$XDG_CACHE_HOME/nugate`, else `$HOME/.cache/nugate`; the XDG base directory specification has
/// paths that are not absolute ignored.
fn default_dir(environment: &[(String, String)]) -> Option<PathBuf> {
    let variable = |name: &str| {
        let (_, value) = environment.iter().find(|(found, _)| found == name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    variable("XDG_CACHE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".cache")))
        .map(|dir| dir.join("nugate"))
}

/// Whether there may be any number of it, and none by default.
fn is_of_table(setting: &Setting) -> bool {
    [ROUTES, LIMITS]
        .iter()
        .any(|tables| setting.key.starts_with(tables.prefix))
}

/// The names of the feeds, routes or limits that have a setting of their own; of others, one without a name.
fn names<'c>(setting: &Setting, config: &'c Config) -> Vec<Option<&'c str>> {
    if setting.key.starts_with(ROUTES.prefix) {
        let names = config.raw.iter().map(|route| route.name.as_str());
        names.map(Some).collect()
    } else if setting.key.starts_with(LIMITS.prefix) {
        let names = config.bandwidth.iter().map(|limit| limit.name.as_str());
        names.map(Some).collect()
    } else if setting.key.contains("NAME") {
        config
            .feeds()
            .map(|feed| Some(feed.name.as_str()))
            .collect()
    } else {
        vec![None]
    }
}

/// A setting, and the feed or route that it is of, if it is of one.
pub(super) type Keyed<'c> = (&'static Setting, Option<&'c str>);

/// All settings in the order of the documentation, those of feeds and routes for each of them.
pub(super) fn keys(config: &Config) -> impl Iterator<Item = Keyed<'_>> {
    settings().flat_map(|setting| {
        let names = names(setting, config);
        names.into_iter().map(move |name| (setting, name))
    })
}

/// The key with the name in it.
pub(super) fn key_of((setting, name): Keyed<'_>) -> String {
    setting.key.replace("NAME", name.unwrap_or_default())
}

/// What counts of all that was written for a setting.
pub(super) fn winner<'r>(keyed: Keyed<'_>, raw: &'r RawConfig) -> Option<&'r Written> {
    let (setting, name) = keyed;
    let key = key_of(keyed);
    let route = is_of_table(setting);
    raw.written.iter().rfind(|written| {
        let same = if route {
            written.key == key
        } else {
            written.feed().is_none_or(|feed| Some(feed) == name)
        };
        written.setting.key == setting.key && same
    })
}

fn origin(keyed: Keyed<'_>, config: &Config, raw: &RawConfig) -> Origin {
    let (setting, _) = keyed;
    let winner = winner(keyed, raw);
    let dir =
        (setting.key == "cache.dir").then(|| Value::Text(config.cache.dir.display().to_string()));
    let value = winner.map(|written| &written.value).or(dir.as_ref());
    Origin {
        key: key_of(keyed),
        value: value.map_or_else(String::new, |value| value.shown_for(setting)),
        json: value.map(|value| show::typed(value, setting)),
        place: winner.map_or(Place::Default, |written| written.place.clone()),
    }
}

#[cfg(test)]
mod tests;
