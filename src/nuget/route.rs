//! From a request's path to what it means, and from there to its key and its URL upstream. Nothing
//! else builds either; [`crate::nuget::subject`] says how keys begin.
//!
//! Paths are percent-decoded once, checked against the table of [`crate::nuget::resource`] and
//! encoded once for the upstream. What the client sent reaches neither a file name nor an upstream
//! URL unchecked.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::entry::Key;
use crate::nuget::id::PackageId;
use crate::nuget::pattern;
use crate::nuget::resource::{At, DocRule, RESOURCES, Resource, SERVICE_INDEX, of_slug};
use crate::nuget::service_index::ServiceIndex;
use crate::nuget::version::PackageVersion;

/// Longest query string of a search, in bytes.
const QUERY_MAX: usize = 4096;

/// Most parameters of a search.
const PARAMETERS_MAX: usize = 64;

/// What is escaped in a path segment sent upstream: everything RFC 3986 section 3.3 does not allow
/// in a segment, and `%`.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A document that a request means.
#[derive(Clone, Debug)]
pub struct Target {
    /// How the document is kept, checked and shown.
    pub rule: &'static DocRule,
    /// The row of the table; `None` for the service index.
    pub resource: Option<&'static Resource>,
    /// The package it is about, if it is about one.
    pub id: Option<PackageId>,
    /// The version of the package, if it is about one.
    pub version: Option<PackageVersion>,
    /// Names a page whose URL only the upstream's own documents know.
    pub token: Option<String>,
    suffix: Option<String>,
    /// Canonical path below the slug, decoded.
    path: String,
    /// Canonical query, encoded; endpoints and V2 only.
    query: Option<String>,
}

/// Why a path means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// There is no such document; the upstream need not be asked.
    #[error("there is no such resource here")]
    NotFound,
    /// The path is no path.
    #[error("the path is not valid percent-encoded UTF-8, or has an empty or dot segment")]
    BadPath,
    /// The query is too long or has too many parameters.
    #[error("the query is longer than 4096 bytes or has more than 64 parameters")]
    BadQuery,
}

/// Understands a path below `/v3/` as it was sent, and its query.
///
/// # Errors
/// [`RouteError`] as described there.
pub fn parse(path: &str, query: Option<&str>) -> Result<Target, RouteError> {
    let segments = decode(path)?;
    let (slug, rest) = segments.split_first().ok_or(RouteError::NotFound)?;
    if slug == SERVICE_INDEX.pattern && rest.is_empty() {
        return Ok(Target::service_index());
    }
    let resource = of_slug(slug).filter(|resource| resource.at != At::V2);
    let resource = resource.ok_or(RouteError::NotFound)?;
    let suffixes: Vec<&str> = resource
        .types
        .iter()
        .filter_map(|name| Some(name.split_once('/')?.1))
        .collect();
    let (rule, bound) = resource
        .docs
        .iter()
        .find_map(|rule| Some((rule, pattern::matches(rule.pattern, rest, &suffixes)?)))
        .ok_or(RouteError::NotFound)?;
    let query = match resource.at {
        At::Endpoint => Some(canonical_query(query.unwrap_or_default())?),
        _ => None,
    };
    Ok(Target {
        rule,
        resource: Some(resource),
        id: bound.id,
        version: bound.version,
        token: bound.token,
        suffix: bound.suffix,
        path: bound.path,
        query,
    })
}

/// Splits a path at its slashes, then decodes each segment once.
pub(super) fn decode(path: &str) -> Result<Vec<String>, RouteError> {
    path.split('/')
        .map(|segment| {
            if !is_encoded(segment) {
                return Err(RouteError::BadPath);
            }
            let text = percent_decode_str(segment)
                .decode_utf8()
                .map_err(|_| RouteError::BadPath)?;
            let hostile = |char: char| char.is_control() || matches!(char, '/' | '\\');
            match text.as_ref() {
                "" | "." | ".." => Err(RouteError::BadPath),
                text if text.contains(hostile) => Err(RouteError::BadPath),
                text => Ok(text.to_owned()),
            }
        })
        .collect()
}

/// Whether each `%` begins an escape (RFC 3986 section 2.1).
pub(super) fn is_encoded(segment: &str) -> bool {
    let is_hex = |at: Option<&u8>| at.is_some_and(u8::is_ascii_hexdigit);
    segment.split('%').skip(1).all(|after| {
        let after = after.as_bytes();
        is_hex(after.first()) && is_hex(after.get(1))
    })
}

