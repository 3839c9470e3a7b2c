//! Bundles: what a cache holds as one signed file, for sites that reach no feed.
//!
//! A bundle is a zip archive without compression: bodies by digest, `manifest.json`, which says
//! what each is, and `signature.json`, Ed25519 over the manifest. An incremental one leaves out the
//! bodies that an earlier one has. Invariant: nothing of a bundle is kept before its signature, all
//! its names and the digests of all its bodies have been found right.

mod key;
mod manifest;
mod read;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;

pub use self::key::{PublicKey, SigningKey};

use self::manifest::{Manifest, Record};
use self::read::Bundle;
use super::{Cache, Events, Exported, Failure, Imported, PAGE};
use crate::clock::Clock;
use crate::entry::{Digest, Key, Stored};
use crate::nuget::route;
use crate::store::{Sealed, StoreErrorKind};

/// Pieces of a body that wait for the store, 256 KiB each.
const PIECES: usize = 8;

/// What to write where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Export {
    /// The bundle, an absolute path; nothing is there yet.
    pub to: PathBuf,
    /// The file of the private key.
    pub key: PathBuf,
    /// An earlier bundle, whose bodies are left out.
    #[serde(default)]
    pub since: Option<PathBuf>,
    /// Only tell what would be written.
    #[serde(default)]
    pub dry_run: bool,
}

/// What to take from where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Import {
    /// The bundle, an absolute path.
    pub from: PathBuf,
    /// The public key that it must be signed with, as `nugate bundle-key` prints it.
    pub trust: String,
    /// Only tell what would be kept.
    #[serde(default)]
    pub dry_run: bool,
}

impl Cache {
    /// Writes a bundle of all documents and packages; answers to searches and responses of generic
    /// routes are left out.
    pub(super) async fn export(&self, order: Export, events: &Events) -> Result<Exported, Failure> {
        let key = blocking(move || SigningKey::read(&order.key)).await?;
        let earlier = match order.since {
            Some(path) => {
                let trust = key.public();
                let bundle = blocking(move || Bundle::open(&path, &trust)).await?;
                Some(bundle)
            }
            None => None,
        };
        let mut manifest = Manifest::new(&self.feeds, Clock::System.now());
        if let Some(earlier) = &earlier {
            manifest.since = Some(earlier.digest.to_hex());
        }
        let known: HashSet<Digest> = earlier.iter().flat_map(Bundle::bodies).collect();
        let mut report = Exported {
            dry_run: order.dry_run,
            ..Exported::default()
        };
        let mut here = BTreeMap::new();
        for record in self.records().await? {
            let stored = record.stored();
            if known.contains(&stored.digest) {
                report.left_out.add(stored.size);
            } else {
                here.insert(stored.digest.to_hex(), stored);
            }
            manifest.records.push(record);
        }
        report.entries = manifest.records.len() as u64;
        for stored in here.values() {
            report.bodies.add(stored.size);
        }
        if order.dry_run {
            return Ok(report);
        }
        let bodies: Vec<Stored> = here.into_values().collect();
        let lost = self
            .write_bodies((order.to, key), bodies, (manifest, events))
            .await?;
        report.damaged = lost;
        Ok(report)
    }

