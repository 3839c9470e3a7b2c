//! HTTP on one connection: requests, and the silence before, between and after them.
//!
//! Clients keep connections for later, thousands of them. What hyper needs to speak with one is made
//! when the first bytes of a request arrive, and given up again when it has been silent for a while
//! (HTTP/1; on HTTP/2 both sides remember the headers they have seen). Nothing of it is the client's
//! to notice: the connection stays.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::server::activity::{Activity, Due, GRACE, Reason};
use crate::server::body::ResponseBody;
use crate::server::connection::{Open, Phase, Shared};
use crate::server::handle::Ends;
use crate::server::linger::Lingering;
use crate::server::sendfile::Outbox;
use crate::server::strict;
use crate::server::tracked::{Answer, Exchange, Stream, Upload};

/// Bytes of output buffered for a connection, and the longest request head that is read.
const BUFFER: usize = 64 * 1024;

/// Streams at once on an HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Streams that a client has reset and that are not yet forgotten (CVE-2023-44487), and those that
/// we reset because of its mistakes.
const RESETS_PENDING_MAX: usize = 20;
const RESETS_MAX: usize = 256;

/// How the versions of HTTP are spoken.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Default for Protocols {
    fn default() -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // Heads are timed with everything else (`activity.rs`), without a timer for each.
            .header_read_timeout(None::<Duration>)
            .max_buf_size(BUFFER)
            .max_headers(strict::HEADER_COUNT_MAX)
            .keep_alive(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(15))
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_local_error_reset_streams(RESETS_MAX)
            .max_header_list_size(u32::try_from(strict::HEADERS_MAX).unwrap_or(u32::MAX))
            .max_send_buf_size(BUFFER);
        Self { http1, http2 }
    }
}

/// Our side of a connection.
pub(super) struct Speaker {
    shared: Arc<Shared>,
    ends: Ends,
    activity: Arc<Activity>,
    phase: watch::Receiver<Phase>,
    /// None where files cannot be sent by the kernel.
    outbox: Option<Outbox>,
    /// Why the client was told that no further request is taken.
    told: Option<Reason>,
}

/// What a connection does that speaks.
trait Spoken {
    /// Goes on; ready when nothing more is to be said.
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;

    /// Takes no further request.
    fn wind_down(&mut self);
}

/// How requests, or the wait for them, end.
enum Ending {
    /// It is over.
    Over,
    /// It is over at once.
    Cut,
    /// There may be more later.
    Rest,
}

impl Speaker {
    pub(super) fn new(
        shared: Arc<Shared>,
        ends: Ends,
        (activity, phase): (Arc<Activity>, watch::Receiver<Phase>),
    ) -> Self {
        Self {
            shared,
            ends,
            activity,
            phase,
            outbox: None,
            told: None,
        }
    }

    /// The same, on a stream that sends the files in `outbox`.
    pub(super) fn sending_by(self, outbox: Outbox) -> Self {
        let outbox = Some(outbox);
        Self { outbox, ..self }
    }

    /// Answers what comes in on `stream` until it or the listener ends.
    pub(super) async fn speak<S>(mut self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut stream = Stream::new(Lingering::new(stream), Arc::clone(&self.activity));
        loop {
            match self.silence(&mut stream).await {
                None => {}
                Some(Ending::Over) => return self.close(stream).await,
                Some(_) => return,
            }
            // Apart, so that silence costs nothing of it.
            match Box::pin(self.requests(stream)).await {
                Some(left) => stream = left,
                None => return,
            }
        }
    }

    /// Waits for the first bytes of a request; says how it ends when there are none.
    async fn silence<S>(&mut self, stream: &mut Stream<S>) -> Option<Ending>
    where
        S: AsyncRead + Unpin,
    {
        if *self.phase.borrow_and_update() != Phase::Serving {
            return Some(Ending::Over);
        }
        let _silent = Open::new(&self.shared.metrics().connections_silent);
        tokio::select! {
            heard = poll_fn(|cx| stream.poll_hear(cx)) => match heard {
                Ok(true) => None,
                Ok(false) => Some(Ending::Over),
                Err(error) => {
                    tracing::debug!(client = %self.ends.peer, %error, "a connection broke");
                    Some(Ending::Cut)
                }
            },
            _ = self.phase.changed() => Some(Ending::Over),
            due = self.activity.due(&self.shared.patience, false) => {
                let (reason, ending) = match due {
                    Due::Cut(reason) => (reason, Ending::Cut),
                    Due::Close(reason) => (reason, Ending::Over),
                    Due::Later(_) | Due::Rest => return Some(Ending::Over),
                };
                self.shared.ended(self.ends.peer, reason);
                Some(ending)
            }
        }
    }

