//! The service index, vulnerability information and repository signatures.
//!
//! The index lists what nuget.org's lists, aliases and second search endpoints included, in its
//! order. Packages of the feed are unsigned, so it never promises signatures. Invariant: every
//! `@id` of the feed's own documents answers.

use serde_json::{Value, json};

use super::feed::{Document, ExampleFeed, Release};
use super::links::{Hive, Links};
use super::stamp::Stamp;

const FINGERPRINT: &str = "5a2901d6ada3d18260b9c6dfe2133c95d74b9eef6ae0e5dc334c8454d1477df4";
const CERTIFICATE: &[u8] =
    b"-----BEGIN CERTIFICATE-----\nZXhhbXBsZQ==\n-----END CERTIFICATE-----\n";

/// The service index.
pub fn index(feed: &ExampleFeed, links: Links<'_>) -> Document {
    let mut resources: Vec<Value> = Vec::new();
    let mut entry = |kind: &str, id: String, comment: &str| {
        if !feed.hides(kind) {
            resources.push(json!({ "@id": id, "@type": kind, "comment": comment }));
        }
    };
    for (name, path) in [
        ("SearchQueryService", "query"),
        ("SearchAutocompleteService", "autocomplete"),
    ] {
        for suffix in ["", "/3.0.0-rc", "/3.5.0", "/3.0.0-beta"] {
            for (host, rank) in [("search-usnc", "primary"), ("search-ussc", "secondary")] {
                let comment = format!("Endpoint of the {name} ({rank})");
                let id = links.at(&format!("/{host}/{path}"));
                entry(&format!("{name}{suffix}"), id, &comment);
            }
        }
    }
    for host in ["search-usnc", "search-ussc"] {
        let comment = "Used by the gallery itself";
        entry(
            "SearchGalleryQueryService/3.0.0-rc",
            links.at(&format!("/{host}/")),
            comment,
        );
    }
    for (kind, path, comment) in PLAIN {
        let comment = comment.replace("{base}", links.0);
        entry(kind, links.at(path), &comment);
    }
    if !feed.hides("RegistrationsBaseUrl") {
        resources.push(json!({
            "@id": links.hive(Hive::Full),
            "@type": "RegistrationsBaseUrl/Versioned",
            "clientVersion": "4.3.0-alpha",
            "comment": "Base URL of registrations, gzip-encoded, with SemVer 2.0.0 packages",
        }));
    }
    let body = json!({
        "version": "3.0.0",
        "resources": resources,
        "@context": {
            "@vocab": "http://schema.nuget.org/services#",
            "comment": "http://www.w3.org/2000/01/rdf-schema#comment",
        },
    });
    Document::json(&body, "no-cache", Stamp::of(0))
}

/// Types of one entry each: type, path below the base, comment.
const PLAIN: &[(&str, &str, &str)] = &[
    (
        "RegistrationsBaseUrl",
        "/v3/registration5-semver1/",
        "Base URL of registrations, plain",
    ),
    (
        "RegistrationsBaseUrl/3.0.0-rc",
        "/v3/registration5-semver1/",
        "Base URL of registrations, plain",
    ),
    (
        "RegistrationsBaseUrl/3.0.0-beta",
        "/v3/registration5-semver1/",
        "Base URL of registrations, plain",
    ),
    (
        "RegistrationsBaseUrl/3.4.0",
        "/v3/registration5-gz-semver1/",
        "Base URL of registrations, gzip-encoded",
    ),
    (
        "RegistrationsBaseUrl/3.6.0",
        "/v3/registration5-gz-semver2/",
        "Base URL of registrations, gzip-encoded, with SemVer 2.0.0 packages",
    ),
    (
        "PackageBaseAddress/3.0.0",
        "/v3-flatcontainer/",
        "Base URL of package files, in the form {base}/v3-flatcontainer/{id-lower}/{version-lower}/{id-lower}.{version-lower}.nupkg",
    ),
    ("LegacyGallery", "/api/v2", "The V2 protocol"),
    ("LegacyGallery/2.0.0", "/api/v2", "The V2 protocol"),
    (
        "PackagePublish/2.0.0",
        "/api/v2/package",
        "Pushes and deletions",
    ),
    (
        "SymbolPackagePublish/4.9.0",
        "/api/v2/symbolpackage",
        "Pushes of symbol packages",
    ),
    (
        "PackageDisplayMetadataUriTemplate/3.0.0-rc",
        "/v3/registration5-semver1/{id-lower}/index.json",
        "URI template of registration indexes",
    ),
    (
        "PackageVersionDisplayMetadataUriTemplate/3.0.0-rc",
        "/v3/registration5-semver1/{id-lower}/{version-lower}.json",
        "URI template of registration leaves",
    ),
    (
        "ReportAbuseUriTemplate/3.0.0-beta",
        "/packages/{id}/{version}/ReportAbuse",
        "URI template of the page for reports",
    ),
    (
        "ReportAbuseUriTemplate/3.0.0-rc",
        "/packages/{id}/{version}/ReportAbuse",
        "URI template of the page for reports",
    ),
    (
        "PackageDetailsUriTemplate/5.1.0",
        "/packages/{id}/{version}?_src=template",
        "URI template of the page of a package",
    ),
    (
        "OwnerDetailsUriTemplate/6.11.0",
        "/profiles/{owner}?_src=template",
        "URI template of the page of an owner",
    ),
    (
        "ReadmeUriTemplate/6.13.0",
        "/v3-flatcontainer/{lower_id}/{lower_version}/readme",
        "URI template of readmes",
    ),
    (
        "RepositorySignatures/4.7.0",
        "/v3-index/repository-signatures/4.7.0/index.json",
        "Certificates of repository signatures",
    ),
    (
        "RepositorySignatures/5.0.0",
        "/v3-index/repository-signatures/5.0.0/index.json",
        "Certificates of repository signatures",
    ),
    (
        "VulnerabilityInfo/6.7.0",
        "/v3/vulnerabilities/index.json",
        "Known vulnerabilities",
    ),
    (
        "Catalog/3.0.0",
        "/v3/catalog0/index.json",
        "Everything that ever happened to a package",
    ),
];

