//! Verification beside the arrival of a body, so that only its tail is left to wait for.
//!
//! A [`Follower`] reads the growing draft on the blocking pool, one job at a time, and never waits:
//! when all places are taken it falls behind and catches up later. At most as many such jobs run as
//! there are cores. Invariant: what it says is about bytes it has read from the draft itself, from
//! the first on.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::thread::available_parallelism;

use aws_lc_rs::digest::{Context, SHA512};
use futures_util::FutureExt as _;
use md5::{Digest as _, Md5};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::entry::Digest;
use crate::nuget::resource::Check;
use crate::proxy::verify::entries::Entries;
use crate::proxy::verify::{Finding, Said, archive, verify};
use crate::store::{Draft, DraftFile};
use crate::upstream::{Algorithm, Checksum};

/// So much must have arrived before a job is worth its hop.
const STEP: u64 = 256 * 1024;

/// So much is read by one job at most, so that all bodies get their turn.
const STEP_MAX: u64 = 4 << 20;

const BUFFER: usize = 64 * 1024;

/// Reads the rest of a whole body and judges it; blocks. `digest` is its SHA-256.
pub(super) fn conclude(
    mut along: Along,
    mut file: DraftFile,
    (check, said): (Check, &Said),
    digest: &Digest,
) -> Finding {
    let read = along.advance(&mut file, u64::MAX);
    if let Err(error) = read.and_then(|()| file.rewind()) {
        return Finding::Bad(format!("the body cannot be read: {error}"));
    }
    let finding = match (check, &along.entries) {
        (Check::Nupkg, Some(entries)) => archive(file, entries),
        _ => verify(check, said.content_type.as_deref(), file, said.framed),
    };
    match along.wrong(digest) {
        Some(algorithm) if !matches!(finding, Finding::Bad(_)) => {
            let name = algorithm.name();
            Finding::Mismatch(format!("its {name} is not the one the response gives"))
        }
        _ => finding,
    }
}

/// The places for jobs that verify packages.
#[derive(Clone)]
pub(super) struct Verifiers(Arc<Semaphore>);

impl Default for Verifiers {
    /// One place for each core.
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores)))
    }
}

impl Verifiers {
    /// Waits for a place; `None` when there will be none.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// What is known of a body that has been read up to some byte.
pub(super) struct Along {
    pub(super) entries: Option<Entries>,
    sums: Vec<(Checksum, Sum)>,
    position: u64,
}

/// A digest being computed.
enum Sum {
    /// The draft's own.
    Known,
    Sha512(Box<Context>),
    Md5(Box<Md5>),
}

impl Along {
    /// Nothing is read yet of a body that must have these digests.
    pub(super) fn new(check: Check, checksums: &[Checksum]) -> Self {
        let begun = |checksum: &Checksum| {
            let sum = match checksum.algorithm {
                Algorithm::Sha256 => Sum::Known,
                Algorithm::Sha512 => Sum::Sha512(Box::new(Context::new(&SHA512))),
                Algorithm::Md5 => Sum::Md5(Box::default()),
            };
            (checksum.clone(), sum)
        };
        Self {
            entries: matches!(check, Check::Nupkg).then(Entries::new),
            sums: checksums.iter().map(begun).collect(),
            position: 0,
        }
    }

    /// Reads on, at most `most` bytes; blocks.
    pub(super) fn advance(&mut self, file: &mut DraftFile, most: u64) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.position))?;
        let mut file = file.take(most);
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.position += read as u64;
            let bytes = &buffer[..read];
            if let Some(entries) = &mut self.entries {
                entries.feed(bytes);
            }
            for (_, sum) in &mut self.sums {
                match sum {
                    Sum::Known => {}
                    Sum::Sha512(context) => context.update(bytes),
                    Sum::Md5(context) => context.update(bytes),
                }
            }
        }
    }

    /// Whether there is anything to be read for.
    fn is_idle(&self) -> bool {
        let computed = |(_, sum): &(_, Sum)| !matches!(sum, Sum::Known);
        self.entries.is_none() && !self.sums.iter().any(computed)
    }

    /// Which of the digests the body does not have; it must have been read to its end, and `known`
    /// be its SHA-256.
    pub(super) fn wrong(&mut self, known: &Digest) -> Option<Algorithm> {
        let wrong = |(checksum, sum): (Checksum, Sum)| {
            let Checksum { algorithm, value } = checksum;
            let right = match sum {
                Sum::Known => known.as_bytes()[..] == value[..],
                Sum::Sha512(context) => context.finish().as_ref() == value,
                Sum::Md5(context) => context.finalize()[..] == value[..],
            };
            (!right).then_some(algorithm)
        };
        std::mem::take(&mut self.sums).into_iter().find_map(wrong)
    }
}

/// Keeps an [`Along`] near the end of a draft that grows.
pub(super) struct Follower {
    begin: (Check, Vec<Checksum>),
    along: Option<Along>,
    job: Option<JoinHandle<Along>>,
    places: Verifiers,
}

impl Follower {
    /// For a body that is to be checked so and must have these digests.
    pub(super) fn new(places: &Verifiers, check: Check, checksums: Vec<Checksum>) -> Self {
        Self {
            along: Some(Along::new(check, &checksums)),
            begin: (check, checksums),
            job: None,
            places: places.clone(),
        }
    }

    /// The digests that the body must have.
    pub(super) fn checksums(&self) -> &[Checksum] {
        &self.begin.1
    }

    /// Reads on if enough has arrived and there is a place; never waits.
    pub(super) fn nudge(&mut self, draft: &Draft) {
        if let Some(job) = &mut self.job {
            let Some(done) = job.now_or_never() else {
                return;
            };
            self.job = None;
            self.along = done.ok();
        }
        let behind = |along: &Along| draft.written() >= along.position + STEP && !along.is_idle();
        if !self.along.as_ref().is_some_and(behind) {
            return;
        }
        let (Ok(place), Some(mut file)) = (
            Arc::clone(&self.places.0).try_acquire_owned(),
            draft.growing(),
        ) else {
            return;
        };
        let Some(mut along) = self.along.take() else {
            return;
        };
        self.job = Some(tokio::task::spawn_blocking(move || {
            let read = along.advance(&mut file, STEP_MAX);
            drop(place);
            if let Err(error) = read {
                // What was read is right; the end of the body meets the same error.
                tracing::debug!(%error, "a draft cannot be read");
            }
            along
        }));
    }

    /// What is known so far; from the beginning if a job was lost.
    pub(super) async fn finish(mut self) -> Along {
        let done = match self.job.take() {
            Some(job) => job.await.ok(),
            None => self.along.take(),
        };
        let (check, checksums) = &self.begin;
        done.unwrap_or_else(|| Along::new(*check, checksums))
    }
}
