//! What a browser gets where there is no page: the same answer, in words and with ways on.
//!
//! Clients of the protocol get what they always got: they do not accept `text/html`, and paths of
//! theirs are left alone even if they do.

use futures_util::FutureExt as _;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt as _, Collected};

use super::html::html;
use super::wants_html;
use crate::config::Scopes;
use crate::pages::{ErrorPage, Frame};
use crate::server::answer::Answer;
use crate::server::handle::{App, Ends};
use crate::server::scope::Scope;

/// What is told in a page.
const TOLD: [StatusCode; 6] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
];

impl App {
    /// The same answer, as a page where a browser is told that something is wrong. It leads to what
    /// those with these scopes may see.
    pub(in crate::server) fn for_people(
        &self,
        ends: Ends,
        parts: &Parts,
        scopes: Scopes,
        mut answer: Answer,
    ) -> Answer {
        let status = answer.response.status();
        if !TOLD.contains(&status) || self.pages.is_none() || !wants_html(&parts.headers) {
            return answer;
        }
        let path = self.path_at(ends, parts);
        let tabs = ends.purpose.tabs_for(scopes);
        let frame = Frame::at(path, tabs).filter(|_| !self.is_of_clients(path));
        let Some(frame) = frame else { return answer };
        // An answer of our own is there as a whole.
        let (head, body) = answer.response.into_parts();
        let why = body.collect().now_or_never().and_then(Result::ok);
        let why = why.map(Collected::to_bytes).unwrap_or_default();
        let page = ErrorPage::new(frame, status.to_string(), &String::from_utf8_lossy(&why));
        let mut response = html(&page);
        *response.status_mut() = status;
        let others = head
            .headers
            .iter()
            .filter(|(name, _)| **name != CONTENT_TYPE);
        for (name, value) in others {
            response.headers_mut().append(name.clone(), value.clone());
        }
        answer.response = response;
        answer
    }

    /// Whether clients of the protocol ask below this path.
    fn is_of_clients(&self, path: &str) -> bool {
        let below = Scope::of(&self.group, path).and_then(|it| it.rest.split('/').nth(1));
        matches!(below, Some("v3" | "api" | "raw" | "index.json"))
    }
}
