//! What documents of a feed say of the digest of a package's file.
//!
//! Entries of V2 and leaves of the catalog do. What says nothing, or nothing that can be understood,
//! is passed over: the documents are shown as they are in any case.

use serde::Deserialize;

use crate::nuget::id::PackageId;
use crate::nuget::v2::markup::{Part, text_of, walk};
use crate::nuget::version::PackageVersion;

/// Most digests taken from one document; a page of V2 has 100 entries.
const STATED_MAX: usize = 1000;

/// A digest of the file of a package, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The package.
    pub id: PackageId,
    /// Its version.
    pub version: PackageVersion,
    /// Name of the function, such as `SHA512`.
    pub algorithm: String,
    /// Its value in base64.
    pub value: String,
}

/// The properties that matter, of an entry or of a leaf.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    id: String,
    version: String,
    package_hash: String,
    package_hash_algorithm: String,
}

impl Written {
    fn stated(self) -> Option<Stated> {
        Some(Stated {
            id: PackageId::parse(self.id.trim())?,
            version: PackageVersion::parse(self.version.trim())?,
            algorithm: self.package_hash_algorithm.trim().to_owned(),
            value: Some(self.package_hash.trim().to_owned()).filter(|value| !value.is_empty())?,
        })
    }

    /// The property of an entry with this name.
    fn property(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "Id" => Some(&mut self.id),
            "Version" => Some(&mut self.version),
            "PackageHash" => Some(&mut self.package_hash),
            "PackageHashAlgorithm" => Some(&mut self.package_hash_algorithm),
            _ => None,
        }
    }
}

/// Those of a leaf of the catalog (`PackageDetails`).
pub fn in_leaf(document: &[u8]) -> Vec<Stated> {
    let leaf: Result<Written, _> = serde_json::from_slice(document);
    leaf.ok().and_then(Written::stated).into_iter().collect()
}

/// Those of the entries of a V2 document.
pub fn in_entries(document: &[u8]) -> Vec<Stated> {
    let Ok((text, _)) = text_of(document) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut entry = Written::default();
    let mut title = String::new();
    let walked = walk(text, |part| match *part {
        Part::Start { name, .. } => {
            if name == "entry" {
                (entry, title) = (Written::default(), String::new());
            }
            open.push(name.to_owned());
        }
        Part::Text(text) => match open.as_slice() {
            [.., parent, name] if parent == "properties" => {
                if let Some(value) = entry.property(name) {
                    value.push_str(text);
                }
            }
            [.., parent, name] if parent == "entry" && name == "title" => title.push_str(text),
            _ => {}
        },
        Part::End { .. } => {
            if open.pop().as_deref() == Some("entry") && found.len() < STATED_MAX {
                let mut ended = std::mem::take(&mut entry);
                if ended.id.is_empty() {
                    // nuget.org's own entries name the package in their title alone.
                    ended.id = std::mem::take(&mut title);
                }
                found.extend(ended.stated());
            }
        }
    });
    if walked.is_ok() { found } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(found: &[Stated]) -> Vec<String> {
        let line = |it: &Stated| {
            let (id, version) = (it.id.as_str(), it.version.as_str());
            format!("{id} {version} {} {}", it.algorithm, it.value)
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn entries_state_the_digest_of_their_file() {
        let entry = |title: &str, properties: &str| {
            format!(
                "<entry><title>{title}</title><m:properties>{properties}</m:properties></entry>"
            )
        };
        let hash = "<d:PackageHash>ab&#43;=</d:PackageHash>\
                    <d:PackageHashAlgorithm>SHA512</d:PackageHashAlgorithm>";
        let list = [
            entry("A.b", &format!("<d:Version>1.0</d:Version>{hash}")),
            entry(
                "x",
                &format!("<d:Id>B</d:Id><d:Version>2.0.0-Rc</d:Version>{hash}"),
            ),
            entry("c", "<d:Version>1.0</d:Version><d:PackageHash/>"),
            entry("d", hash),
            entry("no id", &format!("<d:Version>1.0</d:Version>{hash}")),
        ];
        let list = format!("<feed>{}</feed>", list.concat());
        let found = told(&in_entries(list.as_bytes()));
        assert_eq!(found, ["a.b 1.0.0 SHA512 ab+=", "b 2.0.0-rc SHA512 ab+="]);
        assert_eq!(in_entries(&list.as_bytes()[..list.len() - 3]), []);
        assert_eq!(in_entries(b"\xff"), []);
    }

    #[test]
    fn leaves_of_the_catalog_do() {
        let leaf = r#"{"@id":"x","id":"A","version":"1.0.0.0","packageHash":"ab==",
            "packageHashAlgorithm":"SHA512","packageSize":7}"#;
        assert_eq!(told(&in_leaf(leaf.as_bytes())), ["a 1.0.0 SHA512 ab=="]);
        for other in [r#"{"id":"A","version":"1.0.0"}"#, r#"{"id":7}"#, "[", "[]"] {
            assert_eq!(in_leaf(other.as_bytes()), [], "{other}");
        }
    }
}
