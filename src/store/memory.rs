//! Bodies that are files without a disk: made here, kept in memory, sent as files are.
//!
//! What the kernel can send from a file by itself it would otherwise copy out of our memory for each
//! response. Invariant: the file is sealed, so that what is sent is what was made.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::blob::{Blob, OpenBlob, Verdict};
use super::stamp::Stamp;
use crate::clock::Clock;

impl Blob {
    /// These bytes in a file in memory.
    ///
    /// # Errors
    /// When the system has no descriptor or no memory for it.
    pub fn filed(bytes: &[u8]) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("nugate-view", flags)?);
        file.write_all(bytes)?;
        let sealed = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, sealed)?;
        let stamp = Stamp::of(&file)?;
        let open = OpenBlob::new(file, stamp, Clock::System, Verdict::Good);
        Ok(Self::File(open.in_memory().into()))
    }

    /// All of it, if that needs no disk; reading a file in memory does not wait.
    pub fn in_memory(&self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::File(open) if open.is_in_memory() => {
                let mut all = vec![0; usize::try_from(open.size()).ok()?];
                open.file().read_exact_at(&mut all, 0).ok()?;
                Some(all.into())
            }
            Self::File(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_in_memory_is_read_like_any_other() {
        let bytes: Vec<u8> = (0..=250).cycle().take(400_000).collect();
        let blob = Blob::filed(&bytes).unwrap();
        assert_eq!(blob.in_memory().unwrap(), bytes);
        for range in [0..400_000, 5..10, 131_071..262_145_usize] {
            let mut reader = blob.reader(range.start as u64..range.end as u64);
            let mut all = Vec::new();
            while let Some(chunk) = reader.next().await {
                all.extend_from_slice(&chunk.unwrap());
            }
            assert!(all == bytes[range.clone()], "{range:?}");
        }
    }

    #[tokio::test]
    async fn reading_it_needs_no_other_thread() {
        let blob = Blob::filed(&vec![7; 100_000]).unwrap();
        let mut reader = blob.reader(0..100_000);
        let next = futures_util::poll!(std::pin::pin!(reader.next()));
        assert!(matches!(next, std::task::Poll::Ready(Some(Ok(chunk))) if chunk.len() == 100_000));
        let Blob::File(open) = &blob else { panic!() };
        assert_eq!(open.is_resident(0..100_000), Some(true));
    }

    #[test]
    fn nobody_changes_it() {
        let Blob::File(open) = Blob::filed(b"abc").unwrap() else {
            panic!()
        };
        assert!((&**open.file()).write_all(b"x").is_err());
        assert!(open.file().set_len(1).is_err());
    }
}
