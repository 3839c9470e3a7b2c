//! What is remembered about a stored response: plain data, no I/O, no NuGet.
//!
//! A body is addressed by its [`Digest`] alone; an [`Entry`] says which body a [`Key`] had when it
//! was last asked for, or that the upstream said there is none.

mod kept;

use std::fmt;
use std::sync::Arc;

use http::header::{ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};

use crate::clock::Time;

pub use self::kept::{Kept, Selecting};

/// SHA-256 of a body: its only address in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        Self::from_slice(digest.as_ref()).unwrap_or(Self([0; 32]))
    }

    /// A digest from its 32 raw bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Lower-case hexadecimal, 64 characters.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Stable name of an upstream document: `<feed>/<slug>/<path>`, canonical spelling.
///
/// Everything about one package shares a prefix, so that forgetting a package is one operation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// A key from its canonical text. Only `nuget::route` composes the text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names the answer to a question, such as a search: anybody can make up any number
    /// of them, so they have a quota of their own.
    pub fn is_query(&self) -> bool {
        self.0.contains('?')
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

/// Validators exactly as the upstream sent them (RFC 9110 section 8.8), replayed byte for byte:
/// nuget.org's edges have sent entity tags without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, opaque.
    pub etag: Option<HeaderValue>,
    /// `Last-Modified`, opaque.
    pub last_modified: Option<HeaderValue>,
}

impl Validators {
    /// None at all: what is asked with them is sent whole.
    pub const NONE: Self = Self {
        etag: None,
        last_modified: None,
    };

    /// Those of a response.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: headers.get(ETAG).cloned(),
            last_modified: headers.get(LAST_MODIFIED).cloned(),
        }
    }

    /// Both as texts, for what is written in JSON: their bytes as the characters of the same number.
    pub fn to_texts(&self) -> [Option<String>; 2] {
        let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
        [
            self.etag.as_ref().map(text),
            self.last_modified.as_ref().map(text),
        ]
    }

    /// Those that were written so; what is no value of a header is left out.
    pub fn of_texts([etag, last_modified]: [Option<&str>; 2]) -> Self {
        let value = |text: &str| {
            let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
            HeaderValue::from_bytes(&bytes.ok()?).ok()
        };
        Self {
            etag: etag.and_then(value),
            last_modified: last_modified.and_then(value),
        }
    }

    /// Whether a conditional request is possible at all.
    pub const fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// A body in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Its address.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// What is remembered about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The body, or `None` when the upstream said 404 and nothing was stored before.
    pub body: Option<Stored>,
    /// The upstream URL it was fetched from; validators count only for this URL.
    pub url: String,
    /// Validators of that response.
    pub validators: Validators,
    /// Its `Content-Type`, if it had one.
    pub content_type: Option<String>,
    /// When the body was received.
    pub fetched_at: Time,
    /// When the upstream last confirmed it (200, 304 or, for an absent one, 404).
    pub checked_at: Time,
    /// Since when the upstream has answered 404, or with something older, although a body is stored.
    pub missing_since: Option<Time>,
}

impl Entry {
    /// A remembered 404.
    pub fn absent(url: String, now: Time) -> Self {
        Self {
            body: None,
            url,
            validators: Validators::default(),
            content_type: None,
            fetched_at: now,
            checked_at: now,
            missing_since: Some(now),
        }
    }

    /// Whether this only remembers that there is nothing.
    pub const fn is_absent(&self) -> bool {
        self.body.is_none()
    }
}
