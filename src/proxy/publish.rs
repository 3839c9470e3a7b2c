//! Pushes, deletions and relistings: passed on to the feed, and what they change asked for afresh.
//!
//! Nothing of them is kept but the beginning of the upload, in which the package's id is looked for.
//! The work is a task of its own, so that a client that leaves after its upload does not hide from us
//! what it changed. Invariant: whatever may have changed something upstream makes what is stored of it
//! outdated before the client learns of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use url::Url;

use crate::nuget::manifest::{self, BEGINNING_MAX};
use crate::nuget::publish::{Operation, Place, Publish};
use crate::observe::status_class;
use crate::policy::class::Network;
use crate::proxy::Proxy;
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::outdated::{Changed, outdated_note};
use crate::upstream::{Kind, Push, PushError, PushHeaders, Pushed, Upload};

/// What a client wants to be done upstream.
pub struct Submission {
    /// Where.
    pub place: Place,
    /// What.
    pub operation: Operation,
    /// With which method.
    pub method: Method,
    /// What goes upstream of the request's headers.
    pub headers: PushHeaders,
    /// Whether the client showed that it may push: then it pushes with the feed's own key, unless it
    /// brings one of the feed's.
    pub vouched: bool,
    /// The request's body.
    pub upload: Upload,
}

/// The feed's answer, as it goes to the client.
pub type Relayed = Pushed;

/// Why a push or deletion was not passed on, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The configuration forbids it.
    #[error("feed {0} takes no pushes and deletions through nugate (setting feeds.{0}.publish)")]
    Refused(Arc<str>),
    /// Several feeds take them, or none, and it is not for nugate to choose.
    #[error(
        "pushes and deletions go to one feed: to /feeds/NAME/v3/index.json, or here when all feeds \
         but one have publish = \"refuse\""
    )]
    WhichFeed,
    /// The id is this feed's, which is not the one that takes pushes and deletions.
    #[error("the id is owned by feed {0} (setting feeds.{0}.owns): go to /feeds/{0}/v3/index.json")]
    Owned(Arc<str>),
    /// Feeds own ids, and the id is not in the beginning of the upload.
    #[error(
        "the first MiB of the upload does not tell the package's id, so whose it is cannot be known: \
         push to the feed itself, at /feeds/NAME/v3/index.json, or pack with the manifest first"
    )]
    Unidentified,
    /// The network mode forbids it.
    #[error("nugate is offline: pushes and deletions are not passed on")]
    Offline,
    /// The upload is longer than this many bytes.
    #[error("the package is longer than {0} bytes (setting cache.package_size_max)")]
    TooLarge(u64),
    /// No further byte of the upload came within this time.
    #[error("no further byte of the upload came within {0:?}")]
    Stalled(Duration),
    /// The client ended the upload before its end.
    #[error("the upload broke off")]
    Cut,
}

impl Proxy {
    /// Whether the configuration lets pushes and deletions pass to this feed.
    pub fn takes_pushes(&self) -> bool {
        self.0.options.publish == Publish::Relay
    }

    /// Passes a push or deletion on. What was not read of the upload comes back with the answer.
    ///
    /// # Errors
    /// [`Error`] when the feed did not answer.
    pub async fn publish(
        &self,
        mut submission: Submission,
    ) -> (Result<Relayed, Error>, Option<Upload>) {
        let engine = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let relayed = engine.publish_upstream(&mut submission).await;
            engine.count_published(&relayed);
            (relayed, Some(submission.upload))
        });
        task.await
            .unwrap_or_else(|_| (Err(Error::internal("passing a push on panicked")), None))
    }
}

