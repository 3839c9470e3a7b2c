//! A door of its own for those who look after nugate: metrics, health and pages, and nothing of feeds.
//!
//! Where there is one, the other door has none of that but health, which load balancers ask. Who may
//! see what is the same on both (`access/`). Invariants: nothing that is limited for clients of feeds
//! makes a request wait here, and no answer of a feed is given here.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Body;

use crate::config::{Scope, Scopes};
use crate::pages::{Tab, Tabs};
use crate::server::answer::{Answer, insert_warning};
use crate::server::body::{BodyError, ResponseBody};
use crate::server::handle::{App, Ends};
use crate::server::{own, pages};

/// The path of the metrics.
const METRICS: &str = "/metrics";

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whatever there is: it is the only door.
    Everything,
    /// Feeds, and who asks whether they are served; the rest has a door of its own.
    Feeds,
    /// Those who look after nugate.
    Admin,
}

impl Purpose {
    /// The pages that there are behind such a door.
    pub(super) const fn tabs(self) -> Tabs {
        match self {
            Self::Everything => &[Tab::Setup, Tab::State, Tab::Packages],
            Self::Feeds => &[Tab::Setup],
            Self::Admin => &[Tab::State, Tab::Packages],
        }
    }

    /// Those of them that are for people with these scopes.
    pub(super) fn tabs_for(self, scopes: Scopes) -> Tabs {
        match self {
            _ if scopes.has(Scope::Admin) => self.tabs(),
            Self::Everything | Self::Feeds => Self::Feeds.tabs(),
            Self::Admin => &[],
        }
    }

    /// Whether what nugate itself answers at this path is had behind such a door.
    pub(super) fn has_own(self, path: &str) -> bool {
        self != Self::Feeds || path != METRICS
    }
}

impl App {
    /// Answers a request of someone who may ask, at the door for those who look after nugate.
    pub(super) async fn admin_answer<B>(
        &self,
        ends: Ends,
        parts: &Parts,
        body: B,
        scopes: Scopes,
    ) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send,
    {
        if let Some(page) = self.page_of(ends, parts, scopes) {
            let response = self.page(ends, parts, page, body).await;
            return Answer::own(pages::RESOURCE, response);
        }
        let path = parts.uri.path();
        let ready = self.ready.load(Ordering::Acquire);
        let found = own::answer(path, self.proxy(), ready);
        let found = found.or_else(|| self.pages.as_ref().and_then(|_| to_state(path)));
        match found {
            Some((resource, response)) if matches!(parts.method, Method::GET | Method::HEAD) => {
                Answer::own(resource, response)
            }
            Some(_) => Answer::own("none", own::not_allowed(&parts.method, own::METHODS)),
            None => Answer::own("none", elsewhere()),
        }
    }
}

/// From the root to the first page.
fn to_state(path: &str) -> Option<(&'static str, Response<ResponseBody>)> {
    // A relative reference, so that it holds under every prefix and host.
    const TO: &str = "-/state";
    (path == "/").then(|| {
        let mut response = own::text(StatusCode::FOUND, format!("the state is at {TO}\n"));
        let to = HeaderValue::from_static(TO);
        response.headers_mut().insert(LOCATION, to);
        ("redirect", response)
    })
}

/// The answer to whatever is not here. Where feeds are is not told: who may know it knows the settings.
fn elsewhere() -> Response<ResponseBody> {
    let text = "feeds are not served at this address: it is the one of `admin_listen`, for metrics \
                and pages; use the source that `public_url` or `listen` name";
    let mut response = own::text(StatusCode::NOT_FOUND, format!("{text}\n"));
    insert_warning(&mut response, &format!("nugate: {text}"));
    response
}
