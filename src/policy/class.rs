//! How a class of documents is kept: the vocabulary of freshness.
//!
//! nuget.org's own cache headers (`no-store` on registrations, ten seconds on version lists, three
//! days on the vulnerability index) say nothing useful about NuGet documents, so each known kind of
//! document belongs to a [`Class`] whose [`Lifetime`] is a setting.

use std::time::Duration;

/// How a kind of document changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Never changes once published: packages, manifests, vulnerability pages, catalog leaves.
    Immutable,
    /// The list of versions of an id: changes with each publish and is wanted at once.
    Versions,
    /// Registration index, page, leaf; icon and readme.
    Metadata,
    /// Service index, vulnerability index, repository signatures.
    Index,
    /// Search and autocomplete.
    Query,
}

impl Class {
    /// All classes, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Immutable,
        Self::Versions,
        Self::Metadata,
        Self::Index,
        Self::Query,
    ];

    /// The name used in the configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Versions => "versions",
            Self::Metadata => "metadata",
            Self::Index => "index",
            Self::Query => "query",
        }
    }
}

/// How long a stored document of a class is used, counted from the upstream's last confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Served without asking the upstream.
    pub fresh: Duration,
    /// After that, served at once while it is revalidated behind the client's back (RFC 5861
    /// section 3).
    pub stale_while_revalidate: Duration,
    /// After freshness, served when the upstream fails (RFC 5861 section 4).
    pub stale_if_error: Duration,
}

/// The lifetimes of all classes and of remembered 404s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// [`Class::Immutable`]: `fresh` is the time until existence is looked at again.
    pub immutable: Lifetime,
    /// [`Class::Versions`].
    pub versions: Lifetime,
    /// [`Class::Metadata`].
    pub metadata: Lifetime,
    /// [`Class::Index`].
    pub index: Lifetime,
    /// [`Class::Query`].
    pub query: Lifetime,
    /// A 404 of a version list or registration is answered from memory this long.
    pub negative: Duration,
    /// After that, it is the answer when the upstream fails, this long.
    pub negative_kept: Duration,
}

impl Freshness {
    /// The lifetime of a class.
    pub const fn of(&self, class: Class) -> Lifetime {
        match class {
            Class::Immutable => self.immutable,
            Class::Versions => self.versions,
            Class::Metadata => self.metadata,
            Class::Index => self.index,
            Class::Query => self.query,
        }
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

impl Default for Freshness {
    fn default() -> Self {
        let lifetime = |fresh, stale_while_revalidate, stale_if_error| Lifetime {
            fresh,
            stale_while_revalidate,
            stale_if_error,
        };
        Self {
            immutable: lifetime(365 * DAY, 365 * DAY, 3650 * DAY),
            versions: lifetime(MINUTE, 2 * MINUTE, 365 * DAY),
            metadata: lifetime(5 * MINUTE, 10 * MINUTE, 365 * DAY),
            index: lifetime(15 * MINUTE, 60 * MINUTE, 365 * DAY),
            query: lifetime(30 * Duration::from_secs(1), MINUTE, 7 * DAY),
            negative: 30 * Duration::from_secs(1),
            negative_kept: 7 * DAY,
        }
    }
}

/// How much the upstream is asked at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Documents are revalidated when their lifetime is over.
    #[default]
    Online,
    /// Whatever is stored is served whatever its age; the upstream is asked only for what is not.
    PreferCache,
    /// The upstream is never asked.
    Offline,
}

impl Network {
    /// All modes, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Online, Self::PreferCache, Self::Offline];

    /// The name used in the configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::PreferCache => "prefer-cache",
            Self::Offline => "offline",
        }
    }
}