impl Engine {
    async fn publish_upstream(
        self: &Arc<Self>,
        submission: &mut Submission,
    ) -> Result<Relayed, Error> {
        let feed = self.feed.name();
        if self.options.publish == Publish::Refuse {
            return Err(PublishError::Refused(feed.into()).into());
        }
        if self.options.network == Network::Offline {
            return Err(PublishError::Offline.into());
        }
        let known = self.discovered().await?;
        let url = submission.place.upstream_url(&known.index);
        let url = url.ok_or(Error::NotOffered(submission.place.resource.name))?;
        let mut beginning = Vec::new();
        let pushed = self.push(submission, &url, &mut beginning).await;
        self.count_push(submission.operation, &pushed);
        let accepted = matches!(&pushed, Ok(pushed) if pushed.status.is_success());
        if let (Operation::Delete, true, Some(named)) =
            (submission.operation, accepted, &submission.place.named)
        {
            let deleted = (&named.id, &named.version);
            self.outdated.delete(deleted, self.clock.now());
        }
        if may_have_changed(&pushed) {
            self.outdate(&submission.place, submission.operation, &beginning)
                .await;
        }
        match pushed {
            Ok(pushed) => Ok(pushed),
            Err(PushError::Upstream(error)) => Err(self.upstream_failed(&error)),
            Err(PushError::TooLarge(limit)) => Err(PublishError::TooLarge(limit).into()),
            Err(PushError::Stalled(limit)) => Err(PublishError::Stalled(limit).into()),
            Err(PushError::Cut) => Err(PublishError::Cut.into()),
        }
    }

    async fn push(
        &self,
        submission: &mut Submission,
        url: &Url,
        beginning: &mut Vec<u8>,
    ) -> Result<Pushed, PushError> {
        let push = Push {
            method: submission.method.clone(),
            url,
            headers: match self.live.push_key.load_full() {
                Some(key) if submission.vouched => submission.headers.clone().or_key(&key),
                _ => submission.headers.clone(),
            },
            size_max: self.options.package_size_max,
            answer_timeout: self.options.publish_timeout,
        };
        let tap = |bytes: &Bytes| {
            let wanted = bytes.len().min(BEGINNING_MAX - beginning.len());
            beginning.extend_from_slice(&bytes[..wanted]);
        };
        self.feed.push(push, &mut submission.upload, tap).await
    }

    /// Makes what is stored of the package outdated; of all packages, when it is not known which.
    async fn outdate(&self, place: &Place, operation: Operation, beginning: &[u8]) {
        if operation == Operation::PushSymbols {
            // No document tells of symbols.
            return;
        }
        let found = match operation {
            Operation::Push => manifest::identity(beginning),
            _ => None,
        };
        let named = place.named.as_ref();
        let named = named.map(|named| (&named.id, &named.version));
        let changed: Changed<'_> = named.or(found.as_ref().map(|(id, version)| (id, version)));
        if changed.is_none() {
            tracing::info!(
                "the id of a pushed package was not found in its first MiB: \
                 the documents of all packages are asked for afresh"
            );
        }
        self.outdated.change(changed, self.clock.now());
        let name = outdated_note(self.feed.name());
        let write = async |note: Vec<u8>| self.store.remember(&name, &note).await;
        if let Err(error) = self.outdated.write(write).await {
            self.store_failed("note", &error);
        }
    }

    fn count_push(&self, operation: Operation, pushed: &Result<Pushed, PushError>) {
        let outcome = match pushed {
            Ok(pushed) => status_class(pushed.status.as_u16()),
            Err(PushError::Upstream(error)) => error.kind.name(),
            Err(_) => "unsent",
        };
        self.metrics
            .upstream_requests
            .with_label_values(&[self.feed.name(), operation.name(), outcome])
            .inc();
    }

    fn count_published(&self, relayed: &Result<Relayed, Error>) {
        let outcome = match relayed {
            Ok(relayed) => match relayed.status.as_u16() {
                200..=299 => "accepted",
                409 => "exists",
                401 | 403 => "denied",
                400..=499 => "rejected",
                _ => "failed",
            },
            Err(Error::Publish(PublishError::Stalled(_) | PublishError::Cut)) => "unsent",
            Err(Error::Publish(_) | Error::NotOffered(_)) => "refused",
            Err(_) => "failed",
        };
        self.metrics.published.with_label_values(&[outcome]).inc();
    }
}

/// Whether something may be different upstream now: unless it refused, or never had the whole.
fn may_have_changed(pushed: &Result<Pushed, PushError>) -> bool {
    match pushed {
        Ok(pushed) => !pushed.status.is_client_error(),
        Err(PushError::Upstream(error)) => {
            matches!(error.kind, Kind::Timeout | Kind::Cut | Kind::Protocol)
        }
        Err(_) => false,
    }
}
