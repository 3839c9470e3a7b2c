//! What a downloaded package says it needs.
//!
//! Reads manifests as the example feed writes them: no entities in ids and ranges, no comments.
//! Of several dependency groups that of the project's framework counts, else the one for every
//! framework; frameworks that are merely compatible are not looked for.

use std::borrow::Cow;
use std::io::{Cursor, Read as _};

use bytes::Bytes;
use zip::ZipArchive;

use crate::nuget::id::PackageId;
use crate::nuget::range::VersionRange;

/// Longest manifest in bytes.
const SIZE_MAX: u64 = 1 << 20;

/// A package that is needed, and which versions of it will do.
#[derive(Clone, Debug)]
pub struct Need {
    /// Its id.
    pub id: PackageId,
    /// Its versions.
    pub range: VersionRange,
}

/// Why a package's needs are not known.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no archive, or has none.
    #[error("the package cannot be opened: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// It cannot be unpacked.
    #[error("the manifest cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// There is none.
    #[error("the package has no manifest")]
    None,
    /// A dependency without an id or without a range.
    #[error("<{0}> is no dependency")]
    Dependency(String),
}

/// What a package (`.nupkg`) needs in a project for `framework` (`net8.0`).
///
/// # Errors
/// [`ManifestError`] as described there.
pub fn needs(nupkg: &Bytes, framework: &str) -> Result<Vec<Need>, ManifestError> {
    let mut archive = ZipArchive::new(Cursor::new(nupkg.clone()))?;
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.map(Cow::into_owned))
        .collect::<Result<_, _>>()?;
    let name = names
        .iter()
        .find(|name| name.ends_with(".nuspec") && !name.contains('/'))
        .ok_or(ManifestError::None)?;
    let mut manifest = String::new();
    archive
        .by_name(name)?
        .take(SIZE_MAX)
        .read_to_string(&mut manifest)?;
    let mut groups = groups(&manifest)?;
    let of = |wanted: Option<&str>| groups.iter().position(|(name, _)| *name == wanted);
    let chosen = of(Some(framework)).or_else(|| of(None));
    Ok(chosen.map_or_else(Vec::new, |at| groups.swap_remove(at).1))
}

type Group<'a> = (Option<&'a str>, Vec<Need>);

fn groups(manifest: &str) -> Result<Vec<Group<'_>>, ManifestError> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for tag in manifest
        .split('<')
        .filter_map(|rest| rest.split('>').next())
    {
        match tag.split([' ', '/']).next() {
            Some("group") => groups.push((attribute(tag, "targetFramework"), Vec::new())),
            Some("dependency") => {
                let need = need(tag).ok_or_else(|| ManifestError::Dependency(tag.to_owned()))?;
                match groups.last_mut() {
                    Some((_, needs)) => needs.push(need),
                    None => groups.push((None, vec![need])),
                }
            }
            _ => {}
        }
    }
    Ok(groups)
}

fn need(tag: &str) -> Option<Need> {
    Some(Need {
        id: PackageId::parse(attribute(tag, "id")?)?,
        range: VersionRange::parse(attribute(tag, "version")?)?,
    })
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = tag.split_once(&format!(" {name}=\""))?;
    value.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Package;

    #[track_caller]
    fn check(package: &Package, framework: &str, expected: &[&str]) {
        let needs = needs(&package.nupkg().unwrap(), framework).unwrap();
        let ids: Vec<_> = needs.iter().map(|need| need.id.as_str()).collect();
        assert_eq!(ids, expected, "{framework}");
    }

    #[test]
    fn the_group_of_the_framework_counts_before_that_of_every_one() {
        let package = Package::new("Some.Id", "1.0")
            .needs("Every", "[1.0, 2.0)")
            .needs_on("net8.0", "Eight", "1.0")
            .needs("Other", "1.0");
        check(&package, "net8.0", &["eight"]);
        check(&package, "net6.0", &["every", "other"]);
        check(&Package::new("Some.Id", "1.0"), "net8.0", &[]);
        let only_old = Package::new("Some.Id", "1.0").needs_on("net45", "Old", "1.0");
        check(&only_old, "net8.0", &[]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let floating = Package::new("Some.Id", "1.0").needs("Other", "1.*");
        for (nupkg, expected) in [
            (Bytes::from_static(b"PK"), "the package cannot be opened"),
            (floating.nupkg().unwrap(), "<dependency id=\"Other\""),
        ] {
            let error = needs(&nupkg, "net8.0").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
