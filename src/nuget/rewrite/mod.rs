//! Points the links of an upstream document at us, byte for byte otherwise.
//!
//! White space, number spelling, key order and escapes of everything that is no link stay as the
//! upstream wrote them: descriptions and release notes quote URLs of feeds as prose, and clients
//! compare what they get. There is no replacing of hosts in text, and no tree. Invariant: the result
//! differs from the document only in string values of the members the rule lists.

mod package_content;
mod scanner;

use serde::de::IgnoredAny;

use self::package_content::Synthesis;
pub use self::scanner::MAX_DEPTH;
use self::scanner::Site;
use crate::entry::Digest;
use crate::nuget::link_map::{LinkMap, is_http};
use crate::nuget::resource::{LinkRule, Orphans};

/// Where the links of a document shall point.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Our public base, ending in `/v3/`.
    pub base: &'a str,
    /// The slug of the document's resource: its pages are named below it.
    pub slug: &'a str,
}

/// A document with our links.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The document, without a byte order mark.
    pub bytes: Vec<u8>,
    /// How many links point at us.
    pub replaced: usize,
    /// How many http(s) links are under no known base and were left.
    pub left: usize,
    /// Token and upstream URL of each page link ([`Orphans::Page`]), in the order of the document.
    pub pages: Vec<(String, String)>,
}

/// Why a document cannot be shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// It is not JSON, or not UTF-8.
    #[error("document is not json: {position}")]
    NotJson {
        /// What was expected and where, by line and column.
        position: String,
    },
    /// Its containers nest deeper than [`MAX_DEPTH`].
    #[error("document is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The name of an upstream URL in our page links: 32 hexadecimal characters of its SHA-256.
pub fn page_token(url: &str) -> String {
    let mut token = Digest::of(url.as_bytes()).to_hex();
    token.truncate(32);
    token
}

/// Copies a document with its links pointing at `place`.
///
/// A link is a string value at a place the rule lists; it changes when the map knows a base of it,
/// or as [`LinkRule::orphans`] says. Linear in the length of the document.
pub fn links(
    document: &[u8],
    rule: &LinkRule,
    map: &LinkMap,
    place: Place<'_>,
) -> Result<Rewritten, RewriteError> {
    let text = valid(document)?;
    let mut pen = Pen {
        text,
        copied: 0,
        synthesis: Synthesis::new(text),
        out: Rewritten {
            bytes: Vec::with_capacity(text.len() + text.len() / 16),
            ..Rewritten::default()
        },
    };
    scanner::scan(text, rule, |site| pen.link(&site, rule.orphans, map, place))
        .map_err(|scanner::TooDeep| RewriteError::TooDeep)?;
    Ok(pen.finish())
}

/// The text of a document whose syntax is right in full.
fn valid(document: &[u8]) -> Result<&str, RewriteError> {
    let text = std::str::from_utf8(document).map_err(|error| RewriteError::NotJson {
        position: error.to_string(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| RewriteError::NotJson {
        position: error.to_string(),
    })?;
    Ok(text)
}

/// Writes the copy: what lies between links is taken over when the next link is written.
struct Pen<'a> {
    text: &'a str,
    copied: usize,
    synthesis: Synthesis<'a>,
    out: Rewritten,
}

impl Pen<'_> {
    fn link(&mut self, site: &Site<'_>, orphans: Orphans, map: &LinkMap, place: Place<'_>) {
        let url = site.value.as_ref();
        if !is_http(url) {
            return;
        }
        let ours = match orphans {
            Orphans::Page => Some(self.page(url, place.slug)),
            Orphans::PackageContent if site.member == "packageContent" => map
                .resolve(url)
                .or_else(|| self.synthesis.path(site.object)),
            Orphans::Leave | Orphans::PackageContent => map.resolve(url),
        };
        match ours {
            Some(path) => self.replace(site, &format!("{}{path}", place.base)),
            None => self.out.left += 1,
        }
    }

    fn page(&mut self, url: &str, slug: &str) -> String {
        let token = page_token(url);
        let path = format!("{slug}/page/{token}");
        self.out.pages.push((token, url.to_owned()));
        path
    }

    fn replace(&mut self, site: &Site<'_>, url: &str) {
        let between = &self.text[self.copied..site.start];
        let value = serde_json::Value::from(url).to_string();
        self.out.bytes.extend_from_slice(between.as_bytes());
        self.out.bytes.extend_from_slice(value.as_bytes());
        self.out.replaced += 1;
        self.copied = site.end;
    }

    fn finish(mut self) -> Rewritten {
        let rest = &self.text[self.copied..];
        self.out.bytes.extend_from_slice(rest.as_bytes());
        self.out
    }
}

#[cfg(test)]
mod tests;
