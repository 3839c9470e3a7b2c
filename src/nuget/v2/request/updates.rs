//! The parameters of `GetUpdates()`: lists whose parts are separated by `|`.

use super::{Installed, Source, Updates, bad, unsupported};
use crate::nuget::id::PackageId;
use crate::nuget::range::VersionRange;
use crate::nuget::v2::RequestError;
use crate::nuget::v2::filter::IDS_MAX;
use crate::nuget::version::PackageVersion;

/// `true` or `false`, in any case; absent is `false`.
pub(super) fn switch(name: &str, value: Option<&str>) -> Result<bool, RequestError> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        Some("true") => Ok(true),
        Some("false" | "") | None => Ok(false),
        Some(_) => Err(bad(format!("{name} is neither true nor false"))),
    }
}

/// Which packages are installed, and what their updates may be.
pub(super) fn updates(
    get: &dyn Fn(&str) -> Result<Option<String>, RequestError>,
) -> Result<Source, RequestError> {
    let split = |name: &str| -> Result<Vec<String>, RequestError> {
        let text = get(name)?.unwrap_or_default();
        let parts = text.split('|').filter(|_| !text.is_empty());
        Ok(parts.map(|part| part.trim().to_owned()).collect())
    };
    let ids = split("packageIds")?;
    let versions = split("versions")?;
    let constraints = split("versionConstraints")?;
    if ids.len() != versions.len() {
        return Err(bad("packageIds and versions are not equally many"));
    }
    if !constraints.is_empty() && constraints.len() != ids.len() {
        return Err(bad(
            "packageIds and versionConstraints are not equally many",
        ));
    }
    if ids.len() > IDS_MAX {
        return Err(unsupported(format!(
            "packageIds has more than {IDS_MAX} ids"
        )));
    }
    let mut installed = Vec::new();
    for (at, (id, version)) in ids.iter().zip(&versions).enumerate() {
        let parsed = PackageVersion::parse(version);
        let allowed = constraints.get(at).map_or("", String::as_str);
        let range = VersionRange::parse(allowed);
        if !allowed.is_empty() && range.is_none() {
            return Err(bad(format!(
                "versionConstraints: {allowed:?} is no range of versions"
            )));
        }
        let version = parsed.ok_or_else(|| bad(format!("versions: {version:?} is no version")))?;
        installed.extend(PackageId::parse(id).map(|id| Installed {
            id,
            version,
            allowed: range,
        }));
    }
    let updates = Updates {
        prerelease: switch("includePrerelease", get("includePrerelease")?.as_deref())?,
        all: switch("includeAllVersions", get("includeAllVersions")?.as_deref())?,
    };
    Ok(Source::Updates(installed, updates))
}
