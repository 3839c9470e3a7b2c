//! What was asked lately, for people: restores and their requests, what went wrong, and who asked for
//! which package.
//!
//! It is in memory alone and forgotten at a restart. The thread of the access log keeps it, so that
//! no request does more than put its line; what the log drops is not here either. Invariant: nothing
//! grows without bound, whatever clients send; texts of clients are cut, and escaped where they are
//! shown.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use prometheus::IntCounter;
use uuid::Uuid;

use crate::clock::Time;
use crate::observe::access_log::{Asker, Line};
use crate::observe::{CacheStatus, Outcome};

/// Restores that are remembered; the one that asked last longest ago goes first.
pub const RESTORES_MAX: usize = 32;

/// Requests of a restore that are remembered one by one; further ones are only counted.
pub const REQUESTS_MAX: usize = 500;

/// Failures that are remembered.
pub const FAILURES_MAX: usize = 100;

/// Packages whose askers are remembered; the one asked for longest ago goes first.
pub const PACKAGES_MAX: u64 = 2048;

/// Askers of a package that are remembered, each with a version.
pub const ASKERS_MAX: usize = 12;

/// Lines that are noted in a second. Nobody reads more, and a machine that answers more has better
/// things to do; the rest is counted.
pub const NOTED_MAX: u64 = 5000;

/// Characters of a client's text that are kept.
const TEXT_MAX: usize = 200;

/// A restore without a request for so long is over.
pub const LIVE: Duration = Duration::from_secs(15);

/// From the kind of document and the path of a request to the package that it is for: its id and
/// version, in one spelling each; nothing for other documents.
pub type PackageOf = fn(&str, &str) -> Option<(String, String)>;

/// What was asked lately.
#[derive(Debug)]
pub struct Journal {
    package_of: PackageOf,
    skipped: IntCounter,
    /// A second, and how many lines were noted in it.
    noted: (AtomicU64, AtomicU64),
    latest: Mutex<Latest>,
    askers: Cache<String, Arc<Mutex<VecDeque<Demand>>>>,
}

#[derive(Debug, Default)]
struct Latest {
    /// The one that asked last is the last.
    restores: Vec<Arc<Restore>>,
    failures: VecDeque<Failure>,
}

/// The requests with one `X-NuGet-Session-Id`: what one run of a client asked.
#[derive(Clone, Debug)]
pub struct Restore {
    /// What the client calls it.
    pub id: Uuid,
    /// Who asked first in it.
    pub asker: Asker,
    /// What the client says it is.
    pub agent: Option<Box<str>>,
    /// When the first request came.
    pub started_at: Time,
    /// When the last answer began.
    pub ended_at: Time,
    /// The first [`REQUESTS_MAX`] requests.
    pub requests: Vec<Asked>,
    /// All requests, by outcome.
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Bytes of bodies whose length was known.
    pub bytes: u64,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path, cut.
    pub path: Arc<str>,
    /// The kind of document.
    pub resource: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// How the answer came about.
    pub cache: CacheStatus,
    /// When it came.
    pub at: Time,
    /// Until the answer's head was known.
    pub duration: Duration,
    /// Length of the body, if it is known.
    pub bytes: Option<u64>,
}

/// An answer that shows that something is wrong: a status of 5xx, 403, 421 or 429, or something
/// stale for want of a feed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The request.
    pub asked: Asked,
    /// Its method.
    pub method: http::Method,
    /// Whose it was.
    pub asker: Asker,
    /// The restore it was part of.
    pub restore: Option<Uuid>,
    /// What the client was told, cut.
    pub cause: Option<Box<str>>,
}

/// Who asked for a version of a package.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The version.
    pub version: String,
    /// Who.
    pub asker: Asker,
    /// When it was last.
    pub at: Time,
    /// How often.
    pub count: u64,
}

impl Journal {
    /// An empty one; `package_of` knows which paths are of packages, `skipped` counts lines beyond
    /// [`NOTED_MAX`].
    pub fn new(package_of: PackageOf, skipped: IntCounter) -> Self {
        let askers = Cache::builder()
            .max_capacity(PACKAGES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            package_of,
            skipped,
            noted: Default::default(),
            latest: Mutex::default(),
            askers,
        }
    }

    /// Keeps what a line says.
    pub fn keep(&self, line: &Line) {
        if !self.has_room(line.time) {
            return self.skipped.inc();
        }
        let outcome = Outcome::of(line.status, line.cache);
        let restore = line.session;
        if restore.is_some() || outcome.is_failure(line.status) {
            let asked = Asked::of(line);
            let mut latest = self.latest();
            if outcome.is_failure(line.status) {
                latest.failed(line, asked.clone(), restore);
            }
            if let Some(id) = restore {
                latest.restore(id, line).add(asked, outcome);
            }
        }
        if line.status < 400
            && line.cache != CacheStatus::Own
            && let Some((id, version)) = (self.package_of)(line.resource, line.texts.path())
        {
            let known = self.askers.get(&id);
            let demands = known.unwrap_or_else(|| self.askers.get_with(id, Arc::default));
            let mut demands = demands.lock().unwrap_or_else(PoisonError::into_inner);
            demand(&mut demands, version, line);
        }
    }

