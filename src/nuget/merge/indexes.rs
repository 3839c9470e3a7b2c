//! Service indexes, vulnerability indexes and repository signatures of several feeds as one.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{MergeError, add_missing, object, parse, take_array, write};
use crate::nuget::resource::{self, At, Resource};

/// Longest name of a vulnerability page (NuGet documentation, "Vulnerability Info").
const NAME_MAX: usize = 32;

/// Our service indexes of several feeds under one `base` as one: a type is offered if a feed offers
/// it. Where the feeds keep a type in different places, it is kept in that of its own row. What
/// belongs to one feed and cannot be combined, the catalog and pages for people, is not offered;
/// publishing only if `publish` says that one feed takes it.
pub fn service_index<'a>(
    base: &str,
    publish: bool,
    documents: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, MergeError> {
    let mut all = Map::new();
    let mut lists = Vec::new();
    let mut places: HashMap<String, HashSet<String>> = HashMap::new();
    for document in documents {
        let mut members = object(document, "resources")?;
        let entries = take_array(&mut members, "resources")?;
        for entry in &entries {
            let place = text(entry, "@id").to_owned();
            let name = text(entry, "@type").to_owned();
            places.entry(name).or_default().insert(place);
        }
        lists.push(entries);
        add_missing(&mut all, members);
    }
    let mut offered = HashSet::new();
    let mut resources = Vec::new();
    for list in lists {
        let fresh = |entry: &Value| !offered.contains(text(entry, "@type"));
        let fresh: Vec<Value> = list.into_iter().filter(fresh).collect();
        for mut entry in fresh {
            let name = text(&entry, "@type").to_owned();
            let row = resource::of_type(&name);
            let pushed = row.is_some_and(|row| matches!(row.at, At::Publish(_)));
            if row.is_some_and(is_of_one_feed) || (pushed && !publish) {
                continue;
            }
            if let Some(place) = row.and_then(|row| own_place(base, row))
                && places.get(&name).is_some_and(|places| places.len() > 1)
            {
                entry["@id"] = Value::from(place);
            }
            offered.insert(name);
            resources.push(entry);
        }
    }
    all.insert("resources".to_owned(), Value::from(resources));
    Ok(write(all))
}

/// Whether the documents of a resource say something about one feed only.
fn is_of_one_feed(row: &Resource) -> bool {
    row.at == At::WebPage || row.name == "Catalog"
}

fn own_place(base: &str, row: &Resource) -> Option<String> {
    match row.at {
        At::Base => Some(format!("{base}{}/", row.slug)),
        At::Endpoint => Some(format!("{base}{}", row.slug)),
        _ => None,
    }
}

/// The vulnerability indexes, each with the name of its feed, one after the other. Clients keep
/// pages by name, so a name that an earlier feed has is preceded by the name of the feed.
pub fn vulnerabilities<'a>(
    documents: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<u8>, MergeError> {
    let mut taken = HashSet::new();
    let mut all = Vec::new();
    for (feed, document) in documents {
        let Value::Array(pages) = parse(document)? else {
            return Err(MergeError::Shape("@name"));
        };
        for mut page in pages.into_iter().filter(Value::is_object) {
            let name = unique(text(&page, "@name"), feed, &taken);
            page["@name"] = Value::from(name.as_str());
            taken.insert(name);
            all.push(page);
        }
    }
    Ok(Value::from(all).to_string().into_bytes())
}

/// `name`, or one made of it that is not taken.
fn unique(name: &str, feed: &str, taken: &HashSet<String>) -> String {
    let room = (NAME_MAX - 1).saturating_sub(name.len());
    let feed: String = feed.chars().take(room).collect();
    let cut = |name: String| name.chars().take(NAME_MAX).collect::<String>();
    let named = [name.to_owned(), cut(format!("{feed}-{name}"))];
    let numbered = (2..).map(|number: u64| cut(format!("{number}-{name}")));
    named
        .into_iter()
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_default()
}

/// Repository signatures as one: all certificates, each once. All packages are signed only if
/// every feed says so; `everyone` is false when a feed of the group has no such document.
pub fn signatures<'a>(
    documents: impl IntoIterator<Item = &'a [u8]>,
    everyone: bool,
) -> Result<Vec<u8>, MergeError> {
    let mut all = Map::new();
    let mut signed = everyone;
    let mut certificates: Vec<Value> = Vec::new();
    for document in documents {
        let mut members = object(document, "signingCertificates")?;
        signed &= members.get("allRepositorySigned") == Some(&Value::Bool(true));
        for certificate in take_array(&mut members, "signingCertificates")? {
            let prints = certificate.get("fingerprints");
            if !certificates
                .iter()
                .any(|own| own.get("fingerprints") == prints)
            {
                certificates.push(certificate);
            }
        }
        add_missing(&mut all, members);
    }
    all.insert("allRepositorySigned".to_owned(), Value::from(signed));
    all.insert("signingCertificates".to_owned(), Value::from(certificates));
    Ok(write(all))
}

