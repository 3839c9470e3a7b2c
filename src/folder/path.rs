//! Which document a URL below the base of a folder means.

use percent_encoding::percent_decode_str;
use url::Url;

use super::documents::Hive;
use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// Something that can be asked for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// The service index.
    ServiceIndex,
    /// The version list of an id.
    Versions(PackageId),
    /// A package, or a file out of it.
    File(PackageId, PackageVersion, Part),
    /// A registration index.
    Registration(Hive, PackageId),
    /// A registration page by its bounds.
    Page(Hive, PackageId, String, String),
    /// A registration leaf.
    Leaf(Hive, PackageId, PackageVersion),
    /// A search, by its parameters.
    Search(Vec<(String, String)>),
    /// A completion, by its parameters.
    Autocomplete(Vec<(String, String)>),
}

/// What of a package is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The archive.
    Package,
    /// Its manifest.
    Manifest,
    /// Its icon.
    Icon,
    /// Its readme.
    Readme,
    /// Its licence.
    License,
}

impl Wanted {
    /// Understands a URL; `None` when it names nothing.
    pub(super) fn parse(url: &Url, base: &str) -> Option<Self> {
        let path = url.as_str().split(['?', '#']).next()?.strip_prefix(base)?;
        let decoded = |segment: &str| {
            let text = percent_decode_str(segment).decode_utf8().ok()?;
            Some(text.into_owned())
        };
        let segments: Vec<String> = path.split('/').map(decoded).collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match *segments.as_slice() {
            ["index.json"] => Some(Self::ServiceIndex),
            ["query"] => Some(Self::Search(parameters(url))),
            ["autocomplete"] => Some(Self::Autocomplete(parameters(url))),
            ["flat", id, "index.json"] => Some(Self::Versions(PackageId::parse(id)?)),
            ["flat", id, version, name] => {
                let (id, version) = (PackageId::parse(id)?, PackageVersion::parse(version)?);
                let part = Part::of(name, &id, &version)?;
                Some(Self::File(id, version, part))
            }
            [hive, id, ref rest @ ..] => {
                let (hive, id) = (Hive::of(hive)?, PackageId::parse(id)?);
                match *rest {
                    ["index.json"] => Some(Self::Registration(hive, id)),
                    ["page", lower, upper] => {
                        let upper = upper.strip_suffix(".json")?;
                        Some(Self::Page(hive, id, lower.to_owned(), upper.to_owned()))
                    }
                    [leaf] => {
                        let version = PackageVersion::parse(leaf.strip_suffix(".json")?)?;
                        Some(Self::Leaf(hive, id, version))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Part {
    fn of(name: &str, id: &PackageId, version: &PackageVersion) -> Option<Self> {
        match name {
            "icon" => Some(Self::Icon),
            "readme" => Some(Self::Readme),
            "license" => Some(Self::License),
            _ if name == format!("{id}.{}.nupkg", version.as_str()) => Some(Self::Package),
            _ if name == format!("{id}.nuspec") => Some(Self::Manifest),
            _ => None,
        }
    }
}

fn parameters(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://folder.invalid/test/";

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let url = Url::parse(&format!("{BASE}{path}")).unwrap();
        let found =
            Wanted::parse(&url, BASE).map_or_else(String::new, |wanted| format!("{wanted:?}"));
        let plain: String = found
            .replace("PackageId", "")
            .replace('"', "")
            .chars()
            .collect();
        assert!(plain.starts_with(expected), "{path}: {plain}");
        assert_eq!(expected.is_empty(), plain.is_empty(), "{path}: {plain}");
    }

    #[test]
    fn urls_are_understood() {
        check("index.json", "ServiceIndex");
        check("flat/a.b/index.json", "Versions((a.b))");
        check("flat/%C3%A9/index.json", "Versions((é))");
        check("flat/a/1.0.0/a.1.0.0.nupkg", "File((a)");
        check("flat/a/1.0.0/a.nuspec", "File((a)");
        check("registration/a/index.json", "Registration(Plain, (a))");
        check("registration-gz/a/1.0.0.json", "Leaf(Gzip, (a)");
        check(
            "registration-gz-semver2/a/page/1.0.0/2.0.0.json",
            "Page(Full, (a), 1.0.0, 2.0.0)",
        );
        check("query?q=x%20y&take=1", "Search([(q, x y), (take, 1)])");
        check("autocomplete?id=a", "Autocomplete([(id, a)])");
    }

    #[test]
    fn what_names_nothing_is_nothing() {
        for path in [
            "",
            "flat",
            "flat/a",
            "flat/a/1.0.0/b.1.0.0.nupkg",
            "flat/a/1.0.0/a.1.0.1.nupkg",
            "flat/a/x/icon",
            "flat/a%2Fb/index.json",
            "other/a/index.json",
            "registration/a/b/c.json",
            "registration/a/1.0.0",
        ] {
            check(path, "");
        }
        let foreign = Url::parse("https://folder.invalid/other/index.json").unwrap();
        assert!(Wanted::parse(&foreign, BASE).is_none());
    }
}
