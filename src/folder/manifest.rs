//! What a package says about itself: the facts of its manifest (`.nuspec`).
//!
//! Read as the official client reads it (NuGet documentation, ".nuspec reference"): names in any
//! case, missing members are missing. Long prose is cut, because every manifest of a folder is
//! kept in memory. Invariant: id and version are ones a client can ask for.

use super::xml::{self, Element};
use crate::nuget::id::PackageId;
use crate::nuget::range::VersionRange;
use crate::nuget::version::PackageVersion;

/// Characters of one text that are kept; nuget.org admits 4,000 of a description.
const TEXT_MAX: usize = 16 * 1024;

/// Most dependencies, tags or package types of a package that are kept.
const MEMBERS_MAX: usize = 4_000;

/// The facts of one manifest.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// Folded id.
    pub(super) key: PackageId,
    /// Normalised version.
    pub(super) version: PackageVersion,
    /// Id as its author writes it.
    pub(super) id: String,
    /// Version as documents show it: normalised numbers, the label's case and the build metadata
    /// kept.
    pub(super) full: String,
    /// Whether clients from before NuGet 4.3 cannot use it (`SemVer` 2.0.0).
    pub(super) semver2: bool,
    /// Title; empty if it has none.
    pub(super) title: String,
    /// Authors, in one text.
    pub(super) authors: String,
    /// Owners, in one text.
    pub(super) owners: String,
    /// Description.
    pub(super) description: String,
    /// Summary.
    pub(super) summary: String,
    /// Language.
    pub(super) language: String,
    /// Tags.
    pub(super) tags: Vec<String>,
    /// Project page.
    pub(super) project_url: String,
    /// Icon on the web.
    pub(super) icon_url: String,
    /// Page of the licence.
    pub(super) license_url: String,
    /// Licence expression.
    pub(super) license_expression: String,
    /// Files of the archive that are served beside it.
    pub(super) extras: Extras,
    /// Whether the licence must be accepted.
    pub(super) require_license_acceptance: bool,
    /// Oldest client that can use it.
    pub(super) min_client_version: String,
    /// Names of its package types; none where they are not known.
    pub(super) types: Vec<String>,
    /// What it needs, by framework.
    pub(super) groups: Vec<Group>,
}

/// Paths of files in the archive, as the manifest writes them.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    /// Icon.
    pub(super) icon: Option<String>,
    /// Readme.
    pub(super) readme: Option<String>,
    /// Licence.
    pub(super) license: Option<String>,
}

/// What a package needs on one framework, or on all.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The framework as the manifest writes it.
    pub(super) framework: Option<String>,
    /// What it needs there.
    pub(super) dependencies: Vec<Dependency>,
}

/// A package that another one needs.
#[derive(Clone, Debug)]
pub(super) struct Dependency {
    /// Its id as the manifest writes it.
    pub(super) id: String,
    /// The range in interval notation, as documents show it.
    pub(super) range: String,
}

