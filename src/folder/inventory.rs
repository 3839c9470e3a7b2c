//! Everything a folder offers at one moment.
//!
//! Built by a scan, never changed. Invariant: the releases of a package are in ascending order and
//! no two are the same version; equal contents have equal tags.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::manifest::Manifest;
use super::stamp::FileStamp;
use crate::entry::Digest;
use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// One package file that is offered.
#[derive(Debug)]
pub(super) struct Release {
    /// What it says about itself.
    pub(super) manifest: Manifest,
    /// Where it is, symbolic links resolved.
    pub(super) path: PathBuf,
    /// The state of the file that was read.
    pub(super) stamp: FileStamp,
    /// Texts that a search looks into, in lower case.
    pub(super) haystack: Haystack,
}

/// The texts of a release that a search looks into, in lower case.
#[derive(Debug)]
pub(super) struct Haystack {
    /// Title, or the id where there is none.
    pub(super) title: String,
    /// Description.
    pub(super) description: String,
    /// Summary.
    pub(super) summary: String,
    /// Tags.
    pub(super) tags: Vec<String>,
    /// Authors.
    pub(super) authors: String,
    /// Owners.
    pub(super) owners: String,
}

impl Release {
    /// A release of what was read.
    pub(super) fn new(manifest: Manifest, path: PathBuf, stamp: FileStamp) -> Self {
        let title = if manifest.title.is_empty() {
            manifest.id.to_lowercase()
        } else {
            manifest.title.to_lowercase()
        };
        let haystack = Haystack {
            title,
            description: manifest.description.to_lowercase(),
            summary: manifest.summary.to_lowercase(),
            tags: manifest.tags.iter().map(|tag| tag.to_lowercase()).collect(),
            authors: manifest.authors.to_lowercase(),
            owners: manifest.owners.to_lowercase(),
        };
        Self {
            manifest,
            path,
            stamp,
            haystack,
        }
    }
}

/// All versions of an id, ascending.
#[derive(Debug)]
pub(super) struct Package {
    /// Its releases; at least one.
    pub(super) releases: Vec<Arc<Release>>,
    /// A name of this state of it.
    pub(super) tag: String,
}

impl Package {
    fn new(versions: BTreeMap<PackageVersion, Arc<Release>>) -> Self {
        let releases: Vec<_> = versions.into_values().collect();
        let stamps = releases.iter().map(|release| release.stamp.text());
        let tag = tag(stamps);
        Self { releases, tag }
    }

    /// One version of it.
    pub(super) fn release(&self, version: &PackageVersion) -> Option<&Arc<Release>> {
        let mut releases = self.releases.iter();
        releases.find(|release| release.manifest.version == *version)
    }
}

/// All packages of a folder.
#[derive(Debug)]
pub(super) struct Inventory {
    /// By folded id.
    pub(super) packages: BTreeMap<PackageId, Package>,
    /// A name of this state of all of them.
    pub(super) tag: String,
    /// Files that are the second of their id and version, and the file that is offered.
    pub(super) shadowed: BTreeSet<(PathBuf, PathBuf)>,
}

impl Inventory {
    /// The inventory of these releases; of two with the same id and version the first counts.
    pub(super) fn new(releases: impl IntoIterator<Item = Arc<Release>>) -> Self {
        let mut by_id: BTreeMap<PackageId, BTreeMap<PackageVersion, Arc<Release>>> =
            BTreeMap::new();
        let mut shadowed = BTreeSet::new();
        for release in releases {
            let versions = by_id.entry(release.manifest.key.clone()).or_default();
            if let Some(first) = versions.get(&release.manifest.version) {
                shadowed.insert((release.path.clone(), first.path.clone()));
            } else {
                versions.insert(release.manifest.version.clone(), release);
            }
        }
        let packages: BTreeMap<_, _> = by_id
            .into_iter()
            .map(|(id, versions)| (id, Package::new(versions)))
            .collect();
        let lines = packages
            .iter()
            .map(|(id, package)| format!("{id} {}", package.tag));
        Self {
            tag: tag(lines),
            packages,
            shadowed,
        }
    }

    /// How many package files are offered.
    pub(super) fn len(&self) -> usize {
        let counts = self.packages.values().map(|package| package.releases.len());
        counts.sum()
    }

    /// One release.
    pub(super) fn release(
        &self,
        id: &PackageId,
        version: &PackageVersion,
    ) -> Option<&Arc<Release>> {
        self.packages.get(id)?.release(version)
    }
}

fn tag(lines: impl Iterator<Item = String>) -> String {
    let text: Vec<String> = lines.collect();
    let mut hex = Digest::of(text.join("\n").as_bytes()).to_hex();
    hex.truncate(32);
    hex
}
