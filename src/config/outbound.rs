//! How connections to feeds are made: proxies, trusted authorities, own certificate and addresses.
//!
//! Settings of this program win over the variables that all programs share (`HTTPS_PROXY` and the
//! like). What of them goes together is settled after all sources were read. Invariants: a proxy
//! that cannot be read is a mistake and never means "no proxy"; no message and no `Debug` has the
//! password of a proxy in it.

mod exempt;
mod keys;
mod proxy;
mod settle;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

pub use exempt::Exempt;
pub(super) use keys::{feed_outbound, outbound};
use proxy::ProxySettings;
pub(super) use proxy::hidden;
pub use proxy::{Proxy, ProxyCredential};
pub(super) use settle::{is_shared_variable, settle};

/// How connections to one feed are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Through which proxies.
    pub proxies: Proxies,
    /// PEM files of authorities that are trusted beside the platform's.
    pub ca_files: Vec<PathBuf>,
    /// PEM files of the certificate that is shown to the feed and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// From which addresses.
    pub source: Source,
    /// To which addresses.
    pub family: Family,
}

/// Which proxy is asked for which URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs.
    pub plain: Option<Proxy>,
    /// For `https` URLs.
    pub tls: Option<Proxy>,
    /// What is asked directly all the same.
    pub exempt: Vec<Exempt>,
}

impl Proxies {
    /// The proxy for a URL of this scheme, host (IPv6 without brackets) and port.
    pub fn of(&self, is_tls: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if is_tls { &self.tls } else { &self.plain };
        let is_exempt = |_: &&Proxy| !self.exempt.iter().any(|it| it.covers(host, port));
        proxy.as_ref().filter(is_exempt)
    }
}

/// The addresses that connections begin at; the system's choice where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// For connections over IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For connections over IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// Which addresses of a host are connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All; where there are both, whichever answers first.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether this address may be connected to.
    pub const fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// The settings for all feeds and routes, and what they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundConfig {
    /// For generic routes, and for feeds without settings of their own.
    pub settled: Outbound,
    proxy: ProxySettings,
    exempt: Vec<Exempt>,
    ca_file: Option<PathBuf>,
    sources: Vec<IpAddr>,
    family: Family,
}

/// The settings of one feed, and what they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedOutbound {
    /// For this feed.
    pub settled: Outbound,
    proxy: ProxySettings,
    ca_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
