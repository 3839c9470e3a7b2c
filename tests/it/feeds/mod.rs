//! Several feeds under one URL.
//!
//! - an owned id is asked of its owners alone, whatever happens
//! - other ids have one home, or the versions of all feeds
//! - everything that is said about an id agrees with what can be downloaded
//! - each feed alone has URLs of its own
//! - V2 clients and pushes find the same feeds as everyone else

mod crawl;
mod first;
mod indexes;
mod owners;
mod program;
mod publish;
mod results;
mod united;
mod v2;

use serde_json::Value;

use crate::support::client::Response;
use crate::support::group::{FeedOf, feed};

/// A public feed, which comes first and has the id too, and the owner.
pub fn confusing() -> Vec<FeedOf> {
    vec![
        feed(
            "public",
            &[
                ("Contoso.Core", "1.0.0"),
                ("Contoso.Core", "99.0.0"),
                ("Other", "1.0.0"),
            ],
            &[],
        ),
        feed("corp", &[("Contoso.Core", "1.0.0")], &["Contoso.*"]),
    ]
}

/// Paths below `/v3/` of everything about version 1.0.0 of an id.
pub fn documents(id: &str) -> Vec<String> {
    let id = id.to_lowercase();
    let mut paths = vec![
        format!("flat/{id}/index.json"),
        format!("flat/{id}/1.0.0/{id}.1.0.0.nupkg"),
        format!("flat/{id}/1.0.0/{id}.nuspec"),
        format!("flat/{id}/1.0.0/readme"),
        format!("autocomplete?id={id}"),
        format!("query?q=packageid:{id}"),
        format!("query?q={id}"),
        format!("autocomplete?q={id}"),
    ];
    for hive in ["registration", "registration-gz", "registration-gz-semver2"] {
        paths.push(format!("{hive}/{id}/index.json"));
        paths.push(format!("{hive}/{id}/1.0.0.json"));
    }
    paths
}

/// The texts of an array of a document.
pub fn texts(response: &Response, name: &str) -> Vec<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    let document = response.json();
    let items = document[name].as_array().unwrap().iter();
    let text = |item: &Value| item["id"].as_str().or(item.as_str()).unwrap().to_owned();
    items.map(text).collect()
}

/// The versions and package URLs of a registration index whose pages are inside.
pub fn leaves(response: &Response) -> Vec<(String, String)> {
    assert_eq!(response.status, 200, "{}", response.text());
    let document = response.json();
    let pages = document["items"].as_array().unwrap().iter();
    let leaves = pages.flat_map(|page| page["items"].as_array().unwrap().clone());
    leaves
        .map(|leaf| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&leaf["catalogEntry"]["version"]),
                text(&leaf["packageContent"]),
            )
        })
        .collect()
}
