//! What V3 documents say of packages, as far as V2 shows it.
//!
//! Reads registration indexes, registration pages and answers of the search leniently: members that
//! are missing are empty, an item without a usable id or version is left out. Facts that no V3
//! document of these has (hash, size, release notes) stay unknown.

use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// What nuget.org says of the publication of unlisted versions.
pub const UNLISTED: &str = "1900-01-01T00:00:00";

/// One version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Id as its author writes it.
    pub id: String,
    /// Version as the feed writes it, with build metadata.
    pub version: String,
    /// Version without build metadata, numbers normalised, the label as its author writes it.
    pub normalized: String,
    /// The version itself.
    pub parsed: PackageVersion,
    /// Whether clients that know only `SemVer` 1.0.0 cannot read it.
    pub semver2: bool,
    /// Whether it is listed.
    pub listed: bool,
    /// When it was published, UTC without offset (`Edm.DateTime`); [`UNLISTED`] for unlisted ones.
    pub published: String,
    /// When the feed last changed it, in the same form.
    pub updated: String,
    /// Authors, separated by commas.
    pub authors: String,
    /// Description.
    pub description: String,
    /// Summary.
    pub summary: String,
    /// Title for people.
    pub title: String,
    /// Tags with a space before and behind each, so that filters can ask for whole ones.
    pub tags: String,
    /// Language.
    pub language: String,
    /// URL of the icon.
    pub icon_url: String,
    /// URL of the project.
    pub project_url: String,
    /// URL of the licence.
    pub license_url: String,
    /// The oldest client that can install it.
    pub min_client_version: String,
    /// Whether the licence must be accepted.
    pub require_license_acceptance: bool,
    /// `id:range:framework`, separated by `|`.
    pub dependencies: String,
}

/// A page of a registration index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// Its items are there.
    Items(Vec<Arc<Release>>),
    /// They are at this URL.
    At(String),
}

/// A package that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its id.
    pub id: PackageId,
    /// Downloads of all versions.
    pub downloads: u64,
    /// Downloads by version.
    pub versions: Vec<(PackageVersion, u64)>,
}

impl Release {
    /// Bytes it takes in memory, roughly.
    pub fn weight(&self) -> usize {
        let long = [&self.description, &self.summary, &self.dependencies];
        1024 + long.iter().map(|text| text.len()).sum::<usize>()
    }
}

/// The answer of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How many there are in all, as the feed says; some always say 0.
    pub total: usize,
    /// How many entries the answer had, those left out included.
    pub entries: usize,
    /// The packages, best first.
    pub hits: Vec<Hit>,
}

/// Why a document has no facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document has no {0}")]
pub struct Unusable(&'static str);

/// The pages of a registration index.
///
/// # Errors
/// [`Unusable`] when it is none.
pub fn registration_index(body: &[u8]) -> Result<Vec<Page>, Unusable> {
    let document: Value = serde_json::from_slice(body).map_err(|_| Unusable("JSON"))?;
    let pages = document["items"].as_array().ok_or(Unusable("items"))?;
    let page = |page: &Value| {
        if let Some(items) = page["items"].as_array() {
            return Ok(Page::Items(items.iter().filter_map(shared).collect()));
        }
        let url = page["@id"].as_str().ok_or(Unusable("@id of a page"))?;
        Ok(Page::At(url.to_owned()))
    };
    pages.iter().map(page).collect()
}

/// The releases of a registration page.
///
/// # Errors
/// [`Unusable`] when it is none.
pub fn registration_page(body: &[u8]) -> Result<Vec<Arc<Release>>, Unusable> {
    let document: Value = serde_json::from_slice(body).map_err(|_| Unusable("JSON"))?;
    let items = document["items"].as_array().ok_or(Unusable("items"))?;
    Ok(items.iter().filter_map(shared).collect())
}

/// What a search found.
///
/// # Errors
/// [`Unusable`] when it is no answer of a search.
pub fn search(body: &[u8]) -> Result<Hits, Unusable> {
    let document: Value = serde_json::from_slice(body).map_err(|_| Unusable("JSON"))?;
    let data = document["data"].as_array().ok_or(Unusable("data"))?;
    let total = document["totalHits"].as_u64().unwrap_or(0);
    Ok(Hits {
        total: usize::try_from(total).unwrap_or(usize::MAX),
        entries: data.len(),
        hits: data.iter().filter_map(hit).collect(),
    })
}

fn hit(entry: &Value) -> Option<Hit> {
    let versions = entry["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let version = |version: &Value| {
        let parsed = PackageVersion::parse(version["version"].as_str()?)?;
        Some((parsed, version["downloads"].as_u64().unwrap_or(0)))
    };
    Some(Hit {
        id: PackageId::parse(entry["id"].as_str()?)?,
        downloads: entry["totalDownloads"].as_u64().unwrap_or(0),
        versions: versions.iter().filter_map(version).collect(),
    })
}

fn shared(item: &Value) -> Option<Arc<Release>> {
    release(item).map(Arc::new)
}

fn release(item: &Value) -> Option<Release> {
    let entry = &item["catalogEntry"];
    let id = entry["id"].as_str()?;
    PackageId::parse(id)?;
    let version = entry["version"].as_str()?;
    let parsed = PackageVersion::parse(version)?;
    let given = time(&entry["published"]);
    let listed = entry["listed"].as_bool().unwrap_or(true)
        && !given.as_deref().is_some_and(|it| it.starts_with("1900-"));
    let updated = time(&item["commitTimeStamp"]).or_else(|| given.clone().filter(|_| listed));
    let groups = entry["dependencyGroups"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let text = |name| words(&entry[name], ", ");
    Some(Release {
        id: id.to_owned(),
        normalized: normalized(version, &parsed),
        semver2: is_semver2(version) || groups.iter().any(needs_semver2),
        version: version.to_owned(),
        parsed,
        published: match given {
            Some(given) if listed => given,
            _ => UNLISTED.to_owned(),
        },
        updated: updated.unwrap_or_else(|| UNLISTED.to_owned()),
        listed,
        authors: text("authors"),
        description: text("description"),
        summary: text("summary"),
        title: text("title"),
        tags: padded(&words(&entry["tags"], " ")),
        language: text("language"),
        icon_url: text("iconUrl"),
        project_url: text("projectUrl"),
        license_url: text("licenseUrl"),
        min_client_version: text("minClientVersion"),
        require_license_acceptance: entry["requireLicenseAcceptance"].as_bool().unwrap_or(false),
        dependencies: dependencies(groups),
    })
}

/// A string, or several joined.
fn words(value: &Value, separator: &str) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(texts) => {
            let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
            texts.join(separator)
        }
        _ => String::new(),
    }
}

