//! `verify`: reads every body and compares it with its digest, and what is there with what entries
//! name.
//!
//! One folder of bodies after the other, one body at a time. Files are listed before entries are
//! read, so what looks missing is looked for once more, and what looks unnamed asked for once more.

use std::collections::HashMap;

use super::{Cache, Event, Events, Failure, Finding, Verified};
use crate::entry::{Digest, Stored};
use crate::store::Checked;

impl Cache {
    pub(super) async fn verify(&self, repair: bool, events: &Events) -> Result<Verified, Failure> {
        let all = self.store.counted().await?.bodies_bytes;
        let mut found = Verified::default();
        events.progress(0, all).await?;
        for first in 0..=u8::MAX {
            self.verify_shard(first, repair, (&mut found, events, all))
                .await?;
        }
        if let Some(running) = &self.running {
            running.group.quiet().await;
        }
        events.progress(all, all).await?;
        Ok(found)
    }

    async fn verify_shard(
        &self,
        first: u8,
        repair: bool,
        (found, events, all): (&mut Verified, &Events, u64),
    ) -> Result<(), Failure> {
        let files = self.store.shard(first).await?;
        let named = self.store.named_shard(first).await?;
        let mut named: HashMap<Digest, u64> = named
            .into_iter()
            .map(|body| (body.digest, body.size))
            .collect();
        for (digest, size) in files {
            let is_named = named.remove(&digest).is_some();
            let checked = self.store.check(digest).await?;
            if checked != Checked::Gone {
                found.checked.add(size);
            }
            let body = Stored { digest, size };
            match checked {
                Checked::Damaged => {
                    found.damaged.add(size);
                    let finding = self.damaged(body, repair, found).await?;
                    events.tell(Event::Found(finding)).await?;
                }
                Checked::Good if !is_named && self.is_unnamed(digest).await? => {
                    found.entry_less.add(size);
                }
                Checked::Good | Checked::Gone => {}
            }
            events.progress(found.checked.bytes, all).await?;
        }
        for (digest, size) in named {
            if self.store.check(digest).await? == Checked::Gone && !self.is_unnamed(digest).await? {
                found.missing.add(size);
                let finding = self.missing(Stored { digest, size }, repair, found).await?;
                events.tell(Event::Found(finding)).await?;
            }
        }
        Ok(())
    }

    async fn is_unnamed(&self, digest: Digest) -> Result<bool, Failure> {
        let named = self.store.named(vec![digest]).await?;
        Ok(named.first() == Some(&0))
    }

    async fn damaged(
        &self,
        body: Stored,
        repair: bool,
        found: &mut Verified,
    ) -> Result<Finding, Failure> {
        let mut finding = finding("damaged", body);
        let names = self.store.names_of(body.digest).await?;
        finding.name(&names);
        if repair {
            self.store.discard(&body).await?;
            found.put_aside += 1;
            finding.done.push("put aside".to_owned());
            self.heal(names, &mut finding, found).await?;
        }
        Ok(finding)
    }

    async fn missing(
        &self,
        body: Stored,
        repair: bool,
        found: &mut Verified,
    ) -> Result<Finding, Failure> {
        let mut finding = finding("missing", body);
        let names = self.store.names_of(body.digest).await?;
        finding.name(&names);
        if repair {
            // Whoever has it open still would go on serving it.
            self.store.discard(&body).await?;
            self.heal(names, &mut finding, found).await?;
        }
        Ok(finding)
    }
}

fn finding(state: &str, body: Stored) -> Finding {
    Finding {
        state: state.to_owned(),
        digest: body.digest.to_hex(),
        bytes: body.size,
        ..Finding::default()
    }
}
