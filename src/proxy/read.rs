//! Documents that nugate reads for itself: the service index, and indexes that name pages.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::Stored;
use crate::nuget::route::Target;
use crate::policy::class::Network;
use crate::policy::pacing::Payer;
use crate::proxy::WALKS_MAX;
use crate::proxy::engine::{Engine, Seen};
use crate::proxy::error::Error;
use crate::proxy::flight::{Outcome, Phase};
use crate::store::Draft;
use crate::upstream::ClientIdentity;

/// A whole document, and where it was.
pub(super) enum Own {
    /// In the store.
    Stored(Bytes),
    /// Upstream: it has just arrived.
    Fetched(Bytes),
}

impl Engine {
    /// The document of `target`, whatever its age: from the store, else from the upstream. A stored
    /// one that is missing or damaged is healed on the way.
    pub(super) async fn read_own(self: &Arc<Self>, target: &Target) -> Result<Own, Error> {
        let key = target.key(self.feed.name());
        let mut lost = None;
        for _ in 0..WALKS_MAX {
            let entry = self.lookup(&key).await;
            if entry.as_ref().is_some_and(|entry| entry.is_absent()) {
                return Err(Error::RememberedNotFound);
            }
            let stored = entry.and_then(|entry| entry.body);
            if let Some(stored) = stored.filter(|stored| lost != Some(*stored)) {
                match self.load_whole(&stored).await {
                    Err(Error::Lost(stored)) => lost = Some(stored),
                    loaded => return loaded.map(Own::Stored),
                }
            }
            if self.options.network == Network::Offline {
                return Err(Error::Offline { list: false });
            }
            if let Some(draft) = self.fetch_own(target, lost).await? {
                let body = self.whole(&draft, self.options.document_size_max).await?;
                return Ok(Own::Fetched(body));
            }
            // Somebody else's fill found that what is stored is right: it is looked at again.
            lost = None;
        }
        Err(Error::internal(format!("{key} is lost again and again")))
    }

    /// What the flight for `target` brings; `None` when that is stored already.
    async fn fetch_own(
        self: &Arc<Self>,
        target: &Target,
        lost: Option<Stored>,
    ) -> Result<Option<Arc<Draft>>, Error> {
        let key = target.key(self.feed.name());
        let seen = lost.map_or(Seen::Entry(None), Seen::Lost);
        // Clients wait for what it leads to, whoever they are.
        let identity = ClientIdentity {
            payer: Payer::Shared,
            ..ClientIdentity::default()
        };
        let (mut seat, _) = self.board(&key, target, seen, &identity);
        match seat.wait(false).await {
            Phase::Landed(Outcome::Failed(error)) => Err(error),
            Phase::Landed(Outcome::Body { draft, .. }) => Ok(draft),
            _ => Ok(None),
        }
    }
}
