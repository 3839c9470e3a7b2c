//! A feed that is a folder: the same questions and answers, without a network.
//!
//! Permits and the limits of bodies are those of other feeds; redirects, retries and encodings do
//! not happen. Invariant: a folder is asked only for what lies below its own base.

use std::time::Duration;

use tokio::time::timeout;
use url::Url;

use super::body::{Limits, UpstreamBody};
use super::error::{Kind, UpstreamError};
use super::fetch::{Fetch, Fetched};
use super::limit::Permit;
use super::{Feed, FeedOptions};
use crate::clock::Stopwatch;
use crate::folder::{Folder, Question};
use crate::policy::class::{Freshness, Lifetime};

/// How long an answer of a folder is used without asking again: asking costs no more than looking
/// it up, and what is put into a folder is to be seen within a second.
const FRESH: Duration = Duration::from_millis(250);

/// The folder that the options name, if they do; its service index then takes the place of the URL.
pub(super) fn folder(options: &mut FeedOptions) -> Result<Option<Folder>, UpstreamError> {
    if options.url.scheme() != "file" {
        return Ok(None);
    }
    let what = format!("feed {}", options.name);
    let path = options.url.to_file_path().map_err(|()| {
        let why = "the folder has no absolute path on this machine";
        UpstreamError::new(Kind::Protocol, &what, why)
    })?;
    let folder = Folder::new(&path, &options.name)
        .map_err(|error| UpstreamError::new(Kind::Folder, &what, error))?;
    options.url = folder.index().clone();
    Ok(Some(folder))
}

impl Feed {
    /// Whether it is a folder: what it says is certain, so that a file that was replaced or removed
    /// there is replaced or removed here.
    pub const fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// The lifetimes for its documents: the configured ones, but next to none for a folder. What is
    /// stored still serves when it fails.
    pub fn lifetimes(&self, configured: Freshness) -> Freshness {
        if self.folder.is_none() {
            return configured;
        }
        let brief = |lifetime: Lifetime| Lifetime {
            fresh: lifetime.fresh.min(FRESH),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: lifetime.stale_if_error,
        };
        Freshness {
            immutable: brief(configured.immutable),
            versions: brief(configured.versions),
            metadata: brief(configured.metadata),
            index: brief(configured.index),
            query: brief(configured.query),
            negative: configured.negative.min(FRESH),
            negative_kept: configured.negative_kept,
        }
    }

    /// One question to the folder.
    pub(super) async fn ask_folder(
        &self,
        folder: &Folder,
        (request, url): (&Fetch<'_>, &Url),
        permit: Permit,
    ) -> Result<Fetched, UpstreamError> {
        let what = "the folder of packages";
        let watch = Stopwatch::start();
        let etag = match request.urls.first() {
            Some(first) if first == url => request.validators.etag.as_ref(),
            _ => None,
        };
        let question = Question {
            url,
            etag,
            head: request.method == http::Method::HEAD,
        };
        let limit = self.options.header_timeout;
        let Ok(answer) = timeout(limit, folder.ask(question)).await else {
            let why = format!("no answer within {limit:?}");
            return Err(UpstreamError::new(Kind::Timeout, what, why));
        };
        let answer = answer.map_err(|error| UpstreamError::new(Kind::Folder, what, error))?;
        let limits = Limits {
            idle: self.options.idle_timeout,
            size_max: request.size_max,
            bodiless: answer.body.length() == 0,
        };
        Ok(Fetched {
            status: answer.status,
            headers: answer.headers,
            body: UpstreamBody::local(what.to_owned(), (answer.body, permit), limits)?,
            url: url.clone(),
            attempts: 1,
            latency: watch.elapsed(),
        })
    }
}
