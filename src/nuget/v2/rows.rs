//! Packages as a table: one row for each version, chosen, ordered and counted.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::nuget::v2::facts::{Hit, Release};
use crate::nuget::v2::filter::{Filter, compare};
use crate::nuget::v2::property::Property;

/// All versions of a package, ascending, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    releases: Vec<Arc<Release>>,
}

/// One version of a package, among those a client can see.
#[derive(Clone, Debug)]
pub struct Row {
    package: Arc<Package>,
    at: usize,
    /// The highest listed release.
    pub latest: bool,
    /// The highest listed version, prereleases included.
    pub absolute_latest: bool,
    /// Downloads of all versions; 0 when nobody said.
    pub downloads: u64,
    /// Downloads of this version; 0 when nobody said.
    pub version_downloads: u64,
}

/// One part of `$orderby`.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// By what.
    pub property: &'static Property,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl Package {
    /// A package of these releases, in any order.
    pub fn new(mut releases: Vec<Arc<Release>>) -> Self {
        releases.sort_by(|left, right| left.parsed.cmp(&right.parsed));
        releases.dedup_by(|left, right| left.parsed == right.parsed);
        Self { releases }
    }

    /// Bytes it takes in memory, roughly.
    pub fn weight(&self) -> usize {
        self.releases.iter().map(|release| release.weight()).sum()
    }

    /// A row for each version, ascending; without `semver2`, only those that clients of `SemVer`
    /// 1.0.0 can read. The latest ones are told among these.
    pub fn rows(self: &Arc<Self>, semver2: bool) -> Vec<Row> {
        let row = |at| Row {
            package: Arc::clone(self),
            at,
            latest: false,
            absolute_latest: false,
            downloads: 0,
            version_downloads: 0,
        };
        let seen = |at: &usize| semver2 || !self.releases[*at].semver2;
        let mut rows: Vec<Row> = (0..self.releases.len()).filter(seen).map(row).collect();
        let listed = |row: &&mut Row| row.release().listed;
        if let Some(row) = rows.iter_mut().rev().find(listed) {
            row.absolute_latest = true;
        }
        let stable = |row: &&mut Row| listed(row) && !row.is_prerelease();
        if let Some(row) = rows.iter_mut().rev().find(stable) {
            row.latest = true;
        }
        rows
    }
}

impl Row {
    /// What is known of the version.
    pub fn release(&self) -> &Release {
        &self.package.releases[self.at]
    }

    /// Whether it has a prerelease label.
    pub fn is_prerelease(&self) -> bool {
        self.release().parsed.label().is_some()
    }

    /// Its title, which is the id where there is none.
    pub fn title(&self) -> &str {
        let release = self.release();
        if release.title.is_empty() {
            &release.id
        } else {
            &release.title
        }
    }

    /// With the downloads that a search told.
    #[must_use]
    pub fn counted(mut self, hit: &Hit) -> Self {
        let own = &self.release().parsed;
        let version = hit.versions.iter().find(|(version, _)| version == own);
        self.version_downloads = version.map_or(0, |(_, downloads)| *downloads);
        self.downloads = hit.downloads;
        self
    }
}

/// Keeps what the filter lets through.
pub fn choose(rows: &mut Vec<Row>, filter: Option<&Filter>) {
    if let Some(filter) = filter {
        rows.retain(|row| filter.holds(row));
    }
}

/// Sorts by the first part, then by the second, and so on; equal ones keep their order.
pub fn sort(rows: &mut [Row], orders: &[Order]) {
    rows.sort_by(|left, right| {
        let one = |order: &Order| {
            let of = order.property.of;
            let found = compare(&of(left), &of(right)).unwrap_or(Ordering::Equal);
            if order.descending {
                found.reverse()
            } else {
                found
            }
        };
        let mut unequal = orders.iter().map(one).filter(|found| found.is_ne());
        unequal.next().unwrap_or(Ordering::Equal)
    });
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::nuget::v2::{facts, property};

    /// Rows of a package `A.Id` with these versions, `!` before an unlisted one.
    pub(in super::super) fn rows(versions: &[&str], semver2: bool) -> Vec<Row> {
        let items: Vec<_> = versions
            .iter()
            .map(|version| {
                json!({ "commitTimeStamp": "2020-01-01T00:00:00Z", "catalogEntry": {
                    "id": "A.Id", "version": version.trim_start_matches('!'),
                    "listed": !version.starts_with('!'), "published": "2019-06-01T00:00:00Z",
                    "tags": ["json", "text"], "description": "It's <small>",
                } })
            })
            .collect();
        let page = json!({ "items": items }).to_string();
        let releases = facts::registration_page(page.as_bytes()).unwrap();
        Arc::new(Package::new(releases)).rows(semver2)
    }

    fn names(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| &*row.release().version).collect()
    }

    #[test]
    fn the_latest_are_listed_and_visible() {
        let all = ["2.0.0", "1.0", "!3.0.0", "2.1-rc", "2.1.0-rc.2", "1.0.0.0"];
        let found = |semver2| {
            let rows = rows(&all, semver2);
            let of = |flag: fn(&Row) -> bool| {
                let flagged: Vec<_> = rows.iter().filter(|row| flag(row)).collect();
                assert_eq!(flagged.len(), 1);
                flagged[0].release().version.clone()
            };
            (
                of(|row| row.latest),
                of(|row| row.absolute_latest),
                rows.len(),
            )
        };
        assert_eq!(found(false), ("2.0.0".into(), "2.1-rc".into(), 4));
        assert_eq!(found(true), ("2.0.0".into(), "2.1.0-rc.2".into(), 5));
        let none = rows(&["!1.0.0"], true);
        assert!(none.iter().all(|row| !row.latest && !row.absolute_latest));
    }

    #[test]
    fn versions_are_ordered_by_precedence() {
        let mut found = rows(&["1.10.0", "1.9.0", "1.9.0-a"], true);
        let version = property::of_name("Version").unwrap();
        for (descending, expected) in [
            (true, ["1.10.0", "1.9.0", "1.9.0-a"]),
            (false, ["1.9.0-a", "1.9.0", "1.10.0"]),
        ] {
            let order = Order {
                property: version,
                descending,
            };
            sort(&mut found, &[order]);
            assert_eq!(names(&found), expected);
        }
    }

    #[test]
    fn downloads_are_those_of_the_search() {
        let hits = br#"{"data":[{"id":"a.id","totalDownloads":9,"versions":[{"version":"1.0.0","downloads":4}]}]}"#;
        let hits = facts::search(hits).unwrap();
        let row = rows(&["1.0"], true).remove(0).counted(&hits.hits[0]);
        assert_eq!((row.downloads, row.version_downloads), (9, 4));
    }
}
