//! The pure layers of nugate, compiled from its own sources, and nothing else of it.
//!
//! The targets need parsers and rules, not TLS, SQLite and a runtime: building those with
//! instrumentation would take ten minutes. Parsers that are private in the program are named here,
//! so that nothing becomes public for the sake of the targets.
#![allow(
    dead_code,
    reason = "the layers have more in them than the targets use"
)]

#[path = "../../../src"]
mod layers {
    pub mod clock;
    pub mod entry;
    pub mod nuget;
    pub mod policy;
}

pub use layers::{clock, entry, nuget, policy};

/// What verifies bodies.
#[path = "../../../src/proxy"]
pub mod proxy {
    pub mod verify;
}

/// What reads the `Range` of a request.
#[path = "../../../src/server"]
pub mod server {
    pub mod range;
}

/// What reads the manifests of a folder of packages.
#[path = "../../../src/folder"]
pub mod folder {
    mod manifest;
    mod xml;

    /// Folded id and normalised version of a manifest.
    pub fn identity(bytes: &[u8]) -> Option<(String, String)> {
        let found = manifest::Manifest::parse(bytes).ok()?;
        Some((
            found.key.as_str().to_owned(),
            found.version.as_str().to_owned(),
        ))
    }
}

/// An input of two parts: what stands before the first line feed, and what after it.
pub fn two_texts(data: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(data).ok()?.split_once('\n')
}

/// A service index as nuget.org's, with every resource that is fetched from.
pub fn service_index() -> nuget::service_index::ServiceIndex {
    let resource = |(path, name): (&str, &str)| serde_json::json!({ "@id": format!("https://feed.example/{path}"), "@type": name });
    let resources: Vec<_> = [
        ("search/query", "SearchQueryService/3.5.0"),
        ("search/autocomplete", "SearchAutocompleteService/3.5.0"),
        ("v3/registration/", "RegistrationsBaseUrl"),
        ("v3/registration-gz/", "RegistrationsBaseUrl/3.4.0"),
        ("v3/registration-gz-semver2/", "RegistrationsBaseUrl/3.6.0"),
        ("v3-flatcontainer/", "PackageBaseAddress/3.0.0"),
        ("v3/vulnerabilities/index.json", "VulnerabilityInfo/6.7.0"),
        ("v3/signatures/5.0.0.json", "RepositorySignatures/5.0.0"),
        ("v3/catalog0/index.json", "Catalog/3.0.0"),
    ]
    .map(resource)
    .into();
    let document = serde_json::json!({ "version": "3.0.0", "resources": resources });
    let feed = feed();
    nuget::service_index::ServiceIndex::parse(document.to_string().as_bytes(), &feed)
        .expect("it is a service index")
}

/// The URL of that index.
pub fn feed() -> url::Url {
    "https://feed.example/v3/index.json"
        .parse()
        .expect("it is a URL")
}
