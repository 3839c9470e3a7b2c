//! Where a request comes from, behind proxies too.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::server::crowd::client_of;

/// The address a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// None when a trusted proxy does not say it in a way that can be read.
    address: Option<IpAddr>,
    peer: IpAddr,
}

impl Client {
    /// The other end of the connection; behind `proxies`, the last address in `X-Forwarded-For`
    /// that is not one of them. Each proxy appends the address it sees, so only what trusted ones
    /// have appended counts.
    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let is_proxy = |address: IpAddr| proxies.iter().any(|it| it.contains(&address));
        let mut address = Some(peer);
        if !is_proxy(peer) {
            return Self { address, peer };
        }
        let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let hops = values
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','));
        let hops: Vec<&str> = hops.map(str::trim).collect();
        for hop in hops.into_iter().rev() {
            if !address.is_some_and(is_proxy) {
                break;
            }
            address = hop.parse().ok().map(|hop: IpAddr| hop.to_canonical());
        }
        Self { address, peer }
    }

    /// Whether it is in one of the networks.
    pub(super) fn is_in(self, networks: &[IpNet]) -> bool {
        self.address
            .is_some_and(|address| networks.iter().any(|it| it.contains(&address)))
    }

    /// What its failures are counted under.
    pub(super) fn key(self) -> IpAddr {
        client_of(self.address.unwrap_or(self.peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hop_that_is_no_proxy_counts() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.1"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["127.0.0.1", "198.51.100.1, 10.0.0.2"],
                "198.51.100.1",
            ),
            ("10.0.0.1", &["127.0.0.1, unknown"], "none"),
            ("10.0.0.1", &["127.0.0.1, unknown, 10.0.0.2"], "none"),
            ("10.0.0.1", &[""], "none"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            let client = Client::of(peer.parse().unwrap(), &headers, &proxies);
            let found = client
                .address
                .map_or("none".to_owned(), |it| it.to_string());
            assert_eq!(found, expected, "{peer} {forwarded:?}");
        }
    }
}
