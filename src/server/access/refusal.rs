//! How a client is told that it may not.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::config::Scope;
use crate::server::access::failures::WINDOW;
use crate::server::body::ResponseBody;
use crate::server::own;

/// What makes `dotnet` and `nuget.exe` send `packageSourceCredentials` (RFC 7617 section 2).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"nugate\"");

/// Shown in the console of NuGet clients.
const WARNING: HeaderName = HeaderName::from_static("x-nuget-warning");

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It did not say whose it is.
    Challenged,
    /// What it said is wrong.
    Failed,
    /// It is known, and may not do this.
    Forbidden(Scope),
    /// Its address was wrong too often.
    Limited,
    /// Too many passwords are being verified.
    Busy,
}

impl Refusal {
    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Challenged => "challenged",
            Self::Failed => "failed",
            Self::Forbidden(_) => "forbidden",
            Self::Limited => "limited",
            Self::Busy => "busy",
        }
    }

    /// The response. A client that is asked for credentials gets a challenge; one that has shown
    /// good ones gets 403, after which NuGet does not ask a person for others when it pushes with a
    /// key.
    pub(in crate::server) fn respond(self) -> Response<ResponseBody> {
        let text = match self {
            Self::Challenged => {
                "credentials are needed: a user of this server, or a key as the password\n"
                    .to_owned()
            }
            Self::Failed => "the credentials are wrong\n".to_owned(),
            Self::Forbidden(scope) => {
                format!(
                    "these credentials do not have the scope {:?}\n",
                    scope.name()
                )
            }
            Self::Limited => "too many failed log-ins from this address\n".to_owned(),
            Self::Busy => "too many log-ins at a time\n".to_owned(),
        };
        let warning = format!("nugate: {}", text.trim_end());
        let mut response = own::text(self.status(), text);
        let headers = response.headers_mut();
        match self {
            Self::Challenged | Self::Failed => {
                headers.insert(WWW_AUTHENTICATE, CHALLENGE);
            }
            Self::Limited => {
                headers.insert(RETRY_AFTER, WINDOW.as_secs().into());
            }
            Self::Busy => {
                headers.insert(RETRY_AFTER, 1.into());
            }
            Self::Forbidden(_) => {}
        }
        // Every anonymous first request is challenged: that is no news.
        if self != Self::Challenged
            && let Ok(value) = HeaderValue::from_str(&warning)
        {
            headers.insert(WARNING, value);
        }
        response
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Challenged | Self::Failed => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
