//! Reads and checks the service index of an upstream.
//!
//! As lenient as the official client (`ServiceIndexResourceV3`): entries of a wrong shape are
//! skipped. As strict: a foreign `version` or a document of another kind is an error that names what
//! is wrong, because a captive portal's page must never replace a good index.

use serde_json::{Map, Value};
use url::Url;

use super::{Entry, ServiceIndex};
use crate::nuget::resource::{self, At};
use crate::nuget::version::PackageVersion;

/// Longest service index in bytes; nuget.org's has 8 KiB.
pub const MAX_BYTES: usize = 1 << 20;

/// Most resources of a service index; nuget.org's has 40.
pub const MAX_RESOURCES: usize = 1000;

/// Most types of one resource that are read; nuget.org has one each, no server more than six.
const MAX_TYPES: usize = 64;

/// A service index that cannot be used, and whose it is.
#[derive(Debug, thiserror::Error)]
#[error("service index of {feed}: {kind}")]
pub struct IndexError {
    /// The URL of the feed, without credentials and query.
    pub feed: String,
    /// What is wrong with it.
    pub kind: IndexErrorKind,
}

/// What is wrong with a service index.
#[derive(Debug, thiserror::Error)]
pub enum IndexErrorKind {
    /// Longer than [`MAX_BYTES`].
    #[error("{0} bytes are more than the {MAX_BYTES} allowed")]
    TooLong(usize),
    /// A page for people or an XML document, as captive portals and V2 feeds send.
    #[error("begins with `<`: a web page or a V2 feed, not a V3 service index")]
    Markup,
    /// No JSON.
    #[error("not json: {0}")]
    NotJson(serde_json::Error),
    /// JSON, but no object.
    #[error("not a json object")]
    NotObject,
    /// `version` is absent or no string.
    #[error("`version` is missing")]
    NoVersion,
    /// `version` is no 3.x.y.
    #[error("`version` is `{0}`, only 3.x is supported")]
    Version(String),
    /// `resources` is absent or no array.
    #[error("`resources` is missing")]
    NoResources,
    /// More than [`MAX_RESOURCES`].
    #[error("{0} resources are more than the {MAX_RESOURCES} allowed")]
    TooMany(usize),
    /// Nothing in it could be proxied.
    #[error("no resource of a known type has an absolute http(s) url as its `@id`")]
    NothingKnown,
}

/// Parses a service index; [`ServiceIndex::parse`] adds whose it is. `secure` says that it came over
/// https: then its resources must be https too, as the official client demands.
pub(super) fn parse(document: &[u8], secure: bool) -> Result<ServiceIndex, IndexErrorKind> {
    if document.len() > MAX_BYTES {
        return Err(IndexErrorKind::TooLong(document.len()));
    }
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    if document.trim_ascii_start().starts_with(b"<") {
        return Err(IndexErrorKind::Markup);
    }
    let value = serde_json::from_slice(document).map_err(IndexErrorKind::NotJson)?;
    let Value::Object(mut top) = value else {
        return Err(IndexErrorKind::NotObject);
    };
    check_version(&top)?;
    let Some(Value::Array(resources)) = top.get_mut("resources").map(Value::take) else {
        return Err(IndexErrorKind::NoResources);
    };
    if resources.len() > MAX_RESOURCES {
        return Err(IndexErrorKind::TooMany(resources.len()));
    }
    let entries: Vec<_> = resources
        .into_iter()
        .filter_map(|value| Entry::new(value, secure))
        .collect();
    if !entries
        .iter()
        .any(|entry| entry.routable && entry.is_known())
    {
        return Err(IndexErrorKind::NothingKnown);
    }
    Ok(ServiceIndex {
        top,
        entries,
        passed: Vec::new(),
    })
}

fn check_version(top: &Map<String, Value>) -> Result<(), IndexErrorKind> {
    let text = top
        .get("version")
        .and_then(Value::as_str)
        .ok_or(IndexErrorKind::NoVersion)?;
    match PackageVersion::parse(text) {
        Some(version) if version.major() == 3 => Ok(()),
        _ => Err(IndexErrorKind::Version(text.chars().take(64).collect())),
    }
}

impl Entry {
    fn new(value: Value, secure: bool) -> Option<Self> {
        let Value::Object(members) = value else {
            return None;
        };
        let types = match members.get("@type")? {
            Value::String(name) => vec![name.clone()],
            Value::Array(names) => names
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .take(MAX_TYPES)
                .collect(),
            _ => return None,
        };
        let id = members.get("@id")?.as_str()?.to_owned();
        let template = types
            .iter()
            .filter_map(|name| resource::of_type(name))
            .all(|row| matches!(row.at, At::Template | At::WebPage));
        let web_page = types
            .iter()
            .filter_map(|name| resource::of_type(name))
            .all(|row| row.at == At::WebPage);
        let origin = origin(&id);
        let downgrade = secure && origin.as_ref().is_some_and(|url| url.scheme() == "http");
        let routable =
            (template || !id.contains(['{', '}'])) && origin.is_some() && (web_page || !downgrade);
        Some(Self {
            id,
            types,
            members,
            routable,
        })
    }
}

/// An absolute http(s) URL without credentials, by the text before the first brace: a URL parser
/// would escape the braces of a template.
pub(super) fn origin(id: &str) -> Option<Url> {
    let prefix = id.split('{').next()?;
    let url = Url::parse(prefix).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    (plain && matches!(url.scheme(), "http" | "https")).then_some(url)
}

/// A feed's URL as it may be shown: credentials and query can hold secrets.
pub(super) fn nameable(feed: &Url) -> String {
    let path = feed.path();
    format!("{}{path}", feed.origin().ascii_serialization())
}
