//! Search results (NuGet documentation, "Search").
//!
//! A package is found by its newest version that counts. The best matches come first, among equals
//! the lower id.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::inventory::{Inventory, Release};
use super::filter::{Filter, value};
use super::terms::Terms;
use super::{Hive, Links};

/// Most results of one answer, as nuget.org has it.
const TAKE_MAX: usize = 1000;

/// What a search finds, best matches first.
pub(super) struct Found {
    /// How many packages meet it.
    hits: usize,
    hive: Hive,
    /// Those of the part that is wanted: of each the versions that count, ascending.
    pub(super) part: Vec<Vec<Arc<Release>>>,
}

/// Looks for what the parameters ask for.
pub(super) fn find(inventory: &Inventory, parameters: &[(String, String)]) -> Found {
    let filter = Filter::new(parameters, TAKE_MAX);
    let terms = Terms::parse(value(parameters, "q").unwrap_or_default());
    let hive = if filter.semver2() {
        Hive::Full
    } else {
        Hive::Plain
    };
    let mut found: Vec<_> = inventory
        .packages
        .values()
        .filter_map(|package| {
            let releases = filter.releases(package);
            let rank = terms.rank(releases.last()?)?;
            Some((Reverse(rank), releases))
        })
        .collect();
    // The packages are in the order of their ids, and the sort is stable.
    found.sort_by_key(|(rank, _)| *rank);
    let part = filter.part(&found).iter();
    let part = part.map(|(_, releases)| releases.iter().copied().cloned().collect());
    Found {
        hits: found.len(),
        hive,
        part: part.collect(),
    }
}

impl Found {
    /// The answer to the search.
    pub(super) fn answer(&self, links: Links<'_>) -> Value {
        let results = self.part.iter();
        let data: Vec<Value> = results
            .filter_map(|releases| result(releases, self.hive, links))
            .collect();
        json!({
            "@context": {
                "@vocab": "http://schema.nuget.org/schema#",
                "@base": links.hive(self.hive),
            },
            "totalHits": self.hits,
            "data": data,
        })
    }
}

fn result(releases: &[Arc<Release>], hive: Hive, links: Links<'_>) -> Option<Value> {
    let newest = releases.last()?;
    let manifest = &newest.manifest;
    let registration = links.registration(hive, &manifest.key);
    let title = if manifest.title.is_empty() {
        &manifest.id
    } else {
        &manifest.title
    };
    let versions: Vec<Value> = releases
        .iter()
        .map(|release| {
            json!({
                "version": release.manifest.full,
                "downloads": 0,
                "@id": links.leaf(hive, release),
            })
        })
        .collect();
    let types = manifest.types.iter().map(|name| json!({ "name": name }));
    Some(json!({
        "@id": registration,
        "@type": "Package",
        "registration": registration,
        "id": manifest.id,
        "version": manifest.full,
        "description": manifest.description,
        "summary": manifest.summary,
        "title": title,
        "iconUrl": links.icon(newest),
        "licenseUrl": manifest.license_url,
        "projectUrl": manifest.project_url,
        "tags": manifest.tags,
        "authors": names(&manifest.authors),
        "owners": names(&manifest.owners),
        "totalDownloads": 0,
        "verified": false,
        "packageTypes": types.collect::<Vec<_>>(),
        "versions": versions,
    }))
}

fn names(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}
