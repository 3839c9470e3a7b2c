//! The hosts of one feed and how each of them stands.
//!
//! A host is scheme, name and port: a dead search host must not stop packages. The shell around
//! [`Breaker`]: who is asked, what is counted and logged. Invariants: at most [`HOSTS_MAX`] are
//! remembered, those in trouble last to go; names of hosts are in log lines, never in metrics.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use url::Url;

use super::breaker::{Breaker, Cause, Event, Rest, State, Way};
use super::error::{Kind, UpstreamError};
use crate::clock::{Clock, Time};
use crate::observe::Metrics;

/// Most hosts remembered: a feed has a handful, redirects lead to a few more.
const HOSTS_MAX: usize = 64;

/// The hosts of a feed.
#[derive(Debug)]
pub(super) struct Hosts {
    feed: String,
    clock: Clock,
    metrics: Option<Watched>,
    known: Mutex<HashMap<String, Host>>,
    /// How many are not closed: spares everyone else the lookup.
    troubled: AtomicUsize,
    changed: Notify,
}

struct Watched(Arc<Metrics>);

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[derive(Debug, Default)]
struct Host {
    breaker: Breaker,
    /// What went wrong last, without method and URL.
    trouble: String,
}

impl Hosts {
    /// No host known yet; time is the machine's and nothing is counted.
    pub(super) fn new(feed: &str) -> Self {
        Self {
            feed: feed.to_owned(),
            clock: Clock::System,
            metrics: None,
            known: Mutex::default(),
            troubled: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// From now on by this clock, and counted here.
    pub(super) fn observe(&mut self, clock: Clock, metrics: Arc<Metrics>) {
        self.clock = clock;
        // A rate that begins with the first event misses it.
        for state in [State::Open, State::Resting, State::Closed] {
            let changes = &metrics.breaker_changes;
            drop(changes.with_label_values(&[&self.feed, state.name()]));
        }
        for outcome in ["made", "denied"] {
            let retries = &metrics.upstream_retries;
            drop(retries.with_label_values(&[&self.feed, outcome]));
        }
        drop(metrics.upstream_held.with_label_values(&[&self.feed]));
        self.metrics = Some(Watched(metrics));
        self.show(&self.lock());
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref().map(|metrics| &*metrics.0)
    }

    /// Whether all of them are asked as usual.
    pub(super) fn are_well(&self) -> bool {
        self.troubled.load(Ordering::Acquire) == 0
    }

    /// Whether a request for `url` may be made. Changes nothing.
    pub(super) fn way(&self, url: &Url) -> Way {
        if self.are_well() {
            return Way::Free;
        }
        let known = self.lock();
        let host = known.get(&name(url));
        host.map_or(Way::Free, |host| {
            host.breaker.way(document(url), self.clock.now())
        })
    }

    /// Refuses a request that may not be made, before it waits for its turn.
    pub(super) fn look(&self, url: &Url, what: &str) -> Result<(), UpstreamError> {
        match self.way(url) {
            Way::Barred(rest) => Err(self.refusal(url, what, rest)),
            Way::Free | Way::Probe => Ok(()),
        }
    }

    /// Begins a request for `url`; what becomes of it must be told to the ticket.
    pub(super) fn enter(&self, url: &Url, what: &str) -> Result<Ticket<'_>, UpstreamError> {
        let (name, document) = (name(url), document(url));
        let mut known = self.lock();
        make_room(&mut known, &name);
        let host = known.entry(name.clone()).or_default();
        let before = host.breaker.state();
        let way = host.breaker.enter(document, self.clock.now());
        let changed = before != host.breaker.state();
        if let Way::Barred(rest) = way {
            drop(known);
            return Err(self.refusal(url, what, rest));
        }
        if changed {
            self.show(&known);
        }
        Ok(Ticket {
            hosts: self,
            name,
            document,
            probe: way == Way::Probe,
            told: false,
        })
    }

    /// The same for a push: whoever pushes may try a host that failed, but not one that asked to be
    /// left alone.
    pub(super) fn enter_push(&self, url: &Url, what: &str) -> Result<Ticket<'_>, UpstreamError> {
        match self.way(url) {
            Way::Barred(rest) if rest.cause == Cause::Wished => Err(self.refusal(url, what, rest)),
            _ => Ok(Ticket {
                hosts: self,
                name: name(url),
                document: document(url),
                probe: false,
                told: false,
            }),
        }
    }

