//! Pushes and deletions over HTTP: which requests they are, and their answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::config::Scope;
use crate::group::Group;
use crate::nuget::publish::{self, Operation, Place};
use crate::nuget::route::RouteError;
use crate::observe::CacheStatus;
use crate::proxy::{Error, Relayed, Submission};
use crate::server::access::Verdict;
use crate::server::answer::failure;
use crate::server::body::{BodyError, ResponseBody};
use crate::server::handle::{Answer, App, Ends, WARNING, misdirected, unroutable};
use crate::server::own;
use crate::server::owned::{Guarded, Refusal};
use crate::server::scope::Scope as Feeds;
use crate::server::v2;
use crate::upstream::{PushHeaders, Upload};

/// How much of an upload that nobody wants is read, for how long in all, and the longest pause in
/// it: clients send all of a package before they look at the answer, and see a reset instead of it
/// if nobody takes the rest. The official client gives a push five minutes.
const DRAIN_MAX: u64 = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_mins(5);
const DRAIN_PAUSE: Duration = Duration::from_secs(30);

/// What goes back of the feed's headers.
const RELAYED: [HeaderName; 3] = [CONTENT_TYPE, RETRY_AFTER, WARNING];

impl App {
    /// The publishing resource that a request is about, if it is about one, and the feeds it is of.
    pub(super) fn place_of(
        &self,
        scope: Option<&Feeds<'_>>,
        parts: &Parts,
    ) -> Option<(Group, Result<Place, RouteError>)> {
        let scope = scope?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let place = match v2::below(scope.rest) {
            Some(_) if !reads && self.v2.is_none() => Some(Err(RouteError::NotFound)),
            // V2 clients push to and delete below the source itself, or `package` below it.
            Some(rest) if !reads => {
                let below = rest.strip_prefix("/package");
                let below = below.filter(|rest| rest.is_empty() || rest.starts_with('/'));
                let own = match parts.method {
                    Method::DELETE => (rest.matches('/').count() == 2).then_some(rest),
                    _ => matches!(rest, "" | "/").then_some(""),
                };
                publish::parse(&format!("publish{}", below.or(own)?))
            }
            _ => publish::parse(scope.rest.strip_prefix("/v3/")?),
        };
        Some((scope.group.clone(), place?))
    }

    /// Answers a request about a publishing resource.
    pub(super) async fn publish<B>(
        &self,
        (ends, parts, verdict): (Ends, &Parts, &Verdict),
        (group, place): (Group, Result<Place, RouteError>),
        body: B,
    ) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        let begun = Arc::new(AtomicBool::new(!parts.headers.contains_key(EXPECT)));
        let upload = Upload::new(Watched {
            body: Box::pin(body),
            begun: Arc::clone(&begun),
        });
        let (answer, rest) = match self.understand(ends, parts, place) {
            Ok((place, operation)) => {
                let submission = Submission {
                    place,
                    operation,
                    method: parts.method.clone(),
                    headers: PushHeaders::of(&parts.headers),
                    vouched: verdict.who.is_some() && verdict.scopes.has(Scope::Push),
                    upload,
                };
                relay(&group, submission, operation).await
            }
            Err(response) => {
                let answer = Answer::new(*response, "none", CacheStatus::Own);
                (answer, Some(upload))
            }
        };
        // Who waits to be told to go on (`Expect: 100-continue`) is not told to.
        let unread = |rest: &Upload| begun.load(Ordering::Relaxed) && !rest.is_end_stream();
        if let Some(rest) = rest.filter(unread) {
            drop(tokio::spawn(drain(rest)));
        }
        answer
    }

    /// What the request wants to be done where, or why it wants nothing.
    fn understand(
        &self,
        ends: Ends,
        parts: &Parts,
        place: Result<Place, RouteError>,
    ) -> Result<(Place, Operation), Box<Response<ResponseBody>>> {
        let place = place.map_err(|error| Box::new(unroutable(error)))?;
        let operation = place
            .operation(&parts.method)
            .ok_or_else(|| Box::new(own::not_allowed(&parts.method, place.methods())))?;
        self.base_of(ends, parts)
            .map_err(|error| Box::new(misdirected(&error)))?;
        Ok((place, operation))
    }
}

async fn relay(
    group: &Group,
    mut submission: Submission,
    operation: Operation,
) -> (Answer, Option<Upload>) {
    let mut refused = Refusal::default();
    if group.has_owners() && submission.place.named.is_none() {
        let (guarded, told) = Guarded::new(group.clone(), submission.upload);
        (submission.upload, refused) = (Upload::new(guarded), told);
    }
    let member = match &submission.place.named {
        Some(named) => group.publisher_of(&named.id),
        None => group.publisher(),
    };
    let (relayed, rest) = match member {
        Ok(member) => member.proxy().publish(submission).await,
        Err(error) => {
            let refused = &group.metrics().published;
            refused.with_label_values(&["refused"]).inc();
            (Err(error.into()), Some(submission.upload))
        }
    };
    let relayed = match refused.get() {
        Some(error) => Err(error.clone().into()),
        None => relayed,
    };
    let (response, cache) = match relayed {
        Ok(relayed) => (respond(relayed), CacheStatus::Relayed),
        Err(error) => (failure(&error), cache_status(&error)),
    };
    let answer = Answer::new(response, operation.name(), cache);
    (answer, rest)
}

/// A request body that tells whether any of it has been read.
struct Watched<B> {
    body: Pin<Box<B>>,
    begun: Arc<AtomicBool>,
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes, Error: Into<BodyError>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.begun.store(true, Ordering::Relaxed);
        let next = self.body.as_mut().poll_frame(cx);
        next.map(|next| next.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that comes of the feed, if only by its silence, is relayed.
const fn cache_status(error: &Error) -> CacheStatus {
    match error.cache_status() {
        CacheStatus::Passed => CacheStatus::Relayed,
        other => other,
    }
}

/// Status, its own words, body and the headers that tell a client of them.
fn respond(relayed: Relayed) -> Response<ResponseBody> {
    let bodiless = relayed.status == StatusCode::NO_CONTENT;
    let length = relayed.body.len();
    let mut response = Response::new(ResponseBody::bytes(relayed.body));
    *response.status_mut() = relayed.status;
    if let Some(reason) = relayed.reason {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    for name in RELAYED {
        for value in relayed.headers.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if !bodiless {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Reads what is left of an upload and throws it away.
async fn drain(mut rest: Upload) {
    let reading = async {
        let mut left = DRAIN_MAX;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(DRAIN_PAUSE, rest.frame()).await {
            let length = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
            let Some(less) = left.checked_sub(length) else {
                return;
            };
            left = less;
        }
    };
    // Whoever sends for longer than that is cut off.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}
