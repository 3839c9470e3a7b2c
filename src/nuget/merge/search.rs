//! Results of searches and completions of several feeds as one.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{MergeError, add_missing, object, parse, take_array, write};
use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// The results of one feed, and which of them count.
pub struct Found<'a> {
    /// The feed's answer.
    pub document: &'a [u8],
    /// For each result whether it is kept, in the order of [`found_ids`] or [`completed_ids`].
    pub keep: &'a [bool],
}

/// Which of all results are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many come before.
    pub skip: usize,
    /// How many at most.
    pub take: usize,
}

/// The ids of the results of a search; `None` for a result without an id.
pub fn found_ids(document: &[u8]) -> Result<Vec<Option<PackageId>>, MergeError> {
    let data = take_array(&mut object(document, "data")?, "data")?;
    Ok(data.iter().map(id_of).collect())
}

/// The ids that autocompletion answers; `None` for what is no id.
pub fn completed_ids(document: &[u8]) -> Result<Vec<Option<PackageId>>, MergeError> {
    let (_, data) = completed(document)?;
    Ok(data.iter().map(text_id).collect())
}

/// Searches as one: the best result of each feed, then the second of each, and so on. Of an id that
/// several feeds have the first one's result is shown, with the versions of all.
pub fn search(found: &[Found<'_>], window: Window) -> Result<Vec<u8>, MergeError> {
    let mut all = Map::new();
    let mut hits = 0;
    let mut lists = Vec::new();
    for one in found {
        let mut members = object(one.document, "data")?;
        let data = take_array(&mut members, "data")?;
        hits += members
            .get("totalHits")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        lists.push(kept(data, one.keep));
        add_missing(&mut all, members);
    }
    let results = interleaved(lists, id_of, unite);
    Ok(finish(all, hits, results, window))
}

/// Completions of ids as one, in the same order. A bare list, as old servers send it, is read too.
pub fn autocomplete(found: &[Found<'_>], window: Window) -> Result<Vec<u8>, MergeError> {
    let mut all = Map::new();
    let mut hits = 0;
    let mut lists = Vec::new();
    for one in found {
        let (members, data) = completed(one.document)?;
        let own = members.get("totalHits").and_then(Value::as_u64);
        hits += own.unwrap_or(data.len() as u64);
        lists.push(kept(data, one.keep));
        add_missing(&mut all, members);
    }
    let results = interleaved(lists, text_id, |_, _| {});
    Ok(finish(all, hits, results, window))
}

fn completed(document: &[u8]) -> Result<(Map<String, Value>, Vec<Value>), MergeError> {
    match parse(document)? {
        Value::Array(data) => Ok((Map::new(), data)),
        Value::Object(mut members) => {
            let data = take_array(&mut members, "data")?;
            Ok((members, data))
        }
        _ => Err(MergeError::Shape("data")),
    }
}

fn id_of(result: &Value) -> Option<PackageId> {
    text_id(result.get("id")?)
}

fn text_id(text: &Value) -> Option<PackageId> {
    PackageId::parse(text.as_str()?)
}

fn kept(data: Vec<Value>, keep: &[bool]) -> Vec<Value> {
    let marked = data.into_iter().zip(keep);
    marked
        .filter(|(_, keep)| **keep)
        .map(|(item, _)| item)
        .collect()
}

/// One of each list in turn; of several results with one id the first list's, at the first place.
fn interleaved(
    lists: Vec<Vec<Value>>,
    id: impl Fn(&Value) -> Option<PackageId>,
    unite: impl Fn(&mut Value, &Value),
) -> Vec<Value> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut places: HashMap<PackageId, usize> = HashMap::new();
    let mut results: Vec<(usize, Value)> = Vec::new();
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    for _ in 0..longest {
        for (list, rest) in lists.iter_mut().enumerate() {
            let Some(item) = rest.next() else { continue };
            let Some(id) = id(&item) else { continue };
            let Some(place) = places.get(&id) else {
                places.insert(id, results.len());
                results.push((list, item));
                continue;
            };
            let (owner, there) = &mut results[*place];
            if list < *owner {
                let later = std::mem::replace(there, item);
                *owner = list;
                unite(there, &later);
            } else {
                unite(there, &item);
            }
        }
    }
    results.into_iter().map(|(_, item)| item).collect()
}

/// Adds the versions of another feed's result for the same id; the newest is the result's version.
fn unite(result: &mut Value, other: &Value) {
    let parsed = |entry: &Value| PackageVersion::parse(entry.get("version")?.as_str()?);
    if parsed(other) > parsed(result)
        && let Some(version) = other.get("version")
    {
        result["version"] = version.clone();
    }
    let Some(more) = other.get("versions").and_then(Value::as_array) else {
        return;
    };
    let own = result.get("versions").and_then(Value::as_array);
    let mut versions = own.cloned().unwrap_or_default();
    for entry in more {
        if parsed(entry).is_some() && !versions.iter().any(|own| parsed(own) == parsed(entry)) {
            versions.push(entry.clone());
        }
    }
    versions.sort_by_cached_key(parsed);
    result["versions"] = Value::from(versions);
}

fn finish(mut all: Map<String, Value>, hits: u64, results: Vec<Value>, window: Window) -> Vec<u8> {
    let wanted = results.into_iter().skip(window.skip).take(window.take);
    all.insert("totalHits".to_owned(), Value::from(hits));
    all.insert("data".to_owned(), wanted.collect());
    write(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: Window = Window { skip: 0, take: 20 };

    fn result(id: &str, version: &str, feed: &str) -> Value {
        json!({"id": id, "version": version, "from": feed,
            "versions": [{"version": version, "from": feed}]})
    }

    fn answer(results: &[Value], hits: u64, extra: &str) -> String {
        json!({"@context": {"@vocab": "v"}, "totalHits": hits, "data": results, extra: 1})
            .to_string()
    }

    #[track_caller]
    fn searched(texts: &[(&str, &[bool])], window: Window) -> Value {
        let found: Vec<_> = texts
            .iter()
            .map(|(text, keep)| Found {
                document: text.as_bytes(),
                keep,
            })
            .collect();
        serde_json::from_slice(&search(&found, window).unwrap()).unwrap()
    }

    fn shown(value: &Value) -> Vec<(&str, &str)> {
        let data = value["data"].as_array().unwrap().iter();
        data.map(|it| (it["id"].as_str().unwrap(), it["from"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn results_take_turns_and_are_cut_to_the_window() {
        let results = |feed: &str, ids: &[&str]| -> Vec<Value> {
            ids.iter().map(|id| result(id, "1.0.0", feed)).collect()
        };
        let one = answer(&results("one", &["a", "b", "c"]), 30, "x");
        let two = answer(&results("two", &["d", "e"]), 5, "y");
        let both: &[(&str, &[bool])] = &[(&one, &[true, true, true]), (&two, &[true, true])];
        let value = searched(both, ALL);
        let order = [
            ("a", "one"),
            ("d", "two"),
            ("b", "one"),
            ("e", "two"),
            ("c", "one"),
        ];
        assert_eq!(shown(&value), order);
        assert_eq!(
            (&value["totalHits"], &value["x"], &value["y"]),
            (&json!(35), &json!(1), &json!(1))
        );
        let window = Window { skip: 1, take: 2 };
        assert_eq!(shown(&searched(both, window)), order[1..3]);
        let some: &[(&str, &[bool])] = &[(&one, &[false, true, false]), (&two, &[false, true])];
        assert_eq!(shown(&searched(some, ALL)), [("b", "one"), ("e", "two")]);
    }

    #[test]
    fn an_id_of_several_feeds_is_shown_once_with_all_versions() {
        let one = answer(
            &[result("z", "1.0.0", "one"), result("A", "1.0.0", "one")],
            2,
            "x",
        );
        let two = answer(&[result("a", "2.0.0", "two"), json!({"no": "id"})], 1, "x");
        let value = searched(&[(&one, &[true; 2]), (&two, &[true; 2])], ALL);
        assert_eq!(shown(&value), [("z", "one"), ("A", "one")]);
        assert_eq!(value["data"][1]["version"], "2.0.0");
        assert_eq!(
            value["data"][1]["versions"],
            json!([{"version": "1.0.0", "from": "one"}, {"version": "2.0.0", "from": "two"}])
        );
        let ids = found_ids(two.as_bytes()).unwrap();
        assert_eq!(ids, [PackageId::parse("a"), None]);
    }

    #[test]
    fn completions_are_united() {
        let texts = [
            r#"["A","b"]"#,
            r#"{"totalHits":7,"data":["a","c"],"@context":{}}"#,
        ];
        let found = texts.map(|text| Found {
            document: text.as_bytes(),
            keep: &[true, true],
        });
        let value: Value = serde_json::from_slice(&autocomplete(&found, ALL).unwrap()).unwrap();
        assert_eq!(
            value,
            json!({"@context": {}, "totalHits": 9, "data": ["A", "b", "c"]})
        );
        assert_eq!(completed_ids(texts[0].as_bytes()).unwrap().len(), 2);
        assert!(completed_ids(b"7").is_err());
    }
}