    /// Comes when some host stands differently.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn refusal(&self, url: &Url, what: &str, rest: Rest) -> UpstreamError {
        // While a probe is under way, a moment.
        let wait = rest.wait.max(Duration::from_secs(1));
        let seconds = wait.as_millis().div_ceil(1000);
        let (kind, why) = match rest.cause {
            Cause::Wished => (Kind::Limited, "asked for it"),
            Cause::Failing => (Kind::Open, "failed again and again"),
        };
        let known = self.lock();
        let host = known.get(&name(url));
        let trouble = host.map_or("", |host| &host.trouble);
        let why =
            format!("the host is left alone for another {seconds} s, because it {why}: {trouble}");
        let mut error = UpstreamError::new(kind, what, why);
        error.retry_after = Some(wait);
        error
    }

    fn tell(&self, ticket: &Ticket<'_>, event: Event, trouble: &str) {
        let now = self.clock.now();
        let mut known = self.lock();
        make_room(&mut known, &ticket.name);
        let host = known.entry(ticket.name.clone()).or_default();
        if event != Event::Answered {
            trouble.clone_into(&mut host.trouble);
        }
        let before = host.breaker.state();
        let moment = (now, jitter(&ticket.name, now));
        host.breaker.tell(event, ticket.probe, moment);
        let after = host.breaker.state();
        if before != after {
            self.note(&ticket.name, (before, after), trouble);
            self.show(&known);
        }
        drop(known);
        if before != after || ticket.probe {
            self.changed.notify_waiters();
        }
    }

    fn note(&self, host: &str, (before, after): (State, State), trouble: &str) {
        let feed = &self.feed;
        match after {
            // Still as it was, as the probe has found out.
            State::Open if before == State::Probing => {
                tracing::debug!(feed, host, trouble, "an upstream host still fails");
            }
            State::Open => {
                tracing::warn!(
                    feed,
                    host,
                    trouble,
                    "an upstream host fails and is left alone"
                );
            }
            State::Resting => {
                tracing::warn!(
                    feed,
                    host,
                    trouble,
                    "an upstream host asks to be left alone"
                );
            }
            State::Closed => tracing::info!(feed, host, "an upstream host answers again"),
            State::Probing => {}
        }
        let again = before == State::Probing && after == State::Open;
        if let Some(metrics) = self.metrics().filter(|_| !again) {
            let changes = &metrics.breaker_changes;
            changes.with_label_values(&[feed, after.name()]).inc();
        }
    }

    /// Counts the hosts by state.
    fn show(&self, known: &HashMap<String, Host>) {
        let count = |state| {
            let mut hosts = 0_u32;
            for host in known.values() {
                hosts += u32::from(host.breaker.state() == state);
            }
            hosts
        };
        let troubled = known.len() - count(State::Closed) as usize;
        self.troubled.store(troubled, Ordering::Release);
        let Some(metrics) = self.metrics() else {
            return;
        };
        for state in State::ALL {
            let hosts = metrics
                .breaker_hosts
                .with_label_values(&[&self.feed, state.name()]);
            hosts.set(i64::from(count(state)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way; one that is dropped without a word makes way for the next probe.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    hosts: &'a Hosts,
    name: String,
    document: u64,
    probe: bool,
    told: bool,
}

impl Ticket<'_> {
    /// It was answered with this status.
    pub(super) fn answered(mut self, status: u16, retry_after: Option<Duration>) {
        let wish = retry_after.filter(|wish| !wish.is_zero() && matches!(status, 429 | 503));
        let event = match (wish, status) {
            (Some(wish), _) => Event::Wished(wish),
            (None, 408 | 429 | 500 | 502..=504) => Event::Failed(self.document),
            (None, _) => Event::Answered,
        };
        self.tell(event, &format!("status {status}"));
    }

    /// A push was answered: what is said of a push says nothing of documents, unless the host
    /// itself fails.
    pub(super) fn answered_push(mut self, status: u16) {
        let event = match status {
            502..=504 => Event::Failed(self.document),
            _ => Event::Answered,
        };
        self.tell(event, &format!("status {status}"));
    }

    /// It failed before it was answered.
    pub(super) fn failed(mut self, error: &UpstreamError) {
        let event = match error.kind {
            Kind::Connect
            | Kind::ConnectTimeout
            | Kind::Dns
            | Kind::Proxy
            | Kind::ProxyTimeout
            | Kind::ProxyDenied
            | Kind::Tls => Event::Unreachable,
            Kind::Timeout | Kind::Cut | Kind::Protocol => Event::Failed(self.document),
            _ => return,
        };
        self.tell(event, error.why());
    }

    fn tell(&mut self, event: Event, trouble: &str) {
        self.told = true;
        self.hosts.tell(self, event, trouble);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.told || !self.probe {
            return;
        }
        let now = self.hosts.clock.now();
        let mut known = self.hosts.lock();
        if let Some(host) = known.get_mut(&self.name) {
            host.breaker.abandon(now);
        }
        self.hosts.show(&known);
        drop(known);
        self.hosts.changed.notify_waiters();
    }
}

/// Scheme, name and port.
fn name(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A number for what is asked of the host.
fn document(url: &Url) -> u64 {
    let mut hasher = DefaultHasher::new();
    (url.path(), url.query()).hash(&mut hasher);
    hasher.finish()
}

fn jitter(name: &str, now: Time) -> u8 {
    let mut hasher = DefaultHasher::new();
    (name, now).hash(&mut hasher);
    hasher.finish().to_le_bytes()[0]
}

/// Forgets a host to make room for another, one in working order if there is one.
fn make_room(known: &mut HashMap<String, Host>, name: &str) {
    if known.len() < HOSTS_MAX || known.contains_key(name) {
        return;
    }
    let closed = |host: &Host| host.breaker.state() == State::Closed;
    let some = known.iter().find(|(_, host)| closed(host));
    let some = some.or_else(|| known.iter().next());
    if let Some(name) = some.map(|(name, _)| name.clone()) {
        known.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn fail(hosts: &Hosts, url: &Url) {
        let error = UpstreamError::new(Kind::Connect, "GET x", "cannot connect");
        hosts.enter(url, "GET x").unwrap().failed(&error);
    }

    #[test]
    fn hosts_are_told_apart_by_scheme_name_and_port() {
        let hosts = Hosts::new("main");
        for _ in 0..5 {
            fail(&hosts, &url("https://dead.test/a"));
        }
        for (text, barred) in [
            ("https://dead.test/b", true),
            ("https://DEAD.test:443/c", true),
            ("https://dead.test:444/b", false),
            ("http://dead.test/b", false),
            ("https://other.test/b", false),
        ] {
            let way = hosts.way(&url(text));
            assert_eq!(matches!(way, Way::Barred(_)), barred, "{text} {way:?}");
        }
        let refused = hosts
            .look(&url("https://dead.test/b"), "GET y")
            .unwrap_err();
        assert_eq!(refused.kind, Kind::Open);
        let text = refused.to_string();
        assert!(
            text.starts_with("GET y: ") && text.ends_with(": cannot connect"),
            "{text}"
        );
        assert!(refused.retry_after.unwrap() > Duration::from_secs(4));
    }

    #[test]
    fn no_more_hosts_are_remembered_than_there_is_room_for() {
        let hosts = Hosts::new("main");
        let dead = url("https://dead.test/");
        for _ in 0..5 {
            fail(&hosts, &dead);
        }
        for number in 0..500 {
            fail(&hosts, &url(&format!("https://host{number}.test/")));
        }
        assert_eq!(hosts.lock().len(), HOSTS_MAX);
        assert!(
            matches!(hosts.way(&dead), Way::Barred(_)),
            "the one in trouble stays"
        );
    }

    #[test]
    fn pushes_count_when_the_host_fails_and_only_then() {
        let hosts = Hosts::new("main");
        let url = url("https://feed.test/push");
        for status in [400, 403, 409, 413, 429, 500] {
            for _ in 0..6 {
                hosts
                    .enter_push(&url, "PUT x")
                    .unwrap()
                    .answered_push(status);
            }
            assert_eq!(hosts.way(&url), Way::Free, "{status}");
        }
        for _ in 0..5 {
            hosts.enter_push(&url, "PUT x").unwrap().answered_push(503);
        }
        assert!(matches!(hosts.way(&url), Way::Barred(_)));
    }
}
