//! Completion of ids and of versions (NuGet documentation, "Autocomplete").

use serde_json::{Value, json};

use super::super::inventory::Inventory;
use super::filter::{Filter, value};
use crate::nuget::id::PackageId;

/// Most ids of one answer; Paket asks for this many.
const TAKE_MAX: usize = 100_000;

/// The ids that have the text in them, those that begin with it first; or, when an id is given and
/// no text, its versions.
pub(super) fn answer(inventory: &Inventory, parameters: &[(String, String)]) -> Value {
    let filter = Filter::new(parameters, TAKE_MAX);
    let data: Vec<&str> = match (value(parameters, "q"), value(parameters, "id")) {
        (None, Some(id)) => {
            let package = PackageId::parse(id.trim()).and_then(|id| inventory.packages.get(&id));
            let releases = package.map(|package| filter.releases(package));
            let releases = releases.unwrap_or_default().into_iter();
            let versions: Vec<_> = releases
                .map(|release| release.manifest.full.as_str())
                .collect();
            return json!({ "@context": context(), "totalHits": versions.len(), "data": versions });
        }
        (text, _) => {
            let text = text.unwrap_or_default().trim().to_lowercase();
            let mut found: Vec<(bool, &str)> = inventory
                .packages
                .iter()
                .filter(|(key, _)| key.as_str().contains(&text))
                .filter_map(|(key, package)| {
                    let newest = *filter.releases(package).last()?;
                    let later = !key.as_str().starts_with(&text);
                    Some((later, newest.manifest.id.as_str()))
                })
                .collect();
            // The packages are in the order of their ids, and the sort is stable.
            found.sort_by_key(|(later, _)| *later);
            found.into_iter().map(|(_, id)| id).collect()
        }
    };
    json!({
        "@context": context(),
        "totalHits": data.len(),
        "data": filter.part(&data),
    })
}

fn context() -> Value {
    json!({ "@vocab": "http://schema.nuget.org/schema#" })
}
