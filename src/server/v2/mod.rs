//! `/api/v2`: V2 clients, answered by the feed where it speaks V2, else from its V3 documents.
//!
//! What is asked is parsed by [`crate::nuget::v2`]; the documents that tell the answer are asked for
//! on the ordinary path of any request, so that they are cached, joined and served stale like all
//! others: the feed's own ([`upstream`]), or those it is made of ([`facts`]), where [`list`] chooses
//! and pages. Invariant: an answer that is missing a document because the upstream failed is that
//! failure, never a shorter list.

mod facts;
mod list;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::nuget::documents::{
    V2_COUNT, V2_ENTRY, V2_METADATA, V2_PACKAGE, V2_PACKAGES, V2_SEARCH, V2_SERVICE, V2_UPDATES,
    V2_VERSIONS,
};
use crate::nuget::id::PackageId;
use crate::nuget::resource::DocRule;
use crate::nuget::route::{self, Target};
use crate::nuget::service_index::gallery;
use crate::nuget::v2::atom::{self, Head};
use crate::nuget::v2::request::{self, List, V2Request};
use crate::nuget::v2::{RequestError, metadata};
use crate::nuget::version::PackageVersion;
use crate::proxy::{self, Body, Reply};
use crate::server::body::ResponseBody;
use crate::server::handle::{Answer, App, Ends, insert_warning, misdirected, request_of};
use crate::server::own;
use crate::server::scope::Scope;
use facts::Facts;

pub use facts::V2;

/// A package that is named by nothing but its id: counted as this when there is none.
const LATEST: DocRule = DocRule {
    name: "v2_latest",
    ..V2_PACKAGE
};

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    /// The request.
    Request(RequestError),
    /// A document that the answer needs.
    Proxy(proxy::Error),
}

