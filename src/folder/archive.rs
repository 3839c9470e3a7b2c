//! Reading single files of a package archive.
//!
//! Only the central directory and the file that is wanted are read. Invariant: no more bytes are
//! inflated than the caller allows.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::stamp::FileStamp;

/// Longest manifest, in bytes; the real ones have a few KiB.
pub(super) const MANIFEST_MAX: u64 = 1 << 20;

/// Why a file of an archive cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// The file system failed: another attempt may succeed.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// It is no whole package; it stays that until the file changes.
    #[error("{0}")]
    Unfit(String),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput => {
                Self::Unfit(format!("is not a whole archive: {error}"))
            }
            _ => Self::Io(error),
        }
    }
}

impl From<ZipError> for ArchiveError {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => error.into(),
            other => Self::Unfit(format!("is not a whole archive: {other}")),
        }
    }
}

/// Opens a regular file. A pipe that has been put in its place is refused without waiting for it.
pub(super) fn open(path: &Path) -> io::Result<(File, FileStamp)> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let stamp = FileStamp::of(&metadata);
    Ok((file, stamp))
}

/// A package archive that is open.
pub(super) struct Archive<R>(ZipArchive<BufReader<R>>);

impl<R: Read + Seek> Archive<R> {
    /// Reads the central directory.
    pub(super) fn new(file: R) -> Result<Self, ArchiveError> {
        Ok(Self(ZipArchive::new(BufReader::new(file))?))
    }

    /// The bytes of its manifest: the one file at its root that ends in `.nuspec`.
    pub(super) fn manifest(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let is_manifest = |name: &String| {
            !name.contains(['/', '\\']) && name.to_ascii_lowercase().ends_with(".nuspec")
        };
        let mut names = self.names().filter(is_manifest);
        let unfit = |why: &str| ArchiveError::Unfit(why.to_owned());
        let name = names.next().ok_or_else(|| unfit("has no manifest"))?;
        if names.next().is_some() {
            return Err(unfit("has several manifests"));
        }
        drop(names);
        self.read(&name, MANIFEST_MAX)
    }

    /// The bytes of the file that a manifest calls `path`: separators of either kind, in any case.
    /// `None` if there is none.
    pub(super) fn file(
        &mut self,
        path: &str,
        size_max: u64,
    ) -> Result<Option<Vec<u8>>, ArchiveError> {
        let wanted = path.replace('\\', "/");
        let wanted = wanted.trim_start_matches("./").trim_start_matches('/');
        let same = |name: &String| name.replace('\\', "/").eq_ignore_ascii_case(wanted);
        let found = self.names().find(same);
        let Some(name) = found else {
            return Ok(None);
        };
        self.read(&name, size_max).map(Some)
    }

    /// The names in it that are text.
    fn names(&self) -> impl Iterator<Item = String> {
        let names = self.0.file_names();
        names.filter_map(|name| name.ok().map(std::borrow::Cow::into_owned))
    }

    fn read(&mut self, name: &str, size_max: u64) -> Result<Vec<u8>, ArchiveError> {
        let entry = self.0.by_name(name)?;
        let mut bytes = Vec::new();
        entry.take(size_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > size_max {
            let why = format!("has {name:?} of more than {size_max} bytes");
            return Err(ArchiveError::Unfit(why));
        }
        Ok(bytes)
    }
}
