//! The feed: a set of packages, and which document answers which path.
//!
//! Pure: a request in, a response out, no clock and no I/O. Only lower-case paths exist, as on
//! nuget.org's own storage. Pushes and deletions change it (`publish`). Invariant:
//! the releases of an id are in ascending order and no two are the same version.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::links::{Hive, Links};
use super::package::{ICON, Package};
use super::stamp::Stamp;
use super::version::Version;
use super::{catalog, registration, search, service};

/// Why a package cannot be part of a feed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Its version is not one.
    #[error("{id} has the impossible version {version:?}")]
    Version {
        /// The id.
        id: String,
        /// The text that is no version.
        version: String,
    },
    /// The feed has this version already.
    #[error("{id} {version} is there already")]
    Twice {
        /// The id.
        id: String,
        /// The version, normalised.
        version: String,
    },
    /// It cannot be packed.
    #[error("cannot pack {id}")]
    Pack {
        /// The id.
        id: String,
        /// What the archive writer said.
        #[source]
        source: zip::result::ZipError,
    },
}

/// A package as the feed holds it.
#[derive(Clone, Debug)]
pub struct Release {
    /// What it was made of.
    pub package: Package,
    /// Its version.
    pub version: Version,
    /// The package file.
    pub nupkg: Bytes,
    /// The manifest in it.
    pub nuspec: Bytes,
    /// Base64 of the SHA-512 of the package file, as the catalog has it.
    pub hash: String,
    /// When the feed committed it.
    pub stamp: Stamp,
}

/// A response body and what the feed says about it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The body, encoded.
    pub body: Bytes,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Whether the body is gzip-encoded, whatever the client accepts.
    pub gzip: bool,
    /// `Cache-Control`, as nuget.org's own jobs write it.
    pub cache_control: &'static str,
    /// When it last changed.
    pub modified: Stamp,
}

/// A set of packages that answers like nuget.org.
#[derive(Clone, Debug, Default)]
pub struct ExampleFeed {
    packages: BTreeMap<String, Vec<Release>>,
    hidden: Vec<String>,
    commits: u64,
    pub(super) key: Option<String>,
    pub(super) symbols: BTreeSet<(String, String)>,
}

impl ExampleFeed {
    /// A feed of these packages, committed in this order.
    ///
    /// # Errors
    /// When one of them cannot be part of a feed.
    pub fn new(packages: impl IntoIterator<Item = Package>) -> Result<Self, FeedError> {
        let mut feed = Self::default();
        for package in packages {
            feed.add(package)?;
        }
        Ok(feed)
    }

    /// Commits one more package.
    ///
    /// # Errors
    /// When it cannot be part of a feed; the feed is then unchanged.
    pub fn add(&mut self, package: Package) -> Result<(), FeedError> {
        let nuspec = package.nuspec();
        let nupkg = package.nupkg().map_err(|source| FeedError::Pack {
            id: package.id.clone(),
            source,
        })?;
        self.commit(package, nupkg, nuspec)
    }