    /// Answers requests; the stream is left where there may be more to come.
    async fn requests<S>(&mut self, stream: Stream<Lingering<S>>) -> Option<Stream<Lingering<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.service();
        let protocols = &self.shared.protocols;
        if self.activity.is_http2() {
            let spoken = protocols
                .http2
                .serve_connection(TokioIo::new(stream), service);
            self.run(&mut Box::pin(spoken), false).await;
            return None;
        }
        let mut spoken = protocols
            .http1
            .serve_connection(TokioIo::new(stream), service);
        let ending = self.run(&mut spoken, true).await;
        let parts = spoken.into_parts();
        let mut stream = parts.io.into_inner();
        match ending {
            Ending::Rest => {
                stream.put_back(parts.read_buf);
                return Some(stream);
            }
            Ending::Over => {
                if self.told == Some(Reason::Evicted) {
                    stream.hurry();
                }
                self.close(stream).await;
            }
            Ending::Cut => {}
        }
        None
    }

    async fn run(&mut self, spoken: &mut impl Spoken, mut may_rest: bool) -> Ending {
        if *self.phase.borrow_and_update() != Phase::Serving {
            spoken.wind_down();
        }
        loop {
            tokio::select! {
                biased;
                ended = poll_fn(|cx| spoken.poll_on(cx)) => {
                    if let Err(error) = &ended {
                        tracing::debug!(client = %self.ends.peer, %error, "a connection ended early");
                    }
                    return Ending::Over;
                }
                changed = self.phase.changed() => {
                    if changed.is_err() || *self.phase.borrow_and_update() == Phase::Over {
                        return Ending::Cut;
                    }
                    spoken.wind_down();
                }
                due = self.activity.due(&self.shared.patience, may_rest) => match due {
                    Due::Later(_) => {}
                    Due::Rest => {
                        spoken.wind_down();
                        // What does not end at once has something left to do, and ends after it.
                        let at_once = poll_fn(|cx| Poll::Ready(spoken.poll_on(cx))).await;
                        match at_once {
                            Poll::Ready(Ok(())) => return Ending::Rest,
                            Poll::Ready(Err(_)) => return Ending::Over,
                            Poll::Pending => may_rest = false,
                        }
                    }
                    Due::Close(reason) => {
                        self.shared.ended(self.ends.peer, *self.told.insert(reason));
                        self.activity.closing();
                        spoken.wind_down();
                    }
                    Due::Cut(reason) => {
                        if self.told.is_none() {
                            self.shared.ended(self.ends.peer, reason);
                        }
                        return Ending::Cut;
                    }
                },
            }
        }
    }

    /// Takes leave, unless that takes too long or everything is cut.
    async fn close<S: AsyncWrite + Unpin>(&mut self, mut stream: S) {
        tokio::select! {
            _ = tokio::time::timeout(GRACE, stream.shutdown()) => {}
            _ = self.phase.wait_for(|phase| *phase == Phase::Over) => {}
        }
    }

    /// Answers one request after the other.
    fn service(
        &self,
    ) -> impl HttpService<Incoming, ResBody = Answer, Error = Infallible, Future: Send + Unpin>
    + Unpin
    + use<> {
        let (app, activity) = (Arc::clone(&self.shared.app), Arc::clone(&self.activity));
        let (ends, outbox) = (self.ends, self.outbox.clone());
        service_fn(move |request: Request<Incoming>| {
            let (parts, body) = request.into_parts();
            let checked = strict::check(&parts);
            let closes = checked.is_err() || strict::closes(&parts);
            let leave = Leave {
                is_http1: parts.version <= Version::HTTP_11,
                closes,
                outbox: outbox.clone(),
                exchange: Exchange::begin(&activity),
            };
            if checked.is_ok()
                && let Some(response) = app.at_once(ends, &parts, &body)
            {
                return Either::Left(ready(Ok(leave.take(response))));
            }
            let lingers = !closes && !parts.headers.contains_key(EXPECT);
            let request = Request::from_parts(parts, Upload::new(body, lingers));
            let app = Arc::clone(&app);
            Either::Right(Box::pin(async move {
                let response = app.handle(ends, request, checked).await;
                Ok::<_, Infallible>(leave.take(response))
            }))
        })
    }
}

impl<I, S> Spoken for http1::Connection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Answer, Error = Infallible, Future: Unpin> + Unpin,
{
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll_without_shutdown(cx)
    }

    fn wind_down(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

impl<I, S> Spoken for Pin<Box<http2::Connection<I, S, TokioExecutor>>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Answer, Error = Infallible, Future: Send + 'static>,
{
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.as_mut().poll(cx)
    }

    fn wind_down(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

/// How a response goes its way.
struct Leave {
    /// HTTP/2 has no last response, and sends files like everything else.
    is_http1: bool,
    /// Whether it is the last one of its connection.
    closes: bool,
    /// None where files cannot be sent by the kernel.
    outbox: Option<Outbox>,
    exchange: Exchange,
}

impl Leave {
    /// The response as it is sent.
    fn take(self, mut response: Response<ResponseBody>) -> Response<Answer> {
        if !self.is_http1 {
            return response.map(|body| Answer::new(body, self.exchange));
        }
        let headers = response.headers_mut();
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let is_close = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
        if headers.get(CONNECTION).is_some_and(is_close) {
            self.exchange.last();
        }
        response.map(|body| {
            let body = match &self.outbox {
                Some(outbox) => body.sent_by(outbox),
                None => body,
            };
            Answer::new(body, self.exchange)
        })
    }
}
