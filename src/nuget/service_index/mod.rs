//! The service index of an upstream: what it offers and where.
//!
//! Read once per change of the upstream's document; everything else about the upstream is derived
//! from it, nothing is guessed (NuGet documentation, "Service index"). It is as lenient as the
//! official client: resources it cannot use are kept out, not errors. Invariant: every address
//! handed out is an absolute http(s) URL that the upstream named itself.

mod parse;
mod pass;
mod render;

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};
use url::Url;

pub use self::parse::{IndexError, IndexErrorKind, MAX_BYTES, MAX_RESOURCES};
use self::parse::{nameable, origin};
pub use self::pass::PASS;
pub use self::render::{GALLERY, RenderOptions, WebLinks, gallery};
use super::link_map::LinkMap;
use super::resource::{self, At, RESOURCES, Resource};

/// A service index whose version is supported and which names at least one known resource.
#[derive(Clone, Debug)]
pub struct ServiceIndex {
    /// All members of the document in their order; that of `resources` is empty.
    top: Map<String, Value>,
    entries: Vec<Entry>,
    passed: Vec<pass::Passed>,
}

/// One usable or unusable entry of `resources`.
#[derive(Clone, Debug)]
struct Entry {
    id: String,
    types: Vec<String>,
    /// All members in their order, `@id` and `@type` among them.
    members: Map<String, Value>,
    routable: bool,
}

impl ServiceIndex {
    /// Parses the document that the feed at `feed_url` served.
    pub fn parse(document: &[u8], feed_url: &Url) -> Result<Self, IndexError> {
        parse::parse(document, feed_url.scheme() == "https").map_err(|kind| IndexError {
            feed: nameable(feed_url),
            kind,
        })
    }

    /// The upstream URLs of the resource with this slug, the preferred one first: those of the best
    /// type that is present, each once, in the order of the document. Together they are the order of
    /// failover. A base ends in a slash; an endpoint has no query, which clients would replace.
    pub fn bases(&self, slug: &str) -> Vec<String> {
        let Some(row) = resource::of_slug(slug) else {
            return Vec::new();
        };
        let of_type = |name: &&str| {
            let mut bases = Vec::new();
            for entry in self.with_type(name) {
                let address = address(row.at, &entry.id);
                if !bases.contains(&address) {
                    bases.push(address);
                }
            }
            bases
        };
        let mut by_type = row.types.iter().map(of_type);
        by_type.find(|bases| !bases.is_empty()).unwrap_or_default()
    }

    /// The upstream URL of the type of an [`At::Versioned`] resource that ends in this suffix
    /// (`5.0.0`).
    pub fn versioned(&self, slug: &str, suffix: &str) -> Option<String> {
        let row = resource::of_slug(slug).filter(|row| row.at == At::Versioned)?;
        let name = row.types.iter().find(|name| suffix_of(name) == suffix)?;
        self.with_type(name).next().map(|entry| entry.id.clone())
    }

    /// What links of this upstream's documents are ours. Of resources that share a URL the first row
    /// of [`RESOURCES`] has it. A resource that is one document gives the folder around it only if
    /// the row has documents at any path there; else just the document.
    pub fn link_map(&self) -> LinkMap {
        let mut pairs = Vec::new();
        for row in RESOURCES.iter().filter(|row| !row.slug.is_empty()) {
            let entries = row.types.iter().flat_map(|name| self.with_type(name));
            for entry in entries {
                let address = address(row.at, &entry.id);
                match row.at {
                    At::Base | At::Endpoint => pairs.push((address, row.slug.to_owned())),
                    At::Document => {
                        if let Some(folder) = folder_of(row, &address) {
                            pairs.push((folder.to_owned(), row.slug.to_owned()));
                        }
                        pairs.push((address, format!("{}/index.json", row.slug)));
                    }
                    At::Versioned | At::Template | At::Publish(_) | At::WebPage | At::V2 => {}
                }
            }
        }
        LinkMap::new(pairs)
    }

    /// What links of this upstream's documents lead to its V2 endpoint, below our root.
    pub fn gallery_map(&self) -> LinkMap {
        let rows = RESOURCES.iter().filter(|row| row.at == At::V2);
        let entries = rows
            .flat_map(|row| row.types)
            .flat_map(|name| self.with_type(name));
        let pairs = entries.map(|entry| (address(At::V2, &entry.id), GALLERY.to_owned()));
        LinkMap::new(pairs.collect())
    }

    /// The hosts, with a port unless it is the scheme's own, of every known resource that a proxy
    /// fetches from; pages for people and places to push to are none.
    pub fn hosts(&self) -> BTreeSet<String> {
        let fetched = RESOURCES
            .iter()
            .filter(|row| !matches!(row.at, At::WebPage | At::Publish(_)));
        let names = fetched.flat_map(|row| row.types);
        names
            .flat_map(|name| self.with_type(name))
            .filter_map(|entry| origin(&entry.id))
            .filter_map(|url| {
                let host = url.host_str()?;
                Some(match url.port() {
                    Some(port) => format!("{host}:{port}"),
                    None => host.to_owned(),
                })
            })
            .collect()
    }

    /// An address on each host that documents are asked of in the first place, each host once; those
    /// that others fail over to are none of them.
    pub fn origins(&self) -> Vec<Url> {
        let rows = RESOURCES.iter().filter(|row| {
            let fetched = matches!(row.at, At::Base | At::Endpoint | At::Document);
            fetched && !row.slug.is_empty()
        });
        let mut seen = HashSet::new();
        rows.filter_map(|row| self.bases(row.slug).into_iter().next())
            .filter_map(|base| origin(&base))
            .filter(|url| seen.insert(url.origin()))
            .collect()
    }

    /// The types no row knows, each once, in the order of the document: not proxied.
    pub fn unknown(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let types = self.entries.iter().flat_map(|entry| &entry.types);
        types
            .map(String::as_str)
            .filter(|name| resource::of_type(name).is_none() && seen.insert(*name))
            .collect()
    }

    /// The `@id`s of known types that are no absolute http(s) URL, in the order of the document.
    pub fn unroutable(&self) -> Vec<&str> {
        self.entries
            .iter()
            .filter(|entry| !entry.routable && entry.is_known())
            .map(|entry| entry.id.as_str())
            .collect()
    }

    fn with_type(&self, name: &str) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.routable && entry.types.iter().any(|own| own == name))
    }
}

impl Entry {
    /// Whether any of its types belongs to a row.
    fn is_known(&self) -> bool {
        let mut types = self.types.iter();
        types.any(|name| resource::of_type(name).is_some())
    }
}

/// The `@id` as it is fetched from.
fn address(at: At, id: &str) -> String {
    let path = id.split(['?', '#']).next().unwrap_or(id);
    match at {
        At::Base | At::V2 if path.ends_with('/') => path.to_owned(),
        At::Base | At::V2 => format!("{path}/"),
        At::Endpoint => path.to_owned(),
        At::Document | At::Versioned | At::Template | At::Publish(_) | At::WebPage => id.to_owned(),
    }
}

/// The folder of a document, slash included, if the row has documents at any path below it.
fn folder_of<'a>(row: &Resource, address: &'a str) -> Option<&'a str> {
    row.docs
        .iter()
        .any(|doc| doc.pattern.starts_with("{*}"))
        .then(|| address.split(['?', '#']).next())
        .flatten()
        .and_then(|path| path.rfind('/').map(|slash| &path[..=slash]))
}

/// What follows the slash of a type.
fn suffix_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(_, suffix)| suffix)
}

#[cfg(test)]
mod tests;
