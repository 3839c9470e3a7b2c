//! The catalog: every commit of the feed, oldest first.
//!
//! Deletions are not recorded. Invariant: only the last page and the index change when a package
//! is added.

use serde_json::{Value, json};

use super::feed::{Document, ExampleFeed, Release};
use super::links::Links;
use super::registration::{Texts, dependency_groups, deprecation};
use super::stamp::Stamp;

/// Most commits of a page; nuget.org has 550, a small feed would never fill one.
const PAGE: usize = 10;

/// The document at `path` below the catalog.
pub fn document(feed: &ExampleFeed, links: Links<'_>, path: &str) -> Option<Document> {
    let releases = feed.by_commit();
    if path == "index.json" {
        let value = index(links, &releases);
        return Some(Document::json(&value, "no-store", feed.modified()));
    }
    if let Some(number) = path
        .strip_prefix("page")
        .and_then(|p| p.strip_suffix(".json"))
    {
        let number: usize = number.parse().ok()?;
        let members = releases.chunks(PAGE).nth(number)?;
        let value = page(links, number, members);
        return Some(Document::json(&value, "no-store", newest(members)));
    }
    let url = links.catalog(path);
    let release = releases
        .into_iter()
        .find(|release| links.catalog_leaf(release) == url)?;
    Some(Document::json(
        &leaf(links, release),
        "no-store",
        release.stamp,
    ))
}

fn newest(releases: &[&Release]) -> Stamp {
    releases
        .last()
        .map_or(Stamp::of(0), |release| release.stamp)
}

fn page_url(links: Links<'_>, number: usize) -> String {
    links.catalog(&format!("page{number}.json"))
}

fn index(links: Links<'_>, releases: &[&Release]) -> Value {
    let stamp = newest(releases);
    let pages: Vec<Value> = releases
        .chunks(PAGE)
        .enumerate()
        .map(|(number, members)| {
            json!({
                "@id": page_url(links, number),
                "@type": "CatalogPage",
                "commitId": newest(members).commit_id(),
                "commitTimeStamp": newest(members).commit(),
                "count": members.len(),
            })
        })
        .collect();
    json!({
        "@id": links.catalog("index.json"),
        "@type": ["CatalogRoot", "AppendOnlyCatalog", "Permalink"],
        "commitId": stamp.commit_id(),
        "commitTimeStamp": stamp.commit(),
        "count": pages.len(),
        "nuget:lastCreated": stamp.commit(),
        "nuget:lastDeleted": Stamp::of(0).commit(),
        "nuget:lastEdited": stamp.commit(),
        "items": pages,
        "@context": context(),
    })
}

fn page(links: Links<'_>, number: usize, releases: &[&Release]) -> Value {
    let items: Vec<Value> = releases
        .iter()
        .map(|release| {
            json!({
                "@id": links.catalog_leaf(release),
                "@type": "nuget:PackageDetails",
                "commitId": release.stamp.commit_id(),
                "commitTimeStamp": release.stamp.commit(),
                "nuget:id": release.package.id,
                "nuget:version": release.version.full(),
            })
        })
        .collect();
    json!({
        "@id": page_url(links, number),
        "@type": "CatalogPage",
        "commitId": newest(releases).commit_id(),
        "commitTimeStamp": newest(releases).commit(),
        "count": items.len(),
        "items": items,
        "parent": links.catalog("index.json"),
        "@context": context(),
    })
}

fn leaf(links: Links<'_>, release: &Release) -> Value {
    let package = &release.package;
    let texts = Texts::of(release, links);
    let url = links.catalog_leaf(release);
    let nuspec = format!("{}.nuspec", package.id);
    let mut leaf = json!({
        "@id": url,
        "@type": ["PackageDetails", "catalog:Permalink"],
        "authors": "The example authors",
        "catalog:commitId": release.stamp.commit_id(),
        "catalog:commitTimeStamp": release.stamp.commit(),
        "created": release.stamp.commit(),
        "description": texts.description,
        "id": package.id,
        "isPrerelease": release.version.is_prerelease(),
        "lastEdited": release.stamp.commit(),
        "listed": package.listed,
        "packageHash": release.hash,
        "packageHashAlgorithm": "SHA512",
        "packageSize": release.nupkg.len(),
        "projectUrl": texts.project,
        "published": release.stamp.commit(),
        "requireLicenseAcceptance": false,
        "verbatimVersion": package.version,
        "version": release.version.full(),
        "dependencyGroups": dependency_groups(release, links, None),
        "packageEntries": [{
            "@id": format!("{url}#{nuspec}"),
            "@type": "PackageEntry",
            "fullName": nuspec,
            "name": nuspec,
        }],
        "tags": texts.tags,
        "@context": {
            "@vocab": "http://schema.nuget.org/schema#",
            "catalog": "http://schema.nuget.org/catalog#",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
            "dependencies": { "@id": "dependency", "@container": "@set" },
            "dependencyGroups": { "@id": "dependencyGroup", "@container": "@set" },
            "packageEntries": { "@id": "packageEntry", "@container": "@set" },
            "tags": { "@id": "tag", "@container": "@set" },
            "published": { "@type": "xsd:dateTime" },
            "catalog:commitTimeStamp": { "@type": "xsd:dateTime" },
        },
    });
    if let Some(deprecation) = deprecation(release, links) {
        leaf["deprecation"] = deprecation;
    }
    leaf
}

fn context() -> Value {
    json!({
        "@vocab": "http://schema.nuget.org/catalog#",
        "nuget": "http://schema.nuget.org/schema#",
        "items": { "@id": "item", "@container": "@set" },
        "parent": { "@type": "@id" },
        "commitTimeStamp": { "@type": "http://www.w3.org/2001/XMLSchema#dateTime" },
        "nuget:lastCreated": { "@type": "http://www.w3.org/2001/XMLSchema#dateTime" },
        "nuget:lastEdited": { "@type": "http://www.w3.org/2001/XMLSchema#dateTime" },
        "nuget:lastDeleted": { "@type": "http://www.w3.org/2001/XMLSchema#dateTime" },
    })
}
