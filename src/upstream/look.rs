//! One question to any URL of a feed, and the answer as it came: for looking at a feed, not for
//! serving from it.
//!
//! Nothing is decoded, repeated or kept, and no host is left alone, so that what is wrong is seen.
//! Redirects are followed and told, but never from https to http, which clients refuse too.
//! Invariants: the credential goes where [`Trail`] lets it; every wait and the body have a bound.

use std::time::Duration;

use bytes::Bytes;
use http::header::{LOCATION, USER_AGENT, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use tokio::time::timeout;
use url::Url;

use super::client::uri;
use super::credential::{Authorizer, Trail};
use super::error::{Kind, UpstreamError, describe};
use super::fetch::{OWN_AGENT, OWN_VIA};
use super::redirect::{REDIRECTS_MAX, is_redirect};
use super::{FeedOptions, client, reach};

/// Longest wait for a whole body.
const BODY_WAIT: Duration = Duration::from_secs(60);

/// A client that looks at a feed.
pub struct Look {
    client: client::Client,
    authorizer: Option<Authorizer>,
    reach: reach::Reach,
    header_timeout: Duration,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Looked {
    /// Any status, that of a redirect only where it was not followed.
    pub status: StatusCode,
    /// As received.
    pub headers: HeaderMap,
    /// As received, not decoded.
    pub body: Bytes,
    /// The URL that answered.
    pub url: Url,
    /// Where the redirect from https to http leads at which the way ended.
    pub downgrade: Option<Url>,
}

impl Look {
    /// Looks as a feed with these options is asked: with its credential, its trusted roots, and
    /// within its reach. Asks nothing yet.
    ///
    /// # Errors
    /// Options that no feed can have.
    pub fn new(options: &FeedOptions) -> Result<Self, UpstreamError> {
        let what = format!("feed {}", options.name);
        let reach = reach::Reach::of(options);
        let wiring = client::Wiring::new(options, reach.clone())?;
        let authorizer = options.credential.as_ref().map(|credential| {
            Authorizer::new(credential, &options.url)
                .map_err(|why| UpstreamError::new(Kind::Protocol, &what, why))
        });
        Ok(Self {
            client: wiring.client(),
            authorizer: authorizer.transpose()?,
            reach,
            header_timeout: options.header_timeout,
        })
    }

    /// Asks for `url` with these fields; a body of more than `size_max` bytes is an error.
    ///
    /// # Errors
    /// No answer, or a part of one.
    pub async fn ask(
        &self,
        method: Method,
        url: &Url,
        fields: &[(HeaderName, HeaderValue)],
        size_max: usize,
    ) -> Result<Looked, UpstreamError> {
        let mut trail = Trail::new(self.authorizer.as_ref());
        let mut url = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut headers: HeaderMap = fields.iter().cloned().collect();
            headers.insert(USER_AGENT, OWN_AGENT);
            headers.insert(VIA, OWN_VIA);
            trail.authorize(&url, &mut headers);
            let mut looked = self.ask_once(&method, &url, headers, size_max).await?;
            let next = is_redirect(looked.status)
                .then(|| looked.headers.get(LOCATION)?.to_str().ok())
                .flatten()
                .and_then(|location| url.join(location).ok());
            match next {
                Some(next) if url.scheme() == "https" && next.scheme() == "http" => {
                    looked.downgrade = Some(next);
                    return Ok(looked);
                }
                Some(next) => url = next,
                None => return Ok(looked),
            }
        }
        let what = describe(&method, &url);
        let why = format!("more than {REDIRECTS_MAX} redirects");
        Err(UpstreamError::new(Kind::Redirect, &what, why))
    }

    async fn ask_once(
        &self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        size_max: usize,
    ) -> Result<Looked, UpstreamError> {
        let what = describe(method, url);
        let protocol = |why: &dyn std::fmt::Display| UpstreamError::new(Kind::Protocol, &what, why);
        self.reach.check(url).map_err(|error| protocol(&error))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri(url).map_err(|error| protocol(&error))?;
        *request.headers_mut() = headers;
        let limit = self.header_timeout;
        let answer = timeout(limit, self.client.request(request)).await;
        let response = answer
            .map_err(|_| {
                let why = format!("no response head within {limit:?}");
                UpstreamError::new(Kind::Timeout, &what, why)
            })?
            .map_err(|error| UpstreamError::of_send(&what, error))?;
        let (head, body) = response.into_parts();
        let body = timeout(BODY_WAIT, Limited::new(body, size_max).collect()).await;
        let body = body.map_err(|_| {
            let why = format!("no whole body within {BODY_WAIT:?}");
            UpstreamError::new(Kind::Timeout, &what, why)
        })?;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let why = format!("more than {size_max} bytes");
                return UpstreamError::new(Kind::TooLarge, &what, why);
            }
            UpstreamError::new(Kind::Cut, &what, format!("response body cut: {error}"))
        })?;
        Ok(Looked {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
            url: url.clone(),
            downgrade: None,
        })
    }
}
