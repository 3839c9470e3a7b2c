//! `purge`: forgets a package, so that the next request for it asks the feed.

use futures_util::future::try_join_all;

use super::{Cache, Events, Failure, Left, PAGE, Purged, kind_of};
use crate::nuget::subject::Subject;
use crate::store::Row;

impl Cache {
    pub(super) async fn purge(
        &self,
        subject: &str,
        dry_run: bool,
        events: &Events,
    ) -> Result<Purged, Failure> {
        let subject: Subject = subject.parse().map_err(Failure::Refused)?;
        let mut purged = Purged {
            dry_run,
            subject: subject.to_string(),
            ..Purged::default()
        };
        let prefixes = subject.prefixes(self.feeds.iter().map(String::as_str));
        let mut left = Left::default();
        for (number, prefix) in prefixes.iter().enumerate() {
            let mut after = String::new();
            loop {
                let rows = self.store.rows(prefix, &after, PAGE).await?;
                let Some(last) = rows.last() else {
                    break;
                };
                last.key.as_str().clone_into(&mut after);
                purged.count(&rows);
                if dry_run {
                    self.plan_purge(&rows, &mut left, &mut purged).await?;
                } else {
                    self.forget(&rows, &mut purged).await?;
                }
            }
            events
                .progress(number as u64 + 1, prefixes.len() as u64)
                .await?;
        }
        Ok(purged)
    }

    /// Removes entries, all of a page in few transactions, then their bodies.
    async fn forget(&self, rows: &[Row], purged: &mut Purged) -> Result<(), Failure> {
        try_join_all(rows.iter().map(|row| self.store.remove(&row.key))).await?;
        for body in rows.iter().filter_map(|row| row.body) {
            if self.store.named(vec![body.digest]).await? == [0]
                && self.store.has(&body).await?
                && self.store.remove_unnamed(body.digest).await?
            {
                purged.bytes += body.size;
            }
        }
        Ok(())
    }

    /// Counts the bodies that nothing else names; `left` is how many still name a body.
    async fn plan_purge(
        &self,
        rows: &[Row],
        left: &mut Left,
        purged: &mut Purged,
    ) -> Result<(), Failure> {
        for body in rows.iter().filter_map(|row| row.body) {
            if left.is_last(&self.store, body.digest).await? {
                purged.bytes += body.size;
            }
        }
        Ok(())
    }
}

impl Purged {
    fn count(&mut self, rows: &[Row]) {
        for row in rows {
            let size = row.body.map_or(0, |body| body.size);
            let kind = kind_of(row).to_owned();
            self.kinds.entry(kind).or_default().add(size);
            self.entries += 1;
        }
    }
}
