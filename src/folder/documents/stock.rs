//! Packages that lie elsewhere, as a search sees them: what a cache holds while its feed gives no
//! answer.
//!
//! Of all of them only ids and versions are known; what a part of an answer says more is read for
//! that answer. Deliberately not done: searching texts of manifests, which would mean to read them
//! all. Invariant: nothing is told that is not in stock.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use url::form_urlencoded;

use super::super::archive::Archive;
use super::super::inventory::{Inventory, Release};
use super::super::manifest::Manifest;
use super::super::stamp::FileStamp;
use super::{Links, autocomplete, search};
use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// Packages of an answer whose manifests are read; the others are told by id and version.
pub const DESCRIBED_MAX: usize = 100;

/// Bytes of memory for a package of which only id and version are known.
const RELEASE: usize = 1024;

/// Packages by id and version, and what names the archive of each.
#[derive(Debug)]
pub struct Stock<T> {
    inventory: Inventory,
    archives: BTreeMap<PackageId, BTreeMap<PackageVersion, T>>,
}

/// A question, as far as it was answered from ids and versions.
pub struct Finding {
    found: Found,
}

enum Found {
    Packages(search::Found),
    Ids(autocomplete::Completed),
}

/// What a package says about itself.
pub struct Description(Manifest);

impl Description {
    /// Reads an archive. Blocks. `None` when there is no manifest of use in it.
    pub fn read(archive: impl Read + Seek) -> Option<Self> {
        let bytes = Archive::new(archive).and_then(|mut archive| archive.manifest());
        Manifest::parse(&bytes.ok()?).ok().map(Self)
    }
}

impl<T: Copy> Stock<T> {
    /// These packages.
    pub fn new(packages: impl IntoIterator<Item = (PackageId, PackageVersion, T)>) -> Self {
        let mut archives: BTreeMap<PackageId, BTreeMap<PackageVersion, T>> = BTreeMap::new();
        for (id, version, archive) in packages {
            archives.entry(id).or_default().insert(version, archive);
        }
        let names = archives
            .iter()
            .flat_map(|(id, versions)| versions.keys().map(move |version| (id, version)));
        let bare = names.map(|(id, version)| release(Manifest::bare(id.clone(), version.clone())));
        Self {
            inventory: Inventory::new(bare.collect::<Vec<_>>()),
            archives,
        }
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.inventory.len() * RELEASE
    }

    /// What a search with this query finds.
    pub fn search(&self, query: &str) -> Finding {
        let found = Found::Packages(search::find(&self.inventory, &parameters(query)));
        Finding { found }
    }

    /// The ids that a completion with this query finds.
    pub fn complete(&self, query: &str) -> Finding {
        let found = Found::Ids(autocomplete::find(&self.inventory, &parameters(query)));
        Finding { found }
    }

    /// The versions of the id that a completion asks for.
    pub fn versions(&self, query: &str) -> Bytes {
        text(&autocomplete::answer(&self.inventory, &parameters(query)))
    }

    /// The archives that describe what was found.
    pub fn describing(&self, finding: &Finding) -> Vec<T> {
        let named = finding.newest().take(DESCRIBED_MAX);
        let archive = |release: &Arc<Release>| {
            let manifest = &release.manifest;
            self.archives
                .get(&manifest.key)?
                .get(&manifest.version)
                .copied()
        };
        named.filter_map(archive).collect()
    }
}

impl Finding {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.newest().next().is_none()
    }

    fn newest(&self) -> impl Iterator<Item = &Arc<Release>> {
        let (packages, ids) = match &self.found {
            Found::Packages(found) => (Some(&found.part), None),
            Found::Ids(found) => (None, Some(&found.part)),
        };
        let newest = packages.into_iter().flatten().filter_map(|own| own.last());
        newest.chain(ids.into_iter().flatten())
    }

    /// The answer, with links below `base`, which ends in a slash.
    pub fn answer(mut self, descriptions: Vec<Description>, base: &str) -> Bytes {
        let described = descriptions.into_iter().map(|Description(manifest)| {
            let name = (manifest.key.clone(), manifest.version.clone());
            (name, release(manifest))
        });
        let described: BTreeMap<_, _> = described.collect();
        let describe = |bare: &mut Arc<Release>| {
            let name = (bare.manifest.key.clone(), bare.manifest.version.clone());
            if let Some(whole) = described.get(&name) {
                *bare = Arc::clone(whole);
            }
        };
        match &mut self.found {
            Found::Packages(found) => {
                found
                    .part
                    .iter_mut()
                    .filter_map(|own| own.last_mut())
                    .for_each(describe);
                text(&found.answer(Links(base)))
            }
            Found::Ids(found) => {
                found.part.iter_mut().for_each(describe);
                text(&found.answer())
            }
        }
    }
}

/// The id whose versions this query for a completion asks for.
pub fn completed_id(query: &str) -> Option<PackageId> {
    PackageId::parse(autocomplete::id_of(&parameters(query))?)
}

fn parameters(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn release(manifest: Manifest) -> Arc<Release> {
    Arc::new(Release::new(manifest, PathBuf::new(), FileStamp::default()))
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}