impl From<proxy::Error> for Failure {
    fn from(error: proxy::Error) -> Self {
        Self::Proxy(error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

/// The path below `/api/v2`, if it is there.
pub(super) fn below(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/api/v2")?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

impl App {
    /// Answers a request for a path below `/api/v2`.
    pub(super) async fn v2(
        &self,
        ends: Ends,
        parts: &http::request::Parts,
        scope: &Scope<'_>,
    ) -> Answer {
        let Some(v2) = &self.v2 else {
            let text = "V2 clients are not served here (v2 = false)\n";
            return Answer::own("none", own::text(StatusCode::NOT_FOUND, text));
        };
        let base = match self.base_of(ends, parts) {
            Ok(base) => scope.base(base),
            Err(error) => return Answer::own("none", misdirected(&error)),
        };
        let like = request_of(parts, Target::service_index(), Arc::clone(&base));
        if let Some(answer) = self.v2_of_upstream(parts, scope, &like).await {
            return answer;
        }
        let asked = match request::parse(below(scope.rest).unwrap_or_default(), parts.uri.query()) {
            Ok(asked) => asked,
            Err(error) => return Answer::own("none", refused(&error)),
        };
        let rule = rule_of(&asked);
        let facts = Facts::new(&scope.group, v2, like);
        if let V2Request::Package(id, version) = asked {
            return match file(&facts, &id, version).await {
                Ok(target) => self.document(&scope.group, parts, target, base).await,
                Err(Failure::Request(error)) => Answer::own(rule.name, refused(&error)),
                Err(Failure::Proxy(error)) => self.served(parts, rule, Err(error)),
            };
        }
        match answer(&facts, &asked).await {
            Ok((content_type, body)) => {
                let reply = facts.reply(content_type, body);
                let mut answer = self.served(parts, rule, reply);
                if facts.is_incomplete() {
                    let text = "nugate is offline: what is not stored is not listed";
                    insert_warning(&mut answer.response, text);
                }
                answer
            }
            Err(Failure::Request(error)) => Answer::own(rule.name, refused(&error)),
            Err(Failure::Proxy(error)) => self.served(parts, rule, Err(error)),
        }
    }
}

const fn rule_of(asked: &V2Request) -> &'static DocRule {
    match asked {
        V2Request::Service => &V2_SERVICE,
        V2Request::Metadata => &V2_METADATA,
        V2Request::Entry(..) => &V2_ENTRY,
        V2Request::Package(..) => &LATEST,
        V2Request::Count(_) => &V2_COUNT,
        V2Request::List(list) => match list.name.as_bytes() {
            b"FindPackagesById" => &V2_VERSIONS,
            b"Search" => &V2_SEARCH,
            b"GetUpdates" => &V2_UPDATES,
            _ => &V2_PACKAGES,
        },
    }
}

fn refused(error: &RequestError) -> Response<ResponseBody> {
    let status = match error {
        RequestError::NotFound => StatusCode::NOT_FOUND,
        RequestError::Bad(_) => StatusCode::BAD_REQUEST,
        RequestError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
    };
    own::text(status, format!("{error}\n"))
}

/// The package file of a version, or of the latest: releases go before prereleases.
async fn file(
    facts: &Facts<'_>,
    id: &PackageId,
    version: Option<PackageVersion>,
) -> Result<Target, Failure> {
    let version = match version {
        Some(version) => version,
        None => latest(facts, id).await?,
    };
    let text = facts::segment(id.as_str());
    let path = format!("flat/{text}/{version}/{text}.{version}.nupkg");
    let target = route::parse(&path, None);
    target.map_err(|_| Failure::Request(RequestError::NotFound))
}

async fn latest(facts: &Facts<'_>, id: &PackageId) -> Result<PackageVersion, Failure> {
    let package = facts.package(id).await?;
    let rows = package.map_or_else(Vec::new, |package| package.rows(true));
    let release = rows.iter().find(|row| row.latest);
    let found = release.or_else(|| rows.iter().find(|row| row.absolute_latest));
    let found = found.ok_or(Failure::Proxy(proxy::Error::NotFound))?;
    Ok(found.release().parsed.clone())
}

/// `Content-Type` and body of a document.
async fn answer(facts: &Facts<'_>, asked: &V2Request) -> Result<(&'static str, Vec<u8>), Failure> {
    let base = format!("{}/", gallery(facts.base()));
    match asked {
        V2Request::Service => {
            let body = metadata::service(&base).into_bytes();
            Ok((metadata::SERVICE_TYPE, body))
        }
        V2Request::Metadata => Ok((metadata::METADATA_TYPE, metadata::schema().into_bytes())),
        V2Request::List(asked) => {
            let body = feed(facts, &base, asked).await?;
            Ok((atom::FEED_TYPE, body))
        }
        V2Request::Count(asked) => {
            let count = list::count(facts, asked).await?;
            Ok(("text/plain; charset=utf-8", count.to_string().into_bytes()))
        }
        V2Request::Entry(id, version, select) => {
            let rows = facts.package(id).await?;
            let rows = rows.map_or_else(Vec::new, |package| package.rows(true));
            let row = rows.iter().find(|row| row.release().parsed == *version);
            let row = row.ok_or(Failure::Proxy(proxy::Error::NotFound))?;
            let head = Head {
                base: &base,
                name: "Packages",
                count: None,
                next: None,
                select: select.as_deref(),
            };
            let body = atom::entry(&head, row).map_err(|error| unwritten(&error))?;
            Ok((atom::ENTRY_TYPE, body))
        }
        V2Request::Package(..) => Err(Failure::Request(RequestError::NotFound)),
    }
}

async fn feed(facts: &Facts<'_>, base: &str, asked: &List) -> Result<Vec<u8>, Failure> {
    let found = list::page(facts, asked).await?;
    let count = match (asked.count, found.total) {
        (true, None) => Some(list::count(facts, asked).await?),
        (true, total) => total,
        (false, _) => None,
    };
    let next = found.more.map(|shown| asked.next(shown));
    let head = Head {
        base,
        name: asked.name,
        count,
        next: next.as_deref(),
        select: asked.select.as_deref(),
    };
    atom::feed(&head, &found.rows).map_err(|error| unwritten(&error))
}

fn unwritten(error: &std::io::Error) -> Failure {
    Failure::Proxy(proxy::Error::internal(format!("cannot write XML: {error}")))
}

/// A reply of our own making; how it came about is that of what it was made of.
fn reply(
    content_type: &str,
    body: Vec<u8>,
    gzip: bool,
    seen: facts::Seen,
) -> Result<Reply, proxy::Error> {
    let encoded = proxy::encode(Bytes::from(body), gzip)?;
    Ok(Reply {
        etag: Some(encoded.etag.to_string()),
        body: Body::Bytes(encoded.bytes),
        content_type: Some(content_type.to_owned()),
        last_modified: None,
        gzip: encoded.gzip,
        varies: true,
        age: seen.age.unwrap_or(Duration::ZERO),
        cache: seen.cache,
        warning: seen.warning,
        standing: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_ends_at_a_segment() {
        assert_eq!(below("/api/v2"), Some(""));
        assert_eq!(below("/api/v2/Packages"), Some("/Packages"));
        assert_eq!(below("/api/v2x"), None);
        assert_eq!(below("/api/v3"), None);
    }
}
