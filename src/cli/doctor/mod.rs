//! `nugate doctor`: what is wrong with a feed, in the eyes of its clients, or with everything of a
//! configuration: the cache, the daemon on it, each feed.
//!
//! It only looks: nothing is changed, kept or locked, and each question is asked once. What a check
//! means is in `checks`.

mod ask;
mod checks;
mod feed;
mod finding;
mod hive;
mod index;
mod local;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::cli::banner::source_url;
use crate::cli::cache::args::CacheFlags;
use crate::cli::daemon::{feed_options, outbound};
use crate::cli::{complain, print, settings};
use crate::config::source::foreign_environment;
use crate::config::{self, AccessMode, Config, Sources};
use crate::pace;
use crate::upstream::{FeedOptions, Outbound};
use finding::{Finding, Verdict};

/// What help says behind the flags.
pub const HELP: &str = "\
Examples:
  nugate doctor --config /etc/nugate.toml
  nugate doctor https://api.nuget.org/v3/index.json --package Newtonsoft.Json

Exit codes:
  0   nothing has failed; there may be warnings
  1   failure at run time
  2   wrong usage
  3   something does not work
  64  wrong configuration";

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Exit code when something does not work.
const SICK: u8 = 3;

/// Waits for a feed that is in no configuration.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// The flags of `doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct DoctorFlags {
    /// The service index to look at; without, the cache, the daemon and the feeds of the configuration
    pub url: Option<String>,
    /// The id of a package to look at; without, one that a search finds
    #[arg(long, value_name = "ID")]
    pub package: Option<String>,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// Looks at one URL, without a configuration, but through the proxy that this machine's variables name.
pub fn at_url(flags: &DoctorFlags) -> ExitCode {
    let text = flags.url.as_deref().unwrap_or_default();
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        complain(&format!(
            "{text:?} is no http or https URL of a service index"
        ));
        return ExitCode::from(USAGE);
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let sources = Sources::gather(None, foreign_environment(), Vec::new());
    let config = match sources.and_then(|sources| Config::load(&sources)) {
        Ok(config) => config,
        Err(errors) => {
            settings::refuse(&errors);
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    let options = match outbound("doctor", &config.outbound.settled) {
        Ok(outbound) => options_of(url, outbound),
        Err(error) => {
            complain(&error);
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::new(flags);
    report.add(runtime.block_on(feed::look(&options, flags.package.as_deref())));
    report.end()
}

/// Looks at everything of a configuration.
pub async fn of_config(config: &Config, flags: &DoctorFlags) -> ExitCode {
    let mut report = Report::new(flags);
    let (found, served) = local::look(config).await;
    report.add(found);
    let package = flags.package.as_deref();
    if let Some(url) = own_url(config).filter(|_| served) {
        report.add(feed::look(&options_of(url, Outbound::default()), package).await);
    }
    for settings in config.feeds().filter(|feed| feed.url.scheme() != "file") {
        match feed_options(settings, pace::Upstream::default()) {
            Ok(options) => report.add(feed::look(&options, package).await),
            Err(error) => {
                complain(&error);
                return ExitCode::FAILURE;
            }
        }
    }
    report.end()
}

/// How a feed is asked that is in no configuration.
fn options_of(url: Url, outbound: Outbound) -> FeedOptions {
    FeedOptions {
        name: "doctor".to_owned(),
        url,
        redirect_hosts: Vec::new(),
        connect_timeout: CONNECT_WAIT,
        header_timeout: HEAD_WAIT,
        idle_timeout: HEAD_WAIT,
        attempts: 1,
        hold: Duration::ZERO,
        connections_max: 1,
        requests_per_second: 0,
        outbound,
        credential: None,
        pass_types: Vec::new(),
        pace: pace::Upstream::default(),
    }
}

/// Where a daemon of this configuration can be asked from this machine, and answers everyone.
fn own_url(config: &Config) -> Option<Url> {
    if config.access.mode != AccessMode::None {
        return None;
    }
    let port = config.listen.port();
    let text = match (&config.public_url, config.tls.pair()) {
        (None, None) if port != 0 => {
            let ip = match config.listen.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            source_url(config, SocketAddr::new(ip, port))
        }
        (Some(_), _) => source_url(config, config.listen),
        // Its certificate may be for any name, and its port any port.
        (None, _) => return None,
    };
    text.parse().ok()
}

/// What is told, at once or as one JSON document at the end.
struct Report {
    json: bool,
    found: Vec<Finding>,
}

impl Report {
    fn new(flags: &DoctorFlags) -> Self {
        Self {
            json: flags.cache.json,
            found: Vec::new(),
        }
    }

    fn add(&mut self, found: Vec<Finding>) {
        if let (false, Some(first)) = (self.json, found.first()) {
            let texts: String = found.iter().map(Finding::text).collect();
            print(&format!("{}\n{texts}\n", first.about));
        }
        self.found.extend(found);
    }

    fn end(self) -> ExitCode {
        let count = |verdict| self.found.iter().filter(|it| it.verdict == verdict).count();
        let failed = count(Verdict::Failed);
        if self.json {
            let mut value = json!({
                "findings": self.found.iter().map(Finding::json).collect::<Vec<_>>(),
            });
            for verdict in Verdict::ALL {
                value[verdict.name()] = json!(count(verdict));
            }
            print(&format!("{value:#}\n"));
        } else {
            let warnings = count(Verdict::Warning);
            print(&format!("{failed} failed, {warnings} warnings\n"));
        }
        if failed > 0 {
            ExitCode::from(SICK)
        } else {
            ExitCode::SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::checks::ALL;

    #[test]
    fn every_check_is_in_the_documentation_once() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
        let page = std::fs::read_to_string(page).unwrap();
        for check in ALL {
            let row = format!("| `{}` |", check.name);
            assert_eq!(page.matches(&row).count(), 1, "{}", check.name);
        }
    }
}
