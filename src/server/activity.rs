//! What a connection is doing, and when it has done too little for too long.
//!
//! The connection's parts tell what happens: bytes that arrive and leave, requests that begin and
//! end, bodies that wait for us. One rule then says whether the client keeps us waiting. Time in
//! which the client waits for us never counts against it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Stopwatch, Tick};

/// How long a connection that is asked to close may take for it.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long the rest of an upload that nobody reads is taken in, so that the client gets to read why it
/// was refused.
pub const LINGER: Duration = Duration::from_secs(30);

/// How long a connection that was just accepted has for its first request before it counts as idle.
const SETTLING: Duration = Duration::from_secs(1);

/// How many more requests of a connection may be given up by its client than were answered. h2 itself
/// counts those alone that are given up before we look at them (CVE-2023-44487).
const GIVEN_UP_MAX: usize = 1000;

/// The shortest wait between two looks.
const STEP: Duration = Duration::from_millis(1);

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first byte of a connection.
    pub first_byte: Duration,
    /// For the head of a request, from its first byte on.
    pub head: Duration,
    /// Between requests.
    pub idle: Duration,
    /// For taking any more of a response.
    pub stall: Duration,
    /// After the last response, for closing, and for sending what of its request nobody reads.
    pub last: Duration,
    /// Between requests, until what is needed to answer one is given up. It is made again for the
    /// next: no limit that the client notices.
    pub rest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(30),
            head: Duration::from_secs(15),
            idle: Duration::from_secs(90),
            stall: Duration::from_secs(60),
            last: LINGER,
            // Restores that go on ask again sooner.
            rest: Duration::from_secs(2),
        }
    }
}

impl Patience {
    /// The shortest limit: state is looked at this often at least.
    fn shortest(&self) -> Duration {
        self.first_byte
            .min(self.head)
            .min(self.idle)
            .min(self.stall)
    }
}

/// Why a connection is ended from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It never said anything.
    Silent,
    /// The head of a request took too long.
    SlowHead,
    /// There was no request for too long.
    Idle,
    /// A response was not taken.
    Stalled,
    /// It was idle, and its place was needed.
    Evicted,
    /// Its address has too many connections, none of them idle.
    Refused,
    /// Its client gave up too many requests that it had made.
    GivenUp,
    /// Its TLS handshake failed.
    Handshake,
    /// Its TLS handshake took too long.
    SlowHandshake,
}

impl Reason {
    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SlowHead => "slow-head",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::GivenUp => "given-up",
            Self::Handshake => "handshake",
            Self::SlowHandshake => "slow-handshake",
        }
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time is over.
    Later(Duration),
    /// It has been silent for a while.
    Rest,
    /// It is told that no further request is taken.
    Close(Reason),
    /// It is cut.
    Cut(Reason),
}

/// What one connection is doing. Times are milliseconds of a [`Tick`]; 0 is never.
pub struct Activity {
    started: Stopwatch,
    /// Whether there has been a request.
    used: AtomicBool,
    /// Whether the client takes what is sent more slowly than there is something to send.
    is_behind: AtomicBool,
    first_bytes: AtomicUsize,
    is_http2: AtomicBool,
    head: AtomicU64,
    moved: AtomicU64,
    requests: AtomicUsize,
    waiting: AtomicUsize,
    given_up: AtomicUsize,
    closing: AtomicU64,
    /// Whether the client was told with a response that it is the last one.
    is_last: AtomicBool,
    evicted: AtomicBool,
    eviction: Notify,
}

/// The client preface of HTTP/2 (RFC 9113 section 3.4), as far as no method begins so.
const PREFACE: &[u8] = b"PRI ";

impl Activity {
    /// A connection that begins now.
    pub fn new() -> Self {
        Self {
            started: Stopwatch::start(),
            used: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            first_bytes: AtomicUsize::new(0),
            is_http2: AtomicBool::new(false),
            head: AtomicU64::new(0),
            moved: AtomicU64::new(now()),
            requests: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
            closing: AtomicU64::new(0),
            is_last: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            eviction: Notify::new(),
        }
    }