impl Manifest {
    /// Reads the bytes of a manifest.
    ///
    /// # Errors
    /// Text for people when they are none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let root = xml::parse(&xml::decode(bytes)?)?;
        let metadata = root.child("metadata").ok_or("it has no `metadata`")?;
        let text = |name: &str| metadata.text_of(name).map(shortened).unwrap_or_default();
        let id = text("id");
        let key = PackageId::parse(&id).ok_or_else(|| format!("{id:?} is no package id"))?;
        let written = text("version");
        let version =
            PackageVersion::parse(&written).ok_or_else(|| format!("{written:?} is no version"))?;
        let groups = groups(metadata);
        let license = metadata.child("license");
        let license = |kind: &str| {
            license
                .filter(|own| {
                    own.attribute("type")
                        .is_some_and(|own| own.eq_ignore_ascii_case(kind))
                })
                .map(|own| shortened(own.text.trim()))
        };
        Ok(Self {
            full: full(&version, &written),
            semver2: is_semver2(&written) || needs_semver2(metadata),
            key,
            version,
            id,
            title: text("title"),
            authors: text("authors"),
            owners: text("owners"),
            description: text("description"),
            summary: text("summary"),
            language: text("language"),
            tags: words(&text("tags")),
            project_url: text("projectUrl"),
            icon_url: text("iconUrl"),
            license_url: text("licenseUrl"),
            license_expression: license("expression").unwrap_or_default(),
            extras: Extras {
                icon: metadata.text_of("icon").map(str::to_owned),
                readme: metadata.text_of("readme").map(str::to_owned),
                license: license("file"),
            },
            require_license_acceptance: text("requireLicenseAcceptance")
                .eq_ignore_ascii_case("true"),
            min_client_version: metadata
                .attribute("minClientVersion")
                .map(shortened)
                .unwrap_or_default(),
            types: types(metadata),
            groups,
        })
    }

    /// What the name of a package tells; types are not known.
    pub(super) fn bare(key: PackageId, version: PackageVersion) -> Self {
        let text = version.as_str().to_owned();
        Self {
            id: key.as_str().to_owned(),
            semver2: is_semver2(&text),
            full: text,
            key,
            version,
            title: String::new(),
            authors: String::new(),
            owners: String::new(),
            description: String::new(),
            summary: String::new(),
            language: String::new(),
            tags: Vec::new(),
            project_url: String::new(),
            icon_url: String::new(),
            license_url: String::new(),
            license_expression: String::new(),
            extras: Extras::default(),
            require_license_acceptance: false,
            min_client_version: String::new(),
            types: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Whether it is a prerelease.
    pub(super) fn is_prerelease(&self) -> bool {
        self.version.label().is_some()
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split([' ', ',', ';', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty())
        .take(MEMBERS_MAX)
        .map(str::to_owned)
        .collect()
}

/// A package without a type is a dependency (NuGet documentation, "Set a NuGet package type").
fn types(metadata: &Element) -> Vec<String> {
    let listed = metadata.child("packageTypes");
    let names = listed
        .into_iter()
        .flat_map(|types| types.all("packageType"));
    let mut names: Vec<String> = names
        .filter_map(|own| own.attribute("name").map(shortened))
        .take(MEMBERS_MAX)
        .collect();
    if names.is_empty() {
        names.push("Dependency".to_owned());
    }
    names
}

/// Dependencies stand in groups, or, in manifests of NuGet 1, directly below `dependencies`.
fn groups(metadata: &Element) -> Vec<Group> {
    let Some(list) = metadata.child("dependencies") else {
        return Vec::new();
    };
    let flat = list.child("dependency").map(|_| Group {
        framework: None,
        dependencies: dependencies(list),
    });
    let grouped = list.all("group").map(|group| Group {
        framework: group.attribute("targetFramework").map(shortened),
        dependencies: dependencies(group),
    });
    flat.into_iter().chain(grouped).take(MEMBERS_MAX).collect()
}

fn dependencies(parent: &Element) -> Vec<Dependency> {
    parent
        .all("dependency")
        .filter_map(|own| {
            let id = own.attribute("id")?;
            PackageId::parse(id)?;
            Some(Dependency {
                id: id.to_owned(),
                range: interval(own.attribute("version").unwrap_or_default()),
            })
        })
        .take(MEMBERS_MAX)
        .collect()
}

/// A range in the notation of `VersionRange.ToNormalizedString` of the official client; a missing
/// or unreadable one is any version.
fn interval(text: &str) -> String {
    if VersionRange::parse(text).is_none() {
        return "(, )".to_owned();
    }
    let end = |text: &str| {
        let text = text.trim();
        PackageVersion::parse(text).map_or_else(String::new, |version| full(&version, text))
    };
    let bare = |char: char| matches!(char, '[' | ']' | '(' | ')');
    let inner = text.trim().trim_matches(bare);
    let Some((low, high)) = inner.split_once(',') else {
        let only = end(inner);
        return if text.trim().starts_with('[') {
            format!("[{only}, {only}]")
        } else {
            format!("[{only}, )")
        };
    };
    let text = text.trim();
    let open = if text.starts_with('[') { '[' } else { '(' };
    let close = if text.ends_with(']') { ']' } else { ')' };
    format!("{open}{}, {}{close}", end(low), end(high))
}

/// Normalised numbers with the label and metadata as written.
fn full(version: &PackageVersion, written: &str) -> String {
    let normal = version.as_str();
    let numbers = normal.split('-').next().unwrap_or(normal);
    let (before, metadata) = written
        .split_once('+')
        .map_or((written, None), |(before, metadata)| {
            (before, Some(metadata))
        });
    let mut text = numbers.to_owned();
    if let Some((_, label)) = before.split_once('-') {
        text.push('-');
        text.push_str(label);
    }
    if let Some(metadata) = metadata {
        text.push('+');
        text.push_str(metadata);
    }
    text
}

/// A dotted label or build metadata (NuGet documentation, "Package versioning", section "Semantic
/// Versioning 2.0.0").
fn is_semver2(written: &str) -> bool {
    let (before, metadata) = written
        .split_once('+')
        .map_or((written, false), |(before, _)| (before, true));
    metadata
        || before
            .split_once('-')
            .is_some_and(|(_, label)| label.contains('.'))
}

/// A package that needs such a version is one itself.
fn needs_semver2(metadata: &Element) -> bool {
    let list = metadata.child("dependencies");
    let flat = list.into_iter().flat_map(|list| list.all("dependency"));
    let groups = list.into_iter().flat_map(|list| list.all("group"));
    let grouped = groups.flat_map(|group| group.all("dependency"));
    flat.chain(grouped)
        .filter_map(|own| own.attribute("version"))
        .flat_map(|range| range.split(','))
        .any(|end| is_semver2(end.trim_matches(|char: char| "[]() ".contains(char))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(metadata: &str) -> Result<Manifest, String> {
        Manifest::parse(format!("<package xmlns=\"urn:x\">{metadata}</package>").as_bytes())
    }

    #[test]
    fn a_manifest_is_read_whole() {
        let found = manifest(
            "<metadata minClientVersion=\"2.12\"><id>Some.Id</id><version>01.0.0.0-Beta+b.1</version>\
             <authors>A, B</authors><description> d &amp; e </description><tags>x,y  z</tags>\
             <license type=\"expression\">MIT</license><icon>img\\i.png</icon><readme>R.md</readme>\
             <requireLicenseAcceptance>True</requireLicenseAcceptance>\
             <packageTypes><packageType name=\"DotnetTool\"/></packageTypes>\
             <dependencies><group targetFramework=\"net8.0\"><dependency id=\"O\" version=\"1.0\"/></group>\
             <group/></dependencies></metadata>",
        )
        .unwrap();
        assert_eq!(found.key.as_str(), "some.id");
        assert_eq!(
            (found.version.as_str(), &*found.full),
            ("1.0.0-beta", "1.0.0-Beta+b.1")
        );
        assert!(found.semver2 && found.require_license_acceptance && found.is_prerelease());
        assert_eq!(found.description, "d & e");
        assert_eq!(found.tags, ["x", "y", "z"]);
        assert_eq!(found.license_expression, "MIT");
        assert_eq!(found.extras.icon.as_deref(), Some("img\\i.png"));
        assert_eq!(found.types, ["DotnetTool"]);
        assert_eq!(found.min_client_version, "2.12");
        let groups: Vec<_> = found
            .groups
            .iter()
            .map(|group| (group.framework.as_deref(), group.dependencies.len()))
            .collect();
        assert_eq!(groups, [(Some("net8.0"), 1), (None, 0)]);
    }

    #[test]
    fn old_manifests_have_dependencies_without_groups() {
        let found = manifest(
            "<metadata><id>a</id><version>1</version><dependencies>\
             <dependency id=\"b\"/><dependency id=\"../c\"/></dependencies></metadata>",
        )
        .unwrap();
        assert_eq!(found.types, ["Dependency"]);
        assert_eq!(found.groups.len(), 1);
        assert_eq!(found.groups[0].dependencies.len(), 1);
        assert_eq!(found.groups[0].dependencies[0].range, "(, )");
    }

    #[test]
    fn ranges_are_written_out() {
        for (text, expected) in [
            ("1.0", "[1.0.0, )"),
            ("[1.0]", "[1.0.0, 1.0.0]"),
            ("[1.0,2.0)", "[1.0.0, 2.0.0)"),
            ("(,1.0-Rc]", "(, 1.0.0-Rc]"),
            (" ( 0.9 , 1.0.0.0 ] ", "(0.9.0, 1.0.0]"),
            ("1.*", "(, )"),
            ("", "(, )"),
        ] {
            assert_eq!(interval(text), expected, "{text}");
        }
    }

    #[test]
    fn semver2_is_told_by_version_and_dependencies() {
        for (version, range, expected) in [
            ("1.0.0-beta", "1.0", false),
            ("1.0.0-beta.1", "1.0", true),
            ("1.0.0+x", "1.0", true),
            ("1.0.0", "[1.0.0-a.1, 2.0)", true),
            ("1.0.0", "[1.0.0-a, 2.0.0+x)", true),
            ("1.0.0-a-b", "[1.0.0-a-b]", false),
        ] {
            let found = manifest(&format!(
                "<metadata><id>a</id><version>{version}</version><dependencies><group>\
                 <dependency id=\"b\" version=\"{range}\"/></group></dependencies></metadata>"
            ));
            assert_eq!(found.unwrap().semver2, expected, "{version} {range}");
        }
    }

    #[test]
    fn what_is_no_manifest_says_why() {
        let check = |metadata: &str, why: &str| {
            let error = manifest(metadata).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        check("<x/>", "metadata");
        check(
            "<metadata><id>../a</id><version>1</version></metadata>",
            "no package id",
        );
        check(
            "<metadata><id>a</id><version>x</version></metadata>",
            "no version",
        );
    }
}
