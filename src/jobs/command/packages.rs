//! What is stored of packages, for people who look: a listing of ids, and all of one id.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Amount, Cache, Failure, PAGE};
use crate::clock::Time;
use crate::entry::Digest;
use crate::nuget::id::PackageId;
use crate::nuget::route;
use crate::nuget::subject::{ARCHIVE, Subject, archives};
use crate::nuget::version::PackageVersion;
use crate::store::{Pin, Row, StoreError};

/// Ids in a listing.
pub const LISTED_MAX: usize = 200;

/// Entries that are looked at for a listing.
const LOOKED_AT_MAX: usize = 5_000;

/// Documents of a package that are told one by one.
pub const DOCUMENTS_MAX: usize = 500;

/// Ids with a stored package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The first of them, by id.
    pub packages: Vec<Listed>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// An id with a stored package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The id, folded.
    pub id: String,
    /// Its stored versions at all feeds, and their bytes.
    pub stored: Amount,
    /// When one of them was used last, to ten minutes.
    pub used_at: Time,
}

/// All that is stored of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachedPackage {
    /// Its archives, the latest version first.
    pub archives: Vec<Document>,
    /// Other documents about it, by path.
    pub documents: Vec<Document>,
    /// All of these and of those that were left out.
    pub stored: Amount,
    /// Documents that were left out.
    pub left_out: u64,
    /// The pin that covers all of it, if one does.
    pub pin: Option<String>,
}

/// A stored document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its kind: the name of its rule in the protocol table.
    pub kind: &'static str,
    /// Its path below our resource.
    pub path: String,
    /// The version it is about, if it is about one.
    pub version: Option<PackageVersion>,
    /// The name of the feed it is of.
    pub feed: String,
    /// Where it came from.
    pub url: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of it.
    pub digest: Digest,
    /// When it was received, and found to be what it should be.
    pub fetched_at: Time,
    /// When the feed last confirmed it.
    pub checked_at: Time,
    /// When it was used last, to ten minutes.
    pub used_at: Time,
    /// The pin that covers it, if one does.
    pub pin: Option<String>,
}

impl Cache {
    /// Ids with a stored package that begin with `beginning`; no id begins with what is no
    /// beginning of one.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn listing(&self, beginning: &str) -> Result<Listing, StoreError> {
        let mut ids: BTreeMap<String, Listed> = BTreeMap::new();
        let mut is_cut = false;
        for feed in self.feeds.iter() {
            let Some(prefix) = archives(feed, beginning) else {
                continue;
            };
            let (mut after, mut looked_at) = (String::new(), 0);
            loop {
                let rows = self.store.rows(&prefix, &after, PAGE).await?;
                for row in &rows {
                    list(&mut ids, row);
                }
                looked_at += rows.len();
                match rows.last() {
                    Some(last) if rows.len() as u64 == PAGE => {
                        last.key.as_str().clone_into(&mut after);
                    }
                    _ => break,
                }
                if ids.len() > LISTED_MAX || looked_at >= LOOKED_AT_MAX {
                    is_cut = true;
                    break;
                }
            }
        }
        is_cut |= ids.len() > LISTED_MAX;
        let packages = ids.into_values().take(LISTED_MAX).collect();
        Ok(Listing { packages, is_cut })
    }

    /// What is stored of a package.
    ///
    /// # Errors
    /// Why it cannot be told, for people.
    pub async fn package(&self, id: &PackageId) -> Result<CachedPackage, String> {
        let found = self.look_at(id).await;
        found.map_err(|failure| failure.to_string())
    }

    async fn look_at(&self, id: &PackageId) -> Result<CachedPackage, Failure> {
        let subject = Subject::new(id.as_str(), None).map_err(Failure::Refused)?;
        let pins = self.store.pins().await?;
        let prefixes = subject.prefixes(self.feeds.iter().map(String::as_str));
        let mut found = CachedPackage {
            pin: pin_of(&pins, prefixes.first().map_or("", String::as_str)),
            ..CachedPackage::default()
        };
        for prefix in &prefixes {
            let places = DOCUMENTS_MAX - found.archives.len() - found.documents.len();
            let mut rows = Vec::new();
            let (stored, left_out) = (&mut found.stored, &mut found.left_out);
            self.for_each_row(prefix, |row| {
                let Some(body) = row.body else { return };
                stored.add(body.size);
                if rows.len() < places {
                    rows.push(row.clone());
                } else {
                    *left_out += 1;
                }
            })
            .await?;
            for row in rows {
                if let Some(document) = self.document(&row, &pins).await? {
                    match document.kind {
                        ARCHIVE => found.archives.push(document),
                        _ => found.documents.push(document),
                    }
                }
            }
        }
        found.archives.sort_by(|one, other| {
            let latest = |it: &Document| Reverse(it.version.clone());
            latest(one).cmp(&latest(other))
        });
        Ok(found)
    }

    /// A document as it is now; nothing when it is gone by now.
    async fn document(&self, row: &Row, pins: &[Pin]) -> Result<Option<Document>, StoreError> {
        let entry = self.store.entry(&row.key).await?;
        let Some((entry, (feed, target))) = entry.zip(route::read_key(&row.key)) else {
            return Ok(None);
        };
        Ok(entry.body.map(|body| Document {
            kind: target.rule.name,
            path: target.path().to_owned(),
            version: target.version.clone(),
            feed: feed.to_owned(),
            url: entry.url.clone(),
            size: body.size,
            digest: body.digest,
            fetched_at: entry.fetched_at,
            checked_at: entry.checked_at,
            used_at: row.used_at,
            pin: pin_of(pins, row.key.as_str()),
        }))
    }
}

/// The name of the first pin that covers a key.
fn pin_of(pins: &[Pin], key: &str) -> Option<String> {
    let covers = |pin: &&Pin| pin.prefixes.iter().any(|it| key.starts_with(it));
    pins.iter().find(covers).map(|pin| pin.name.clone())
}

/// Counts an archive under its id.
fn list(ids: &mut BTreeMap<String, Listed>, row: &Row) {
    let (Some(body), Some((_, target))) = (row.body, route::read_key(&row.key)) else {
        return;
    };
    if let (ARCHIVE, Some(id)) = (target.rule.name, target.id) {
        let listed = ids.entry(id.as_str().to_owned()).or_insert_with(|| Listed {
            id: id.as_str().to_owned(),
            stored: Amount::default(),
            used_at: row.used_at,
        });
        listed.stored.add(body.size);
        listed.used_at = listed.used_at.max(row.used_at);
    }
}