/// The index of vulnerability pages.
pub fn vulnerabilities(feed: &ExampleFeed, links: Links<'_>) -> Document {
    let [base, update] = page_paths(feed);
    let updated = feed.modified().commit();
    let body = json!([
        {
            "@name": "base",
            "@id": links.at(&format!("/v3-vulnerabilities/{base}")),
            "@updated": Stamp::of(0).commit(),
            "comment": "The base data, renewed now and then",
        },
        {
            "@name": "update",
            "@id": links.at(&format!("/v3-vulnerabilities/{update}")),
            "@updated": updated,
            "comment": "What came after the base data",
        },
    ]);
    let caching = "max-age=259200, must-revalidate";
    Document::json(&body, caching, feed.modified()).gzipped()
}

/// Paths of the pages; the second one changes with the feed.
fn page_paths(feed: &ExampleFeed) -> [String; 2] {
    let (base, update) = (Stamp::of(0).path(), feed.modified().path());
    [
        format!("{base}/vulnerability.base.json"),
        format!("{base}/{update}/vulnerability.update.json"),
    ]
}

/// A vulnerability page: the newest vulnerable release is in the update, the others in the base.
pub fn vulnerability_page(feed: &ExampleFeed, path: &str) -> Option<Document> {
    let vulnerable: Vec<&Release> = feed
        .by_commit()
        .into_iter()
        .filter(|release| !release.package.advisories.is_empty())
        .collect();
    let (newest, rest) = match vulnerable.split_last() {
        Some((newest, rest)) if !rest.is_empty() => (std::slice::from_ref(newest), rest),
        _ => ([].as_slice(), vulnerable.as_slice()),
    };
    let [base, update] = page_paths(feed);
    let releases = match path {
        _ if path == base => rest,
        _ if path == update => newest,
        _ => return None,
    };
    let mut page = serde_json::Map::new();
    for release in releases {
        let id = release.package.id.to_lowercase();
        let known = page.entry(id).or_insert_with(|| json!([]));
        for advisory in &release.package.advisories {
            let version = release.version.normalized();
            let item = json!({
                "severity": advisory.severity,
                "url": advisory.url,
                "versions": format!("[{version}, {version}]"),
            });
            known.as_array_mut()?.push(item);
        }
    }
    let caching = "max-age=604800, must-revalidate";
    Some(Document::json(&Value::Object(page), caching, Stamp::of(0)).gzipped())
}

/// The repository signature documents (docs: "Repository signatures") and their certificate.
pub fn signatures(links: Links<'_>, path: &str) -> Option<Document> {
    let certificate = format!("certificates/{FINGERPRINT}.crt");
    if path == certificate {
        return Some(Document {
            body: bytes::Bytes::from_static(CERTIFICATE),
            content_type: "application/x-x509-ca-cert",
            gzip: false,
            cache_control: "max-age=86400",
            modified: Stamp::of(0),
        });
    }
    if !matches!(path, "4.7.0/index.json" | "5.0.0/index.json") {
        return None;
    }
    let body = json!({
        "allRepositorySigned": false,
        "signingCertificates": [{
            "fingerprints": { "2.16.840.1.101.3.4.2.1": FINGERPRINT },
            "subject": "CN=Example feed, O=Example, C=XX",
            "issuer": "CN=Example authority, O=Example, C=XX",
            "notBefore": "2026-01-01T00:00:00.0000000Z",
            "notAfter": "2036-01-01T00:00:00.0000000Z",
            "contentUrl": links.at(&format!("/v3-index/repository-signatures/{certificate}")),
        }],
    });
    Some(Document::json(&body, "max-age=300", Stamp::of(0)))
}
