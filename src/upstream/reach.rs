//! Addresses that a feed must not lead to.
//!
//! Documents of a feed decide which hosts are asked. None of them may be this machine, where services
//! without passwords listen, or on its link, where clouds hand out credentials (169.254.169.254),
//! unless the feed is there itself or the configuration names the host. Private networks are where
//! feeds of companies are: they are not told apart from others. Names are judged by the addresses
//! they have when a connection is made, so that no later answer of a name server makes a difference.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::{Host, Url};

use super::{FeedOptions, resolve};
use crate::config::Family;

/// Why an address is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} is this machine or on its link, where the feed is not; add it to redirect_hosts to allow it"
)]
pub(super) struct Refusal {
    host: String,
}

/// Where connections of a feed may lead.
#[derive(Clone, Debug)]
pub(super) struct Reach(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    /// Hosts of the configuration, as URLs spell them, without ports.
    named: Vec<String>,
    /// Whether the feed is on this machine.
    loopback: bool,
    /// Whether it is on its link.
    link: bool,
}

impl Reach {
    /// That of a feed or route with these options.
    pub(super) fn of(options: &FeedOptions) -> Self {
        let own = options.url.host();
        let own = own.map(|host| host.to_owned());
        let ip = own.as_ref().and_then(literal);
        let is_localhost = options.url.host_str().is_some_and(is_localhost);
        let listed = options.redirect_hosts.iter().map(String::as_str);
        let of_credential = options.credential.iter().flat_map(|it| &it.hosts);
        let listed = listed.chain(of_credential.map(String::as_str));
        let named = listed.filter_map(|host| {
            let url = Url::parse(&format!("http://{host}")).ok()?;
            url.host_str().map(str::to_owned)
        });
        let named = named.chain(options.url.host_str().map(str::to_owned));
        Self(Arc::new(Rules {
            named: named.collect(),
            loopback: is_localhost || ip.is_some_and(is_here),
            link: ip.is_some_and(is_on_link),
        }))
    }

    /// Whether a URL may be asked, as far as its text says.
    ///
    /// # Errors
    /// [`Refusal`] for an address.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refusal> {
        let host = url.host_str().unwrap_or_default();
        let ip = url.host().as_ref().and_then(literal);
        // A proxy would look this name up, and find itself.
        let is_here = is_localhost(host) && !self.0.loopback;
        let allowed = self.names(host) || !is_here && ip.is_none_or(|ip| self.allows(ip));
        let host = host.to_owned();
        if allowed {
            Ok(())
        } else {
            Err(Refusal { host })
        }
    }

    fn names(&self, host: &str) -> bool {
        self.0.named.iter().any(|named| named == host)
    }

    fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        (self.0.loopback || !is_here(ip)) && (self.0.link || !is_on_link(ip))
    }

    /// The addresses of a name that may be connected to.
    fn filtered(
        &self,
        name: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let all = self.names(name);
        let allowed: Vec<_> = found.filter(|at| all || self.allows(at.ip())).collect();
        if allowed.is_empty() {
            let host = name.to_owned();
            return Err(Refusal { host });
        }
        Ok(allowed)
    }
}

fn literal<S>(host: &Host<S>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(ip) => Some((*ip).into()),
        Host::Ipv6(ip) => Some(IpAddr::from(*ip).to_canonical()),
        Host::Domain(_) => None,
    }
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

const fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

const fn is_on_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Looks names up, and leaves out the addresses that the feed must not lead to.
#[derive(Clone)]
pub(super) struct Resolver {
    inner: resolve::Resolver,
    /// `None` for what the configuration names.
    reach: Option<Reach>,
    family: Family,
}

impl Resolver {
    /// For hosts that a feed leads to.
    pub(super) fn new(reach: Reach, family: Family) -> Self {
        Self {
            reach: Some(reach),
            ..Self::free(family)
        }
    }

    /// For proxies, which may be anywhere.
    pub(super) fn free(family: Family) -> Self {
        Self {
            inner: resolve::Resolver::system(),
            reach: None,
            family,
        }
    }
}

