//! What a site without a feed has: a nugate that was warmed by what a restore left, and one that was
//! given a bundle of it.
//!
//! The restore asks the feed itself, so that the file is of the client's own making. Then the feed is
//! ended: its ports refuse connections. Lifetimes are over at once, so that nothing is served because
//! it is still fresh.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::PathBuf;

use nugate::demo::ExampleFeed;
use tempfile::TempDir;

use crate::bench::{Installed, said};
use crate::nugate::{Nugate, Settings, command};
use crate::upstream::Upstream;

/// A nugate that was warmed, and whose feed is gone.
pub fn warmed(installed: &Installed, feed: &ExampleFeed) -> Nugate {
    warmed_of(installed, feed).0
}

/// A nugate that is offline and has what the warmed one exported.
pub fn imported(installed: &Installed, feed: &ExampleFeed) -> Nugate {
    let (source, index) = warmed_of(installed, feed);
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (key, bundle, public) = (path("site.key"), path("site.nugate"), path("site.key.pub"));
    command(&["bundle-key", &key]);
    source.command(&["export", &bundle, "--key", &key]);
    drop(source);
    let offline = vec![("NUGATE_NETWORK", PathBuf::from("offline"))];
    let nugate = Nugate::with(&index, offline);
    nugate.command(&["import", &bundle, "--trust", &public]);
    nugate
}

/// The nugate, and the URL at which its feed was.
fn warmed_of(installed: &Installed, feed: &ExampleFeed) -> (Nugate, String) {
    // Clients refuse a feed over http that has them.
    let feed = feed.clone().without("RepositorySignatures");
    let upstream = Upstream::start(feed, true, None);
    let nugate = Nugate::with(&upstream.index, over_at_once());
    let home = TempDir::new().unwrap();
    let args = ["restore2", &upstream.index, "Closure.App=[2.0.0, )"];
    let restore = said(&mut installed.command(home.path(), "nuget7.sh", &args));
    restore.unwrap_or_else(|error| panic!("a restore from the feed itself: {error}"));
    let assets = home.path().join("proj/obj/project.assets.json");
    nugate.command(&["warm", assets.to_str().unwrap()]);
    let (addrs, index) = (upstream.addrs, upstream.index.clone());
    drop(upstream);
    for addr in addrs {
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{addr}");
    }
    (nugate, index)
}

fn over_at_once() -> Settings {
    let names = [
        "NUGATE_FRESHNESS__VERSIONS__FRESH",
        "NUGATE_FRESHNESS__VERSIONS__STALE_WHILE_REVALIDATE",
        "NUGATE_FRESHNESS__METADATA__FRESH",
        "NUGATE_FRESHNESS__METADATA__STALE_WHILE_REVALIDATE",
        "NUGATE_FRESHNESS__INDEX__FRESH",
        "NUGATE_FRESHNESS__INDEX__STALE_WHILE_REVALIDATE",
        "NUGATE_FRESHNESS__QUERY__FRESH",
        "NUGATE_FRESHNESS__QUERY__STALE_WHILE_REVALIDATE",
    ];
    names.map(|name| (name, PathBuf::from("0s"))).into()
}
