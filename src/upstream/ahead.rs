//! Connections made before a request needs them.
//!
//! A restore begins with our service index, which comes from the store. While its client reads it,
//! connections to the hosts that it may lead to are made, so that the first request that goes on to
//! a feed does not wait for handshakes: two or three times the way there and back. No request is
//! made for it; a connection that nobody needs is closed.
//!
//! Invariants: at most one connection for each host, none to a host that was used a moment ago;
//! what becomes of one is nobody's failure.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Uri;
use hyper_rustls::MaybeHttpsStream;
use tokio::io::Interest;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tower_service::Service as _;
use url::Url;

use super::Feed;
use super::breaker::Way;
use super::client::{Connector, POOL_IDLE, uri};
use super::dial::{Stream, place};
use crate::clock::Time;

/// A connection to a host.
type Made = MaybeHttpsStream<Stream>;

type BoxError = Box<dyn Error + Send + Sync>;

/// What becomes of one.
type Coming = Result<Option<Made>, BoxError>;

/// Most hosts remembered. A feed has a handful; redirects lead to more, which are not connected to.
const HOSTS_MAX: usize = 64;

/// The connections of a feed that nobody has used yet, and when its hosts were used.
#[derive(Default)]
pub(super) struct Ahead(Mutex<HashMap<Origin, Host>>);

/// Whether in TLS, host and port.
type Origin = (bool, String, u16);

#[derive(Default)]
struct Host {
    /// When a request or a connection to it was begun last.
    used: Option<Time>,
    /// The connection that is being made, or was; whoever takes it has it alone.
    coming: Option<oneshot::Receiver<Result<Made, BoxError>>>,
}

impl Ahead {
    /// Notes that a request goes there.
    pub(super) fn used(&self, uri: &Uri, now: Time) {
        if let Some(host) = room_for(&mut self.lock(), origin(uri)) {
            host.used = Some(now);
        }
    }

    /// Where to put the connection that is to be made: none was for as long as a pool keeps one.
    fn begin(&self, uri: &Uri, now: Time) -> Option<oneshot::Sender<Result<Made, BoxError>>> {
        let mut hosts = self.lock();
        let host = room_for(&mut hosts, origin(uri))?;
        // A clock that was set back is no reason to wait for it.
        let is_cold = |used| now < used || now.since(used) >= POOL_IDLE;
        if !host.used.is_none_or(is_cold) || host.coming.is_some() {
            return None;
        }
        let (sender, coming) = oneshot::channel();
        host.used = Some(now);
        host.coming = Some(coming);
        Some(sender)
    }

    /// The connection to this host that was made, or is being made; `None` where there is none to
    /// wait for. It comes to nothing when the other side has closed it meanwhile.
    pub(super) fn take(&self, uri: &Uri) -> Option<impl Future<Output = Coming> + use<>> {
        let coming = self.lock().get_mut(&origin(uri))?.coming.take()?;
        Some(async move {
            let made = coming.await.ok().transpose()?;
            Ok(made.filter(is_open))
        })
    }

