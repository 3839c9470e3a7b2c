//! The settings: the one table behind checks, variables, reference and example file.
//!
//! Keys within a group stand in the order of the documentation; a table's keys stand together, as
//! TOML wants them.

use std::time::Duration;

use super::address::{authority, feed_source, listen, network, public_url};
use super::auth::AUTH;
use super::bandwidth::{BANDWIDTH, CLIENTS, RATE, rate};
use super::cache::CACHE;
use super::edge::EDGE;
use super::freshness::FRESHNESS;
use super::generic::GENERIC;
use super::log::LOG;
use super::outbound::{feed_outbound, outbound};
use super::setting::{Kind, Setting};
use super::{Publish, Secret, V2Source, WebLinks};
use crate::nuget::merge::Versions;
use crate::nuget::resource;
use crate::policy::class::Network;

/// The name of the feed when none is given.
pub const DEFAULT_FEED: &str = "nuget";

pub(super) const MIB: u64 = 1 << 20;
pub(super) const TIB: u64 = 1 << 40;
const SHORT: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_hours(1);

/// All settings, in the order of the documentation.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    let tables = [AUTH, BANDWIDTH, GENERIC, CACHE, FRESHNESS, LOG];
    SERVER
        .iter()
        .chain(outbound())
        .chain(EDGE)
        .chain(CLIENTS)
        .chain(FEED)
        .chain(feed_outbound())
        .chain(tables.into_iter().flatten())
}

/// The settings outside of any table.
const SERVER: &[Setting] = &[
    Setting {
        key: "listen",
        default: "\"127.0.0.1:6842\"",
        kind: Kind::Text(
            "an address and a port, such as 127.0.0.1:6842 or [::]:6842",
            |config, text| {
                config.listen = listen(text)?;
                Ok(())
            },
        ),
        doc: "The address and port to listen on; port 0 takes a free one.",
        short: Some(("--listen", "NUGATE_LISTEN")),
    },
    Setting {
        key: "admin_listen",
        default: "",
        kind: Kind::Text(
            "an address and a port, another one than `listen`",
            |config, text| {
                config.admin_listen = Some(listen(text)?);
                Ok(())
            },
        ),
        doc: "An address and port of their own for `/metrics`, the pages below `/-/`, `/-/health` and `/-/ready`; at `listen` there are then none of them but the last two. TLS and access are the same, links follow the `Host` of each request, and 100 connections at a time are taken beside those of `connections_max`.",
        short: None,
    },
    Setting {
        key: "public_url",
        default: "",
        kind: Kind::Text(
            "an absolute http or https URL without query, fragment, user name and password",
            |config, text| {
                config.public_url = Some(public_url(text)?);
                Ok(())
            },
        ),
        doc: "The URL under which clients reach this server, with a path prefix if there is one. When it is not set, links follow the `Host` of each request.",
        short: Some(("--public-url", "NUGATE_PUBLIC_URL")),
    },
    Setting {
        key: "allowed_hosts",
        default: "[]",
        kind: Kind::List(
            "a host name or host:port",
            |config| config.allowed_hosts.clear(),
            |config, text| {
                config.allowed_hosts.push(authority(text)?);
                Ok(())
            },
        ),
        doc: "What a `Host` header may say when `public_url` is not set, beside loopback, this machine's addresses and its own name. At `admin_listen` it counts also with `public_url`, for names alone, and only where neither https nor credentials are asked for.",
        short: None,
    },
    Setting {
        key: "trusted_proxies",
        default: "[]",
        kind: Kind::List(
            "a network such as 10.0.0.0/8, or an address",
            |config| config.trusted_proxies.clear(),
            |config, text| {
                config.trusted_proxies.push(network(text)?);
                Ok(())
            },
        ),
        doc: "Networks whose `X-Forwarded-Host`, `-Proto`, `-Prefix` and `-For` headers are believed.",
        short: None,
    },
    Setting {
        key: "network",
        default: "\"online\"",
        kind: Kind::Choice(
            &[
                Network::ALL[0].name(),
                Network::ALL[1].name(),
                Network::ALL[2].name(),
            ],
            |config, index| config.network = Network::ALL[index],
        ),
        doc: "`online` revalidates what is no longer fresh; `prefer-cache` asks the feed only for what is not stored; `offline` never asks it.",
        short: None,
    },
    Setting {
        key: "honour_no_cache",
        default: "true",
        kind: Kind::Switch(|config, switch| config.honour_no_cache = switch),
        doc: "Whether `Cache-Control: no-cache` of a request leads to a question to the feed. The official clients never send it.",
        short: None,
    },
    Setting {
        key: "web_links",
        default: "\"keep\"",
        kind: Kind::Choice(&["keep", "drop"], |config, index| {
            config.web_links = [WebLinks::Keep, WebLinks::Drop][index];
        }),
        doc: "`keep` leaves links to pages for people leading to the feed's own site; `drop` leaves them out.",
        short: None,
    },
    Setting {
        key: "v2",
        default: "true",
        kind: Kind::Switch(|config, switch| config.v2 = switch),
        doc: "Whether clients that speak V2 (NuGet 2, Chocolatey, PowerShellGet, `nuget list`) are served at `/api/v2`, and told so by the service index (`LegacyGallery`).",
        short: None,
    },
    Setting {
        key: "pages",
        default: "true",
        kind: Kind::Switch(|config, switch| config.pages = switch),
        doc: "Whether there are pages for people: how clients are set up at `/`, and below `/-/` the state, restores and packages. Without them nothing is remembered of who asked.",
        short: None,
    },
    Setting {
        key: "shutdown_timeout",
        default: "\"30s\"",
        kind: Kind::Period(Duration::ZERO, HOUR, |config, period| {
            config.shutdown_timeout = period;
        }),
        doc: "How long requests in progress may go on after the signal to stop.",
        short: None,
    },
    Setting {
        key: "connections_max",
        default: "10000",
        kind: Kind::Count(1, 1_000_000, |config, number| {
            config.connections_max = number;
        }),
        doc: "The most client connections at a time; for a further one, the connection that has been idle longest is closed.",
        short: None,
    },
    Setting {
        key: "connections_per_client_max",
        default: "1000",
        kind: Kind::Count(1, 1_000_000, |config, number| {
            config.connections_per_client_max = number;
        }),
        doc: "The most connections of one client address (IPv6: of one /64) at a time; `trusted_proxies` are excepted.",
        short: None,
    },
    Setting {
        key: "time_zone",
        default: "\"local\"",
        kind: Kind::Text(
            "local, UTC, an offset such as +02:00, a name such as Europe/Berlin, or a POSIX rule",
            |config, text| {
                text.clone_into(&mut config.time_zone);
                Ok(())
            },
        ),
        doc: "Whose time of the day the limits below `bandwidth` mean. `local` is what `/etc/localtime` says when nugate starts, UTC where there is none. Names need the zone files of the system, which small container images lack; a rule such as `CET-1CEST,M3.5.0,M10.5.0/3` does not.",
        short: None,
    },
    Setting {
        key: "versions",
        default: "\"first\"",
        kind: Kind::Choice(&["first", "united"], |config, index| {
            config.versions = [Versions::First, Versions::United][index];
        }),
        doc: "With several feeds: `first` takes a package id that no feed owns from the first feed that has it; `united` puts the versions of all feeds together, and takes one that several have from the first of them.",
        short: None,
    },
];

