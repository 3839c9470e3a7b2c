//! HEAD of what is not stored.

use http::Method;

use crate::entry::Validators;
use crate::policy::Answer;
use crate::policy::class::Class;
use crate::proxy::Proxy;
use crate::proxy::error::Error;
use crate::proxy::reply::{self, Reply, Request};
use crate::upstream::{Encoding, Fetch, Wanted};

impl Proxy {
    /// HEAD of something that is not stored: the upstream is asked for the head alone, and nothing
    /// is kept.
    pub(super) async fn ask_head(&self, request: &Request) -> Result<Reply, Error> {
        let engine = &self.0;
        let located = engine.locate(&request.target).await?;
        let none = Validators::default();
        let fetch = Fetch {
            urls: &located.urls,
            method: Method::HEAD,
            validators: &none,
            encoding: Encoding::Identity,
            wanted: Wanted::Whole,
            allowed_hosts: &located.hosts,
            identity: &request.identity,
            size_max: u64::MAX,
            question: request.target.rule.class == Class::Query,
            patient: true,
        };
        let fetched = engine.fetch(request.target.rule, fetch).await?;
        let status = fetched.status.as_u16();
        match Answer::of_status(status) {
            Answer::Body => Ok(reply::head_reply(&fetched.headers)),
            Answer::Absent | Answer::Gone => Err(Error::NotFound),
            Answer::Refused => Err(Error::Refused(status)),
            Answer::Denied => Err(engine.denied(status, &fetched.url)),
            _ => Err(Error::unusable(format!(
                "feed {} answered with status {status}",
                engine.feed.name()
            ))),
        }
    }
}
