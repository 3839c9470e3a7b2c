//! What a bundle says it has.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::key::SigningKey;
use crate::clock::Time;
use crate::entry::{Digest, Entry, Key, Stored, Validators};
use crate::jobs::command::order::date;

/// The format that is written and read.
const FORMAT: &str = "nugate-bundle/1";

/// The manifest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    /// RFC 3339.
    pub(super) made_at: String,
    /// The names of the feeds of the cache it was made from.
    pub(super) feeds: Vec<String>,
    /// SHA-256 of the manifest of the bundle whose bodies are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// Everything, also what has its body in an earlier bundle.
    pub(super) records: Vec<Record>,
}

/// One document or package; validators as [`Validators::to_texts`] says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: String,
    #[serde(rename = "sha256", with = "hexadecimal")]
    pub(super) digest: Digest,
    pub(super) size: u64,
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Milliseconds since 1970.
    fetched_at: u64,
    pub(super) checked_at: u64,
}

impl Manifest {
    pub(super) fn new(feeds: &[String], now: Time) -> Self {
        Self {
            format: FORMAT.to_owned(),
            made_at: date(now).unwrap_or_default(),
            feeds: feeds.to_vec(),
            since: None,
            records: Vec::new(),
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("its manifest is not understood: {error}"))?;
        if manifest.format != FORMAT {
            return Err(format!("its format is {:?}, not {FORMAT}", manifest.format));
        }
        Ok(manifest)
    }

    /// Leaves out what has turned out to be lost.
    pub(super) fn settle(&mut self, lost: &HashSet<Digest>) {
        self.records
            .retain(|record| !lost.contains(&record.stored().digest));
    }

    /// Its bytes, and their signature.
    pub(super) fn sealed(&self, key: &SigningKey) -> Result<(Vec<u8>, Vec<u8>), String> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        let signature = key.sign(&bytes);
        Ok((bytes, signature))
    }
}

impl Record {
    /// The record of an entry, if it has a body.
    pub(super) fn of(key: &Key, entry: &Entry) -> Option<Self> {
        let body = entry.body?;
        let [etag, last_modified] = entry.validators.to_texts();
        Some(Self {
            key: key.as_str().to_owned(),
            digest: body.digest,
            size: body.size,
            url: entry.url.clone(),
            etag,
            last_modified,
            content_type: entry.content_type.clone(),
            fetched_at: entry.fetched_at.as_millis(),
            checked_at: entry.checked_at.as_millis(),
        })
    }

    pub(super) fn entry(&self) -> (Key, Entry) {
        let entry = Entry {
            body: Some(self.stored()),
            url: self.url.clone(),
            validators: Validators::of_texts([self.etag.as_deref(), self.last_modified.as_deref()]),
            content_type: self.content_type.clone(),
            fetched_at: Time::from_millis(self.fetched_at),
            checked_at: Time::from_millis(self.checked_at),
            missing_since: None,
        };
        (Key::new(self.key.as_str()), entry)
    }

    pub(super) fn stored(&self) -> Stored {
        Stored {
            digest: self.digest,
            size: self.size,
        }
    }
}

/// A digest as 64 characters.
mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::entry::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digest.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = hex::decode(&text).map_err(D::Error::custom)?;
        let digest = Digest::from_slice(&bytes);
        digest.ok_or_else(|| D::Error::custom("a digest has 64 hexadecimal digits"))
    }
}
