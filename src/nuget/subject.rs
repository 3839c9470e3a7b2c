//! Packages as people name them to commands, and the keys of all that is stored of them.
//!
//! `ID`, `ID@VERSION` or a beginning of ids, `Contoso.*`. Keys are those of [`crate::nuget::route`]:
//! the prefixes follow from the patterns of the protocol table, so that a kind of document that is
//! added there is found here.

use std::fmt;
use std::str::FromStr;

use crate::nuget::owner::IdPattern;
use crate::nuget::resource::{RESOURCES, Resource};
use crate::nuget::version::PackageVersion;

/// The name of the rule of the archives that packages are.
pub const ARCHIVE: &str = "nupkg";

/// A package, one version of it, or all packages whose ids begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    ids: IdPattern,
    version: Option<PackageVersion>,
}

impl Subject {
    /// One version of what `text` names, or all of it.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(text: &str, version: Option<&str>) -> Result<Self, String> {
        let ids: IdPattern = text.parse().map_err(|why| format!("`{text}` {why}"))?;
        if ids.is_all() {
            return Err("`*` alone is not taken: name the beginning of an id".to_owned());
        }
        let parse = |text: &str| {
            let version = PackageVersion::parse(text);
            version.ok_or_else(|| format!("`{text}` is no package version"))
        };
        let version = version.map(parse).transpose()?;
        if version.is_some() && !ids.is_exact() {
            return Err(format!("`{text}` names many packages: give no version"));
        }
        Ok(Self { ids, version })
    }

    /// How the keys at these feeds begin of everything that is about it alone: of a version the
    /// package, what lies beside it and its registration leaf; else all documents.
    pub fn prefixes<'a>(&self, feeds: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let id = self.ids.text();
        let mut tails: Vec<String> = Vec::new();
        for resource in RESOURCES {
            for rule in resource.docs {
                let mut parts = rule.pattern.split('/');
                if parts.next() != Some("{id}") {
                    continue;
                }
                let slug = resource.slug;
                tails.push(match (&self.version, parts.next()) {
                    (None, _) if self.ids.is_exact() => format!("{slug}/{id}/"),
                    (None, _) => format!("{slug}/{id}"),
                    (Some(version), Some("{version}")) => format!("{slug}/{id}/{version}/"),
                    (Some(version), Some("{version}.json")) => {
                        format!("{slug}/{id}/{version}.json")
                    }
                    (Some(_), _) => continue,
                });
            }
        }
        tails.sort_unstable();
        tails.dedup();
        let of_feed = |feed| tails.iter().map(move |tail| format!("{feed}/{tail}"));
        feeds.into_iter().flat_map(of_feed).collect()
    }
}

/// How the keys at a feed begin of packages, the archives themselves, whose ids begin with `ids`, in
/// any case; nothing when no id begins so.
pub fn archives(feed: &str, ids: &str) -> Option<String> {
    let ids: IdPattern = format!("{ids}*").parse().ok()?;
    let has_archives = |row: &&Resource| row.docs.iter().any(|rule| rule.name == ARCHIVE);
    let row = RESOURCES.iter().find(has_archives)?;
    Some(format!("{feed}/{}/{}", row.slug, ids.text()))
}

impl FromStr for Subject {
    type Err = String;

    /// `ID`, `ID@VERSION` or `BEGINNING*`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('@') {
            Some((ids, version)) => Self::new(ids, Some(version)),
            None => Self::new(text, None),
        }
    }
}

impl fmt::Display for Subject {
    /// One spelling for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.ids),
            None => write!(f, "{}", self.ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nuget::route;

    /// Which of some documents are covered.
    #[track_caller]
    fn check(text: &str, shown: &str, expected: &[&str]) {
        let subject: Subject = text.parse().unwrap();
        assert_eq!(subject.to_string(), shown);
        let prefixes = subject.prefixes(["f", "g"]);
        let documents = [
            "flat/some.id/index.json",
            "flat/some.id/1.0.0/some.id.1.0.0.nupkg",
            "flat/some.id/1.0.0/some.id.nuspec",
            "flat/some.id/1.0.0-a/some.id.1.0.0-a.nupkg",
            "registration/some.id/index.json",
            "registration/some.id/1.0.0.json",
            "registration/some.id/page/1.0.0/2.0.0.json",
            "flat/some.identity/index.json",
            "flat/some.id.more/index.json",
            "query?q=some.id",
            "index.json",
        ];
        let covered = |path: &&&str| {
            let (path, query) = match path.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (**path, None),
            };
            let key = route::parse(path, query).unwrap().key("g");
            prefixes.iter().any(|it| key.as_str().starts_with(it))
        };
        let found: Vec<&str> = documents.iter().filter(covered).copied().collect();
        assert_eq!(found, expected, "{text}: {prefixes:?}");
    }

    #[test]
    fn prefixes_cover_what_is_about_the_package_and_nothing_else() {
        check(
            "Some.ID",
            "some.id",
            &[
                "flat/some.id/index.json",
                "flat/some.id/1.0.0/some.id.1.0.0.nupkg",
                "flat/some.id/1.0.0/some.id.nuspec",
                "flat/some.id/1.0.0-a/some.id.1.0.0-a.nupkg",
                "registration/some.id/index.json",
                "registration/some.id/1.0.0.json",
                "registration/some.id/page/1.0.0/2.0.0.json",
            ],
        );
        check(
            "some.id@1.0",
            "some.id@1.0.0",
            &[
                "flat/some.id/1.0.0/some.id.1.0.0.nupkg",
                "flat/some.id/1.0.0/some.id.nuspec",
                "registration/some.id/1.0.0.json",
            ],
        );
        check("Some.Id.*", "some.id.*", &["flat/some.id.more/index.json"]);
    }

    #[test]
    fn archives_begin_as_their_keys_do() {
        let path = "flat/some.id/1.0.0/some.id.1.0.0.nupkg";
        let key = route::parse(path, None).unwrap().key("f");
        for (ids, expected) in [
            ("", true),
            ("Some", true),
            ("some.id", true),
            ("other", false),
        ] {
            let prefix = archives("f", ids).unwrap();
            assert_eq!(key.as_str().starts_with(&prefix), expected, "{prefix}");
        }
        assert_eq!(archives("f", "a/../b"), None);
    }

    #[test]
    fn what_names_no_package_is_refused() {
        for text in ["", "*", "a b", "a@", "a@x", "a.*@1.0.0", "*a", "a/b"] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }
}
