//! Version lists of several feeds as one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::{MergeError, add_missing, object, parse, take_array, write};
use crate::nuget::version::PackageVersion;

/// The versions of a version list; what is no version is left out, as it can be asked for nowhere.
pub fn version_set(document: &[u8]) -> Result<HashSet<PackageVersion>, MergeError> {
    let versions = take_array(&mut object(document, "versions")?, "versions")?;
    let parsed = versions.iter().filter_map(parsed);
    Ok(parsed.collect())
}

/// The version lists as one: normalised, in lower case, ascending, each version once (NuGet
/// documentation, "Package Content", section "Enumerate package versions").
pub fn versions<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, MergeError> {
    let mut all = Map::new();
    let mut versions = BTreeSet::new();
    for document in documents {
        let mut members = object(document, "versions")?;
        let own = take_array(&mut members, "versions")?;
        versions.extend(own.iter().filter_map(parsed));
        add_missing(&mut all, members);
    }
    let versions = versions.iter().map(|version| Value::from(version.as_str()));
    all.insert("versions".to_owned(), versions.collect());
    Ok(write(all))
}

/// Answers of autocompletion to `id=` as one: ascending, each version once, as the first feed that
/// has it spells it. A bare list, as old servers send it, is read too.
pub fn completed_versions<'a>(
    documents: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, MergeError> {
    let mut all = Map::new();
    let mut versions = BTreeMap::new();
    for document in documents {
        let own = match parse(document)? {
            Value::Array(own) => own,
            Value::Object(mut members) => {
                let own = take_array(&mut members, "data")?;
                add_missing(&mut all, members);
                own
            }
            _ => return Err(MergeError::Shape("data")),
        };
        for version in own {
            if let Some(parsed) = parsed(&version) {
                versions.entry(parsed).or_insert(version);
            }
        }
    }
    all.insert("totalHits".to_owned(), Value::from(versions.len()));
    all.insert("data".to_owned(), versions.into_values().collect());
    Ok(write(all))
}

fn parsed(version: &Value) -> Option<PackageVersion> {
    PackageVersion::parse(version.as_str()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn united(documents: &[&str]) -> Value {
        let bytes = versions(documents.iter().map(|text| text.as_bytes())).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn lists_are_united_normalised_and_sorted() {
        let first = "\u{feff}{\"versions\":[\"1.0.0\",\"2.0.0-Beta\",\"10.0\"],\"own\":1}";
        let second = r#"{"versions":["1.0","1.5.0","nonsense",7],"own":2,"more":{"a":[]}}"#;
        assert_eq!(
            united(&[first, second]),
            json!({"own": 1, "more": {"a": []},
                "versions": ["1.0.0", "1.5.0", "2.0.0-beta", "10.0.0"]})
        );
        let set = version_set(second.as_bytes()).unwrap();
        assert_eq!(set.len(), 2);
        assert!(set.contains(&PackageVersion::parse("1.0.0.0").unwrap()));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let bad = |text: &str| versions([text.as_bytes()]).unwrap_err();
        assert!(matches!(bad("{"), MergeError::NotJson(_)));
        assert_eq!(bad("[]"), MergeError::Shape("versions"));
        assert_eq!(bad(r#"{"versions":{}}"#), MergeError::Shape("versions"));
    }

    #[test]
    fn completions_keep_the_spelling_of_the_first() {
        let documents = [
            r#"["2.0.0+A","1.0"]"#,
            r#"{"data":["2.0.0","3.0.0"],"x":1}"#,
        ];
        let bytes = completed_versions(documents.map(str::as_bytes)).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            value,
            json!({"x": 1, "totalHits": 3, "data": ["1.0", "2.0.0+A", "3.0.0"]})
        );
        let none = completed_versions([]).unwrap();
        assert_eq!(none, br#"{"totalHits":0,"data":[]}"#);
    }

    proptest! {
        #[test]
        fn a_union_has_each_version_once_in_order(
            left in proptest::collection::vec("[0-3]\\.[0-3](\\.0)?(-a)?", 0..8),
            right in proptest::collection::vec("[0-3]\\.[0-3](\\.0)?(-a)?", 0..8)
        ) {
            let text = |versions: &[String]| json!({"versions": versions}).to_string();
            let (left, right) = (text(&left), text(&right));
            let both = versions([left.as_bytes(), right.as_bytes()]).unwrap();
            let list: Value = serde_json::from_slice(&both).unwrap();
            let list = list["versions"].as_array().unwrap().clone();
            let parsed: Vec<_> = list.iter().filter_map(parsed).collect();
            prop_assert!(parsed.is_sorted_by(|one, other| one < other));
            let mut expected = version_set(left.as_bytes()).unwrap();
            expected.extend(version_set(right.as_bytes()).unwrap());
            prop_assert_eq!(parsed.into_iter().collect::<HashSet<_>>(), expected);
            let again = versions([both.as_slice(), left.as_bytes()]).unwrap();
            prop_assert_eq!(again, both);
        }
    }
}