    /// These bytes arrived.
    pub fn heard(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let before = self.first_bytes.load(Ordering::Relaxed);
        if before < PREFACE.len() {
            let seen = &bytes[..bytes.len().min(PREFACE.len() - before)];
            let fits = PREFACE[before..].starts_with(seen)
                && (before == 0 || self.is_http2.load(Ordering::Relaxed));
            self.is_http2.store(fits, Ordering::Relaxed);
            self.first_bytes
                .store(before + seen.len(), Ordering::Relaxed);
        }
        if self.requests.load(Ordering::Relaxed) == 0 && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(now(), Ordering::Relaxed);
        }
    }

    /// Bytes left. On HTTP/2 they may be mere pings.
    pub fn sent(&self) {
        if !self.is_http2.load(Ordering::Relaxed) {
            self.moved();
        }
    }

    /// Whether all that there was to send has left.
    pub fn behind(&self, is_behind: bool) {
        // Rarely a change.
        if self.is_behind.load(Ordering::Relaxed) != is_behind {
            self.is_behind.store(is_behind, Ordering::Relaxed);
        }
    }

    /// The client took something.
    fn moved(&self) {
        self.moved.store(now(), Ordering::Relaxed);
    }

    /// A request begins, and waits for us.
    pub fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        self.moved();
    }

    /// A request is over; `waiting` is what was last said of it.
    pub fn end(&self, waiting: bool) {
        if waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        self.moved();
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request was answered to its end, or given up before that.
    pub fn answered(&self, whole: bool) {
        let before = self.given_up.load(Ordering::Relaxed);
        if !whole {
            self.given_up.store(before + 1, Ordering::Relaxed);
            if before == GIVEN_UP_MAX {
                self.evict();
            }
        } else if before > 0 {
            self.given_up.store(before - 1, Ordering::Relaxed);
        }
    }

    /// More of a response is asked for, and whether there is any yet.
    pub fn polled(&self, was_waiting: bool, is_waiting: bool) {
        self.moved();
        match (was_waiting, is_waiting) {
            (true, false) => drop(self.waiting.fetch_sub(1, Ordering::Relaxed)),
            (false, true) => drop(self.waiting.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Whether it speaks HTTP/2; false as long as that is open.
    pub fn is_http2(&self) -> bool {
        self.is_understood() && self.is_http2.load(Ordering::Relaxed)
    }

    /// Whether the bytes that arrived tell which version of HTTP it speaks.
    pub fn is_understood(&self) -> bool {
        let heard = self.first_bytes.load(Ordering::Relaxed);
        heard == PREFACE.len() || (heard > 0 && !self.is_http2.load(Ordering::Relaxed))
    }

    /// Since when it has had no request under way; none when it has one.
    pub fn idle_since(&self) -> Option<Duration> {
        let idle = self.requests.load(Ordering::Relaxed) == 0;
        idle.then(|| since(self.moved.load(Ordering::Relaxed)))
    }

    /// Whether it has had the time to bring a first request: one that has just been accepted is not
    /// idle, but new.
    pub fn is_settled(&self) -> bool {
        self.used.load(Ordering::Relaxed) || self.started.elapsed() >= SETTLING
    }

    /// Its place is needed.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.eviction.notify_one();
    }

    /// Resolves when its place is needed.
    pub async fn evicted(&self) {
        while !self.evicted.load(Ordering::Relaxed) {
            self.eviction.notified().await;
        }
    }

    /// The response to be sent says that it is the last one.
    pub fn last(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    /// It was told that no further request is taken.
    pub fn closing(&self) {
        self.closing.store(now(), Ordering::Relaxed);
    }

    /// Resolves when something must be done about the connection; never with [`Due::Rest`] unless
    /// it `may_rest`.
    pub async fn due(&self, patience: &Patience, may_rest: bool) -> Due {
        let rest = Some(patience.rest).filter(|_| may_rest);
        let shortest = patience.shortest().min(rest.unwrap_or(Duration::MAX));
        loop {
            match self.judge(patience, may_rest) {
                Due::Later(wait) => {
                    let evicted = self.evicted.load(Ordering::Relaxed);
                    // A request that came just before the eviction is finished first.
                    let longest = shortest.min(if evicted { GRACE } else { wait });
                    tokio::select! {
                        () = tokio::time::sleep(wait.clamp(STEP, longest.max(STEP))) => {}
                        () = self.evicted(), if !evicted => {}
                    }
                }
                due => return due,
            }
        }
    }

    fn judge(&self, patience: &Patience, may_rest: bool) -> Due {
        let load = |it: &AtomicU64| it.load(Ordering::Relaxed);
        let requests = self.requests.load(Ordering::Relaxed);
        let still = since(load(&self.moved));
        if self.given_up.load(Ordering::Relaxed) > GIVEN_UP_MAX {
            return Due::Cut(Reason::GivenUp);
        }
        if requests > 0 {
            let stalled = self.waiting.load(Ordering::Relaxed) < requests;
            return match patience.stall.checked_sub(still) {
                None | Some(Duration::ZERO) if stalled => Due::Cut(Reason::Stalled),
                left => Due::Later(left.filter(|_| stalled).unwrap_or(patience.stall)),
            };
        }
        let closing = load(&self.closing);
        if closing > 0 {
            return later(GRACE, since(closing), Due::Cut(Reason::Idle));
        }
        if self.is_last.load(Ordering::Relaxed) {
            return later(patience.last, still, Due::Cut(Reason::Idle));
        }
        if self.evicted.load(Ordering::Relaxed) {
            return Due::Close(Reason::Evicted);
        }
        if self.first_bytes.load(Ordering::Relaxed) == 0 {
            return later(patience.first_byte, still, Due::Cut(Reason::Silent));
        }
        let head = load(&self.head);
        if head > 0 && !self.is_http2.load(Ordering::Relaxed) {
            return later(patience.head, since(head), Due::Cut(Reason::SlowHead));
        }
        let is_behind = self.is_behind.load(Ordering::Relaxed);
        if may_rest && !is_behind && patience.rest < patience.idle {
            return later(patience.rest, still, Due::Rest);
        }
        later(patience.idle, still, Due::Close(Reason::Idle))
    }
}

fn now() -> u64 {
    Tick::now().as_millis()
}

fn since(then: u64) -> Duration {
    Tick::from_millis(then).elapsed()
}

fn later(limit: Duration, elapsed: Duration, due: Due) -> Due {
    match limit.checked_sub(elapsed) {
        None | Some(Duration::ZERO) => due,
        Some(left) => Due::Later(left),
    }
}

#[cfg(test)]
mod tests;
