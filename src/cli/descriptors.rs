//! File descriptors: as many as the system allows, and how they are shared.
//!
//! Invariant: clients alone can never use them up; what is left is for the feed, drafts and bodies.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Large bodies kept open, at most: as many as a farm of builds asks for again and again. One that
/// is not open costs a wait for another thread.
const OPEN_FILES: u64 = 8192;

/// Connections at the door for those who look after nugate, at most: scrapes and browsers are few.
const ADMIN_CONNECTIONS: u64 = 100;

/// Sets the limit of this process to the highest it may have, and says what it is then.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it cannot be raised, the old one holds.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What descriptors are used for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Connections of clients at once.
    pub(super) connections: usize,
    /// The same at the door for those who look after nugate, where there is one: these come on top.
    pub(super) admin: usize,
    /// Bodies kept open.
    pub(super) open_files: u64,
}

impl Shares {
    /// Of `limit` descriptors, for at most `connections_max` connections.
    pub(super) fn of(limit: u64, connections_max: u32) -> Self {
        // A connection may need a second one for a body or the feed.
        let wanted = u64::from(connections_max);
        let connections = wanted.min(limit / 2).max(1);
        if connections < wanted {
            tracing::warn!(
                limit,
                connections,
                "the limit of open files is too low for server.connections_max"
            );
        }
        Self {
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            admin: usize::try_from(ADMIN_CONNECTIONS.min(limit / 8).max(1)).unwrap_or(1),
            open_files: OPEN_FILES.min(limit / 8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_files() {
        let shares = |limit, wanted| {
            let shares = Shares::of(limit, wanted);
            (shares.connections, shares.admin, shares.open_files)
        };
        assert_eq!(shares(u64::MAX, 10_000), (10_000, 100, 8192));
        assert_eq!(shares(20_000, 10_000), (10_000, 100, 2500));
        assert_eq!(shares(256, 10_000), (128, 32, 32));
        assert_eq!(shares(1024, 100), (100, 100, 128));
        assert_eq!(shares(1, 100), (1, 1, 0));
    }
}
