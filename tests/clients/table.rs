//! What each client is asked to do, and in which worlds.

use std::path::Path;

use crate::bench::{Bench, Failure, Identity, World};
use crate::case::Case;
use crate::install::{self, big, classic, core, modern, nothing};
use crate::{narrow, publish, query};

/// Debian's NuGet, which lies where its package puts it.
const V2_ONLY: &str = "/usr/bin/nuget";

/// What every source can do.
const EVERYWHERE: &[World] = &[World::Direct, World::Plain, World::Tls, World::Folder];

/// What takes a feed behind nugate: a folder knows no vulnerabilities and takes no pushes.
const FEED: &[World] = &[World::Direct, World::Plain, World::Tls];

/// What takes nugate: the feed itself does not speak V2, but another nugate does.
const OVER_V2: &[World] = &[World::Plain, World::Tls, World::Chained, World::Folder];

/// As [`OVER_V2`], and offline. Nobody asked the warmed one over V2 before its feed went, so whether
/// that speaks V2 itself is not known there.
const OVER_V2_AND_OFFLINE: &[World] = &[
    World::Plain,
    World::Tls,
    World::Chained,
    World::Folder,
    World::Imported,
];

/// As [`EVERYWHERE`], and without any feed.
const EVERYWHERE_AND_WITHOUT_FEED: &[World] = &[
    World::Direct,
    World::Plain,
    World::Tls,
    World::Folder,
    World::Warmed,
    World::Imported,
];

/// Without any feed.
const AIR_GAP: &[World] = &[World::Warmed, World::Imported];

/// As [`WITH_USER`], and without any feed.
const WITHOUT_FEED: &[World] = &[
    World::Direct,
    World::Plain,
    World::Tls,
    World::Guarded,
    World::Folder,
    World::Warmed,
    World::Imported,
];

/// As [`EVERYWHERE`], and once more with credentials.
const WITH_USER: &[World] = &[
    World::Direct,
    World::Plain,
    World::Tls,
    World::Guarded,
    World::Folder,
];

/// As [`WITH_USER`], without any feed, and through another nugate, where the same links are made
/// twice.
const SEARCH: &[World] = &[
    World::Direct,
    World::Plain,
    World::Tls,
    World::Guarded,
    World::Chained,
    World::Folder,
    World::Warmed,
    World::Imported,
];

/// As [`WITH_USER`], with the feed behind a proxy, and without any feed.
const BY_PROXY: &[World] = &[
    World::Direct,
    World::Plain,
    World::Tls,
    World::Guarded,
    World::Proxied,
    World::Folder,
    World::Warmed,
    World::Imported,
];

/// As [`SEARCH`], and with the feed behind a proxy.
const SEARCH_BY_PROXY: &[World] = &[
    World::Direct,
    World::Plain,
    World::Tls,
    World::Guarded,
    World::Proxied,
    World::Chained,
    World::Folder,
];

/// As [`FEED_WITH_USER`], and with the feed behind a proxy.
const PUSH_BY_PROXY: &[World] = &[
    World::Direct,
    World::Plain,
    World::Tls,
    World::Guarded,
    World::Proxied,
];

/// As [`FEED`], and once more with credentials.
const FEED_WITH_USER: &[World] = &[World::Direct, World::Plain, World::Tls, World::Guarded];

const fn case(
    name: &'static str,
    needs: &'static str,
    worlds: &'static [World],
    ask: fn(&Bench, &Path) -> Result<(), Failure>,
    leaves: fn() -> Vec<Identity>,
) -> Case {
    Case {
        name,
        needs,
        worlds,
        ask,
        leaves,
    }
}

