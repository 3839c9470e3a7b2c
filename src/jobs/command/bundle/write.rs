//! Writes a bundle. Blocks.
//!
//! Into a file beside the one it is to be, which gets its name when it is whole and on the disk.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::mpsc;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::read::{BODIES, MANIFEST, SIGNATURE};
use super::shown;
use crate::entry::{Digest, Stored};
use crate::store::Blob;

/// Bytes copied at a time.
const PIECE: usize = 256 * 1024;

/// Longest member without the fields for larger ones.
const SMALL: u64 = 1 << 31;

/// Removed unless it was finished.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // There is none when it has its name.
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes the bodies that come, then the manifest and the signature that `seal` gives when told which
/// were lost or not what their digest says; gives the number of these.
pub(super) fn write(
    to: &Path,
    mut bodies: mpsc::Receiver<(Stored, Option<Blob>)>,
    seal: impl FnOnce(&HashSet<Digest>) -> Result<(Vec<u8>, Vec<u8>), String>,
) -> Result<u64, String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("{} cannot be written: {error}", shown(to));
    if to.symlink_metadata().is_ok() {
        return Err(format!(
            "{} is there already; nothing was written",
            shown(to)
        ));
    }
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    let part = Part(name.into());
    // One that was killed left it.
    let _ = fs::remove_file(&part.0);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part.0)
        .map_err(|error| failed(&error))?;
    let mut zip = ZipWriter::new(BufWriter::with_capacity(PIECE, file));
    let mut damaged = HashSet::new();
    while let Some((stored, blob)) = bodies.blocking_recv() {
        let Some(blob) = blob else {
            damaged.insert(stored.digest);
            continue;
        };
        let name = format!("{BODIES}{}", stored.digest);
        let start = zip.start_file(name, options(stored.size));
        start.map_err(|error| failed(&error))?;
        if copy(&blob, stored.size, &mut zip).map_err(|error| failed(&error))? == stored.digest {
            continue;
        }
        zip.abort_file().map_err(|error| failed(&error))?;
        damaged.insert(stored.digest);
    }
    let (manifest, signature) = seal(&damaged)?;
    for (name, bytes) in [(MANIFEST, manifest), (SIGNATURE, signature)] {
        let start = zip.start_file(name, options(bytes.len() as u64));
        start.map_err(|error| failed(&error))?;
        zip.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    let file = zip.finish().map_err(|error| failed(&error))?;
    let file = file.into_inner().map_err(|error| failed(&error))?;
    file.sync_all()
        .and_then(|()| fs::rename(&part.0, to))
        .and_then(|()| File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all())
        .map_err(|error| failed(&error))?;
    Ok(damaged.len() as u64)
}

/// The same bytes for the same cache: no time in it.
fn options(size: u64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .large_file(size >= SMALL)
}

/// Copies a body, and gives the digest of what was copied. A body that cannot be read to its end has
/// another one.
fn copy(blob: &Blob, size: u64, to: &mut impl Write) -> io::Result<Digest> {
    let mut context = Context::new(&SHA256);
    match blob {
        Blob::Bytes(bytes) => {
            context.update(bytes);
            to.write_all(bytes)?;
        }
        Blob::File(open) => {
            let mut piece = vec![0; PIECE];
            let mut at = 0;
            while at < size {
                match open.file().read_at(&mut piece, at) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => {
                        context.update(&piece[..read]);
                        to.write_all(&piece[..read])?;
                        at += read as u64;
                    }
                }
            }
        }
    }
    let digest = context.finish();
    Ok(Digest::from_slice(digest.as_ref()).unwrap_or_else(|| Digest::of(b"")))
}
