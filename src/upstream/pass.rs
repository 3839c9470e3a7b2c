//! Requests for what nugate does not know: passed on as they are, once, and without credential.
//!
//! What a resource of an unknown type does is not known, so the feed's credential, which may open
//! much more than packages, is not for it. Invariant: fields of the client that say which form of
//! the document it wants go on to the origin that was asked first, and nothing else does.

use std::collections::HashSet;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PRAGMA, RANGE, USER_AGENT, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use hyper::body::Incoming;
use url::Url;

use super::Feed;
use super::error::{Kind, UpstreamError, describe};
use super::fetch::{Fetched, OWN_AGENT, OWN_VIA, drain};
use super::hosts::Ticket;
use super::redirect::{self, REDIRECTS_MAX};
use crate::policy::pacing::Payer;

/// Fields that say what the client wants of a resource.
const WANTED: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    PRAGMA,
    RANGE,
    USER_AGENT,
];

/// A request that is passed on.
#[derive(Clone, Debug)]
pub struct Pass<'a> {
    /// What is asked for.
    pub url: &'a Url,
    /// GET or HEAD.
    pub method: Method,
    /// The client's; what matters of them goes on.
    pub headers: &'a HeaderMap,
    /// Hosts to which a redirect may lead, besides those of the configuration and the URL's own.
    pub allowed_hosts: &'a HashSet<String>,
    /// Most bytes of the body.
    pub size_max: u64,
}

impl Feed {
    /// Asks once, without the feed's credential; any status but a redirect is an answer.
    pub async fn pass(&self, request: Pass<'_>) -> Result<Fetched, UpstreamError> {
        let what = describe(&request.method, request.url);
        self.hosts.look(request.url, &what)?;
        let permit = self.gate.admit(&what, &Payer::Shared).await?;
        let toll = self.options.pace.toll(&Payer::Shared);
        let asked = (&request.method, request.url, request.size_max);
        let mut ticket = None;
        let answer = self.lead(&request, &mut ticket);
        let answered = self.answered(asked, (permit, toll), answer).await;
        if let (Err(error), Some(ticket)) = (&answered, ticket) {
            ticket.failed(error);
        }
        answered
    }

    /// The response at the end of the redirects.
    async fn lead<'a>(
        &'a self,
        request: &Pass<'_>,
        ticket: &mut Option<Ticket<'a>>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let rules = redirect::Rules {
            feed: &self.options.name,
            url: &self.options.url,
            allowed: request.allowed_hosts,
            patterns: &self.options.redirect_hosts,
        };
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let what = describe(&request.method, &url);
            let headers = headers(request, url.origin() == request.url.origin());
            *ticket = Some(self.hosts.enter(&url, &what)?);
            let response = self.send(&request.method, &url, headers).await?;
            self.answered_by(ticket, &response);
            if !redirect::is_redirect(response.status()) {
                return Ok(response);
            }
            url = rules
                .follow(&url, response.headers())
                .map_err(|refusal| UpstreamError::new(Kind::Redirect, &what, refusal))?;
            drain(response).await;
        }
        let what = describe(&request.method, request.url);
        let why = format!("more than {REDIRECTS_MAX} redirects");
        Err(UpstreamError::new(Kind::Redirect, &what, why))
    }
}

fn headers(request: &Pass<'_>, same_origin: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, OWN_AGENT);
    if same_origin {
        for name in &WANTED {
            for (at, value) in request.headers.get_all(name).iter().enumerate() {
                if at == 0 {
                    headers.insert(name, value.clone());
                } else {
                    headers.append(name, value.clone());
                }
            }
        }
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(VIA, OWN_VIA);
    headers
}