/// The settings of a feed.
const FEED: &[Setting] = &[
    Setting {
        key: "feeds.NAME.url",
        default: "\"https://api.nuget.org/v3/index.json\"",
        kind: Kind::Text(
            "an absolute http or https URL without fragment, user name and password, or folder: and an absolute path",
            |config, text| {
                config.feed.url = feed_source(text)?;
                Ok(())
            },
        ),
        doc: "The feed's service index, or `folder:/PATH`: a folder of packages, which is watched. `NAME` is free (1 to 32 of `a-z`, `0-9` and `-`); a single feed is called `nuget` unless named otherwise. The flag and the short variable are for a single feed.",
        short: Some(("--upstream", "NUGATE_UPSTREAM")),
    },
    Setting {
        key: "feeds.NAME.owns",
        default: "[]",
        kind: Kind::List(
            "a package id, or the beginning of one with `*` at its end",
            |config| config.feed.owns.clear(),
            |config, text| {
                config.feed.owns.push(text.parse()?);
                Ok(())
            },
        ),
        doc: "Package ids that are asked of this feed alone, also while it is down. Of the patterns of all feeds the most specific counts: an id, then the longest beginning.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.redirect_hosts",
        default: "[\"*.nuget.org\", \"*.blob.core.windows.net\", \"*.vsblob.vsassets.io\", \"*.githubusercontent.com\", \"*.pkg.github.com\"]",
        kind: Kind::List(
            "a host name, or *.domain for all hosts below it",
            |config| config.feed.redirect_hosts.clear(),
            |config, text| {
                config.feed.redirect_hosts.push(text.parse()?);
                Ok(())
            },
        ),
        doc: "Hosts the feed may redirect to, beside its own.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.connect_timeout",
        default: "\"5s\"",
        kind: Kind::Period(SHORT, HOUR, |config, period| {
            config.feed.connect_timeout = period;
        }),
        doc: "The longest wait for a connection, TLS included; with a proxy, for the connection to it, and once more for the tunnel.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.header_timeout",
        default: "\"60s\"",
        kind: Kind::Period(SHORT, HOUR, |config, period| {
            config.feed.header_timeout = period;
        }),
        doc: "The longest wait for the head of a response.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.idle_timeout",
        default: "\"30s\"",
        kind: Kind::Period(SHORT, HOUR, |config, period| {
            config.feed.idle_timeout = period;
        }),
        doc: "The longest wait between two pieces of a body.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.attempts",
        default: "3",
        kind: Kind::Count(1, 10, |config, number| config.feed.attempts = number),
        doc: "How often a request is tried in all.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.hold",
        default: "\"80s\"",
        kind: Kind::Period(Duration::ZERO, HOUR, |config, period| {
            config.feed.hold = period;
        }),
        doc: "How long a request for something that is not stored waits when the feed asks to be left alone (429 or 503 with `Retry-After`), instead of failing. Clients give up after 100 seconds. Searches do not wait.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.keep_newer",
        default: "true",
        kind: Kind::Switch(|config, switch| config.feed.keep_newer = switch),
        doc: "Whether a document that is older than the stored one, by its `commitTimeStamp` or `Last-Modified`, is not believed for ten minutes: one edge of a CDN may be behind.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.connections_max",
        default: "64",
        kind: Kind::Count(1, 1000, |config, number| {
            config.feed.connections_max = number;
        }),
        doc: "The most connections to the feed at a time.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.requests_per_second",
        default: "0",
        kind: Kind::Count(0, 1_000_000, |config, number| {
            config.feed.requests_per_second = number;
        }),
        doc: "The most requests to the feed a second; 0 is no limit.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.rate",
        default: "\"none\"",
        kind: Kind::Text(RATE, |config, text| {
            config.feed.rate = rate(text)?;
            Ok(())
        }),
        doc: "The most bytes a second of this feed. Clients that wait for its packages take turns. Generic routes have that of the first feed, each for itself.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.publish",
        default: "\"relay\"",
        kind: Kind::Choice(&["relay", "refuse"], |config, index| {
            config.feed.publish = [Publish::Relay, Publish::Refuse][index];
        }),
        doc: "`relay` passes pushes and deletions on to the feed with the client's key; `refuse` answers them with 403 and does not offer them.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.v2",
        default: "\"upstream\"",
        kind: Kind::Choice(&["upstream", "facts"], |config, index| {
            config.feed.v2 = [V2Source::Upstream, V2Source::Facts][index];
        }),
        doc: "What answers V2 clients of this feed: `upstream` is its own V2 endpoint, if its service index names one that answers, else its V3 documents; `facts` is its V3 documents in any case. V2 clients of several feeds under one URL are answered from V3 documents.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.push_key",
        default: "",
        kind: Kind::Secret(|config, text| {
            config.feed.push_key = Some(Secret::new(text));
            Ok(())
        }),
        doc: "The feed's own API key. With `access.mode = \"required\"`, whoever has the scope push pushes with it; keys of nugate's own never go to a feed. Without it, the key that the client brings is passed on.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.publish_timeout",
        default: "\"5m\"",
        kind: Kind::Period(SHORT, HOUR, |config, period| {
            config.feed.publish_timeout = period;
        }),
        doc: "The longest wait for the answer to a push, from the end of the upload. Clients that give up, or are told of a failure, push again, and are then told that the version exists.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.pass_types",
        default: "[]",
        kind: Kind::List(
            "a resource type that nugate does not know, such as Custom/1.0.0",
            |config| config.feed.pass_types.clear(),
            |config, text| {
                config.feed.pass_types.push(unknown_type(text)?);
                Ok(())
            },
        ),
        doc: "Types of the feed's service index that are offered although nugate does not know them. They are asked for without the feed's credential, and nothing of them is kept.",
        short: None,
    },
];

/// Reads the name of a type that no row of the protocol table has.
fn unknown_type(text: &str) -> Result<String, String> {
    if resource::of_type(text).is_some() {
        return Err("is known, and offered anyway".to_owned());
    }
    if !(1..=100).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("is not 1 to 100 visible ASCII characters".to_owned());
    }
    Ok(text.to_owned())
}
