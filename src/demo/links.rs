//! Where everything of the feed lies, below one base URL.
//!
//! The paths are nuget.org's; what it spreads over several hosts lies below several paths here.
//! Invariant: every URL in a document is made here.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::feed::Release;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A set of registrations, differing in encoding and in versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hive {
    /// Plain, without `SemVer` 2.0.0 versions.
    Plain,
    /// Always gzip-encoded, without `SemVer` 2.0.0 versions.
    Gzip,
    /// Always gzip-encoded, with all versions, vulnerabilities and deprecations.
    Full,
}

impl Hive {
    /// Every hive.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Gzip, Self::Full];

    /// Its folder below `/v3/`.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Plain => "registration5-semver1",
            Self::Gzip => "registration5-gz-semver1",
            Self::Full => "registration5-gz-semver2",
        }
    }
}

/// The base URL of the feed, without a trailing slash.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a>(pub &'a str);

impl Links<'_> {
    /// `path` below the base; it begins with a slash.
    pub fn at(self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Base of a hive, with a trailing slash.
    pub fn hive(self, hive: Hive) -> String {
        self.at(&format!("/v3/{}/", hive.folder()))
    }

    /// Registration index of a package.
    pub fn registration(self, hive: Hive, id: &str) -> String {
        format!("{}{}/index.json", self.hive(hive), segment(id))
    }

    /// Registration leaf of a release.
    pub fn leaf(self, hive: Hive, release: &Release) -> String {
        let (id, version) = (segment(&release.package.id), release.version.lower());
        format!("{}{id}/{version}.json", self.hive(hive))
    }

    /// Registration page with these bounds, as a document of its own.
    pub fn page(self, hive: Hive, id: &str, lower: &str, upper: &str) -> String {
        format!(
            "{}{}/page/{lower}/{upper}.json",
            self.hive(hive),
            segment(id)
        )
    }

    /// The package file of a release.
    pub fn nupkg(self, release: &Release) -> String {
        let (id, version) = (segment(&release.package.id), release.version.lower());
        self.at(&format!(
            "/v3-flatcontainer/{id}/{version}/{id}.{version}.nupkg"
        ))
    }

    /// The icon of a release.
    pub fn icon(self, release: &Release) -> String {
        let (id, version) = (segment(&release.package.id), release.version.lower());
        self.at(&format!("/v3-flatcontainer/{id}/{version}/icon"))
    }

    /// A document of the catalog.
    pub fn catalog(self, path: &str) -> String {
        self.at(&format!("/v3/catalog0/{path}"))
    }

    /// The catalog leaf of a release.
    pub fn catalog_leaf(self, release: &Release) -> String {
        let (id, version) = (segment(&release.package.id), release.version.lower());
        self.catalog(&format!(
            "data/{}/{id}.{version}.json",
            release.stamp.path()
        ))
    }
}

/// An id in lower case, as one path segment.
pub fn segment(id: &str) -> String {
    utf8_percent_encode(&id.to_lowercase(), SEGMENT).to_string()
}
