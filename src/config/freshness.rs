//! The settings of how long documents are used.

use std::time::Duration;

use super::setting::{Kind, Setting};

/// The longest lifetime.
const LIFETIME_MAX: Duration = Duration::from_hours(36_500 * 24);

macro_rules! lifetime {
    ($class:ident, $part:ident, $default:literal, $doc:literal) => {
        Setting {
            key: concat!("freshness.", stringify!($class), ".", stringify!($part)),
            default: $default,
            kind: Kind::Period(Duration::ZERO, LIFETIME_MAX, |config, period| {
                config.freshness.$class.$part = period;
            }),
            doc: $doc,
            short: None,
        }
    };
}

/// The settings below `[freshness]`; the defaults are those of
/// [`crate::policy::class::Freshness`].
pub const FRESHNESS: &[Setting] = &[
    Setting {
        key: "freshness.negative",
        default: "\"30s\"",
        kind: Kind::Period(Duration::ZERO, LIFETIME_MAX, |config, period| {
            config.freshness.negative = period;
        }),
        doc: "A 404 of a version list or registration is answered from memory this long.",
        short: None,
    },
    Setting {
        key: "freshness.negative_kept",
        default: "\"7d\"",
        kind: Kind::Period(Duration::ZERO, LIFETIME_MAX, |config, period| {
            config.freshness.negative_kept = period;
        }),
        doc: "After that, a 404 is the answer when the feed fails, this long.",
        short: None,
    },
    lifetime!(
        immutable,
        fresh,
        "\"365d\"",
        "Packages and manifests are served this long without asking the feed."
    ),
    lifetime!(
        immutable,
        stale_while_revalidate,
        "\"365d\"",
        "After that, they are served at once and asked for behind, this long."
    ),
    lifetime!(
        immutable,
        stale_if_error,
        "\"3650d\"",
        "After `fresh`, they are served when the feed fails, this long."
    ),
    lifetime!(
        versions,
        fresh,
        "\"1m\"",
        "Version lists are served this long without asking the feed."
    ),
    lifetime!(
        versions,
        stale_while_revalidate,
        "\"2m\"",
        "After that, they are served at once and asked for behind, this long."
    ),
    lifetime!(
        versions,
        stale_if_error,
        "\"365d\"",
        "After `fresh`, they are served when the feed fails, this long."
    ),
    lifetime!(
        metadata,
        fresh,
        "\"5m\"",
        "Registrations, icons and readmes are served this long without asking the feed."
    ),
    lifetime!(
        metadata,
        stale_while_revalidate,
        "\"10m\"",
        "After that, they are served at once and asked for behind, this long."
    ),
    lifetime!(
        metadata,
        stale_if_error,
        "\"365d\"",
        "After `fresh`, they are served when the feed fails, this long."
    ),
    lifetime!(
        index,
        fresh,
        "\"15m\"",
        "The service index, the vulnerability index and repository signatures are served this long without asking the feed."
    ),
    lifetime!(
        index,
        stale_while_revalidate,
        "\"1h\"",
        "After that, they are served at once and asked for behind, this long."
    ),
    lifetime!(
        index,
        stale_if_error,
        "\"365d\"",
        "After `fresh`, they are served when the feed fails, this long."
    ),
    lifetime!(
        query,
        fresh,
        "\"30s\"",
        "Search and autocomplete results are served this long without asking the feed."
    ),
    lifetime!(
        query,
        stale_while_revalidate,
        "\"1m\"",
        "After that, they are served at once and asked for behind, this long."
    ),
    lifetime!(
        query,
        stale_if_error,
        "\"7d\"",
        "After `fresh`, they are served when the feed fails, this long."
    ),
];
