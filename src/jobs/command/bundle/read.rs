//! Reads a bundle, and says whether it is one. Blocks.
//!
//! Names in the archive lead nowhere: they are compared, never opened. Invariant: a [`Bundle`] has a
//! good signature of the key that was asked for.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::sync::mpsc;
use zip::{CompressionMethod, ZipArchive};

use super::key::PublicKey;
use super::manifest::Manifest;
use super::shown;
use crate::entry::{Digest, Stored};

/// Names of members.
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SIGNATURE: &str = "manifest.sig";
pub(super) const BODIES: &str = "bodies/";

/// Largest manifest, in bytes: some 800,000 documents.
const MANIFEST_MAX: u64 = 256 << 20;

/// Length of a signature, in bytes.
const SIGNATURE_LEN: u64 = 64;

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;

/// A bundle whose manifest is signed.
pub(super) struct Bundle {
    archive: ZipArchive<BufReader<File>>,
    name: String,
    pub(super) manifest: Manifest,
    /// Of the manifest.
    pub(super) digest: Digest,
    here: HashSet<Digest>,
}

impl Bundle {
    /// Opens a bundle and checks its names and the signature of its manifest.
    pub(super) fn open(path: &Path, trust: &PublicKey) -> Result<Self, String> {
        let name = shown(path);
        let file = File::open(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
        let archive = ZipArchive::new(BufReader::with_capacity(PIECE, file));
        let mut archive =
            archive.map_err(|error| format!("{name} is no bundle, or not all of one: {error}"))?;
        let manifest = member(&mut archive, MANIFEST, MANIFEST_MAX);
        let signature = member(&mut archive, SIGNATURE, SIGNATURE_LEN);
        let (manifest, signature) = manifest
            .and_then(|manifest| Ok((manifest, signature?)))
            .map_err(|why| format!("{name} is no bundle: {why}"))?;
        if !trust.has_signed(&manifest, &signature) {
            return Err(format!("{name} is not signed with the key that is trusted"));
        }
        let digest = Digest::of(&manifest);
        let manifest = Manifest::parse(&manifest).map_err(|why| format!("{name}: {why}"))?;
        let named: HashSet<Digest> = manifest
            .records
            .iter()
            .map(|it| it.stored().digest)
            .collect();
        let mut here = HashSet::new();
        for member in archive.file_names() {
            let member = member.map_err(|error| format!("{name}: {error}"))?;
            if matches!(&*member, MANIFEST | SIGNATURE) {
                continue;
            }
            let body = member.strip_prefix(BODIES).and_then(digest_of);
            let body = body.filter(|digest| named.contains(digest));
            let body = body.ok_or_else(|| {
                format!("{name} has {member:?} in it, which its manifest does not name")
            })?;
            here.insert(body);
        }
        Ok(Self {
            archive,
            name,
            manifest,
            digest,
            here,
        })
    }

    /// Whether a body is in this file.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.here.contains(digest)
    }

    /// The bodies that the manifest names, here or earlier.
    pub(super) fn bodies(&self) -> impl Iterator<Item = Digest> {
        self.manifest
            .records
            .iter()
            .map(|record| record.stored().digest)
    }

    /// Reads every body and compares it with its digest and its length.
    pub(super) fn verify(&mut self) -> Result<(), String> {
        let mut seen = HashSet::new();
        let bodies: Vec<_> = self
            .manifest
            .records
            .iter()
            .map(super::manifest::Record::stored)
            .collect();
        for stored in bodies {
            if !self.here.contains(&stored.digest) || !seen.insert(stored.digest) {
                continue;
            }
            let mut context = Context::new(&SHA256);
            let mut size = 0;
            self.each_piece(&stored, &mut |piece| {
                context.update(piece);
                size += piece.len() as u64;
                true
            })?;
            let found = context.finish();
            if found.as_ref() != stored.digest.as_bytes() || size != stored.size {
                return Err(format!(
                    "{} is damaged: {BODIES}{}",
                    self.name, stored.digest
                ));
            }
        }
        Ok(())
    }

    /// Sends these bodies, one after the other, as long as somebody takes them.
    pub(super) fn read(
        mut self,
        bodies: &[Stored],
        to: &mpsc::Sender<Bytes>,
    ) -> Result<(), String> {
        for stored in bodies {
            self.each_piece(stored, &mut |piece| {
                to.blocking_send(Bytes::copy_from_slice(piece)).is_ok()
            })?;
        }
        Ok(())
    }

    fn each_piece(
        &mut self,
        stored: &Stored,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), String> {
        let failed = |name: &str, error: &dyn std::fmt::Display| {
            format!("{name} is damaged: {BODIES}{}: {error}", stored.digest)
        };
        let name = &self.name;
        let body = self.archive.by_name(&format!("{BODIES}{}", stored.digest));
        let body = body.map_err(|error| failed(name, &error))?;
        if body.compression() != CompressionMethod::Stored {
            return Err(failed(name, &"it is compressed"));
        }
        // One byte more than it may have is enough to know.
        let mut body = body.take(stored.size + 1);
        let mut piece = vec![0; PIECE];
        loop {
            let read = body
                .read(&mut piece)
                .map_err(|error| failed(name, &error))?;
            if read == 0 || !each(&piece[..read]) {
                return Ok(());
            }
        }
    }
}

fn member(
    archive: &mut ZipArchive<BufReader<File>>,
    name: &str,
    size_max: u64,
) -> Result<Vec<u8>, String> {
    let file = archive.by_name(name);
    let file = file.map_err(|error| format!("{name}: {error}"))?;
    let mut bytes = Vec::new();
    let read = file.take(size_max + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > size_max {
        return Err(format!("{name} is longer than {size_max} bytes"));
    }
    Ok(bytes)
}

fn digest_of(name: &str) -> Option<Digest> {
    Digest::from_slice(&hex::decode(name).ok()?).filter(|digest| digest.to_hex() == name)
}