/// The error for a host that has no address of the family.
pub(super) fn unfit(host: &str, family: Family) -> io::Error {
    let kind = match family {
        Family::Any => "usable",
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    io::Error::other(format!(
        "{host} has no {kind} address, and others are ruled out by `ip` or `source_address`"
    ))
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (reach, family) = (self.reach.clone(), self.family);
        let text = name.as_str().to_owned();
        let found = self.inner.call(name);
        Box::pin(async move {
            let mut found: Vec<_> = match reach {
                Some(reach) => {
                    let allowed = reach.filtered(&text, found.await?);
                    allowed.map_err(io::Error::other)?
                }
                None => found.await?.collect(),
            };
            found.retain(|address| family.admits(address.ip()));
            if found.is_empty() {
                return Err(unfit(&text, family));
            }
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reach(url: &str, listed: &[&str]) -> Reach {
        Reach::of(&FeedOptions {
            name: "test".to_owned(),
            url: url.parse().unwrap(),
            redirect_hosts: listed.iter().map(|host| (*host).to_owned()).collect(),
            connect_timeout: Duration::ZERO,
            header_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            attempts: 1,
            connections_max: 1,
            requests_per_second: 0,
            outbound: crate::upstream::Outbound::default(),
            hold: Duration::ZERO,
            credential: None,
            pass_types: Vec::new(),
        })
    }

    #[test]
    fn this_machine_and_its_link_are_out_of_reach() {
        let public = reach(
            "https://feed.example/v3/index.json",
            &["*.example", "[::1]:80"],
        );
        let here = reach("http://127.0.0.1:5000/index.json", &[]);
        let localhost = reach("http://localhost/index.json", &["169.254.1.1:8080"]);
        let link = reach("http://169.254.7.7/index.json", &[]);
        for (url, expected) in [
            ("https://other.example/", [true, true, true, true]),
            ("http://10.0.0.1/", [true, true, true, true]),
            ("http://localhost/", [false, true, true, false]),
            ("http://a.localhost:80/", [false, true, true, false]),
            ("http://127.0.0.1/", [false, true, true, false]),
            ("http://127.9.9.9:22/", [false, true, true, false]),
            ("http://2130706433/", [false, true, true, false]),
            ("http://0.0.0.0/", [false, true, true, false]),
            ("http://[::]/", [false, true, true, false]),
            ("http://[::1]/", [true, true, true, false]),
            ("http://[::ffff:127.0.0.1]/", [false, true, true, false]),
            ("http://169.254.169.254/latest", [false, false, false, true]),
            ("http://[::ffff:a9fe:a9fe]/", [false, false, false, true]),
            ("http://[fe80::1]/", [false, false, false, true]),
            ("http://169.254.1.1/", [false, false, true, true]),
        ] {
            let url = Url::parse(url).unwrap();
            let found = [&public, &here, &localhost, &link].map(|it| it.check(&url).is_ok());
            assert_eq!(found, expected, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_where_its_address_is() {
        let ask = async |reach: &Reach| {
            let name: Name = "localhost".parse().unwrap();
            Resolver::new(reach.clone(), Family::Any).call(name).await
        };
        let refused = ask(&reach("https://feed.example/", &["*.example"])).await;
        assert!(refused.unwrap_err().to_string().contains("redirect_hosts"));
        for allowed in [
            reach("http://localhost/", &[]),
            reach("http://127.0.0.2/", &[]),
            reach("https://feed.example/", &["localhost:8080"]),
        ] {
            assert!(ask(&allowed).await.unwrap().count() > 0);
        }
        let mixed = ["127.0.0.1:0", "10.0.0.1:0", "169.254.1.1:0"].map(|at| at.parse().unwrap());
        let public = reach("https://feed.example/", &[]);
        let found = public.filtered("a.example", mixed.into_iter()).unwrap();
        assert_eq!(found, ["10.0.0.1:0".parse().unwrap()]);
    }
}