/// Parameters sorted by name, repeats in their order: one spelling for each question.
fn canonical_query(query: &str) -> Result<String, RouteError> {
    if query.len() > QUERY_MAX {
        return Err(RouteError::BadQuery);
    }
    let mut pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    if pairs.len() > PARAMETERS_MAX {
        return Err(RouteError::BadQuery);
    }
    pairs.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish())
}

/// The feed and the document that a key names; `None` for what [`Target::key`] never makes.
pub fn read_key(key: &Key) -> Option<(&str, Target)> {
    let (feed, rest) = key.as_str().split_once('/')?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let target = parse(&encoded(path), query).ok()?;
    (target.key(feed) == *key).then_some((feed, target))
}

fn encoded(path: &str) -> String {
    let encode = |segment| utf8_percent_encode(segment, SEGMENT).to_string();
    let segments: Vec<String> = path.split('/').map(encode).collect();
    segments.join("/")
}

impl Target {
    /// The service index of the feed.
    pub const fn service_index() -> Self {
        Self {
            rule: &SERVICE_INDEX,
            resource: None,
            id: None,
            version: None,
            token: None,
            suffix: None,
            path: String::new(),
            query: None,
        }
    }

    /// A document of V2 at this decoded path below the upstream's base, without dot segments, and
    /// with this encoded query; about these, as far as it is about one.
    pub(super) fn gallery(
        rule: &'static DocRule,
        (id, version): (Option<PackageId>, Option<PackageVersion>),
        path: String,
        query: Option<String>,
    ) -> Self {
        Self {
            rule,
            resource: RESOURCES.iter().find(|row| row.at == At::V2),
            id,
            version,
            path,
            query,
            ..Self::service_index()
        }
    }

    /// The name of the document at the upstream `feed`.
    pub fn key(&self, feed: &str) -> Key {
        let Some(resource) = self.resource else {
            return Key::new(format!("{feed}/{}", SERVICE_INDEX.pattern));
        };
        let mut text = format!("{feed}/{}", resource.slug);
        if !self.path.is_empty() {
            text.push('/');
            text.push_str(&self.path);
        }
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(query);
        }
        Key::new(text)
    }

    /// Another document of the same resource and package, by its pattern.
    pub fn sibling(&self, pattern: &str) -> Option<Self> {
        let resource = self.resource?;
        let path = self.id.as_ref().map_or_else(
            || pattern.to_owned(),
            |id| pattern.replace("{id}", id.as_str()),
        );
        parse(&format!("{}/{path}", resource.slug), None).ok()
    }

    /// The same document of the resource with this slug, if that has documents of the kind.
    pub fn moved_to(&self, slug: &str) -> Option<Self> {
        let resource = of_slug(slug)?;
        let mut docs = resource.docs.iter();
        let rule = docs.find(|rule| rule.name == self.rule.name)?;
        Some(Self {
            rule,
            resource: Some(resource),
            ..self.clone()
        })
    }

    /// The canonical path below the slug, decoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The canonical query, encoded; `None` for what has none.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Where the upstream has the document, in the order to try; empty when the feed does not offer
    /// the resource, or for a page, whose URL its token names.
    pub fn upstream_urls(&self, feed: &Url, index: &ServiceIndex) -> Vec<Url> {
        let Some(resource) = self.resource else {
            return vec![feed.clone()];
        };
        if self.token.is_some() {
            return Vec::new();
        }
        let texts: Vec<String> = match resource.at {
            At::Versioned => {
                let suffix = self.suffix.as_deref().unwrap_or_default();
                index.versioned(resource.slug, suffix).into_iter().collect()
            }
            At::Document
                if resource
                    .docs
                    .first()
                    .is_some_and(|first| first.pattern == self.path) =>
            {
                index.bases(resource.slug)
            }
            At::Document => {
                // Found by the parser: the folder of a URL without a path is not its scheme.
                let folder = |text: String| {
                    let folder = Url::parse(&text).ok()?.join("./").ok()?;
                    Some(String::from(folder))
                };
                let folders = index.bases(resource.slug).into_iter().filter_map(folder);
                folders
                    .map(|folder| folder + &self.encoded_path())
                    .collect()
            }
            _ => index
                .bases(resource.slug)
                .into_iter()
                .map(|base| base + &self.encoded_path())
                .collect(),
        };
        let parsed = texts.iter().filter_map(|text| Url::parse(text).ok());
        parsed.map(|url| self.with_query(url)).collect()
    }

    fn with_query(&self, mut url: Url) -> Url {
        if let Some(query) = &self.query {
            url.set_query((!query.is_empty()).then_some(query));
        }
        url
    }

    fn encoded_path(&self) -> String {
        encoded(&self.path)
    }
}

#[cfg(test)]
mod tests;
