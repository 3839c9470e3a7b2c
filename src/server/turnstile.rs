//! How much each client may ask: requests of restores wait for their turn, others are refused.
//!
//! A restore that is told 429 fails; who searches or pushes can come again. What serves people who
//! look after nugate (`/-/`, `/metrics`) is not counted.

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{Method, Response, StatusCode};

use crate::nuget::resource::of_slug;
use crate::pace::{Throttled, Toll};
use crate::policy::class::Class;
use crate::policy::pacing::Payer;
use crate::server::body::ResponseBody;
use crate::server::handle::{App, insert_warning};
use crate::server::own;

/// What a request is, as far as its client's share is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    /// Of those who look after nugate.
    Own,
    /// A push or a deletion.
    Push,
    /// A question that anybody can make up.
    Search,
    /// Part of a restore, or like one.
    Restore,
}

impl Errand {
    fn of(method: &Method, path: &str) -> Self {
        if is_own(path) {
            return Self::Own;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Self::Push;
        }
        let searches = match (path.split_once("/v3/"), path.split_once("/api/v2/")) {
            (Some((_, below)), _) => {
                let slug = below.split('/').next().unwrap_or_default();
                let row = of_slug(slug);
                row.is_some_and(|row| row.docs.iter().any(|rule| rule.class == Class::Query))
            }
            // Packages(Id=…,Version=…) is one package, FindPackagesById() what restores ask.
            (None, Some((_, below))) => {
                below.starts_with("Search")
                    || matches!(
                        below,
                        "Packages" | "Packages()" | "Packages/$count" | "Packages()/$count"
                    )
            }
            (None, None) => false,
        };
        if searches {
            Self::Search
        } else {
            Self::Restore
        }
    }
}

impl App {
    /// What the body of the response pays; none where nothing is limited.
    pub(super) fn toll(&self, payer: &Payer, parts: &Parts) -> Option<Toll> {
        let bytes = self.pace.bytes.as_ref()?;
        let own = is_own(self.below_prefix(parts.uri.path()));
        Toll::of([Some(bytes).filter(|_| !own), None], payer)
    }

    /// Waits until it is the turn of a request, or says why it goes no further.
    pub(super) async fn let_in(
        &self,
        payer: &Payer,
        parts: &Parts,
    ) -> Result<(), Response<ResponseBody>> {
        let pace = &self.pace;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if pace.requests.is_none() && (reads || pace.searches.is_none()) {
            return Ok(());
        }
        let errand = Errand::of(&parts.method, self.below_prefix(parts.uri.path()));
        let (admitted, reason, status) = match errand {
            Errand::Own => return Ok(()),
            Errand::Restore => (
                pace.admit(payer).await,
                "requests",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            Errand::Search => (
                pace.admit_now(payer),
                "searches",
                StatusCode::TOO_MANY_REQUESTS,
            ),
            Errand::Push => {
                let allowed = pace.searches.as_ref().map_or(Ok(()), |it| it.take(payer));
                let admitted = allowed.and_then(|()| pace.admit_now(payer));
                (admitted, "pushes", StatusCode::TOO_MANY_REQUESTS)
            }
        };
        admitted.map_err(|throttled| {
            let throttles = &self.group.metrics().throttled;
            throttles.with_label_values(&[reason]).inc();
            refusal(&throttled, status)
        })
    }
}

/// Whether it serves those who look after nugate.
fn is_own(path: &str) -> bool {
    path.starts_with("/-/") || path == "/metrics"
}

fn refusal(throttled: &Throttled, status: StatusCode) -> Response<ResponseBody> {
    let text = format!("this client asks too much ({})", throttled.setting);
    let mut response = own::text(status, format!("{text}\n"));
    let seconds = throttled.retry_after.as_millis().div_ceil(1000).max(1);
    let seconds = u64::try_from(seconds).unwrap_or(1);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    insert_warning(&mut response, &format!("nugate: {text}"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restores_wait_and_others_come_again() {
        for (method, path, expected) in [
            ("GET", "/v3/index.json", Errand::Restore),
            ("GET", "/v3/flat/a/1.0.0/a.1.0.0.nupkg", Errand::Restore),
            ("GET", "/v3/registration/query/index.json", Errand::Restore),
            ("GET", "/v3/query", Errand::Search),
            ("HEAD", "/feeds/a/v3/autocomplete", Errand::Search),
            ("GET", "/api/v2/Search()", Errand::Search),
            ("GET", "/api/v2/Packages()", Errand::Search),
            (
                "GET",
                "/api/v2/Packages(Id='a',Version='1.0.0')",
                Errand::Restore,
            ),
            ("GET", "/api/v2/FindPackagesById()", Errand::Restore),
            ("PUT", "/v3/publish", Errand::Push),
            ("DELETE", "/v3/publish/a/1.0.0", Errand::Push),
            ("GET", "/-/health", Errand::Own),
            ("GET", "/metrics", Errand::Own),
        ] {
            let method = method.parse().unwrap();
            assert_eq!(Errand::of(&method, path), expected, "{method} {path}");
        }
    }
}
