//! Results of searches and completions of several feeds as one.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{MergeError, add_missing, object, parse, take_array, write};
use crate::nuget::id::PackageId;
use crate::nuget::version::PackageVersion;

/// Results of one feed, and which of them count.
pub struct Found<'a> {
    /// Number of the feed; its further pages have the same and follow.
    pub feed: usize,
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

/// The results of a page.
#[derive(Clone, Debug)]
pub struct Ids {
    /// The id of each; `None` for what has none.
    pub ids: Vec<Option<PackageId>>,
    /// How many results the feed says that it has.
    pub hits: Option<u64>,
}

/// The ids of the results of a search.
pub fn found_ids(document: &[u8]) -> Result<Ids, MergeError> {
    let mut members = object(document, "data")?;
    let data = take_array(&mut members, "data")?;
    Ok(Ids {
        ids: data.iter().map(id_of).collect(),
        hits: hits_of(&members),
    })
}

/// The ids that autocompletion answers.
pub fn completed_ids(document: &[u8]) -> Result<Ids, MergeError> {
    let (members, data) = completed(document)?;
    Ok(Ids {
        ids: data.iter().map(text_id).collect(),
        hits: hits_of(&members),
    })
}

fn hits_of(members: &Map<String, Value>) -> Option<u64> {
    members.get("totalHits").and_then(Value::as_u64)
}

/// Searches as one: the best result of each feed, then the second of each, and so on. Of an id that
/// several feeds have the first one's result is shown, with the versions of all.
pub fn search(found: &[Found<'_>], window: Window) -> Result<Vec<u8>, MergeError> {
    let read = |document: &[u8]| {
        let mut members = object(document, "data")?;
        let data = take_array(&mut members, "data")?;
        Ok((members, data))
    };
    let gathered = Gathered::read(found, read)?;
    let results = interleaved(gathered.lists, id_of, unite);
    Ok(finish(gathered.members, gathered.unseen, results, window))
}

/// Completions of ids as one, in the same order. A bare list, as old servers send it, is read too.
pub fn autocomplete(found: &[Found<'_>], window: Window) -> Result<Vec<u8>, MergeError> {
    let gathered = Gathered::read(found, completed)?;
    let results = interleaved(gathered.lists, text_id, |_, _| {});
    Ok(finish(gathered.members, gathered.unseen, results, window))
}

/// What the pages of all feeds say.
#[derive(Default)]
struct Gathered {
    /// Members beside the results, of the first feed that has them.
    members: Map<String, Value>,
    /// The results of each feed that count.
    lists: Vec<Vec<Value>>,
    /// Results that feeds say they have beyond those pages.
    unseen: u64,
}

impl Gathered {
    fn read(
        found: &[Found<'_>],
        read: impl Fn(&[u8]) -> Result<(Map<String, Value>, Vec<Value>), MergeError>,
    ) -> Result<Self, MergeError> {
        let mut gathered = Self::default();
        for pages in found.chunk_by(|one, next| one.feed == next.feed) {
            let (mut list, mut seen, mut hits) = (Vec::new(), 0, 0);
            for (number, page) in pages.iter().enumerate() {
                let (members, data) = read(page.document)?;
                seen += data.len() as u64;
                hits = match hits_of(&members) {
                    // A further page without results is the end, whatever the feed counts.
                    Some(own) if number == 0 || !data.is_empty() => own,
                    _ => seen,
                };
                list.extend(kept(data, page.keep));
                add_missing(&mut gathered.members, members);
            }
            gathered.unseen += hits.saturating_sub(seen);
            gathered.lists.push(list);
        }
        Ok(gathered)
    }
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

/// Counts each id once among what was seen; how many duplicates there are beyond cannot be known.
fn finish(
    mut all: Map<String, Value>,
    unseen: u64,
    results: Vec<Value>,
    window: Window,
) -> Vec<u8> {
    let hits = unseen.saturating_add(results.len() as u64);
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
            .enumerate()
            .map(|(feed, (text, keep))| Found {
                feed,
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
        assert_eq!(value["totalHits"], 2, "of the ids that are shown");
        let read = found_ids(two.as_bytes()).unwrap();
        assert_eq!(read.ids, [PackageId::parse("a"), None]);
        assert_eq!(read.hits, Some(1));
    }

    #[test]
    fn pages_of_one_feed_are_one_list_and_counted_once() {
        let page = |ids: &[&str]| {
            let results: Vec<_> = ids.iter().map(|id| result(id, "1.0.0", "one")).collect();
            answer(&results, 9, "x")
        };
        let (first, second, empty) = (page(&["a", "b"]), page(&["b", "c"]), page(&[]));
        let told = |pages: &[&String]| {
            let found: Vec<_> = pages
                .iter()
                .map(|text| Found {
                    feed: 7,
                    document: text.as_bytes(),
                    keep: &[true, true],
                })
                .collect();
            let value: Value = serde_json::from_slice(&search(&found, ALL).unwrap()).unwrap();
            let ids: String = shown(&value).iter().map(|(id, _)| *id).collect();
            (ids, value["totalHits"].clone())
        };
        assert_eq!(told(&[&first]), ("ab".to_owned(), json!(9)));
        assert_eq!(told(&[&first, &second]), ("abc".to_owned(), json!(8)));
        assert_eq!(
            told(&[&first, &second, &empty]),
            ("abc".to_owned(), json!(3))
        );
    }

    #[test]
    fn completions_are_united() {
        let texts = [
            r#"["A","b"]"#,
            r#"{"totalHits":7,"data":["a","c"],"@context":{}}"#,
        ];
        let found = [0, 1].map(|feed| Found {
            feed,
            document: texts[feed].as_bytes(),
            keep: &[true, true],
        });
        let value: Value = serde_json::from_slice(&autocomplete(&found, ALL).unwrap()).unwrap();
        assert_eq!(
            value,
            json!({"@context": {}, "totalHits": 8, "data": ["A", "b", "c"]})
        );
        assert_eq!(completed_ids(texts[0].as_bytes()).unwrap().ids.len(), 2);
        assert!(completed_ids(b"7").is_err());
    }
}
