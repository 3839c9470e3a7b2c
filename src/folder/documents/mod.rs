//! The V3 documents of a folder, made from the facts of its manifests.
//!
//! Shapes are those of nuget.org as far as a folder has the facts (NuGet documentation, "NuGet
//! Server API"). Nothing is unlisted, deprecated or known to be vulnerable, downloads are not
//! counted, and there are no owners but those a manifest names. Invariant: every link that a client
//! follows lies below the base and is in a member whose links are rewritten.

mod autocomplete;
mod filter;
mod registration;
mod search;
mod service;
mod stock;
mod terms;

pub use stock::{Description, Finding, Stock, completed_id};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::inventory::{Inventory, Package, Release};
use super::path::Wanted;
use crate::entry::Digest;
use crate::nuget::id::PackageId;

/// Part of every tag: whoever has a document that an older program made asks for it again.
const MAKER: &str = env!("CARGO_PKG_VERSION");

/// What a path segment of an id or version may have unescaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// The state of a document: what its validators are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// Changes whenever the document does.
    pub(super) tag: String,
    /// When the newest file behind it was written, in seconds since the Unix epoch.
    pub(super) modified: u64,
}

/// One of the three registration hives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hive {
    /// Without `SemVer` 2.0.0 versions; for clients that cannot decode gzip.
    Plain,
    /// The same, for clients from NuGet 3.4 on.
    Gzip,
    /// With all versions.
    Full,
}

impl Hive {
    /// The hive of a path segment.
    pub(super) fn of(segment: &str) -> Option<Self> {
        let mut all = [Self::Plain, Self::Gzip, Self::Full].into_iter();
        all.find(|hive| hive.segment() == segment)
    }

    const fn segment(self) -> &'static str {
        match self {
            Self::Plain => "registration",
            Self::Gzip => "registration-gz",
            Self::Full => "registration-gz-semver2",
        }
    }

    fn has(self, release: &Release) -> bool {
        self == Self::Full || !release.manifest.semver2
    }
}

/// URLs below a base, which ends in a slash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links<'a>(pub(super) &'a str);

impl Links<'_> {
    fn at(self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    fn hive(self, hive: Hive) -> String {
        format!("{}{}/", self.0, hive.segment())
    }

    fn registration(self, hive: Hive, id: &PackageId) -> String {
        format!("{}{}/index.json", self.hive(hive), segment(id.as_str()))
    }

    fn leaf(self, hive: Hive, release: &Release) -> String {
        let (id, version) = identity(release);
        format!("{}{id}/{version}.json", self.hive(hive))
    }

    fn page(self, hive: Hive, id: &PackageId, [lower, upper]: &[String; 2]) -> String {
        format!(
            "{}{}/page/{lower}/{upper}.json",
            self.hive(hive),
            segment(id.as_str())
        )
    }

    fn package(self, release: &Release) -> String {
        let (id, version) = identity(release);
        format!("{}flat/{id}/{version}/{id}.{version}.nupkg", self.0)
    }

    /// The icon in the archive, else the one its manifest names.
    fn icon(self, release: &Release) -> String {
        if release.manifest.extras.icon.is_none() {
            return release.manifest.icon_url.clone();
        }
        let (id, version) = identity(release);
        format!("{}flat/{id}/{version}/icon", self.0)
    }
}

fn identity(release: &Release) -> (String, &str) {
    let manifest = &release.manifest;
    (segment(manifest.key.as_str()), manifest.version.as_str())
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The state of a document; `None` when there is no package it could be about.
pub(super) fn stand(inventory: &Inventory, wanted: &Wanted) -> Option<Stand> {
    let newest = |package: &Package| {
        let times = package
            .releases
            .iter()
            .map(|release| release.stamp.modified());
        times.max().unwrap_or(0)
    };
    let (tag, modified) = match wanted {
        Wanted::ServiceIndex => (Digest::of(service::TYPES.as_bytes()).to_hex(), 0),
        Wanted::Versions(id)
        | Wanted::File(id, ..)
        | Wanted::Registration(_, id)
        | Wanted::Page(_, id, ..)
        | Wanted::Leaf(_, id, _) => {
            let package = inventory.packages.get(id)?;
            (package.tag.clone(), newest(package))
        }
        Wanted::Search(_) | Wanted::Autocomplete(_) => {
            let all = inventory.packages.values().map(newest).max();
            (inventory.tag.clone(), all.unwrap_or(0))
        }
    };
    let tag = format!("{MAKER}-{tag}");
    Some(Stand { tag, modified })
}

/// A document as JSON; `None` when there is none.
pub(super) fn document(inventory: &Inventory, wanted: &Wanted, links: Links<'_>) -> Option<Bytes> {
    let value = match wanted {
        Wanted::ServiceIndex => service::index(links),
        Wanted::Versions(id) => versions(inventory.packages.get(id)?),
        Wanted::File(..) => return None,
        Wanted::Registration(hive, id) => {
            let package = inventory.packages.get(id)?;
            registration::Registration::new((*hive, id), package, links)?.index()
        }
        Wanted::Page(hive, id, lower, upper) => {
            let package = inventory.packages.get(id)?;
            let registration = registration::Registration::new((*hive, id), package, links)?;
            registration.page([lower, upper])?
        }
        Wanted::Leaf(hive, id, version) => {
            let release = inventory.release(id, version)?;
            registration::leaf(*hive, release, links)?
        }
        Wanted::Search(parameters) => search::find(inventory, parameters).answer(links),
        Wanted::Autocomplete(parameters) => autocomplete::answer(inventory, parameters),
    };
    let text = serde_json::to_vec(&value).ok()?;
    Some(text.into())
}

/// All versions, ascending, normalised and in lower case, also those of `SemVer` 2.0.0.
fn versions(package: &Package) -> Value {
    let releases = package.releases.iter();
    let versions: Vec<&str> = releases
        .map(|release| release.manifest.version.as_str())
        .collect();
    json!({ "versions": versions })
}