    /// Lets go of the connection to this host that nobody took.
    fn close(&self, uri: &Uri) {
        if let Some(host) = self.lock().get_mut(&origin(uri)) {
            host.coming = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Host>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is remembered of a host, if there is room for it.
fn room_for(hosts: &mut HashMap<Origin, Host>, origin: Origin) -> Option<&mut Host> {
    let is_full = hosts.len() >= HOSTS_MAX;
    match hosts.entry(origin) {
        Entry::Vacant(_) if is_full => None,
        entry => Some(entry.or_default()),
    }
}

impl Feed {
    /// Makes a connection to each of these hosts, behind everyone's back and unless there will be
    /// one: none was used within the minute for which those of the pool are kept. Hosts that may
    /// not be asked now, and not by a document that names the hosts of `allowed`, are left out.
    pub fn connect_ahead(&self, origins: &[Url], allowed: &HashSet<String>) {
        let (now, limit) = (self.hosts.clock().now(), self.options.header_timeout);
        for url in origins {
            let fit = self.folder.is_none()
                && self.allows(url, allowed)
                && self.hosts.way(url) == Way::Free
                && self.reach.check(url).is_ok();
            if let (true, Ok(uri)) = (fit, uri(url)) {
                connect(&self.ahead, &self.connector, (uri, now), limit);
            }
        }
    }
}

/// Makes a connection for `uri` behind everyone's back, if its host is cold; gives up after `limit`.
fn connect(ahead: &Arc<Ahead>, connector: &Connector, (uri, now): (Uri, Time), limit: Duration) {
    let Some(wanted) = ahead.begin(&uri, now) else {
        return;
    };
    let (ahead, mut connector) = (Arc::clone(ahead), connector.clone());
    tokio::spawn(async move {
        let host = uri.host().unwrap_or_default();
        let made = timeout(limit, connector.call(uri.clone())).await;
        let made = made.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let failed = made.is_err();
        if let Err(error) = &made {
            tracing::debug!(host, error, "no connection made ahead");
        }
        // Whoever waits for it gets the error too.
        if wanted.send(made).is_ok() && !failed {
            sleep(POOL_IDLE).await;
        }
        ahead.close(&uri);
    });
}

fn origin(uri: &Uri) -> Origin {
    let (host, port) = place(uri);
    let is_tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    (is_tls, host.to_owned(), port)
}

/// Whether the other side has neither closed it nor, in plain HTTP, said something unasked.
fn is_open(made: &Made) -> bool {
    let (stream, is_tls) = match made {
        MaybeHttpsStream::Http(stream) => (stream, false),
        MaybeHttpsStream::Https(tls) => (tls.inner().get_ref().0.inner(), true),
    };
    let readiness = stream.tcp().ready(Interest::READABLE).now_or_never();
    match readiness {
        None => true,
        Some(Ok(ready)) => is_tls && !ready.is_read_closed(),
        Some(Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "https://feed.example/v3/";

    fn begins(ahead: &Ahead, url: &str, seconds: u64) -> bool {
        let now = Time::from_millis(seconds * 1000);
        let begun = ahead.begin(&url.parse().unwrap(), now);
        // Whoever makes it gives up at once.
        ahead.close(&url.parse().unwrap());
        begun.is_some()
    }

    #[test]
    fn only_hosts_that_were_not_used_for_a_minute_are_connected_to() {
        let ahead = Ahead::default();
        assert!(begins(&ahead, HOST, 1000));
        assert!(!begins(&ahead, HOST, 1059));
        assert!(begins(&ahead, "https://feed.example:444/", 1059));
        assert!(begins(&ahead, "http://feed.example/", 1059));
        assert!(begins(&ahead, HOST, 1060));
        let used = Time::from_millis(1_090_000);
        ahead.used(&"https://feed.example:443/a".parse().unwrap(), used);
        assert!(!begins(&ahead, HOST, 1149));
        assert!(begins(&ahead, HOST, 1150));
        assert!(begins(&ahead, HOST, 1));
    }

    #[test]
    fn there_is_one_at_a_time_and_whoever_takes_it_has_it_alone() {
        let ahead = Ahead::default();
        let uri: Uri = HOST.parse().unwrap();
        let at = |seconds: u64| ahead.begin(&uri, Time::from_millis(seconds * 1000));
        let first = at(1000).unwrap();
        assert!(at(2000).is_none());
        let waiting = ahead.take(&uri).unwrap();
        assert!(ahead.take(&uri).is_none());
        drop(first.send(Err("far away".into())));
        let failed = waiting.now_or_never().unwrap().unwrap_err();
        assert_eq!(failed.to_string(), "far away");
        assert!(at(3000).is_some());
    }

    #[test]
    fn a_bounded_number_of_hosts_is_remembered() {
        let ahead = Ahead::default();
        for number in 0..2 * HOSTS_MAX {
            let url = format!("https://host-{number}.example/");
            assert_eq!(begins(&ahead, &url, 1000), number < HOSTS_MAX);
        }
        assert!(begins(&ahead, "https://host-0.example/", 2000));
    }
}
