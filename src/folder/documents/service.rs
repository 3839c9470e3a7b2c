//! The service index of a folder.

use serde_json::{Value, json};

use super::{Hive, Links};

/// All types that are offered: one a line, with the path below the base behind it. Each alias is an
/// entry of its own, because clients look for different ones. Vulnerabilities, signatures and the
/// catalog are not offered: a folder knows nothing of them.
pub(super) const TYPES: &str = "\
SearchQueryService query
SearchQueryService/3.0.0-beta query
SearchQueryService/3.0.0-rc query
SearchQueryService/3.5.0 query
SearchAutocompleteService autocomplete
SearchAutocompleteService/3.0.0-beta autocomplete
SearchAutocompleteService/3.0.0-rc autocomplete
SearchAutocompleteService/3.5.0 autocomplete
RegistrationsBaseUrl registration/
RegistrationsBaseUrl/3.0.0-beta registration/
RegistrationsBaseUrl/3.0.0-rc registration/
RegistrationsBaseUrl/3.4.0 registration-gz/
RegistrationsBaseUrl/3.6.0 registration-gz-semver2/
PackageBaseAddress/3.0.0 flat/
ReadmeUriTemplate/6.13.0 flat/{lower_id}/{lower_version}/readme
PackageDisplayMetadataUriTemplate/3.0.0-rc registration/{id-lower}/index.json
PackageVersionDisplayMetadataUriTemplate/3.0.0-rc registration/{id-lower}/{version-lower}.json";

/// The service index (NuGet documentation, "Service index").
pub(super) fn index(links: Links<'_>) -> Value {
    let entry = |line: &str| {
        let (name, path) = line.split_once(' ')?;
        Some(json!({ "@id": links.at(path), "@type": name }))
    };
    let mut resources: Vec<Value> = TYPES.lines().filter_map(entry).collect();
    resources.push(json!({
        "@id": links.hive(Hive::Full),
        "@type": "RegistrationsBaseUrl/Versioned",
        "clientVersion": "4.3.0-alpha",
    }));
    json!({
        "version": "3.0.0",
        "resources": resources,
        "@context": {
            "@vocab": "http://schema.nuget.org/services#",
            "comment": "http://www.w3.org/2000/01/rdf-schema#comment",
        },
    })
}