/// A member that is a text; empty when it is none.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BASE: &str = "https://c/v3/";

    fn indexes(lists: &[&[(&str, &str)]]) -> Vec<(String, String)> {
        let document = |list: &&[(&str, &str)]| {
            let entry = |(name, place): &(&str, &str)| json!({"@id": format!("{BASE}{place}"), "@type": name, "comment": "c"});
            let resources: Vec<_> = list.iter().map(entry).collect();
            json!({"version": "3.0.0", "resources": resources}).to_string()
        };
        let texts: Vec<String> = lists.iter().map(document).collect();
        let bytes = service_index(BASE, false, texts.iter().map(String::as_bytes)).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["version"], "3.0.0");
        let entries = value["resources"].as_array().unwrap().iter();
        entries
            .map(|entry| {
                assert_eq!(entry["comment"], "c");
                let place = text(entry, "@id").strip_prefix(BASE).unwrap();
                (text(entry, "@type").to_owned(), place.to_owned())
            })
            .collect()
    }

    #[test]
    fn a_type_is_offered_if_a_feed_offers_it() {
        let shared = "registration-gz-semver2/";
        let found = indexes(&[
            &[
                ("PackageBaseAddress/3.0.0", "flat/"),
                ("RegistrationsBaseUrl/3.6.0", shared),
                ("RegistrationsBaseUrl", shared),
                ("RegistrationsBaseUrl", shared),
                ("PackageDetailsUriTemplate/5.1.0", "elsewhere"),
            ],
            &[
                ("PackageBaseAddress/3.0.0", "flat/"),
                ("RegistrationsBaseUrl/3.6.0", shared),
                ("RegistrationsBaseUrl", "registration/"),
                ("VulnerabilityInfo/6.7.0", "vulnerabilities/index.json"),
                ("Catalog/3.0.0", "catalog/index.json"),
            ],
        ]);
        let expected = [
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("RegistrationsBaseUrl/3.6.0", shared),
            ("RegistrationsBaseUrl", "registration/"),
            ("RegistrationsBaseUrl", "registration/"),
            ("VulnerabilityInfo/6.7.0", "vulnerabilities/index.json"),
        ];
        let expected = expected.map(|(name, place)| (name.to_owned(), place.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn names_of_vulnerability_pages_stay_unique() {
        let document = |names: &[&str]| {
            let pages = names
                .iter()
                .map(|name| json!({"@name": name, "@id": "u", "x": 1}));
            Value::from(pages.collect::<Vec<_>>()).to_string()
        };
        let (one, two) = (document(&["base", "update"]), document(&["base", "own"]));
        let long = "a-feed-with-a-name-of-32-letters";
        let texts = [("corp", &one), ("nuget", &two), (long, &two), (long, &two)];
        let bytes = vulnerabilities(texts.map(|(feed, text)| (feed, text.as_bytes()))).unwrap();
        let pages: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        let names: Vec<_> = pages.iter().map(|page| text(page, "@name")).collect();
        assert_eq!(
            names,
            [
                "base",
                "update",
                "nuget-base",
                "own",
                "a-feed-with-a-name-of-32-le-base",
                "a-feed-with-a-name-of-32-let-own",
                "2-base",
                "2-own",
            ]
        );
        assert!(pages.iter().all(|page| page["x"] == 1));
        assert!(vulnerabilities([("a", b"{}".as_slice())]).is_err());
    }

    #[test]
    fn all_are_signed_only_if_everyone_says_so() {
        let document = |signed: bool, prints: &[&str]| {
            let list = prints.iter().map(|it| json!({"fingerprints": {"2": it}}));
            json!({"allRepositorySigned": signed, "signingCertificates": list.collect::<Vec<_>>(), "x": 1})
                .to_string()
        };
        let (yes, no) = (document(true, &["a", "b"]), document(false, &["b", "c"]));
        for (texts, everyone, expected, count) in [
            (vec![&yes, &yes], true, true, 2),
            (vec![&yes, &yes], false, false, 2),
            (vec![&yes, &no], true, false, 3),
        ] {
            let bytes = signatures(texts.into_iter().map(String::as_bytes), everyone).unwrap();
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["allRepositorySigned"], expected);
            assert_eq!(
                value["signingCertificates"].as_array().unwrap().len(),
                count
            );
            assert_eq!(value["x"], 1);
        }
    }
}