    /// Everything that has a body.
    async fn records(&self) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        let mut after = String::new();
        loop {
            let rows = self.store.rows("", &after, PAGE).await?;
            for row in &rows {
                if row.body.is_none() || row.key.is_query() {
                    continue;
                }
                if let Some(entry) = self.store.entry(&row.key).await? {
                    records.extend(Record::of(&row.key, &entry));
                }
            }
            match rows.last() {
                Some(last) if rows.len() as u64 == PAGE => last.key.as_str().clone_into(&mut after),
                _ => return Ok(records),
            }
        }
    }

    /// Writes the file, and says how many bodies were lost or damaged: these are left out.
    async fn write_bodies(
        &self,
        (to, key): (PathBuf, SigningKey),
        bodies: Vec<Stored>,
        (mut manifest, events): (Manifest, &Events),
    ) -> Result<u64, Failure> {
        let (sender, receiver) = mpsc::channel(PIECES);
        let writing = tokio::task::spawn_blocking(move || {
            write::write(&to, receiver, |good| {
                manifest.settle(good);
                manifest.sealed(&key)
            })
        });
        let of = bodies.iter().map(|stored| stored.size).sum();
        let mut done = 0;
        for stored in bodies {
            let blob = match self.store.body(&stored).await {
                Err(error) if error.kind == StoreErrorKind::Closed => return Err(error.into()),
                body => body.ok(),
            };
            if sender.send((stored, blob)).await.is_err() {
                // The writer has failed, and says why below.
                break;
            }
            done += stored.size;
            events.progress(done, of).await?;
        }
        drop(sender);
        let written = writing.await.map_err(|error| refused(&error))?;
        written.map_err(Failure::Refused)
    }

    /// Takes over what a bundle has that is newer than what is stored.
    pub(super) async fn import(&self, order: Import, events: &Events) -> Result<Imported, Failure> {
        let trust: PublicKey = order.trust.parse().map_err(Failure::Refused)?;
        let bundle = blocking(move || {
            let mut bundle = Bundle::open(&order.from, &trust)?;
            bundle.verify()?;
            Ok(bundle)
        });
        let bundle = bundle.await?;
        let mut report = Imported {
            dry_run: order.dry_run,
            made_at: bundle.manifest.made_at.clone(),
            ..Imported::default()
        };
        let wanted = self.wanted(&bundle, &mut report).await?;
        if order.dry_run {
            return Ok(report);
        }
        self.take_over(bundle, wanted, events).await?;
        Ok(report)
    }

    /// The records that are to be kept, by body.
    async fn wanted(
        &self,
        bundle: &Bundle,
        report: &mut Imported,
    ) -> Result<BTreeMap<String, Vec<Record>>, Failure> {
        let mut wanted: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in &bundle.manifest.records {
            let key = Key::new(record.key.as_str());
            let feed = route::read_key(&key).map(|(feed, _)| feed);
            if !feed.is_some_and(|feed| self.feeds.iter().any(|own| own == feed)) {
                return Err(Failure::Refused(format!(
                    "{key} is of no feed of this configuration, which has {}; the bundle is of {}",
                    self.feeds.join(", "),
                    bundle.manifest.feeds.join(", ")
                )));
            }
            let stored = record.stored();
            if !bundle.has(&stored.digest) && self.store.body(&stored).await.is_err() {
                return Err(Failure::Refused(format!(
                    "it has no body for {}: import the earlier bundle first that it was made since",
                    record.key
                )));
            }
            let known = self.store.entry(&key).await?;
            let newer = known.is_none_or(|known| {
                known.is_absent() || known.checked_at.as_millis() < record.checked_at
            });
            if newer {
                report.entries += 1;
                let of_body = wanted.entry(stored.digest.to_hex()).or_default();
                if of_body.is_empty() && bundle.has(&stored.digest) {
                    report.bodies.add(stored.size);
                }
                of_body.push(record.clone());
            } else {
                report.newer_here += 1;
            }
        }
        Ok(wanted)
    }

    async fn take_over(
        &self,
        bundle: Bundle,
        wanted: BTreeMap<String, Vec<Record>>,
        events: &Events,
    ) -> Result<(), Failure> {
        let of = wanted.values().filter_map(|records| records.first());
        let of = of.map(|record| record.size).sum();
        let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
        let bodies = wanted.values().filter_map(|records| records.first());
        let bodies = bodies
            .map(Record::stored)
            .filter(|stored| bundle.has(&stored.digest));
        let bodies: Vec<Stored> = bodies.collect();
        let here: HashSet<Digest> = bodies.iter().map(|stored| stored.digest).collect();
        let reading = tokio::task::spawn_blocking(move || bundle.read(&bodies, &sender));
        let mut done = 0;
        for records in wanted.values() {
            let Some(stored) = records.first().map(Record::stored) else {
                continue;
            };
            let sealed = if here.contains(&stored.digest) {
                Some(self.receive(stored, &mut pieces).await?)
            } else {
                None
            };
            for record in records {
                let (key, entry) = record.entry();
                self.store.put_lasting(&key, entry).await?;
            }
            drop(sealed);
            done += stored.size;
            events.progress(done, of).await?;
        }
        drop(pieces);
        let read = reading.await.map_err(|error| refused(&error))?;
        read.map_err(Failure::Refused)
    }

    /// One body, which must be what it was when the bundle was verified.
    async fn receive(
        &self,
        stored: Stored,
        pieces: &mut mpsc::Receiver<Bytes>,
    ) -> Result<Sealed, Failure> {
        let (mut writer, _draft) = self.store.draft(Some(stored.size));
        let mut left = stored.size;
        while left > 0 {
            let piece = pieces.recv().await;
            let piece = piece.ok_or_else(|| Failure::Refused("the bundle broke off".to_owned()))?;
            left = left.saturating_sub(piece.len() as u64);
            writer.append(vec![piece]).await?;
        }
        let finished = writer.finish()?;
        if finished.digest != stored.digest {
            return Err(Failure::Refused(
                "the bundle was changed while it was read".to_owned(),
            ));
        }
        Ok(self.store.seal(&finished).await?)
    }
}

/// Runs what waits for the disk where it may.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(job).await;
    let done = done.map_err(|error| refused(&error))?;
    done.map_err(Failure::Refused)
}

fn refused(error: &dyn std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

/// How messages name a file.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
