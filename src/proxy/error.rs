//! The ways a request can end without a document: closed, and without HTTP in it.
//!
//! A miss, a 304 and a stale answer are not errors. `server::error` alone knows which of these is
//! which status.

use std::sync::Arc;

use crate::entry::Stored;
use crate::observe::CacheStatus;
use crate::proxy::publish::PublishError;

/// Why a request ends without a document. Cheap to clone: everyone who waits for a flight gets it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The upstream says there is no such document.
    #[error("the feed has no such document")]
    NotFound,
    /// The same, remembered.
    #[error("the feed has no such document (as it said a moment ago)")]
    RememberedNotFound,
    /// The feed's service index does not offer the resource.
    #[error("the feed does not offer {0}")]
    NotOffered(&'static str),
    /// Not stored, and the network mode forbids asking.
    #[error("not stored, and nugate is offline")]
    Offline {
        /// Whether a client with a second source can go on when it gets 404 instead.
        list: bool,
    },
    /// Not stored, and the request forbids asking (`only-if-cached`).
    #[error("not stored, and the request asks for stored documents only")]
    NotStored,
    /// The upstream cannot be reached, answers with an error, or sends something unusable.
    #[error("{cause}")]
    Upstream {
        /// What happened, for the client and the log; names the feed, never a secret.
        cause: Arc<str>,
        /// Whether it was a time limit.
        timeout: bool,
    },
    /// The upstream is left alone for now: it failed again and again, or asked for it.
    #[error("{cause}")]
    LeftAlone {
        /// What happened, for the client and the log; names the feed, never a secret.
        cause: Arc<str>,
        /// For how long, in seconds.
        seconds: u64,
        /// Whether the client is to ask less: a search while the upstream asks for less.
        limited: bool,
    },
    /// The upstream refuses the question itself.
    #[error("the feed refuses the request with status {0}")]
    Refused(u16),
    /// The document is longer than the configured limit.
    #[error("{0}")]
    TooLarge(Arc<str>),
    /// This stored body is missing or damaged; asking again fetches it anew. No flight ends so: it
    /// is for the one who met it.
    #[error("the stored body is missing or damaged")]
    Lost(Stored),
    /// A push or deletion that nugate did not pass on, or not to its end.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Everyone who wanted the document has left.
    #[error("everyone who wanted the document has left")]
    Abandoned,
    /// nugate itself failed; the log has the details.
    #[error("{0}")]
    Internal(Arc<str>),
}

impl Error {
    /// How the response that carries this error came about.
    pub const fn cache_status(&self) -> CacheStatus {
        match self {
            Self::RememberedNotFound => CacheStatus::Negative,
            Self::Offline { .. } | Self::NotStored | Self::LeftAlone { .. } => CacheStatus::Refused,
            Self::NotOffered(_) | Self::Publish(_) | Self::Internal(_) => CacheStatus::Own,
            Self::NotFound
            | Self::Abandoned
            | Self::Lost(_)
            | Self::Upstream { .. }
            | Self::Refused(_)
            | Self::TooLarge(_) => CacheStatus::Passed,
        }
    }

    /// A failure of nugate itself.
    pub fn internal(cause: impl Into<Arc<str>>) -> Self {
        Self::Internal(cause.into())
    }

    /// An unusable answer of the upstream.
    pub fn unusable(cause: impl Into<Arc<str>>) -> Self {
        Self::Upstream {
            cause: cause.into(),
            timeout: false,
        }
    }
}