    /// Commits one more package whose file is there already.
    pub(super) fn commit(
        &mut self,
        package: Package,
        nupkg: Bytes,
        nuspec: Bytes,
    ) -> Result<(), FeedError> {
        let id = package.id.clone();
        let Some(version) = Version::parse(&package.version) else {
            return Err(FeedError::Version {
                id,
                version: package.version,
            });
        };
        let key = id.to_lowercase();
        let releases = self.releases(&key);
        let place = releases.partition_point(|r| r.version.precedence(&version).is_lt());
        if releases
            .get(place)
            .is_some_and(|r| r.version.precedence(&version).is_eq())
        {
            let version = version.normalized();
            return Err(FeedError::Twice { id, version });
        }
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &nupkg);
        self.commits += 1;
        let release = Release {
            hash: STANDARD.encode(hash),
            stamp: Stamp::of(self.commits),
            package,
            version,
            nupkg,
            nuspec,
        };
        let releases = self.packages.entry(key).or_default();
        releases.insert(place, release);
        Ok(())
    }

    /// Removes a version, as a deletion upstream does; whether it was there. Id and version in any
    /// spelling.
    pub fn remove(&mut self, id: &str, version: &str) -> bool {
        let (id, version) = (id.to_lowercase(), Version::parse(version));
        let (Some(releases), Some(version)) = (self.packages.get_mut(&id), version) else {
            return false;
        };
        let before = releases.len();
        releases.retain(|release| release.version.precedence(&version).is_ne());
        let removed = releases.len() < before;
        if releases.is_empty() {
            self.packages.remove(&id);
        }
        self.commits += u64::from(removed);
        removed
    }

    /// Lists a version or does not; whether it was there. Id and version in any spelling.
    pub fn list(&mut self, id: &str, version: &str, listed: bool) -> bool {
        let (id, version) = (id.to_lowercase(), Version::parse(version));
        let (Some(releases), Some(version)) = (self.packages.get_mut(&id), version) else {
            return false;
        };
        let mut same = releases
            .iter_mut()
            .filter(|release| release.version.precedence(&version).is_eq());
        let Some(release) = same.next() else {
            return false;
        };
        self.commits += 1;
        release.package.listed = listed;
        release.stamp = Stamp::of(self.commits);
        true
    }

    /// Leaves all types of this resource out of the service index (`RepositorySignatures`, …).
    #[must_use]
    pub fn without(mut self, resource: &str) -> Self {
        self.hidden.push(resource.to_owned());
        self
    }

    /// Whether the service index leaves this `@type` out.
    pub fn hides(&self, kind: &str) -> bool {
        let name = kind.split('/').next().unwrap_or(kind);
        self.hidden.iter().any(|hidden| hidden == name)
    }

    /// The releases of an id in lower case, ascending; empty for an unknown one.
    pub fn releases(&self, id: &str) -> &[Release] {
        self.packages.get(id).map_or(&[], Vec::as_slice)
    }

    /// The package file of a version, id and version in any spelling.
    pub fn nupkg(&self, id: &str, version: &str) -> Option<Bytes> {
        let version = Version::parse(version)?;
        self.releases(&id.to_lowercase())
            .iter()
            .find(|release| release.version.precedence(&version).is_eq())
            .map(|release| release.nupkg.clone())
    }

    /// Releases by id, ids in order.
    pub fn by_id(&self) -> impl Iterator<Item = &[Release]> {
        self.packages.values().map(Vec::as_slice)
    }

    /// All releases in the order they were committed.
    pub fn by_commit(&self) -> Vec<&Release> {
        let mut all: Vec<&Release> = self.packages.values().flatten().collect();
        all.sort_by_key(|release| release.stamp);
        all
    }

    /// When the feed last changed.
    pub const fn modified(&self) -> Stamp {
        Stamp::of(self.commits)
    }

    /// The document at a decoded path and query, for a base URL without trailing slash; `None`
    /// where there is nothing.
    pub fn document(&self, base: &str, path: &str, query: &str) -> Option<Document> {
        let links = Links(base);
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match segments[..] {
            ["v3", "index.json"] => Some(service::index(self, links)),
            ["v3-flatcontainer", id, "index.json"] => self.versions(id),
            ["v3-flatcontainer", id, version, file] => self.flat(id, version, file),
            ["v3", "catalog0", ref rest @ ..] => catalog::document(self, links, &rest.join("/")),
            ["v3", "vulnerabilities", "index.json"] => Some(service::vulnerabilities(self, links)),
            ["v3", folder, id, ref rest @ ..] => {
                let hive = Hive::ALL.into_iter().find(|hive| hive.folder() == folder)?;
                registration::document(self, links, hive, id, &rest.join("/"))
            }
            ["v3-vulnerabilities", ref rest @ ..] => {
                service::vulnerability_page(self, &rest.join("/"))
            }
            ["v3-index", "repository-signatures", ref rest @ ..] => {
                service::signatures(links, &rest.join("/"))
            }
            ["search-usnc" | "search-ussc", "query"] => Some(search::query(self, links, query)),
            ["search-usnc" | "search-ussc", "autocomplete"] => {
                Some(search::autocomplete(self, query))
            }
            _ => None,
        }
    }

    fn versions(&self, id: &str) -> Option<Document> {
        let releases = self.releases(id);
        let newest = releases.iter().map(|release| release.stamp).max()?;
        let versions: Vec<String> = releases.iter().map(|r| r.version.lower()).collect();
        let body = json!({ "versions": versions });
        Some(Document::json(&body, "max-age=10", newest))
    }

    fn flat(&self, id: &str, version: &str, file: &str) -> Option<Document> {
        let release = self
            .releases(id)
            .iter()
            .find(|release| release.version.lower() == version)?;
        let package = &release.package;
        let (body, content_type) = if file == format!("{id}.{version}.nupkg") {
            (release.nupkg.clone(), "application/octet-stream")
        } else if file == format!("{id}.nuspec") {
            (release.nuspec.clone(), "text/xml")
        } else if file == "icon" && package.extras {
            (Bytes::from_static(ICON), "image/png")
        } else if file == "readme" && package.extras {
            (Bytes::from(package.readme()), "text/markdown")
        } else {
            return None;
        };
        Some(Document {
            body,
            content_type,
            gzip: false,
            cache_control: "max-age=120",
            modified: release.stamp,
        })
    }
}