/// Clients look for a tag as `substringof(' tag ',tolower(Tags))`.
fn padded(tags: &str) -> String {
    match tags.trim() {
        "" => String::new(),
        tags => format!(" {tags} "),
    }
}

/// RFC 3339 to `Edm.DateTime`, which has no offset: UTC.
fn time(value: &Value) -> Option<String> {
    let moment = OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()?;
    let text = moment
        .checked_to_offset(UtcOffset::UTC)?
        .format(&Rfc3339)
        .ok()?;
    Some(text.trim_end_matches('Z').to_owned())
}

/// The normalised form with the label as it was written: [`PackageVersion`] folds it.
fn normalized(written: &str, parsed: &PackageVersion) -> String {
    let Some(label) = parsed.label() else {
        return parsed.as_str().to_owned();
    };
    let numbers = parsed.as_str().len() - label.len();
    let core = written.split('+').next().unwrap_or(written);
    let own = core.split_once('-').map_or(label, |(_, own)| own);
    format!("{}{own}", &parsed.as_str()[..numbers])
}

/// A dotted label or build metadata.
fn is_semver2(version: &str) -> bool {
    let (core, metadata) = version
        .split_once('+')
        .map_or((version, false), |(core, _)| (core, true));
    metadata
        || core
            .split_once('-')
            .is_some_and(|(_, label)| label.contains('.'))
}

fn needs_semver2(group: &Value) -> bool {
    let dependencies = group["dependencies"].as_array();
    dependencies.into_iter().flatten().any(|dependency| {
        let range = dependency["range"].as_str().unwrap_or_default();
        range.split(['[', ']', '(', ')', ',', ' ']).any(is_semver2)
    })
}

/// `id:range:framework` of each dependency, `::framework` for a group without any.
fn dependencies(groups: &[Value]) -> String {
    let mut parts = Vec::new();
    for group in groups {
        let framework = group["targetFramework"].as_str().map(short_framework);
        let framework = framework.filter(|name| is_plain(name)).unwrap_or_default();
        let members = group["dependencies"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        if members.is_empty() && !framework.is_empty() {
            parts.push(format!("::{framework}"));
        }
        for member in members {
            let id = member["id"].as_str().unwrap_or_default();
            let range = short_range(member["range"].as_str().unwrap_or_default());
            if PackageId::parse(id).is_some() && is_plain(range) {
                parts.push(format!("{id}:{range}:{framework}"));
            }
        }
    }
    parts.join("|")
}

/// Whether a part cannot be taken for more than one.
fn is_plain(part: &str) -> bool {
    !part.contains(|char: char| matches!(char, ':' | '|') || char.is_control())
}

/// `[1.0.0, )` as V2 feeds write it, `1.0.0`; a range without ends is none.
fn short_range(range: &str) -> &str {
    let range = range.trim();
    let low = range
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|rest| rest.trim_end().strip_suffix(','));
    match low.map(str::trim) {
        Some(low) if !low.is_empty() && !low.contains(',') => low,
        _ if range.replace(' ', "") == "(,)" => "",
        _ => range,
    }
}

