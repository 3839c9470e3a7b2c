//! What is asked without a proxy: the entries of `no_proxy` and `NO_PROXY`.
//!
//! The rules are those of most programs: a name stands for itself and all names below it. Names are
//! compared as they are written in a URL and never looked up, so a network covers only URLs with an
//! address in them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::config::address::{authority, network};

/// Hosts that are asked directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exempt {
    hosts: Hosts,
    /// This port alone.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    /// `*`.
    All,
    /// `example.com`: it, and every name below it.
    Name(String),
    /// `.example.com` or `*.example.com`: every name below it.
    Below(String),
    /// An address or a network.
    Network(IpNet),
}

impl Exempt {
    /// What may be written.
    pub(super) const ALLOWED: &str = "a host name (it and all below it), .domain or *.domain (all \
        below it), an address, a network such as 10.0.0.0/8, or *; of names and addresses, one port \
        alone with :port";

    /// Whether a URL with this host (IPv6 without brackets) and port is asked directly.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        let host = host.trim_end_matches('.');
        let below = |name: &str| {
            let rest = host.strip_suffix(name);
            rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        match &self.hosts {
            Hosts::All => true,
            Hosts::Name(name) => host == name || below(name),
            Hosts::Below(name) => below(name),
            Hosts::Network(network) => {
                let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
                address.is_ok_and(|address| network.contains(&address))
            }
        }
    }
}

impl FromStr for Exempt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            let hosts = Hosts::All;
            return Ok(Self { hosts, port: None });
        }
        if text.contains('/') || text.parse::<IpAddr>().is_ok() {
            let hosts = Hosts::Network(network(text)?);
            return Ok(Self { hosts, port: None });
        }
        let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let read = authority(below.unwrap_or(text).trim_end_matches('.'))?;
        let (host, port) = match read.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (read.as_str(), None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let hosts = match (bare.parse::<IpAddr>(), below) {
            (Ok(_), Some(_)) => return Err("puts a wildcard before an address".to_owned()),
            (Ok(address), None) => Hosts::Network(IpNet::from(address.to_canonical())),
            (Err(_), Some(_)) => Hosts::Below(bare.to_owned()),
            (Err(_), None) => Hosts::Name(bare.to_owned()),
        };
        Ok(Self { hosts, port })
    }
}

impl fmt::Display for Exempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::All => f.write_str("*")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Below(name) => write!(f, ".{name}")?,
            Hosts::Network(IpNet::V6(network)) if self.port.is_some() => {
                write!(f, "[{}]", network.addr())?;
            }
            Hosts::Network(network) if self.port.is_some() => write!(f, "{}", network.addr())?,
            Hosts::Network(network) => write!(f, "{network}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_covers_what_it_says() {
        for (entry, covered, others) in [
            ("*", &["a.example:1", "10.0.0.1:443"][..], &[][..]),
            (
                "Corp.Example",
                &[
                    "corp.example:443",
                    "corp.example.:443",
                    "a.b.corp.example:80",
                ],
                &["corp.example.com:443", "xcorp.example:443", "example:443"],
            ),
            (
                ".corp.example",
                &["a.corp.example:443", "b.a.corp.example:443"],
                &["corp.example:443", "xcorp.example:443", ".corp.example:443"],
            ),
            (
                "*.corp.example:8443",
                &["a.corp.example:8443"],
                &["a.corp.example:443", "corp.example:8443"],
            ),
            (
                "corp.example:8443",
                &["corp.example:8443", "a.corp.example:8443"],
                &["corp.example:443"],
            ),
            (
                "10.0.0.0/8",
                &["10.255.0.1:443", "::ffff:10.0.0.1:443"],
                &["11.0.0.1:443", "ten.example:443"],
            ),
            (
                "127.0.0.1",
                &["127.0.0.1:80"],
                &["127.0.0.2:80", "localhost:80"],
            ),
            ("127.0.0.1:5000", &["127.0.0.1:5000"], &["127.0.0.1:80"]),
            ("::1", &["::1:80"], &["::2:80"]),
            ("[::1]", &["::1:80"], &["::2:80"]),
            ("[::1]:5000", &["::1:5000"], &["::1:80"]),
            ("fd00::/8", &["fd12::1:80"], &["fe80::1:80"]),
        ] {
            let exempt: Exempt = entry.parse().unwrap();
            let covers = |at: &str| {
                let (host, port) = at.rsplit_once(':').unwrap();
                exempt.covers(host, port.parse().unwrap())
            };
            for at in covered {
                assert!(covers(at), "{entry} {at}");
            }
            for at in others {
                assert!(!covers(at), "{entry} {at}");
            }
            let again: Exempt = exempt.to_string().parse().unwrap();
            assert_eq!(again, exempt, "{entry}");
        }
    }

    #[test]
    fn what_has_no_clear_meaning_is_refused() {
        for wrong in [
            "",
            ".",
            "127.*",
            "a*.example",
            "<local>",
            "http://a.example",
            "a.example:0",
            "a.example:http",
            "10.1.0.0/8",
            "10.0.0.0/8:80",
            "*.10.0.0.1",
            "a b",
        ] {
            assert!(wrong.parse::<Exempt>().is_err(), "{wrong}");
        }
    }
}