impl Document {
    /// A JSON document, indented as nuget.org's are.
    pub fn json(value: &Value, cache_control: &'static str, modified: Stamp) -> Self {
        Self {
            body: Bytes::from(format!("{value:#}")),
            content_type: "application/json",
            gzip: false,
            cache_control,
            modified,
        }
    }

    /// The same document, gzip-encoded.
    #[must_use]
    #[expect(clippy::expect_used, reason = "writing into memory does not fail")]
    pub fn gzipped(mut self) -> Self {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&self.body).expect("memory takes it");
        self.body = Bytes::from(encoder.finish().expect("memory takes it"));
        self.gzip = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const BASE: &str = "http://feed.test";

    fn json(feed: &ExampleFeed, path: &str) -> Value {
        let document = feed.document(BASE, path, "").unwrap();
        let mut text = Vec::new();
        if document.gzip {
            let mut decoder = flate2::read::GzDecoder::new(&document.body[..]);
            decoder.read_to_end(&mut text).unwrap();
        } else {
            text.extend_from_slice(&document.body);
        }
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn the_service_index_lists_what_is_not_hidden() {
        let count = |feed: &ExampleFeed| {
            let index = json(feed, "/v3/index.json");
            index["resources"].as_array().unwrap().len()
        };
        let feed = ExampleFeed::demo();
        assert_eq!(count(&feed), 40);
        assert_eq!(count(&feed.clone().without("RepositorySignatures")), 38);
        assert_eq!(count(&feed.without("RegistrationsBaseUrl")), 34);
    }

    #[test]
    fn what_is_known_of_a_release_is_in_its_documents() {
        let feed = ExampleFeed::demo();
        let entry = |hive: &str, id: &str, at: usize| {
            let index = json(&feed, &format!("/v3/{hive}/example.{id}/index.json"));
            index["items"][0]["items"][at]["catalogEntry"].clone()
        };
        let full = "registration5-gz-semver2";
        let http = entry(full, "http", 0);
        assert_eq!(http["vulnerabilities"][0]["severity"], "2");
        assert_eq!(
            http["dependencyGroups"][0]["dependencies"][0]["range"],
            "[1.0.0, )"
        );
        assert_eq!(
            entry("registration5-semver1", "http", 0)["vulnerabilities"],
            Value::Null
        );
        assert_eq!(
            entry(full, "legacy", 0)["published"],
            "1900-01-01T00:00:00+00:00"
        );
        assert_eq!(
            entry(full, "legacy", 1)["deprecation"]["reasons"][0],
            "Legacy"
        );
        let icon = "http://feed.test/v3-flatcontainer/example.json/1.2.0/icon";
        assert_eq!(entry(full, "json", 0)["iconUrl"], icon);
        let prose = entry(full, "core", 0);
        assert!(prose["description"].as_str().unwrap().contains(BASE));
        assert!(prose["projectUrl"].as_str().unwrap().starts_with(BASE));
        let page = "/v3-vulnerabilities/2026.01.01.00.00.00/vulnerability.base.json";
        assert_eq!(
            json(&feed, page)["example.http"][0]["versions"],
            "[0.9.0, 0.9.0]"
        );
        let leaf = "/v3/catalog0/data/2026.01.01.00.01.00/example.core.1.0.0.json";
        assert_eq!(
            json(&feed, leaf)["packageSize"],
            feed.nupkg("Example.Core", "1.0").unwrap().len()
        );
    }

    #[test]
    fn what_cannot_be_part_of_the_feed_leaves_it_as_it_was() {
        let mut feed = ExampleFeed::demo();
        let before = feed.modified();
        let refused = feed.add(Package::new("Example.New", "one"));
        let expected = "Example.New has the impossible version \"one\"";
        assert_eq!(refused.unwrap_err().to_string(), expected);
        assert!(feed.add(Package::new("EXAMPLE.CORE", "1.0+again")).is_err());
        assert!(!feed.remove("Example.New", "1.0.0"));
        assert_eq!(feed.modified(), before);
        assert!(feed.releases("example.new").is_empty());
    }
}