/// The folder name of a framework where it follows from the long one (`.NETFramework4.5` is
/// `net45`); others as they are.
fn short_framework(name: &str) -> String {
    let dotted = [
        (".NETStandard", "netstandard"),
        (".NETCoreApp", "netcoreapp"),
    ];
    for (long, short) in dotted {
        if let Some(version) = name.strip_prefix(long)
            && is_number(version)
        {
            return format!("{short}{version}");
        }
    }
    match name.strip_prefix(".NETFramework") {
        Some(version) if is_number(version) => format!("net{}", version.replace('.', "")),
        _ => name.to_owned(),
    }
}

fn is_number(version: &str) -> bool {
    !version.is_empty()
        && version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(entry: &Value) -> Value {
        json!({ "commitTimeStamp": "2020-02-03T05:05:06.5+01:00", "catalogEntry": entry })
    }

    #[test]
    fn a_release_is_read_whole() {
        let found = release(&item(&json!({
            "id": "A.B", "version": "1.02.0-Beta+x", "authors": ["One", "Two"], "tags": ["a", "b"],
            "published": "2019-01-02T03:04:05Z", "listed": true, "requireLicenseAcceptance": true,
            "description": "text", "iconUrl": null,
            "dependencyGroups": [
                { "targetFramework": ".NETFramework4.6.1", "dependencies": [
                    { "id": "C", "range": "[1.0.0, )" }, { "id": "D", "range": "(, )" },
                    { "id": "no id", "range": "" }, { "id": "E", "range": "1:0|F" } ] },
                { "targetFramework": ".NETStandard2.0", "dependencies": [{ "id": "C", "range": "[1.0, 2.0)" }] },
                { "targetFramework": "net8.0" },
            ],
        })))
        .unwrap();
        assert_eq!((&*found.id, &*found.normalized), ("A.B", "1.2.0-Beta"));
        assert_eq!(found.published, "2019-01-02T03:04:05");
        assert_eq!(found.updated, "2020-02-03T04:05:06.5");
        assert_eq!((&*found.authors, &*found.tags), ("One, Two", " a b "));
        let expected = "C:1.0.0:net461|D::net461|C:[1.0, 2.0):netstandard2.0|::net8.0";
        assert_eq!(found.dependencies, expected);
        assert!(found.semver2 && found.listed && found.require_license_acceptance);
        assert_eq!(found.icon_url, "");
    }

    #[test]
    fn unlisted_ones_are_of_1900() {
        for entry in [
            json!({ "id": "a", "version": "1", "listed": false, "published": "2019-01-02T03:04:05Z" }),
            json!({ "id": "a", "version": "1", "published": "1900-01-01T00:00:00+00:00" }),
        ] {
            let found = release(&item(&entry)).unwrap();
            assert!(!found.listed);
            assert_eq!(found.published, UNLISTED);
        }
        let silent = release(&item(&json!({ "id": "a", "version": "1" }))).unwrap();
        assert!(silent.listed && !silent.semver2);
    }

    #[test]
    fn semver2_is_told_by_version_and_by_dependencies() {
        let of = |version: &str, range: &str| {
            let group = json!({ "dependencies": [{ "id": "b", "range": range }] });
            let entry = json!({ "id": "a", "version": version, "dependencyGroups": [group] });
            release(&item(&entry)).unwrap().semver2
        };
        assert!(of("1.0.0-a.1", "") && of("1.0.0+x", "") && of("1.0.0", "[1.0.0-a.1, )"));
        assert!(!of("1.0.0-a1", "[1.0.0-b, 2.0.0)"));
    }

    #[test]
    fn what_is_no_document_is_refused_and_bad_items_are_left_out() {
        assert_eq!(registration_index(b"<html>"), Err(Unusable("JSON")));
        assert_eq!(registration_index(b"{}"), Err(Unusable("items")));
        assert!(registration_index(br#"{"items":[{}]}"#).is_err());
        assert!(registration_page(b"[]").is_err() && search(b"{}").is_err());
        let bad = br#"{"items":[{"catalogEntry":{"id":"../x","version":"1"}},{"catalogEntry":{"id":"x","version":"one"}},7]}"#;
        assert_eq!(registration_page(bad), Ok(Vec::new()));
        let found = search(br#"{"totalHits":9,"data":[{"id":"A","totalDownloads":3,"versions":[{"version":"1.0","downloads":2}]},{"id":"/"}]}"#).unwrap();
        assert_eq!((found.total, found.entries, found.hits.len()), (9, 2, 1));
        assert_eq!(found.hits[0].versions[0].1, 2);
    }
}
