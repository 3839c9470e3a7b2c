//! Asks a feed, and notes on the way what concerns every answer.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;
use url::Url;

use crate::upstream::{FeedOptions, Look, Looked, UpstreamError};

/// Longest document, encoded and decoded, in bytes.
const DOCUMENT_MAX: usize = 64 << 20;

/// The first bytes of what is gzip.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Why there is no document.
pub(super) enum Without {
    /// It was not asked for, or not to the end: the redirect or the link is told elsewhere.
    Plain,
    /// No answer, another status, or no JSON.
    Failed(String),
}

/// Who asks.
pub(super) struct Asker {
    look: Look,
    secure: bool,
    /// Redirects from https to http: from where and to where.
    pub(super) downgrades: Vec<String>,
    /// Links to http in documents of https.
    pub(super) plain_links: Vec<String>,
    /// Documents that are gzip and do not say so.
    pub(super) unlabelled: Vec<String>,
}

impl Asker {
    /// One that asks as a feed with these options is asked.
    ///
    /// # Errors
    /// Options that no feed can have.
    pub(super) fn new(options: &FeedOptions) -> Result<Self, UpstreamError> {
        Ok(Self {
            look: Look::new(options)?,
            secure: options.url.scheme() == "https",
            downgrades: Vec::new(),
            plain_links: Vec::new(),
            unlabelled: Vec::new(),
        })
    }

    /// GET as the official client does it; any answer is one.
    pub(super) async fn get(&mut self, url: &Url) -> Result<Looked, UpstreamError> {
        let gzip = HeaderValue::from_static("gzip, deflate");
        self.ask(Method::GET, url, gzip).await
    }

    async fn ask(
        &mut self,
        method: Method,
        url: &Url,
        encoding: HeaderValue,
    ) -> Result<Looked, UpstreamError> {
        let fields = [(ACCEPT_ENCODING, encoding)];
        let looked = self.look.ask(method, url, &fields, DOCUMENT_MAX).await?;
        if let Some(to) = &looked.downgrade {
            self.downgrades.push(format!("{} to {to}", looked.url));
        }
        Ok(looked)
    }

    /// A link of a document as a URL, unless clients refuse it.
    pub(super) fn link(&mut self, link: &str) -> Result<Url, Without> {
        let url = Url::parse(link).map_err(|_| Without::Failed(format!("{link} is no URL")))?;
        if self.secure && url.scheme() == "http" {
            self.plain_links.push(url.to_string());
            return Err(Without::Plain);
        }
        Ok(url)
    }

    /// The JSON behind a link.
    pub(super) async fn json(&mut self, link: &str) -> Result<Value, Without> {
        let url = self.link(link)?;
        let answered = self.get(&url).await;
        let looked = answered.map_err(|error| Without::Failed(error.to_string()))?;
        succeeded(&looked)?;
        let labelled = is_labelled(&looked.headers);
        if looked.body.starts_with(GZIP) && !labelled {
            self.unlabelled.push(url.to_string());
        }
        let body = decoded(&looked).map_err(|why| Without::Failed(format!("{url}: {why}")))?;
        serde_json::from_slice(&body)
            .map_err(|error| Without::Failed(format!("{url} is no JSON: {error}")))
    }

    /// Whether there is a package behind a link.
    pub(super) async fn has_package(&mut self, link: &str) -> Result<(), Without> {
        let url = self.link(link)?;
        let identity = HeaderValue::from_static("identity");
        let answered = self.ask(Method::HEAD, &url, identity).await;
        let looked = answered.map_err(|error| Without::Failed(error.to_string()))?;
        // Who refuses to say whether it is there has not said that it is not.
        if looked.status == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(());
        }
        succeeded(&looked)
    }
}

fn succeeded(looked: &Looked) -> Result<(), Without> {
    if looked.downgrade.is_some() {
        return Err(Without::Plain);
    }
    if !looked.status.is_success() {
        let (url, status) = (&looked.url, looked.status);
        return Err(Without::Failed(format!("{url} is answered with {status}")));
    }
    Ok(())
}

fn is_labelled(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_ENCODING)
}

/// The body without its gzip, labelled or not.
pub(super) fn decoded(looked: &Looked) -> Result<Vec<u8>, String> {
    if !looked.body.starts_with(GZIP) {
        return Ok(looked.body.to_vec());
    }
    let mut body = Vec::new();
    let limit = DOCUMENT_MAX as u64;
    let read = MultiGzDecoder::new(&looked.body[..])
        .take(limit)
        .read_to_end(&mut body);
    read.map_err(|error| format!("damaged gzip: {error}"))?;
    Ok(body)
}
