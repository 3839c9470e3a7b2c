//! The settings of the cache.

use super::setting::{Kind, Setting};
use super::table::{MIB, TIB};

/// The settings of the cache.
pub(super) const CACHE: &[Setting] = &[
    Setting {
        key: "cache.dir",
        default: "",
        kind: Kind::Directory(|config, dir| config.cache.dir = dir),
        doc: "Where everything is kept. The default is `$XDG_CACHE_HOME/nugate`, else `$HOME/.cache/nugate`.",
        short: Some(("--cache-dir", "NUGATE_CACHE_DIR")),
    },
    Setting {
        key: "cache.required",
        default: "false",
        kind: Kind::Switch(|config, required| config.cache.required = required),
        doc: "Whether nugate refuses to start when the directory cannot be opened. If not, everything is passed on and nothing kept until the next start.",
        short: None,
    },
    Setting {
        key: "cache.size_max",
        default: "\"20 GiB\"",
        kind: Kind::Size(16 * MIB, 1024 * TIB, |config, bytes| {
            config.cache.size_max = bytes;
        }),
        doc: "How much is kept. When it is more, what was not used for longest goes until 95 % are left.",
        short: None,
    },
    Setting {
        key: "cache.queries_size_max",
        default: "\"256 MiB\"",
        kind: Kind::Size(MIB, TIB, |config, bytes| {
            config.cache.queries_size_max = bytes;
        }),
        doc: "How much of that the answers to searches may be; they push nothing else out.",
        short: None,
    },
    Setting {
        key: "cache.free_min",
        default: "\"1 GiB\"",
        kind: Kind::Size(0, TIB, |config, bytes| config.cache.free_min = bytes),
        doc: "How much is left free on the disk, at the cost of what is kept.",
        short: None,
    },
    Setting {
        key: "cache.scrub_rate",
        default: "\"8 MiB\"",
        kind: Kind::Size(0, TIB, |config, bytes| config.cache.scrub_rate = bytes),
        doc: "How much of the cache is looked through for damage in a second, once a week; 0 is never. What a crash left is removed in any case.",
        short: None,
    },
    Setting {
        key: "cache.memory",
        default: "\"64 MiB\"",
        kind: Kind::Size(MIB, TIB, |config, bytes| config.cache.memory = bytes),
        doc: "Memory for small bodies and rendered documents.",
        short: None,
    },
    Setting {
        key: "cache.document_size_max",
        default: "\"64 MiB\"",
        kind: Kind::Size(MIB, 512 * MIB, |config, bytes| {
            config.cache.document_size_max = bytes;
        }),
        doc: "The largest JSON document that is taken from the feed.",
        short: None,
    },
    Setting {
        key: "cache.package_size_max",
        default: "\"4 GiB\"",
        kind: Kind::Size(MIB, TIB, |config, bytes| {
            config.cache.package_size_max = bytes;
        }),
        doc: "The largest package that is taken from the feed.",
        short: None,
    },
];