    /// Whether a line of this time may be noted. Only one thread keeps lines.
    fn has_room(&self, time: Time) -> bool {
        let (second, count) = &self.noted;
        let now = time.as_millis() / 1000;
        if second.swap(now, Ordering::Relaxed) != now {
            count.store(0, Ordering::Relaxed);
        }
        count.fetch_add(1, Ordering::Relaxed) < NOTED_MAX
    }

    /// The restores, the one that asked last first.
    pub fn restores(&self) -> Vec<Arc<Restore>> {
        self.latest().restores.iter().rev().cloned().collect()
    }

    /// A restore.
    pub fn restore(&self, id: Uuid) -> Option<Arc<Restore>> {
        let latest = self.latest();
        latest.restores.iter().find(|it| it.id == id).cloned()
    }

    /// What went wrong, the latest first.
    pub fn failures(&self) -> Vec<Failure> {
        self.latest().failures.iter().rev().cloned().collect()
    }

    /// Who asked for a package, the latest first.
    pub fn demands(&self, id: &str) -> Vec<Demand> {
        let demands = self.askers.get(id);
        let all = |demands: Arc<Mutex<VecDeque<Demand>>>| {
            let demands = demands.lock().unwrap_or_else(PoisonError::into_inner);
            demands.iter().rev().cloned().collect()
        };
        demands.map(all).unwrap_or_default()
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latest {
    /// The restore of this id, a new one if there is none, as the one that asked last.
    fn restore(&mut self, id: Uuid, line: &Line) -> &mut Restore {
        let known = self.restores.iter().rposition(|it| it.id == id);
        let restore = if let Some(at) = known {
            self.restores.remove(at)
        } else {
            if self.restores.len() == RESTORES_MAX {
                self.restores.remove(0);
            }
            Arc::new(Restore::begun(id, line))
        };
        let at = self.restores.len();
        self.restores.push(restore);
        // Copied only while a page looks at it.
        Arc::make_mut(&mut self.restores[at])
    }

    fn failed(&mut self, line: &Line, asked: Asked, restore: Option<Uuid>) {
        if self.failures.len() == FAILURES_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back(Failure {
            asked,
            method: line.method.clone(),
            asker: line.asker.clone(),
            restore,
            cause: line.warning.as_ref().map(|it| text(it.as_bytes())),
        });
    }
}

impl Restore {
    fn begun(id: Uuid, line: &Line) -> Self {
        let started_at = line.time.minus(line.duration);
        Self {
            id,
            asker: line.asker.clone(),
            agent: line.texts.agent().map(text),
            started_at,
            ended_at: line.time,
            requests: Vec::new(),
            outcomes: Default::default(),
            bytes: 0,
        }
    }

    fn add(&mut self, asked: Asked, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
        self.bytes += asked.bytes.unwrap_or_default();
        // A request that took long may be told of after one that came later.
        self.started_at = self.started_at.min(asked.at);
        self.ended_at = self.ended_at.max(asked.at.plus(asked.duration));
        if self.requests.len() < REQUESTS_MAX {
            self.requests.push(asked);
        }
    }

    /// How many requests there were.
    pub fn total(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Of a hundred documents, how many came from the cache; nothing when there was none.
    pub fn hit_rate(&self) -> Option<u64> {
        let of = |outcome: Outcome| self.outcomes[outcome as usize];
        let stored = of(Outcome::Hit) + of(Outcome::Stale);
        (stored * 100).checked_div(stored + of(Outcome::Miss))
    }

    /// Whether it may go on.
    pub fn is_live(&self, now: Time) -> bool {
        now.since(self.ended_at) < LIVE
    }
}

impl Asked {
    fn of(line: &Line) -> Self {
        Self {
            path: cut(line.texts.path()).into(),
            resource: line.resource,
            status: line.status,
            cache: line.cache,
            at: line.time.minus(line.duration),
            duration: line.duration,
            bytes: line.bytes,
        }
    }
}

/// Notes a demand as the latest.
fn demand(demands: &mut VecDeque<Demand>, version: String, line: &Line) {
    let same = |it: &Demand| it.version == version && it.asker == line.asker;
    let known = demands.iter().position(same);
    let known = known.and_then(|at| demands.remove(at));
    if demands.len() == ASKERS_MAX {
        demands.pop_front();
    }
    demands.push_back(Demand {
        version,
        asker: line.asker.clone(),
        at: line.time,
        count: known.map_or(0, |it| it.count) + 1,
    });
}

/// The session of a request: the official clients send a GUID with hyphens.
pub fn session(value: &HeaderValue) -> Option<Uuid> {
    let text = value.to_str().ok()?;
    (text.len() == uuid::fmt::Hyphenated::LENGTH)
        .then(|| Uuid::from_str(text).ok())
        .flatten()
}

fn text(bytes: &[u8]) -> Box<str> {
    cut(&String::from_utf8_lossy(bytes)).into()
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(TEXT_MAX);
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests;
