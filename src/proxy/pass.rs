//! Resources of types nugate does not know: the one way they are asked for.
//!
//! Each request is asked of the upstream anew and nothing is kept, since no rule says how. A route
//! that keeps by the response's own headers (RFC 9111) can take the place of [`Proxy::pass`].

use http::{HeaderMap, Method, StatusCode};

use crate::observe::status_class;
use crate::policy::Answer;
use crate::policy::class::Network;
use crate::proxy::{Error, Proxy};
use crate::upstream::{Pass, UpstreamBody};

/// How passed resources are counted and logged.
pub const PASSED: &str = "passed";

/// What is asked for below `/v3/pass/`.
#[derive(Clone, Copy, Debug)]
pub struct PassRequest<'a> {
    /// Path below `/v3/pass/` as it was sent: a token and what the client appended.
    pub path: &'a str,
    /// The query as it was sent.
    pub query: Option<&'a str>,
    /// Whether only the head is asked for.
    pub head: bool,
    /// The client's headers.
    pub headers: &'a HeaderMap,
}

/// The upstream's own response.
#[derive(Debug)]
pub struct PassReply {
    /// Its status; never a redirect that leads on, 401, 403 or 407.
    pub status: StatusCode,
    /// Its headers, as received.
    pub headers: HeaderMap,
    /// Its body as it arrives, decoded.
    pub body: UpstreamBody,
}

impl Proxy {
    /// Asks the upstream for something of a type that is passed through.
    ///
    /// # Errors
    /// [`Error`] when there is no such resource, or no response to pass on.
    pub async fn pass(&self, request: PassRequest<'_>) -> Result<PassReply, Error> {
        let engine = &self.0;
        if engine.options.network == Network::Offline {
            return Err(Error::Offline { list: false });
        }
        let known = engine.discovered().await?;
        let url = known.index.passed_url(request.path, request.query);
        let url = url.ok_or(Error::NotFound)?;
        let feed = engine.feed.name();
        let method = if request.head {
            Method::HEAD
        } else {
            Method::GET
        };
        let answer = engine.feed.pass(Pass {
            url: &url,
            method,
            headers: request.headers,
            allowed_hosts: &known.hosts,
            size_max: engine.options.package_size_max,
        });
        let answer = answer.await;
        let outcome = match &answer {
            Ok(fetched) => status_class(fetched.status.as_u16()),
            Err(error) => error.kind.name(),
        };
        let asked = &engine.metrics.upstream_requests;
        asked.with_label_values(&[feed, PASSED, outcome]).inc();
        let fetched = answer.map_err(|error| engine.upstream_failed(&error))?;
        let status = fetched.status;
        if Answer::of_status(status.as_u16()) == Answer::Denied {
            return Err(Error::unusable(format!(
                "feed {feed} answered {} to a resource of pass_types, which is asked for without \
                 the feed's credential",
                status.as_u16()
            )));
        }
        Ok(PassReply {
            status,
            headers: fetched.headers,
            body: fetched.body,
        })
    }

    /// Counts bytes of a passed body.
    pub fn count_passed(&self, bytes: usize) {
        self.0.count_upstream_bytes(bytes);
    }
}
