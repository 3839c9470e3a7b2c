//! Which feeds a path is about: all, or the one it names.

use std::sync::Arc;

use crate::group::{Group, base_of_feed};

/// The feeds that a path is about, and what follows.
pub(super) struct Scope<'a> {
    /// The feeds.
    pub(super) group: Group,
    /// The rest of the path, as if it were about all.
    pub(super) rest: &'a str,
    feed: Option<&'a str>,
}

impl<'a> Scope<'a> {
    /// Understands a path below our root: `/feeds/NAME` and what is below it is about one feed
    /// alone. `None` when there is no feed of that name.
    pub(super) fn of(group: &Group, path: &'a str) -> Option<Self> {
        let Some(named) = path.strip_prefix("/feeds/") else {
            return Some(Self {
                group: group.clone(),
                rest: path,
                feed: None,
            });
        };
        let (feed, rest) = named.split_at(named.find('/').unwrap_or(named.len()));
        let group = group.alone(feed)?;
        let feed = Some(feed);
        Some(Self { group, rest, feed })
    }

    /// The base URL of these feeds, from that of all.
    pub(super) fn base(&self, base: Arc<str>) -> Arc<str> {
        match self.feed {
            Some(feed) => base_of_feed(&base, feed),
            None => base,
        }
    }
}
