//! What nugate says about itself: how a response came about, counters, names of log fields.
//!
//! One enum, [`CacheStatus`], is the source of the response header, the log field and the metric
//! label. Labels come from closed sets only: never a package id, a URL or a client's address.

pub mod access_log;
pub mod journal;
pub mod metrics;
mod stamp;
pub mod texts;

pub use metrics::Metrics;

/// How a response came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheStatus {
    /// Stored and fresh.
    Hit,
    /// Stored and no longer fresh; it is being revalidated behind the client's back.
    HitStale,
    /// Fetched for this request.
    Miss,
    /// Fetched for another request that was already under way.
    Joined,
    /// Stored, and confirmed by the upstream for this request.
    Revalidated,
    /// Stored and no longer fresh, served because the upstream could not confirm it.
    Stale(StaleReason),
    /// A remembered 404.
    Negative,
    /// Asked of the upstream and not kept.
    Passed,
    /// Passed on to the upstream because of its method, such as a push or deletion, and not kept.
    Relayed,
    /// Fetched for this request, because what is stored is for other requests (`Vary`).
    VaryMiss,
    /// Fetched for this request in place of a stored response that was no longer fresh.
    Replaced,
    /// Not stored, and the upstream may not be asked.
    Refused,
    /// Answered by nugate itself: no document of the upstream was involved.
    Own,
}

/// Why something stale was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaleReason {
    /// The upstream failed or could not be reached.
    Error,
    /// The upstream took longer than clients should wait for a revalidation.
    Slow,
    /// The upstream failed a moment ago and was not asked again.
    BackedOff,
    /// The upstream says there is no such document, which is not believed yet.
    Missing,
    /// The upstream sent other bytes for a version that is already known.
    Changed,
    /// The upstream sent an older document than the one that is stored.
    Older,
}

impl StaleReason {
    /// All reasons, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Error,
        Self::Slow,
        Self::BackedOff,
        Self::Missing,
        Self::Changed,
        Self::Older,
    ];

    /// For people, where nothing more is known.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Error => "the upstream failed",
            Self::Slow => "the upstream takes too long",
            Self::BackedOff => "the upstream failed a moment ago",
            Self::Missing => "the upstream does not have it any more",
            Self::Changed => "the upstream sent other bytes",
            Self::Older => "the upstream sent an older one",
        }
    }

    /// Label and header detail.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "upstream-error",
            Self::Slow => "upstream-slow",
            Self::BackedOff => "backed-off",
            Self::Missing => "upstream-missing",
            Self::Changed => "upstream-changed",
            Self::Older => "upstream-older",
        }
    }
}

impl CacheStatus {
    /// Those for which an upstream was asked about a document and answered with it, or let a client
    /// wait for it.
    pub const ASKS: [Self; 7] = [
        Self::Miss,
        Self::Joined,
        Self::Revalidated,
        Self::Passed,
        Self::Relayed,
        Self::VaryMiss,
        Self::Replaced,
    ];

    /// The metric label and log value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::HitStale => "hit-stale",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Revalidated => "revalidated",
            Self::Stale(_) => "stale",
            Self::Negative => "negative",
            Self::Passed => "passed",
            Self::Relayed => "relayed",
            Self::VaryMiss => "vary-miss",
            Self::Replaced => "replaced",
            Self::Refused => "refused",
            Self::Own => "own",
        }
    }

    /// The value of `Cache-Status` (RFC 9211 section 2).
    pub const fn header(self) -> &'static str {
        match self {
            Self::Hit => "nugate; hit",
            Self::HitStale => "nugate; hit; detail=stale-while-revalidate",
            Self::Miss => "nugate; fwd=uri-miss; stored",
            Self::Joined => "nugate; fwd=uri-miss; collapsed",
            Self::Revalidated => "nugate; fwd=stale; fwd-status=304",
            Self::Stale(StaleReason::Error) => "nugate; fwd=stale; detail=upstream-error",
            Self::Stale(StaleReason::Slow) => "nugate; fwd=stale; detail=upstream-slow",
            Self::Stale(StaleReason::BackedOff) => "nugate; hit; detail=backed-off",
            Self::Stale(StaleReason::Missing) => "nugate; fwd=stale; detail=upstream-missing",
            Self::Stale(StaleReason::Changed) => "nugate; fwd=stale; detail=upstream-changed",
            Self::Stale(StaleReason::Older) => "nugate; fwd=stale; detail=upstream-older",
            Self::Negative => "nugate; hit; detail=negative",
            Self::Passed => "nugate; fwd=uri-miss",
            Self::Relayed => "nugate; fwd=method",
            Self::VaryMiss => "nugate; fwd=vary-miss; stored",
            Self::Replaced => "nugate; fwd=stale; fwd-status=200; stored",
            Self::Refused => "nugate; detail=not-stored",
            Self::Own => "nugate; detail=own",
        }
    }

    /// Whether the bytes of the response were spared the way from the upstream.
    pub const fn saves_bytes(self) -> bool {
        !matches!(
            self,
            Self::Miss
                | Self::Passed
                | Self::Relayed
                | Self::VaryMiss
                | Self::Replaced
                | Self::Refused
                | Self::Own
        )
    }
}

/// How a request ended, in the few kinds that people look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Served from the store, and no client waited for a feed.
    Hit,
    /// A feed was asked for it.
    Miss,
    /// Served from the store because a feed could not confirm it.
    Stale,
    /// Answered with 404: no feed has it.
    Absent,
    /// Answered with another status of 400 or more, except 401.
    Failed,
    /// Answered by nugate itself; a request for credentials (401) is one of these.
    Own,
}

impl Outcome {
    /// All of them, in the order of the documentation; an outcome is its own place in it.
    pub const ALL: [Self; 6] = [
        Self::Hit,
        Self::Miss,
        Self::Stale,
        Self::Absent,
        Self::Failed,
        Self::Own,
    ];

    /// That of a status and of how the answer came about.
    pub const fn of(status: u16, cache: CacheStatus) -> Self {
        match cache {
            _ if status == 401 => Self::Own,
            _ if status == 404 => Self::Absent,
            _ if status >= 400 => Self::Failed,
            CacheStatus::Stale(_) => Self::Stale,
            CacheStatus::Hit | CacheStatus::HitStale | CacheStatus::Negative => Self::Hit,
            CacheStatus::Own => Self::Own,
            _ => Self::Miss,
        }
    }

    /// Whether somebody who looks after nugate wants to know: not of what clients ask in vain.
    pub const fn is_failure(self, status: u16) -> bool {
        matches!(self, Self::Stale) || matches!(status, 403 | 421 | 429 | 500..)
    }

    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Hit => "from the cache",
            Self::Miss => "a feed was asked",
            Self::Stale => "stale, because of a feed",
            Self::Absent => "not found",
            Self::Failed => "an error was the answer",
            Self::Own => "of nugate itself",
        }
    }

    /// For style sheets.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Absent => "absent",
            Self::Failed => "failed",
            Self::Own => "own",
        }
    }
}

/// The metric label of a status: `2xx`, `3xx` and so on.
pub const fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
