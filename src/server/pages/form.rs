//! Forms of a package's page: whose they are, what they say, and doing it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{LOCATION, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Origin, Url, form_urlencoded};

use super::Pages;
use super::html::Html;
use crate::jobs::command::Order;
use crate::nuget::id::PackageId;
use crate::pages::Done;
use crate::server::body::BodyError;
use crate::server::own;

/// Longest form, in bytes, and how long it may take to arrive.
const FORM_MAX: usize = 4096;
const FORM_TIME: Duration = Duration::from_secs(10);

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Pages {
    /// Does what a form of a package's page says, and leads back to it.
    pub(super) async fn act<B>(&self, id: &PackageId, body: B) -> Html
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send,
    {
        let form = tokio::time::timeout(FORM_TIME, Limited::new(body, FORM_MAX).collect()).await;
        let form = match form {
            Ok(Ok(form)) => form.to_bytes(),
            Ok(Err(_)) => {
                let text = "the form is too long, or broke off\n";
                return own::text(StatusCode::BAD_REQUEST, text);
            }
            Err(_) => {
                return own::text(StatusCode::REQUEST_TIMEOUT, "the form took too long\n");
            }
        };
        let Some((order, done)) = order(id, &form) else {
            let text = "the form says nothing that can be done\n";
            return own::text(StatusCode::BAD_REQUEST, text);
        };
        tracing::info!(order = order.name(), package = %id, "a command from a page");
        match self.cache.clone().finish(order).await {
            Ok(_) => {
                self.stats.invalidate_all();
                let name = utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC);
                let to = format!("{name}?done={}", done.name());
                let mut response = own::text(StatusCode::SEE_OTHER, format!("see {to}\n"));
                if let Ok(to) = HeaderValue::from_str(&to) {
                    response.headers_mut().insert(LOCATION, to);
                }
                response
            }
            Err(why) => own::text(StatusCode::CONFLICT, format!("{why}\n")),
        }
    }
}

/// The order that a form gives about a package.
fn order(id: &PackageId, form: &[u8]) -> Option<(Order, Done)> {
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(form);
        Some(pairs.find(|(given, _)| given == name)?.1)
    };
    let subject = match value("version") {
        Some(version) => format!("{id}@{version}"),
        None => id.to_string(),
    };
    match &*value("do")? {
        "purge" => {
            let dry_run = false;
            Some((Order::Purge { subject, dry_run }, Done::Purged))
        }
        "pin" => {
            let subjects = vec![subject];
            Some((Order::Pin { subjects }, Done::Pinned))
        }
        "unpin" => {
            let subjects = vec![subject];
            Some((Order::Unpin { subjects }, Done::Unpinned))
        }
        _ => None,
    }
}

/// Whether a form was sent from a page of ours. Browsers say so in `Sec-Fetch-Site` (Fetch Metadata)
/// where the connection is trusted, and else in `Origin`, which pages cannot forge; who says neither
/// is no browser that could be told what to do, and has commands.
pub(super) fn is_of_ours(headers: &HeaderMap, base: &str) -> bool {
    let of = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = of(&FETCH_SITE) {
        return site == "same-origin";
    }
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    let ours = origin(base).filter(Origin::is_tuple);
    ours.is_some() && of(&ORIGIN).and_then(origin) == ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_others_are_told_apart() {
        let base = "http://cache.example:6842/v3/";
        for (pairs, expected) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://cache.example:6842")], true),
            (&[("origin", "https://cache.example:6842")], false),
            (&[("origin", "http://cache.example")], false),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "data:,a")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://cache.example:6842"),
                ],
                false,
            ),
        ] {
            let pairs_of = pairs.iter();
            let headers: HeaderMap = pairs_of
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            assert_eq!(is_of_ours(&headers, base), expected, "{pairs:?}");
        }
    }
}
