//! Documents of several feeds as one: pure functions from bytes to bytes.
//!
//! The feeds stand in the order of precedence: where two say different things about one version,
//! the earlier one is right. Members nobody here knows are kept, the earlier feed's first.
//! Invariant: what is written depends on the documents and arguments alone, so it can be memoised.

mod indexes;
mod registration;
mod search;
mod versions;

use serde_json::{Map, Value};

pub use indexes::{service_index, signatures, vulnerabilities};
pub use registration::{Registration, outer_pages, registration};
pub use search::{Found, Ids, Window, autocomplete, completed_ids, found_ids, search};
pub use versions::{completed_versions, version_set, versions};

/// What becomes of an id that several feeds have and none owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// The first feed that has the id is the only one for it.
    #[default]
    First,
    /// The versions of all feeds together; of a version that several have, the first feed's.
    United,
}

/// Why documents cannot be combined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// One is not JSON.
    #[error("a document is not json: {0}")]
    NotJson(String),
    /// One has not the members that its kind must have.
    #[error("a document has no usable `{0}`")]
    Shape(&'static str),
}

/// A document without its byte order mark, understood.
fn parse(document: &[u8]) -> Result<Value, MergeError> {
    let text = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    serde_json::from_slice(text).map_err(|error| MergeError::NotJson(error.to_string()))
}

/// An object, understood; `needed` names what it is wanted for.
fn object(document: &[u8], needed: &'static str) -> Result<Map<String, Value>, MergeError> {
    match parse(document)? {
        Value::Object(members) => Ok(members),
        _ => Err(MergeError::Shape(needed)),
    }
}

/// Takes an array out of an object.
fn take_array(
    members: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Vec<Value>, MergeError> {
    match members.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(MergeError::Shape(name)),
    }
}

/// Adds the members that `all` does not have yet.
fn add_missing(all: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        all.entry(name).or_insert(value);
    }
}

fn write(members: Map<String, Value>) -> Vec<u8> {
    Value::Object(members).to_string().into_bytes()
}