/// All cases, in order.
pub const CASES: &[Case] = &[
    case(
        "NuGet 7.6 restores the closure and warns of the vulnerable package",
        "nuget7",
        BY_PROXY,
        install::restore,
        modern,
    ),
    case(
        "NuGet 7.6 restores the closure from an address",
        "nuget7",
        &[World::Tls],
        install::restore_from_address,
        modern,
    ),
    case(
        "NuGet 7.6 is refused as a stranger",
        "nuget7",
        &[World::Guarded, World::Proxied],
        install::stranger,
        nothing,
    ),
    case(
        "dotnet 2.2 restores the closure",
        "dotnet8/sdk",
        BY_PROXY,
        install::dotnet,
        modern,
    ),
    case(
        "nuget.exe 5.8.0 installs the closure",
        "nuget-5.8.0.exe",
        BY_PROXY,
        install::exe58,
        modern,
    ),
    case(
        "nuget.exe 4.7.1 installs the closure",
        "nuget-4.7.1.exe",
        WITHOUT_FEED,
        install::exe47,
        modern,
    ),
    case(
        "nuget.exe 3.4.4 installs the closure",
        "nuget-3.4.4.exe",
        WITH_USER,
        install::exe34,
        classic,
    ),
    case(
        "nuget.exe 5.8.0 restores a packages.config",
        "nuget-5.8.0.exe",
        EVERYWHERE_AND_WITHOUT_FEED,
        install::config58,
        modern,
    ),
    case(
        "nuget.exe 4.7.1 restores a packages.config",
        "nuget-4.7.1.exe",
        EVERYWHERE_AND_WITHOUT_FEED,
        install::config47,
        modern,
    ),
    case(
        "nuget.exe 3.4.4 restores a packages.config",
        "nuget-3.4.4.exe",
        EVERYWHERE,
        install::config34,
        classic,
    ),
    case(
        "NuGet 7.6 downloads the big package",
        "nuget7",
        EVERYWHERE,
        install::download,
        big,
    ),
    case(
        "NuGet 7.6 does not find what there is not",
        "nuget7",
        EVERYWHERE,
        install::absent,
        nothing,
    ),
    case(
        "NuGet 7.6 searches",
        "nuget7",
        SEARCH_BY_PROXY,
        query::search,
        nothing,
    ),
    case(
        "NuGet 7.6 finds each package that was warmed",
        "nuget7",
        AIR_GAP,
        query::search_warmed,
        nothing,
    ),
    case(
        "NuGet 7.6 completes versions of what was warmed",
        "nuget7",
        AIR_GAP,
        query::autocomplete_warmed,
        nothing,
    ),
    case(
        "NuGet 7.6 reads the metadata of what was warmed",
        "nuget7",
        AIR_GAP,
        query::metadata_warmed,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 searches",
        "nuget-5.8.0.exe",
        SEARCH,
        query::search58,
        nothing,
    ),
    case(
        "NuGet 7.6 completes ids",
        "nuget7",
        EVERYWHERE_AND_WITHOUT_FEED,
        query::autocomplete,
        nothing,
    ),
    case(
        "NuGet 7.6 completes versions",
        "nuget7",
        EVERYWHERE,
        query::autocomplete_versions,
        nothing,
    ),
    case(
        "NuGet 7.6 lists the versions of a long id",
        "nuget7",
        EVERYWHERE,
        query::versions,
        nothing,
    ),
    case(
        "NuGet 7.6 reads the metadata of a long id",
        "nuget7",
        EVERYWHERE,
        query::metadata,
        nothing,
    ),
    case(
        "NuGet 7.6 reads vulnerabilities",
        "nuget7",
        FEED,
        query::vulnerabilities,
        nothing,
    ),
    case(
        "NuGet 7.6 reads repository signatures",
        "nuget7",
        &[World::Tls],
        query::signatures,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 reads repository signatures and installs the closure",
        "nuget-5.8.0.exe",
        &[World::Tls],
        query::signatures58,
        modern,
    ),
    case(
        "NuGet 7.6 sees no repository signatures",
        "nuget7",
        &[World::Plain],
        query::no_signatures,
        nothing,
    ),
    case(
        "node-nuget-client searches and downloads",
        "js/jsclient.js",
        EVERYWHERE_AND_WITHOUT_FEED,
        install::javascript,
        core,
    ),
    case(
        "node-nuget-client searches and downloads from an address",
        "js/jsclient.js",
        &[World::Tls],
        install::javascript_from_address,
        core,
    ),
    case(
        "NuGet 2.8.7 installs the closure over V2",
        V2_ONLY,
        OVER_V2,
        query::install28,
        classic,
    ),
    case(
        "nuget.exe 5.8.0 installs the closure over V2",
        "nuget-5.8.0.exe",
        OVER_V2_AND_OFFLINE,
        query::install58,
        modern,
    ),
    case(
        "NuGet 2.8.7 lists packages over V2",
        V2_ONLY,
        OVER_V2,
        query::list28,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 lists packages over V2",
        "nuget-5.8.0.exe",
        OVER_V2,
        query::list58,
        nothing,
    ),
    case(
        "nuget.exe 4.7.1 lists packages over V2",
        "nuget-4.7.1.exe",
        OVER_V2,
        query::list47,
        nothing,
    ),
    case(
        "nuget.exe 3.4.4 lists packages over V2",
        "nuget-3.4.4.exe",
        OVER_V2,
        query::list34,
        nothing,
    ),
    case(
        "NuGet 7.6 pushes and deletes",
        "nuget7",
        PUSH_BY_PROXY,
        publish::nuget7,
        nothing,
    ),
    case(
        "dotnet 2.2 pushes and deletes, with symbols",
        "dotnet8/sdk",
        FEED_WITH_USER,
        publish::dotnet,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 pushes and deletes, with symbols",
        "nuget-5.8.0.exe",
        FEED_WITH_USER,
        publish::exe58,
        nothing,
    ),
    case(
        "nuget.exe 4.7.1 pushes and deletes, with symbols",
        "nuget-4.7.1.exe",
        FEED,
        publish::exe47,
        nothing,
    ),
    case(
        "nuget.exe 3.4.4 pushes and deletes, with symbols",
        "nuget-3.4.4.exe",
        FEED,
        publish::exe34,
        nothing,
    ),
    case(
        "NuGet 2.8.7 pushes and deletes over V2",
        V2_ONLY,
        &[World::Plain, World::Tls, World::Chained],
        publish::exe28,
        nothing,
    ),
    case(
        "NuGet 7.6 restores beside eight greedy clients",
        "nuget7",
        &[World::Narrow],
        narrow::restore,
        narrow::parts,
    ),
    case(
        "dotnet 2.2 restores beside eight greedy clients",
        "dotnet8/sdk",
        &[World::Narrow],
        narrow::dotnet,
        narrow::parts,
    ),
];
