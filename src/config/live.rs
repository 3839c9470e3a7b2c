//! What a running daemon takes over of a configuration that was read again.
//!
//! Invariants: what is taken over is exactly what [`LIVE`] lists (a test compares the two), and a
//! secret meant for another origin than the one in use is never taken over before the restart.

use std::collections::BTreeMap;
use std::iter::once;

use super::auth::AUTH;
use super::error::ConfigErrors;
use super::load::{key_of, keys, read, winner};
use super::raw::{RawConfig, Value};
use super::setting::Setting;
use super::source::Sources;
use super::{Config, FeedConfig};

/// The settings that count without a restart: keys, and beginnings of keys that end with a dot.
const LIVE: &[&str] = &[
    "public_url",
    "allowed_hosts",
    "access.",
    "feeds.NAME.push_key",
    "feeds.NAME.auth",
    "feeds.NAME.username",
    "feeds.NAME.auth_header",
    "feeds.NAME.password",
    "feeds.NAME.password_env",
    "feeds.NAME.password_file",
    "feeds.NAME.password_credential",
    "cache.size_max",
    "cache.queries_size_max",
    "cache.free_min",
    "freshness.",
    "log.",
];

impl Setting {
    /// Whether a running daemon takes a new value over (SIGHUP).
    pub fn is_live(&self) -> bool {
        LIVE.iter()
            .any(|live| self.key == *live || (live.ends_with('.') && self.key.starts_with(live)))
    }
}

/// A configuration with the values it was made of, which tells what changed since.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    values: BTreeMap<String, (&'static Setting, Option<Value>)>,
}

/// A setting that has another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key, with the name of its feed or route; for one that came or went as a whole the key of
    /// its table, and `feed` for the order of feeds.
    pub key: String,
    /// Whether it counts now; if not, it needs a restart.
    pub is_live: bool,
}

impl Loaded {
    /// Reads a configuration.
    ///
    /// # Errors
    /// All its mistakes.
    pub fn read(sources: &Sources) -> Result<Self, ConfigErrors> {
        let (config, raw) = read(sources)?;
        let values = values(&config, &raw);
        Ok(Self { config, values })
    }

    /// What is different in `newer`, by key.
    pub fn changes(&self, newer: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let order = |config: &Config| config.feeds().map(|it| it.name.clone()).collect::<Vec<_>>();
        if order(&self.config) != order(&newer.config) {
            changes.push(restart("feed".to_owned()));
        }
        for key in self.values.keys().chain(newer.values.keys()) {
            let change = match (self.values.get(key), newer.values.get(key)) {
                (Some((setting, before)), Some((_, after))) => {
                    if is_same(setting, key, before.as_ref(), after.as_ref()) {
                        continue;
                    }
                    let is_live = setting.is_live() && !self.holds_back(key, newer);
                    let key = key.clone();
                    Change { key, is_live }
                }
                _ => restart(table_of(key)),
            };
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        changes.extend(self.changed_secrets(newer, &changes));
        changes
    }

    /// This configuration with what counts now of `newer`; all else stays as it is.
    #[must_use]
    pub fn take_over(&self, newer: &Self) -> Self {
        let mut values = self.values.clone();
        for change in self.changes(newer).iter().filter(|change| change.is_live) {
            if let Some(value) = newer.values.get(&change.key) {
                values.insert(change.key.clone(), value.clone());
            }
        }
        let config = taken_over(&self.config, &newer.config);
        Self { config, values }
    }

    /// Whether a live setting of a feed waits for a restart, because of where its secret would go.
    fn holds_back(&self, key: &str, newer: &Self) -> bool {
        let Some(name) = key
            .strip_prefix("feeds.")
            .and_then(|key| key.split('.').next())
        else {
            return false;
        };
        let of = |config: &Config| config.feeds().find(|feed| feed.name == name).cloned();
        let pair = of(&self.config).zip(of(&newer.config));
        pair.is_none_or(|(before, after)| !have_same_origins(&before, &after))
    }

    /// Secrets that are others although the settings that lead to them are as they were: files and
    /// credentials whose content changed.
    fn changed_secrets(&self, newer: &Self, known: &[Change]) -> Vec<Change> {
        let mut changes = Vec::new();
        for feed in newer.config.feeds() {
            let before = self.config.feeds().find(|it| it.name == feed.name);
            let Some(before) = before.filter(|it| it.auth.credential != feed.auth.credential)
            else {
                continue;
            };
            let table = format!("feeds.{}.", feed.name);
            let leads_to_it = |change: &Change| {
                let setting = change.key.strip_prefix(&table);
                AUTH.iter()
                    .any(|of| of.key.strip_prefix("feeds.NAME.") == setting)
            };
            let Some(source) = feed.auth.given().next() else {
                continue;
            };
            if !known.iter().any(leads_to_it) {
                changes.push(Change {
                    key: format!("{table}{source}"),
                    is_live: have_same_origins(before, feed),
                });
            }
        }
        changes
    }
}

/// What was written for each setting, the strongest source alone.
fn values(config: &Config, raw: &RawConfig) -> BTreeMap<String, (&'static Setting, Option<Value>)> {
    let of = |keyed| {
        let value = winner(keyed, raw).map(|written| written.value.clone());
        (key_of(keyed), (keyed.0, value))
    };
    keys(config).map(of).collect()
}

/// Whether two values mean the same, such as `1m` and `60s`.
fn is_same(setting: &Setting, key: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
    let meaning = |value: Option<&Value>| {
        let mut config = Config::blank();
        config.turn_to(key);
        // A value that is in a configuration can be read.
        let _ = value.map(|value| setting.apply(&mut config, value));
        config
    };
    one == other || meaning(one) == meaning(other)
}

/// Whether what is secret of a feed goes where it went. A new address may come with a new secret,
/// which the old one must not get, and the other way round.
fn have_same_origins(before: &FeedConfig, after: &FeedConfig) -> bool {
    before.url == after.url && before.auth.listed() == after.auth.listed()
}

fn restart(key: String) -> Change {
    let is_live = false;
    Change { key, is_live }
}

/// `feeds.NAME` or `raw.NAME`.
fn table_of(key: &str) -> String {
    key.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The one place that says what taking over does.
fn taken_over(before: &Config, newer: &Config) -> Config {
    let mut config = before.clone();
    config.public_url.clone_from(&newer.public_url);
    config.allowed_hosts.clone_from(&newer.allowed_hosts);
    config.access = newer.access.clone();
    config.cache.size_max = newer.cache.size_max;
    config.cache.queries_size_max = newer.cache.queries_size_max;
    config.cache.free_min = newer.cache.free_min;
    config.freshness = newer.freshness;
    config.log = newer.log;
    for feed in once(&mut config.feed).chain(&mut config.more_feeds) {
        let same = newer.feeds().find(|newer| newer.name == feed.name);
        if let Some(newer) = same.filter(|newer| have_same_origins(feed, newer)) {
            feed.auth = newer.auth.clone();
            feed.push_key.clone_from(&newer.push_key);
        }
    }
    config
}

#[cfg(test)]
mod tests;
