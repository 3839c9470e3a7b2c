//! All open connections: how many there may be, and who leaves when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::server::activity::Activity;

/// All open connections.
pub struct Crowd {
    per_client: usize,
    /// Peers that speak for many clients.
    excepted: Vec<IpNet>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    next: u64,
    all: BTreeMap<u64, Member>,
    clients: HashMap<IpAddr, usize>,
}

struct Member {
    client: IpAddr,
    activity: Arc<Activity>,
}

/// A connection's place; given back when dropped.
pub struct Place {
    crowd: Arc<Crowd>,
    number: u64,
}

/// A client's own address, or for IPv6 the network that one client has (RFC 6177).
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Crowd {
    /// Nobody yet; at most `per_client` connections of one client, except of `excepted` peers.
    pub fn new(per_client: usize, excepted: Vec<IpNet>) -> Self {
        Self {
            per_client,
            excepted,
            members: Mutex::default(),
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in; none when its client has too many and none of them is idle. The one
    /// that has been idle longest makes room.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, activity: &Arc<Activity>) -> Option<Place> {
        let peer = peer.to_canonical();
        let client = client_of(peer);
        let mut members = self.members();
        let count = members.clients.get(&client).copied().unwrap_or_default();
        let excepted = self.excepted.iter().any(|network| network.contains(&peer));
        if count >= self.per_client && !excepted && !members.evict(|it| it.client == client) {
            return None;
        }
        let number = members.next;
        members.next += 1;
        *members.clients.entry(client).or_default() += 1;
        let activity = Arc::clone(activity);
        members.all.insert(number, Member { client, activity });
        drop(members);
        Some(Place {
            crowd: Arc::clone(self),
            number,
        })
    }

    /// Asks the connection to leave that has been idle longest; whether there is one. Those that were
    /// just accepted stay.
    pub fn evict(&self) -> bool {
        self.members().evict(|it| it.activity.is_settled())
    }
}

impl Members {
    /// Whether one was found that leaves.
    fn evict(&mut self, whom: impl Fn(&Member) -> bool) -> bool {
        let idle = self.all.iter().filter(|(_, member)| whom(member));
        let idle = idle.filter_map(|(number, it)| Some((it.activity.idle_since()?, *number)));
        let Some((_, number)) = idle.max() else {
            return false;
        };
        if let Some(member) = self.leave(number) {
            member.activity.evict();
        }
        true
    }

    fn leave(&mut self, number: u64) -> Option<Member> {
        let member = self.all.remove(&number)?;
        if let Some(count) = self.clients.get_mut(&member.client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&member.client);
            }
        }
        Some(member)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evicted(activity: &Activity) -> bool {
        use futures_util::FutureExt as _;
        activity.evicted().now_or_never().is_some()
    }

    #[test]
    fn a_client_with_too_many_loses_an_idle_one_or_is_refused() {
        let crowd = Arc::new(Crowd::new(2, vec!["10.0.0.0/8".parse().unwrap()]));
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let activities: Vec<_> = (0..4).map(|_| Arc::new(Activity::new())).collect();
        let first = crowd.enter(client, &activities[0]);
        let second = crowd.enter(client, &activities[1]).unwrap();
        activities[0].begin();
        // The busy one stays.
        let third = crowd.enter(client, &activities[2]);
        assert!(third.is_some() && evicted(&activities[1]) && !evicted(&activities[0]));
        drop(second);
        activities[2].begin();
        assert!(crowd.enter(client, &activities[3]).is_none());
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        assert!(crowd.enter(other, &activities[3]).is_some());
        drop((first, third));
        assert!(crowd.members().clients.is_empty());
        let proxy: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        let places: Vec<_> = (0..5).map(|_| crowd.enter(proxy, &activities[3])).collect();
        assert!(places.iter().all(Option::is_some) && !evicted(&activities[3]));
    }

    #[test]
    fn the_longest_idle_leaves_first() {
        let crowd = Arc::new(Crowd::new(9, Vec::new()));
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let activities: Vec<_> = (0..3).map(|_| Arc::new(Activity::new())).collect();
        let enter = |activity| crowd.enter(client, activity).unwrap();
        let places: Vec<_> = activities.iter().map(enter).collect();
        let idle = |number: usize| activities[number].idle_since().unwrap();
        // Each is used a moment after the one before, whatever the clock's steps are.
        for number in [1, 0, 2] {
            activities[number].begin();
            activities[number].end(true);
            let moment = std::time::Duration::from_micros(50);
            while idle(number) < moment {
                std::hint::spin_loop();
            }
        }
        for number in [1, 0, 2] {
            assert!(!evicted(&activities[number]), "{number}");
            assert!(crowd.evict());
            assert!(evicted(&activities[number]), "{number}");
        }
        drop(places);
        assert!(crowd.members().clients.is_empty());
    }

    #[test]
    fn an_ipv6_client_is_a_network() {
        let of = |text: &str| client_of(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
