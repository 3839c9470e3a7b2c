//! Whether body files are what their names say: looked at when they are first used.
//!
//! A body that this process wrote, or has read whole, is known by its stamp; any other, whoever
//! stopped the last process and how, is read once before the last byte of it leaves. What is damaged
//! is put aside before anybody is told, so that asking again is a miss.

use std::sync::Arc;

use super::blob::{OpenBlob, Verdict};
use super::bodies::Bodies;
use super::content;
use super::error::{StoreError, StoreErrorKind, blocking};
use super::stamp::Stamp;
use crate::entry::{Digest, Stored};

/// The largest body that is verified before its head is sent, so that damage is healed unseen; of
/// larger ones only the end waits.
const BEFORE_HEAD: u64 = 4 * 1024 * 1024;

impl Bodies {
    /// An open file of a body, verified unless it is larger than what is worth waiting for.
    pub(super) async fn file(
        self: &Arc<Self>,
        stored: &Stored,
    ) -> Result<Arc<OpenBlob>, StoreError> {
        let open = match self.hot_file(&stored.digest) {
            Some(open) => open,
            None => self.open_file(stored).await?,
        };
        if stored.size <= BEFORE_HEAD {
            open.settled().await?;
        }
        Ok(open)
    }

    /// An open file that may be read from; one that was changed is closed.
    pub(super) fn hot_file(&self, digest: &Digest) -> Option<Arc<OpenBlob>> {
        let open = self.open.get(digest)?;
        if matches!(open.verdict(), Verdict::Good | Verdict::Pending) {
            return Some(open);
        }
        self.open.invalidate(digest);
        None
    }

    async fn open_file(self: &Arc<Self>, stored: &Stored) -> Result<Arc<OpenBlob>, StoreError> {
        let (root, wanted) = (Arc::clone(&self.root), *stored);
        let opened = blocking("open body", move || content::open(&root, &wanted)).await;
        let (file, stamp) = match opened {
            Err(error) if error.kind == StoreErrorKind::Damaged => {
                self.judge(stored.digest).await?;
                return Err(error);
            }
            opened => opened?,
        };
        let verdict = if self.verified.get(&stored.digest) == Some(stamp) {
            Verdict::Good
        } else {
            Verdict::Pending
        };
        let open = Arc::new(OpenBlob::new(file, stamp, self.clock.clone(), verdict));
        let kept = self.open.entry(stored.digest).or_insert(Arc::clone(&open));
        let kept = kept.into_value();
        if !Arc::ptr_eq(&kept, &open) {
            if matches!(kept.verdict(), Verdict::Good | Verdict::Pending) {
                // Somebody else was quicker.
                return Ok(kept);
            }
            self.open.insert(stored.digest, Arc::clone(&open));
        }
        if verdict == Verdict::Pending {
            let verifying = Arc::clone(self).verify(stored.digest, Arc::clone(&open));
            drop(tokio::spawn(verifying));
        }
        Ok(open)
    }

    /// Reads an open file whole, and settles what is known of it.
    async fn verify(self: Arc<Self>, digest: Digest, open: Arc<OpenBlob>) {
        // Never closed.
        let _permit = self.permits.acquire().await;
        let (file, path) = (Arc::clone(open.file()), self.path(&digest));
        let found = blocking("verify body", move || {
            let found = content::digest_of(&file);
            let found = found.map_err(|error| content::unreadable(&path, error))?;
            let stamp = Stamp::of(&file);
            let stamp = stamp.map_err(|error| StoreError::io("look at body", &path, error))?;
            Ok((found, stamp))
        });
        let verdict = match found.await {
            Ok((Some(found), stamp)) if found == digest && stamp == open.stamp() => {
                self.verified.insert(digest, stamp);
                Verdict::Good
            }
            Ok((_, stamp)) if stamp != open.stamp() => Verdict::Changed,
            Ok(_) => Verdict::Damaged,
            Err(error) if error.kind == StoreErrorKind::Damaged => Verdict::Damaged,
            Err(error) => {
                tracing::warn!(%error, "a stored body could not be verified");
                Verdict::Unread
            }
        };
        if verdict == Verdict::Damaged
            && let Err(error) = self.judge(digest).await
        {
            tracing::error!(%error, "a damaged body could not be put aside");
        }
        open.settle(verdict);
    }

    /// Puts a body aside if it is damaged, for who reads it has reason to think so; it may have been
    /// healed meanwhile. Says what was found; `None` when it is not there.
    pub(super) async fn judge(&self, digest: Digest) -> Result<Option<bool>, StoreError> {
        let root = Arc::clone(&self.root);
        let intact = blocking("check body", move || content::is_intact(&root, &digest)).await?;
        if intact == Some(false) {
            let open = self.open.get(&digest);
            self.damaged.inc();
            tracing::error!(%digest, "a stored body is damaged; it is put aside and fetched anew when it is asked for");
            let aside = self.put_aside(digest).await;
            // Only now: whoever is told asks again.
            if let Some(open) = open {
                open.condemn(Verdict::Damaged);
            }
            aside?;
        }
        Ok(intact)
    }
}
