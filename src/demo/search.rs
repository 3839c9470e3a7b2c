//! Search and autocompletion.
//!
//! Terms are looked for as parts of id, description and tags; nuget.org's ranking is not imitated:
//! exact ids first, then by id. Invariant: unlisted versions never appear.

use serde_json::{Value, json};

use super::feed::{Document, ExampleFeed, Release};
use super::links::{Hive, Links};
use super::registration::Texts;

/// The parameters both services share (docs: "Search").
struct Query {
    text: Option<String>,
    id: Option<String>,
    skip: usize,
    take: usize,
    prerelease: bool,
    semver2: bool,
    kind: Option<String>,
}

impl Query {
    fn parse(query: &str) -> Self {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let get = |name: &str| {
            let found = pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let number = |name: &str| get(name).and_then(|value| value.parse::<usize>().ok());
        Self {
            text: get("q"),
            id: get("id"),
            skip: number("skip").unwrap_or(0),
            take: number("take").filter(|&take| take <= 1000).unwrap_or(20),
            prerelease: get("prerelease").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            semver2: get("semVerLevel").is_some_and(|value| value.starts_with('2')),
            kind: get("packageType")
                .or_else(|| get("packageTypeFilter"))
                .filter(|kind| !kind.is_empty()),
        }
    }

    fn shows(&self, release: &Release) -> bool {
        release.package.listed
            && (self.prerelease || !release.version.is_prerelease())
            && (self.semver2 || !release.version.is_semver2())
    }

    /// Packages with the releases that are shown, best first.
    fn matches<'a>(&self, feed: &'a ExampleFeed) -> Vec<Vec<&'a Release>> {
        let text = self
            .text
            .as_deref()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        if self
            .kind
            .as_ref()
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("Dependency"))
        {
            return Vec::new();
        }
        let mut found: Vec<Vec<&Release>> = feed
            .by_id()
            .map(|releases| {
                releases
                    .iter()
                    .filter(|r| self.shows(r))
                    .collect::<Vec<_>>()
            })
            .filter(|shown| shown.last().is_some_and(|newest| contains(newest, &text)))
            .collect();
        found.sort_by_key(|shown| shown[0].package.id.to_lowercase() != text);
        found
    }
}

fn contains(release: &Release, text: &str) -> bool {
    let id = release.package.id.to_lowercase();
    if let Some(wanted) = text.strip_prefix("packageid:") {
        return id == wanted;
    }
    let description = release.package.description.to_lowercase();
    text.split_whitespace().all(|term| {
        id.contains(term)
            || description.contains(term)
            || release
                .package
                .tags
                .iter()
                .any(|tag| tag.to_lowercase() == term)
    })
}

/// The answer of the search service.
pub fn query(feed: &ExampleFeed, links: Links<'_>, query: &str) -> Document {
    let query = Query::parse(query);
    let hive = if query.semver2 {
        Hive::Full
    } else {
        Hive::Plain
    };
    let found = query.matches(feed);
    let data: Vec<Value> = found
        .iter()
        .skip(query.skip)
        .take(query.take)
        .filter_map(|shown| item(links, hive, shown))
        .collect();
    let body = json!({
        "@context": { "@vocab": "http://schema.nuget.org/schema#", "@base": links.hive(hive) },
        "totalHits": found.len(),
        "data": data,
    });
    Document::json(&body, "no-cache", feed.modified())
}

fn item(links: Links<'_>, hive: Hive, shown: &[&Release]) -> Option<Value> {
    let newest = *shown.last()?;
    let package = &newest.package;
    let texts = Texts::of(newest, links);
    let versions: Vec<Value> = shown
        .iter()
        .map(|release| {
            json!({
                "version": release.version.full(),
                "downloads": 7,
                "@id": links.leaf(hive, release),
            })
        })
        .collect();
    let vulnerabilities: Vec<Value> = package
        .advisories
        .iter()
        .map(|advisory| json!({ "advisoryUrl": advisory.url, "severity": advisory.severity }))
        .collect();
    Some(json!({
        "@id": links.registration(hive, &package.id),
        "@type": "Package",
        "registration": links.registration(hive, &package.id),
        "id": package.id,
        "version": newest.version.full(),
        "description": texts.description,
        "summary": "",
        "title": package.id,
        "iconUrl": texts.icon,
        "licenseUrl": links.at(&format!("/packages/{}/license", package.id)),
        "projectUrl": texts.project,
        "tags": texts.tags,
        "authors": ["The example authors"],
        "owners": ["example"],
        "totalDownloads": 7 * shown.len(),
        "verified": true,
        "packageTypes": [{ "name": "Dependency" }],
        "versions": versions,
        "vulnerabilities": vulnerabilities,
    }))
}

/// The answer of the autocompletion service: versions of `id` unless there is a `q`.
pub fn autocomplete(feed: &ExampleFeed, query: &str) -> Document {
    let query = Query::parse(query);
    let context = json!({ "@vocab": "http://schema.nuget.org/schema#" });
    let body = if let (None, Some(id)) = (&query.text, &query.id) {
        let releases = feed.releases(&id.to_lowercase()).iter();
        let data: Vec<String> = releases
            .filter(|release| query.shows(release))
            .map(|release| release.version.full())
            .collect();
        json!({ "@context": context, "totalHits": data.len(), "data": data })
    } else {
        let found = query.matches(feed);
        let page = found.iter().skip(query.skip).take(query.take);
        let data: Vec<&str> = page.map(|shown| shown[0].package.id.as_str()).collect();
        json!({ "@context": context, "totalHits": found.len(), "data": data })
    };
    Document::json(&body, "no-cache", feed.modified())
}
