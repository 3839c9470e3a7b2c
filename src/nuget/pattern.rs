//! Matching a request's path segments against a pattern of the protocol table.
//!
//! A pattern is a few segments such as `{id}/{version}/{id}.{version}.nupkg`. Ids and versions are
//! folded, so that every spelling of a package is one canonical path; a second mention of an id or
//! version must mean the same as the first.

use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// Most segments that `{*}` stands for.
const REST_SEGMENTS_MAX: usize = 8;

/// Length of a page token: half a SHA-256 in hexadecimal.
pub const TOKEN_LENGTH: usize = 32;

/// What the placeholders of a pattern stood for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// `{id}`.
    pub id: Option<PackageId>,
    /// `{version}`.
    pub version: Option<PackageVersion>,
    /// `{type}`: the suffix of a resource type.
    pub suffix: Option<String>,
    /// `{token}`: names a page of the upstream.
    pub token: Option<String>,
    /// The canonical path below the slug.
    pub path: String,
}

/// Matches decoded segments against `pattern`; `suffixes` are what `{type}` may be.
pub fn matches(pattern: &str, segments: &[String], suffixes: &[&str]) -> Option<Bound> {
    let mut bound = Bound::default();
    let mut canonical: Vec<String> = Vec::with_capacity(segments.len());
    let mut rest = segments.iter();
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if part == "{*}" {
            let taken = rest.as_slice();
            if taken.is_empty() || taken.len() > REST_SEGMENTS_MAX {
                return None;
            }
            canonical.extend_from_slice(taken);
            rest = [].iter();
        } else {
            canonical.push(bound.segment(part, rest.next()?, suffixes)?);
        }
    }
    if rest.next().is_some() {
        return None;
    }
    bound.path = canonical.join("/");
    Some(bound)
}

impl Bound {
    /// Matches one segment and returns its canonical spelling.
    fn segment(&mut self, part: &str, given: &str, suffixes: &[&str]) -> Option<String> {
        match part {
            "{id}" => {
                let id = PackageId::parse(given)?;
                let text = id.as_str().to_owned();
                self.id = Some(id);
                Some(text)
            }
            "{version}" => self.bind_version(given),
            "{version}.json" => {
                Some(self.bind_version(strip_extension(given, ".json")?)? + ".json")
            }
            "{id}.{version}.nupkg" => self.same_package(given),
            "{id}.nuspec" => {
                let id = PackageId::parse(strip_extension(given, ".nuspec")?)?;
                (Some(&id) == self.id.as_ref()).then(|| format!("{id}.nuspec"))
            }
            // Bounds of a page are the upstream's spelling: its URLs are opaque to clients.
            "{lower}" => PackageVersion::parse(given).map(|_| given.to_owned()),
            "{upper}.json" => {
                PackageVersion::parse(strip_extension(given, ".json")?).map(|_| given.to_owned())
            }
            "{type}" => {
                let suffix = suffixes.iter().find(|suffix| **suffix == given)?;
                self.suffix = Some((*suffix).to_owned());
                Some(given.to_owned())
            }
            "{token}" => {
                let hex = given.len() == TOKEN_LENGTH
                    && given
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                self.token = hex.then(|| given.to_owned());
                self.token.clone()
            }
            literal => (literal == given).then(|| given.to_owned()),
        }
    }

    fn bind_version(&mut self, given: &str) -> Option<String> {
        let version = PackageVersion::parse(given)?;
        let text = version.as_str().to_owned();
        self.version = Some(version);
        Some(text)
    }

    /// `{id}.{version}.nupkg` of the id and version that the folders before it named.
    fn same_package(&self, given: &str) -> Option<String> {
        let (id, version) = (self.id.as_ref()?, self.version.as_ref()?);
        let stem = strip_extension(given, ".nupkg")?;
        let cut = stem.char_indices().nth(id.as_str().chars().count())?.0;
        let (given_id, given_version) = (stem.get(..cut)?, stem.get(cut..)?.strip_prefix('.')?);
        let same =
            PackageId::parse(given_id)? == *id && PackageVersion::parse(given_version)? == *version;
        same.then(|| format!("{id}.{}.nupkg", version.as_str()))
    }
}

