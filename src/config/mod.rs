//! The configuration: typed, checked, immutable, and complete before anything is opened.
//!
//! Flags win over environment variables, those over the file, the file over the defaults. One table
//! of settings (`table`) is the source of the checks, the variables, the reference and the example
//! file. All mistakes are told at once, also in values that a stronger source overrides.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::nuget::merge::Versions;
use crate::nuget::owner::IdPattern;
use crate::policy::class::{Freshness, Network};
use crate::policy::pacing::Rate;

pub mod access;
pub mod address;
pub mod auth;
mod bandwidth;
mod cache;
pub mod edge;
pub mod env;
pub mod error;
mod feeds;
pub mod freshness;
pub mod generic;
mod given;
pub mod live;
mod load;
mod log;
pub mod outbound;
pub mod pem;
mod raw;
pub mod render;
pub mod secret;
pub mod setting;
pub mod show;
pub mod source;
pub mod table;
mod tables;
pub mod value;

pub use crate::nuget::publish::Publish;
pub use crate::nuget::service_index::WebLinks;
pub use crate::nuget::v2::V2Source;
pub use access::{AccessConfig, AccessMode, KeyRule, Scope, Scopes};
pub use address::HostPattern;
pub use auth::{Auth, Credential, Scheme};
pub use bandwidth::{BandwidthConfig, ClientsConfig};
pub use edge::{ClientCertificates, TlsConfig, TlsVersion};
pub use error::{ConfigError, ConfigErrors, Place};
pub use generic::GenericConfig;
pub use live::Loaded;
pub use load::Origin;
pub use outbound::{
    Exempt, Family, FeedOutbound, Outbound, OutboundConfig, Proxies, Proxy, ProxyCredential, Source,
};
pub use secret::Secret;
pub use source::Sources;

/// The exit code of the program when its configuration is wrong (`EX_USAGE` of `sysexits.h`).
pub const EXIT_CODE: u8 = 64;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address and port of metrics and pages, where they are not at `listen`.
    pub admin_listen: Option<SocketAddr>,
    /// The URL under which clients reach this server; its path has no trailing slash except that of
    /// the root.
    pub public_url: Option<Url>,
    /// `host` or `host:port` accepted in `Host` when `public_url` is not set, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Networks whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How much the feed is asked at all.
    pub network: Network,
    /// Whether a client's `no-cache` leads to a question to the feed.
    pub honour_no_cache: bool,
    /// What becomes of links to pages for people.
    pub web_links: WebLinks,
    /// Whether clients that speak V2 are served.
    pub v2: bool,
    /// Whether there are pages for people.
    pub pages: bool,
    /// How long requests in progress may go on after the signal to stop.
    pub shutdown_timeout: Duration,
    /// The most client connections at a time.
    pub connections_max: u32,
    /// What becomes of ids that several feeds have and none owns.
    pub versions: Versions,
    /// The most connections of one client address at a time.
    pub connections_per_client_max: u32,
    /// How connections to feeds are made.
    pub outbound: OutboundConfig,
    /// The certificate we show.
    pub tls: TlsConfig,
    /// Who may use this server.
    pub access: AccessConfig,
    /// The first feed.
    pub feed: FeedConfig,
    /// The others, in the order of precedence; all names differ.
    pub more_feeds: Vec<FeedConfig>,
    /// What one client may take.
    pub clients: ClientsConfig,
    /// Limits of all bytes in a direction, in no order.
    pub bandwidth: Vec<BandwidthConfig>,
    /// Whose time of the day is meant.
    pub time_zone: String,
    /// The generic routes, in no order.
    pub raw: Vec<GenericConfig>,
    /// The cache.
    pub cache: CacheConfig,
    /// How long documents are used.
    pub freshness: Freshness,
    /// The log.
    pub log: LogConfig,
}

impl Config {
    /// All feeds in the order of precedence; at least one.
    pub fn feeds(&self) -> impl Iterator<Item = &FeedConfig> {
        std::iter::once(&self.feed).chain(&self.more_feeds)
    }
}

/// A feed and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedConfig {
    /// Its name in the configuration, logs and metrics: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Its service index; http or https, without user name, password and fragment. A folder of
    /// packages is a `file` URL.
    pub url: Url,
    /// The package ids that are asked of it alone.
    pub owns: Vec<IdPattern>,
    /// Hosts it may redirect to, beside its own.
    pub redirect_hosts: Vec<HostPattern>,
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The longest wait for the head of a response.
    pub header_timeout: Duration,
    /// The longest wait between two pieces of a body.
    pub idle_timeout: Duration,
    /// How often a request is tried in all.
    pub attempts: u32,
    /// The longest time a request waits for a host that asked to be left alone.
    pub hold: Duration,
    /// Whether a document stays as it is when the feed sends an older one.
    pub keep_newer: bool,
    /// The most connections at a time.
    pub connections_max: u32,
    /// The most requests a second; 0 is no limit.
    pub requests_per_second: u32,
    /// The most bytes a second.
    pub rate: Option<Rate>,
    /// What becomes of pushes and deletions.
    pub publish: Publish,
    /// What answers V2 clients.
    pub v2: V2Source,
    /// Its own key, for pushes of those who may push here.
    pub push_key: Option<Secret>,
    /// The longest wait for the answer to a push, from the end of the upload.
    pub publish_timeout: Duration,
    /// Types of resources that nugate does not know and passes through all the same.
    pub pass_types: Vec<String>,
    /// What proves to it who we are.
    pub auth: Auth,
    /// How connections to it are made.
    pub outbound: FeedOutbound,
}

/// Where and how much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// The directory of everything kept; not shared with another process.
    pub dir: PathBuf,
    /// Whether there is no start without it.
    pub required: bool,
    /// Bytes of everything kept.
    pub size_max: u64,
    /// Bytes of the answers to searches among it.
    pub queries_size_max: u64,
    /// Bytes left free on the disk.
    pub free_min: u64,
    /// Bytes looked through for damage in a second; 0 is never.
    pub scrub_rate: u64,
    /// Bytes of memory for bodies and rendered documents.
    pub memory: u64,
    /// The largest JSON document, in bytes.
    pub document_size_max: u64,
    /// The largest package, in bytes.
    pub package_size_max: u64,
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Degraded but served.
    Warn,
    /// One line a request.
    Info,
    /// The steps of a request.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name used in the configuration file, which is also the one of the `tracing` crate.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
