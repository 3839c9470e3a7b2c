//! Answers that are given again and again, ready made.
//!
//! Most requests of a restore ask for what the last one asked for. Their answer is remembered with
//! what it rests on ([`Standing`]): while that holds, the same request gets the same head, but for
//! its age and identifier, and the body as the store has it now. Whatever is asked in any other way,
//! and whatever no longer holds, takes the one path, which renews what is remembered.
//!
//! Only plain requests for a fresh document of one feed are remembered. Who may ask is not asked
//! here: that comes first, for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, LAST_MODIFIED, PRAGMA, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use prometheus::{Histogram, IntCounter};

use crate::observe::{CacheStatus, status_class};
use crate::proxy::{Body, Standing};
use crate::server::answer::{Answer, Memory};
use crate::server::asked::accepts_gzip;
use crate::server::body::ResponseBody;
use crate::server::handle::{App, Ends, origin};
use crate::server::range::Wanted;
use crate::server::respond::{self, not_modified};

/// Memory for remembered answers, in bytes: some 7000 answers.
const MEMORY: u64 = 16 * 1024 * 1024;

/// What an answer costs beside its question and the values of its headers: the map of headers, what
/// it rests on, and the places it is found in.
const OVERHEAD: usize = 1800;

/// No answer is as old.
const NO_AGE: u64 = u64::MAX;

/// How all of them come about.
const HIT: CacheStatus = CacheStatus::Hit;

/// Longer questions, in bytes, are not remembered.
const QUESTION_MAX: usize = 2048;

/// Everything of a plain request that its answer depends on, in one piece.
pub(super) struct Question(Vec<u8>);

/// The answers.
pub(super) struct HotAnswers {
    /// The hash is keyed: who makes questions up cannot make them collide.
    answers: Cache<Arc<[u8]>, Arc<HotAnswer>, RandomState>,
    /// Counts changes of the rules that answers are made by.
    era: AtomicU64,
}

/// An answer that may be given again.
pub(super) struct HotAnswer {
    standing: Standing,
    /// Those of the whole response at an age in seconds; the identifier is of an earlier one.
    headers: ArcSwap<(u64, HeaderMap)>,
    resource: &'static str,
    requests: IntCounter,
    seconds: Histogram,
}

impl HotAnswers {
    pub(super) fn new() -> Self {
        let weigh = |question: &Arc<[u8]>, answer: &Arc<HotAnswer>| {
            let headers = answer.headers.load();
            let values = headers.1.values().map(http::HeaderValue::len);
            let size = OVERHEAD + question.len() + values.sum::<usize>();
            u32::try_from(size).unwrap_or(u32::MAX)
        };
        let answers = Cache::builder()
            .max_capacity(MEMORY)
            .weigher(weigh)
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(RandomState::default());
        Self {
            answers,
            era: AtomicU64::new(0),
        }
    }

    /// Gives no answer again that was made by rules which are replaced by now.
    pub(super) fn forget(&self) {
        self.era.fetch_add(1, Ordering::Release);
        self.answers.invalidate_all();
    }
}

impl HotAnswer {
    /// Counts a request that got it whole, after this time.
    pub(super) fn count(&self, elapsed: Duration) {
        self.requests.inc();
        self.seconds.observe(elapsed.as_secs_f64());
    }

    /// The headers of a response of this age. Those that tell it are written once a second.
    fn headers(&self, age: Duration) -> HeaderMap {
        let known = self.headers.load();
        let mut headers = known.1.clone();
        if known.0 != age.as_secs() {
            respond::age(&mut headers, self.standing.class(), age);
            let headers = (age.as_secs(), headers.clone());
            self.headers.store(Arc::new(headers));
        }
        headers
    }

    /// The response to a request with this method and these headers, but for its identifier.
    fn response(&self, (body, age): (Body, Duration), parts: &Parts) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::empty());
        let mut headers = self.headers(age);
        let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        if not_modified(etag, headers.get(LAST_MODIFIED), &parts.headers) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_LENGTH);
        } else if parts.method != Method::HEAD {
            *response.body_mut() = respond::into_body(body, &Wanted::Whole);
        }
        *response.headers_mut() = headers;
        response
    }
}

impl App {
    /// What a request asks for, if it is a plain one.
    pub(super) fn question(
        &self,
        ends: Ends,
        parts: &Parts,
        body: &impl http_body::Body,
    ) -> Option<Question> {
        if !matches!(parts.method, Method::GET | Method::HEAD) || !body.is_end_stream() {
            return None;
        }
        let headers = &parts.headers;
        let special = [RANGE, CACHE_CONTROL, PRAGMA, EXPECT];
        if special.iter().any(|name| headers.contains_key(name)) {
            return None;
        }
        let target = parts.uri.path_and_query()?.as_str().as_bytes();
        // Before the rules are read: what they made goes out of use with them.
        let era = self.hot.era.load(Ordering::Acquire);
        let mut question = Vec::with_capacity(target.len() + 64);
        question.extend_from_slice(&era.to_ne_bytes());
        question.extend_from_slice(target);
        // No target has such a byte: it ends here.
        question.push(u8::from(accepts_gzip(headers)));
        self.bases.load().seed(&origin(ends, parts), &mut question);
        (question.len() <= QUESTION_MAX).then_some(Question(question))
    }

    /// The answer that was given to this question before, as it is now.
    pub(super) fn hot_answer(&self, question: &Question, parts: &Parts) -> Option<Answer> {
        let hot = self.hot.answers.get(&*question.0)?;
        let held = hot.standing.hold()?;
        self.group.metrics().hot_answers.inc();
        let response = hot.response(held, parts);
        let mut answer = Answer::new(response, hot.resource, HIT);
        answer.memory = Memory::Hot(hot);
        Some(answer)
    }

    /// Remembers an answer that is complete but for its body, if there is something it rests on.
    pub(super) fn remember(&self, question: Option<Question>, answer: &mut Answer) {
        let Some(question) = question else { return };
        let status = answer.response.status();
        if status != StatusCode::OK || answer.cache != HIT {
            return;
        }
        if let Some(standing) = answer.take_standing() {
            let metrics = self.group.metrics();
            let labels = [answer.resource, HIT.name(), status_class(status.as_u16())];
            let seconds = &metrics.request_seconds;
            let hot = HotAnswer {
                standing,
                headers: ArcSwap::from_pointee((NO_AGE, answer.response.headers().clone())),
                resource: answer.resource,
                requests: metrics.requests.with_label_values(&labels),
                seconds: seconds.with_label_values(&[answer.resource]),
            };
            self.hot.answers.insert(question.0.into(), Arc::new(hot));
        }
    }
}
