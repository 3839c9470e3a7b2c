//! From everything written to a [`Config`]: each value is read, the strongest last.
//!
//! A value that a stronger source overrides is checked all the same. The result exists only when
//! there is no mistake at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::error::{ConfigError, ConfigErrors, Place};
use super::raw::{RawConfig, Value, Written};
use super::setting::Setting;
use super::source::Sources;
use super::table::{DEFAULT_FEED, settings};
use super::{CacheConfig, Config, FeedConfig, LogConfig, LogFormat, LogLevel, WebLinks};
use crate::policy::class::{Freshness, Network};

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The key, with the feed's own name.
    pub key: String,
    /// The value as written; empty when the setting has none.
    pub value: String,
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
        read(sources).map(|(_, origins)| origins)
    }

    /// A configuration to read the defaults into.
    #[expect(clippy::expect_used, reason = "the text of this URL is a constant")]
    fn blank() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            network: Network::Online,
            honour_no_cache: true,
            web_links: WebLinks::Keep,
            shutdown_timeout: Duration::ZERO,
            connections_max: 0,
            feed: FeedConfig {
                name: DEFAULT_FEED.to_owned(),
                url: Url::parse("http://localhost/").expect("a URL"),
                redirect_hosts: Vec::new(),
                connect_timeout: Duration::ZERO,
                header_timeout: Duration::ZERO,
                idle_timeout: Duration::ZERO,
                attempts: 0,
                connections_max: 0,
                requests_per_second: 0,
            },
            cache: CacheConfig {
                dir: PathBuf::new(),
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

fn read(sources: &Sources) -> Result<(Config, Vec<Origin>), ConfigErrors> {
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

    let mut config = Config::blank();
    for written in &raw.written {
        apply(written, &mut config, &mut raw.errors);
    }
    choose_feed(&mut config, &mut raw);
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
        let origins = settings()
            .map(|setting| origin(setting, &config, &raw))
            .collect();
        Ok((config, origins))
    } else {
        Err(ConfigErrors(raw.errors))
    }
}

/// The defaults as a file, with dotted keys.
fn format_defaults() -> String {
    settings()
        .filter(|setting| !setting.default.is_empty())
        .map(|setting| {
            let key = setting.key.replace("NAME", DEFAULT_FEED);
            format!("{key} = {}\n", setting.default)
        })
        .collect()
}

fn apply(written: &Written, config: &mut Config, errors: &mut Vec<ConfigError>) {
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
        let (value, place) = item.unwrap_or_else(|| (written.value.shown(), &written.place));
        errors.push(ConfigError {
            key: written.key.clone(),
            value: Some(value),
            place: place.clone(),
            message: problem.message,
        });
    }
}

/// Takes the name of the one feed; one of its own name must say where it is, since the default
/// address belongs to the default feed.
fn choose_feed(config: &mut Config, raw: &mut RawConfig) {
    let Some(((name, place), others)) = raw.feeds.split_first() else {
        return;
    };
    for (other, place) in others {
        raw.errors.push(ConfigError {
            key: format!("feeds.{other}"),
            value: None,
            place: place.clone(),
            message: format!("is a second feed beside `{name}`; allowed: exactly one feed"),
        });
    }
    let url_written = raw
        .written
        .iter()
        .any(|written| written.setting.key == "feeds.NAME.url" && written.place != Place::Default);
    if name != DEFAULT_FEED && !url_written {
        raw.errors.push(ConfigError {
            key: format!("feeds.{name}.url"),
            value: None,
            place: place.clone(),
            message: "is missing: a feed needs the URL of its service index".to_owned(),
        });
    }
    config.feed.name.clone_from(name);
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

fn origin(setting: &'static Setting, config: &Config, raw: &RawConfig) -> Origin {
    let winner = raw
        .written
        .iter()
        .rfind(|written| written.setting.key == setting.key);
    let value = match winner {
        Some(written) => written.value.shown(),
        None if setting.key == "cache.dir" => {
            Value::Text(config.cache.dir.display().to_string()).shown()
        }
        None => String::new(),
    };
    Origin {
        key: setting.key.replace("NAME", &config.feed.name),
        value,
        place: winner.map_or(Place::Default, |written| written.place.clone()),
    }
}