/// `given` without `extension`, in whatever case it is written.
fn strip_extension<'a>(given: &'a str, extension: &str) -> Option<&'a str> {
    let cut = given.len().checked_sub(extension.len())?;
    let (stem, end) = (given.get(..cut)?, given.get(cut..)?);
    (!stem.is_empty() && end.eq_ignore_ascii_case(extension)).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: Option<&str>) {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let found = matches(pattern, &segments, &["4.7.0", "5.0.0"]).map(|bound| bound.path);
        assert_eq!(found.as_deref(), expected, "{pattern} on {path}");
    }

    #[test]
    fn packages_are_folded_and_must_agree_with_their_folder() {
        let pattern = "{id}/{version}/{id}.{version}.nupkg";
        let canonical = Some("newtonsoft.json/13.0.1/newtonsoft.json.13.0.1.nupkg");
        for path in [
            "newtonsoft.json/13.0.1/newtonsoft.json.13.0.1.nupkg",
            "Newtonsoft.Json/13.0.1/Newtonsoft.Json.13.0.1.nupkg",
            "newtonsoft.json/13.0.1.0/newtonsoft.json.13.0.1.nupkg",
            "newtonsoft.json/13.0.1+build/newtonsoft.json.13.0.01+x.NUPKG",
        ] {
            check(pattern, path, canonical);
        }
        for path in [
            "newtonsoft.json/13.0.1/newtonsoft.json.13.0.2.nupkg",
            "newtonsoft.json/13.0.1/newtonsoft.13.0.1.nupkg",
            "newtonsoft.json/13.0.1/newtonsoft.json13.0.1.nupkg",
            "newtonsoft.json/13.0.1/newtonsoft.json.13.0.1",
            "newtonsoft.json/13.0.1/.nupkg",
            "newtonsoft.json/x/newtonsoft.json.x.nupkg",
            "newtonsoft.json/13.0.1",
            "newtonsoft.json/13.0.1/newtonsoft.json.13.0.1.nupkg/more",
        ] {
            check(pattern, path, None);
        }
    }

    #[test]
    fn other_shapes() {
        check("{id}/index.json", "A.B/index.json", Some("a.b/index.json"));
        check("{id}/index.json", "a.b/Index.json", None);
        check("{id}/index.json", "a..b/index.json", None);
        check(
            "{id}/{version}/{id}.nuspec",
            "A/1.0/a.nuspec",
            Some("a/1.0.0/a.nuspec"),
        );
        check("{id}/{version}/{id}.nuspec", "A/1.0/b.nuspec", None);
        check(
            "{id}/{version}.json",
            "A/1.0.0-Beta.json",
            Some("a/1.0.0-beta.json"),
        );
        check(
            "{id}/page/{lower}/{upper}.json",
            "A/page/1.0/2.0.json",
            Some("a/page/1.0/2.0.json"),
        );
        check(
            "{id}/page/{lower}/{upper}.json",
            "a/page/x/2.0.0.json",
            None,
        );
        check(
            "{type}/index.json",
            "5.0.0/index.json",
            Some("5.0.0/index.json"),
        );
        check("{type}/index.json", "6.0.0/index.json", None);
        let token = "0123456789abcdef0123456789abcdef";
        check(
            "page/{token}",
            &format!("page/{token}"),
            Some(&format!("page/{token}")),
        );
        check("page/{token}", "page/0123", None);
        check("data/{*}", "data/2015/a.json", Some("data/2015/a.json"));
        check("data/{*}", "data", None);
        check("data/{*}", "data/1/2/3/4/5/6/7/8/9", None);
    }
}
