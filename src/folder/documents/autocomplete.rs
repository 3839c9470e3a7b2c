//! Completion of ids and of versions (NuGet documentation, "Autocomplete").

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::inventory::{Inventory, Release};
use super::filter::{Filter, value};
use crate::nuget::id::PackageId;

/// Most ids of one answer; Paket asks for this many.
const TAKE_MAX: usize = 100_000;

/// Ids that have a text in them, those that begin with it first.
pub(super) struct Completed {
    hits: usize,
    /// Those of the part that is wanted: of each the newest version that counts.
    pub(super) part: Vec<Arc<Release>>,
}

/// Looks for ids.
pub(super) fn find(inventory: &Inventory, parameters: &[(String, String)]) -> Completed {
    let filter = Filter::new(parameters, TAKE_MAX);
    let text = value(parameters, "q").unwrap_or_default();
    let text = text.trim().to_lowercase();
    let mut found: Vec<_> = inventory
        .packages
        .iter()
        .filter(|(key, _)| key.as_str().contains(&text))
        .filter_map(|(key, package)| {
            let newest = *filter.releases(package).last()?;
            Some((!key.as_str().starts_with(&text), newest))
        })
        .collect();
    // The packages are in the order of their ids, and the sort is stable.
    found.sort_by_key(|(later, _)| *later);
    let part = filter.part(&found).iter();
    Completed {
        hits: found.len(),
        part: part.map(|(_, newest)| Arc::clone(newest)).collect(),
    }
}

impl Completed {
    /// The answer with these ids.
    pub(super) fn answer(&self) -> Value {
        let ids = self.part.iter().map(|newest| newest.manifest.id.as_str());
        json!({
            "@context": context(),
            "totalHits": self.hits,
            "data": ids.collect::<Vec<_>>(),
        })
    }
}

/// The id whose versions are asked for: one is given, and no text.
pub(super) fn id_of(parameters: &[(String, String)]) -> Option<&str> {
    match (value(parameters, "q"), value(parameters, "id")) {
        (None, Some(id)) => Some(id.trim()),
        _ => None,
    }
}

/// The ids that are asked for, or the versions of one.
pub(super) fn answer(inventory: &Inventory, parameters: &[(String, String)]) -> Value {
    let Some(id) = id_of(parameters) else {
        return find(inventory, parameters).answer();
    };
    let filter = Filter::new(parameters, TAKE_MAX);
    let package = PackageId::parse(id).and_then(|id| inventory.packages.get(&id));
    let releases = package.map(|package| filter.releases(package));
    let releases = releases.unwrap_or_default().into_iter();
    let versions: Vec<_> = releases
        .map(|release| release.manifest.full.as_str())
        .collect();
    json!({ "@context": context(), "totalHits": versions.len(), "data": versions })
}

fn context() -> Value {
    json!({ "@vocab": "http://schema.nuget.org/schema#" })
}
