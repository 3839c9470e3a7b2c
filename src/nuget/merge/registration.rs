//! Registrations of several feeds as one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{MergeError, add_missing, object, take_array, write};
use crate::nuget::version::PackageVersion;

/// Versions on a page, as nuget.org has it.
const PAGE: usize = 64;

/// A registration index and, in its order, the pages that are not inside it.
pub struct Registration<'a> {
    /// The index.
    pub index: &'a [u8],
    /// The pages that [`outer_pages`] names.
    pub pages: Vec<&'a [u8]>,
}

/// Where the pages are that a registration index only names.
pub fn outer_pages(index: &[u8]) -> Result<Vec<String>, MergeError> {
    let pages = take_array(&mut object(index, "items")?, "items")?;
    let outer = pages.iter().filter(|page| page.get("items").is_none());
    outer
        .map(|page| {
            let url = page.get("@id").and_then(Value::as_str);
            url.map(str::to_owned).ok_or(MergeError::Shape("@id"))
        })
        .collect()
}

/// The registration indexes as one at `url`, with all pages inside: of each version the leaf of the
/// first feed that has it, ascending (NuGet documentation, "Package Metadata", section
/// "Registration index").
pub fn registration(url: &str, parts: &[Registration<'_>]) -> Result<Vec<u8>, MergeError> {
    let mut all = Map::new();
    let mut leaves = BTreeMap::new();
    for part in parts {
        let mut index = object(part.index, "items")?;
        let mut outer = part.pages.iter();
        for page in take_array(&mut index, "items")? {
            let page = match page {
                Value::Object(page) if page.contains_key("items") => page,
                _ => object(outer.next().ok_or(MergeError::Shape("items"))?, "items")?,
            };
            add_leaves(&mut leaves, page)?;
        }
        add_missing(&mut all, index);
    }
    let leaves: Vec<_> = leaves.into_iter().collect();
    let pages: Vec<Value> = leaves
        .chunks(PAGE)
        .map(|some| page(url, &all, some))
        .collect();
    all.insert("@id".to_owned(), Value::from(url));
    all.insert("count".to_owned(), Value::from(pages.len()));
    all.insert("items".to_owned(), Value::from(pages));
    Ok(write(all))
}

/// Adds the leaves of a page whose versions are not there yet; a leaf without a version is of no
/// use to anybody.
fn add_leaves(
    leaves: &mut BTreeMap<PackageVersion, Value>,
    mut page: Map<String, Value>,
) -> Result<(), MergeError> {
    for leaf in take_array(&mut page, "items")? {
        let version = leaf.get("catalogEntry").and_then(|it| it.get("version"));
        if let Some(version) = version
            .and_then(Value::as_str)
            .and_then(PackageVersion::parse)
        {
            leaves.entry(version).or_insert(leaf);
        }
    }
    Ok(())
}

fn page(url: &str, top: &Map<String, Value>, leaves: &[(PackageVersion, Value)]) -> Value {
    let bound = |leaf: Option<&(PackageVersion, Value)>| {
        leaf.map_or_else(String::new, |(version, _)| version.to_string())
    };
    let (lower, upper) = (bound(leaves.first()), bound(leaves.last()));
    let items: Vec<Value> = leaves.iter().map(|(_, leaf)| leaf.clone()).collect();
    let mut page = json!({
        "@id": format!("{url}#page/{lower}/{upper}"),
        "@type": "catalog:CatalogPage",
        "count": items.len(),
        "items": items,
        "parent": url,
        "lower": lower,
        "upper": upper,
    });
    for name in ["commitId", "commitTimeStamp"] {
        if let Some(value) = top.get(name) {
            page[name] = value.clone();
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://c/v3/registration/a/index.json";

    fn leaf(version: &str, feed: &str) -> Value {
        json!({"@id": format!("https://{feed}/a/{version}.json"), "extra": [feed],
            "catalogEntry": {"id": "A", "version": version}})
    }

    fn inner(leaves: &[Value]) -> Value {
        json!({"@id": "u", "items": leaves, "lower": "0.0.0", "upper": "9.0.0", "count": 9})
    }

    fn index(pages: &[Value]) -> String {
        json!({"@id": "old", "@type": ["x"], "commitId": "c", "count": 9, "items": pages,
            "@context": {"@vocab": "v"}})
        .to_string()
    }

    fn united(parts: &[(&str, &[&str])]) -> Value {
        let parts: Vec<_> = parts
            .iter()
            .map(|(index, pages)| Registration {
                index: index.as_bytes(),
                pages: pages.iter().map(|page| page.as_bytes()).collect(),
            })
            .collect();
        serde_json::from_slice(&registration(URL, &parts).unwrap()).unwrap()
    }

    #[test]
    fn the_first_feed_has_a_version_that_several_have() {
        let first = index(&[inner(&[leaf("2.0.0", "one"), leaf("1.0", "one")])]);
        let second = index(&[
            inner(&[leaf("1.0.0", "two")]),
            inner(&[leaf("10.0.0", "two"), json!({"no": "version"})]),
        ]);
        let shown = united(&[(&first, &[]), (&second, &[])]);
        assert_eq!(
            shown,
            json!({"@id": URL, "@type": ["x"], "commitId": "c", "count": 1,
            "@context": {"@vocab": "v"},
            "items": [{
                "@id": format!("{URL}#page/1.0.0/10.0.0"), "@type": "catalog:CatalogPage",
                "commitId": "c", "count": 3, "parent": URL,
                "lower": "1.0.0", "upper": "10.0.0",
                "items": [leaf("1.0", "one"), leaf("2.0.0", "one"), leaf("10.0.0", "two")],
            }]})
        );
    }

    #[test]
    fn pages_elsewhere_are_taken_in_and_the_result_is_paged_anew() {
        let versions = |range: std::ops::Range<usize>| {
            let leaves: Vec<_> = range.map(|n| leaf(&format!("1.{n}.0"), "one")).collect();
            inner(&leaves)
        };
        let outer = |name: &str| json!({"@id": name, "lower": "1.0.0", "upper": "1.1.0"});
        let outside = index(&[outer("https://h/1"), versions(60..65), outer("https://h/2")]);
        assert_eq!(
            outer_pages(outside.as_bytes()).unwrap(),
            ["https://h/1", "https://h/2"]
        );
        let (one, two) = (versions(0..60).to_string(), versions(65..130).to_string());
        let other = index(&[inner(&[leaf("1.64.0", "two"), leaf("1.500.0", "two")])]);
        let shown = united(&[(&outside, &[&one, &two]), (&other, &[])]);
        let pages = shown["items"].as_array().unwrap();
        let bounds: Vec<_> = pages
            .iter()
            .map(|page| {
                assert_eq!(
                    page["items"].as_array().unwrap().len() as u64,
                    page["count"]
                );
                (
                    page["lower"].as_str().unwrap(),
                    page["upper"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            bounds,
            [
                ("1.0.0", "1.63.0"),
                ("1.64.0", "1.127.0"),
                ("1.128.0", "1.500.0")
            ]
        );
        assert_eq!(pages[1]["items"][0]["extra"][0], "one");
    }

    #[test]
    fn a_page_that_is_missing_is_no_short_list() {
        let outside = index(&[json!({"@id": "https://h/1"})]);
        let part = Registration {
            index: outside.as_bytes(),
            pages: Vec::new(),
        };
        assert_eq!(registration(URL, &[part]), Err(MergeError::Shape("items")));
        assert!(outer_pages(br#"{"items":[{}]}"#).is_err());
    }
}
