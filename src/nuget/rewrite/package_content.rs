//! Builds the download URL of a registration leaf whose own one lies under no known base.
//!
//! Some feeds name packages by another host than their service index does; a client that downloads
//! from `packageContent` would pass us by. The id and version of the leaf say what our URL must be.
//! This is a second look at the object around the link and taken only for such links.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// What may stand in a path segment as it is (RFC 3986 section 2.3, "unreserved").
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How many times the length of the document may be parsed in second looks: a leaf and the catalog
/// entry inside it are two. Only objects nested for the purpose need more.
const LOOKS: usize = 4;

/// Derives download paths of one document.
pub(super) struct Synthesis<'a> {
    text: &'a str,
    budget: usize,
}

impl<'a> Synthesis<'a> {
    /// For a document that is valid JSON.
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            budget: text.len().saturating_mul(LOOKS),
        }
    }

    /// Our path below `/v3/` of the package that the object at this offset describes: by its own
    /// `id` and `version` or those of its `catalogEntry`. `None` when it has neither, or when the
    /// document has used up its looks.
    pub(super) fn path(&mut self, object: usize) -> Option<String> {
        let rest = self.text.get(object..)?;
        if self.budget == 0 {
            return None;
        }
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let object = objects.next()?.ok()?.get();
        self.budget = self.budget.saturating_sub(object.len());
        let leaf: Value = serde_json::from_str(object).ok()?;
        let entry = match leaf.get("catalogEntry") {
            Some(entry) if entry.is_object() => entry,
            _ => &leaf,
        };
        let id = PackageId::parse(entry.get("id")?.as_str()?)?;
        let version = PackageVersion::parse(entry.get("version")?.as_str()?)?;
        let id = utf8_percent_encode(id.as_str(), ESCAPED);
        Some(format!("flat/{id}/{version}/{id}.{version}.nupkg"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: &str, path: Option<&str>) {
        assert_eq!(Synthesis::new(object).path(0).as_deref(), path, "{object}");
    }

    #[test]
    fn the_entry_or_the_object_itself_names_the_package() {
        let path = Some("flat/a.b/1.0.0-rc/a.b.1.0.0-rc.nupkg");
        check(
            r#"{"catalogEntry":{"id":"A.B","version":"1.0-RC+x"}} trailing"#,
            path,
        );
        check(r#"{"version":"1.0.0.0-rc","id":"A.B"}"#, path);
        check(
            r#"{"catalogEntry":"https://h/x","version":"1.0-rc","id":"a.b"}"#,
            path,
        );
        check(
            r#"{"id":"Übung","version":"1"}"#,
            Some("flat/%C3%BCbung/1.0.0/%C3%BCbung.1.0.0.nupkg"),
        );
    }

    #[test]
    fn what_names_no_package_gives_none() {
        check(r#"{"catalogEntry":"https://h/x"}"#, None);
        check(r#"{"id":"a"}"#, None);
        check(r#"{"id":"../a","version":"1.0"}"#, None);
        check(r#"{"id":"a","version":"latest"}"#, None);
        check(r#"{"id":1,"version":"1.0"}"#, None);
    }

    #[test]
    fn second_looks_are_bounded() {
        let object = r#"{"id":"a","version":"1"}"#;
        let mut synthesis = Synthesis::new(object);
        let found = (0..9).filter(|_| synthesis.path(0).is_some()).count();
        assert_eq!(found, LOOKS);
    }
}
