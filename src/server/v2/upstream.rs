//! V2 requests that the feed itself answers.
//!
//! Only of one feed: what several say to the same question is not put together here. Package files
//! are those of V3 clients, one copy for both; the feed's V2 endpoint is asked for what is not there.

use std::sync::Arc;

use crate::group::Member;
use crate::nuget::id::PackageId;
use crate::nuget::route::{self, Target};
use crate::nuget::v2::RequestError;
use crate::nuget::v2::passed::{self, Asked};
use crate::nuget::version::PackageVersion;
use crate::proxy::{Error, Proxy, Request};
use crate::server::handle::{Answer, App, request_of};
use crate::server::scope::Scope;
use crate::server::v2::{below, facts, refused};

impl App {
    /// The answer of the feed; `None` where V3 documents must tell it. `like` is the client's
    /// request for anything.
    pub(super) async fn v2_of_upstream(
        &self,
        parts: &http::request::Parts,
        scope: &Scope<'_>,
        like: &Request,
    ) -> Option<Answer> {
        let proxy = scope.group.only().map(Member::proxy)?;
        let path = below(scope.rest).unwrap_or_default();
        match passed::parse(path, parts.uri.query()) {
            Ok(Asked::Latest) => None,
            Ok(Asked::Document(target)) => match proxy.speaks_v2(like).await {
                Ok(true) => {
                    let base = Arc::clone(&like.base);
                    Some(self.document(&scope.group, parts, target, base).await)
                }
                Ok(false) => None,
                Err(error) => Some(self.served(parts, target.rule, Err(error))),
            },
            Ok(Asked::Package { id, version, file }) => Some(
                self.v2_package(parts, (proxy, like), (&id, &version), file)
                    .await,
            ),
            Err(RequestError::NotFound) => {
                Some(Answer::own("none", refused(&RequestError::NotFound)))
            }
            Err(error) => match proxy.speaks_v2(like).await {
                Ok(true) => Some(Answer::own("none", refused(&error))),
                _ => None,
            },
        }
    }

    async fn v2_package(
        &self,
        parts: &http::request::Parts,
        (proxy, like): (&Proxy, &Request),
        (id, version): (&PackageId, &PackageVersion),
        file: Target,
    ) -> Answer {
        let request = |target| request_of(parts, target, Arc::clone(&like.base));
        let text = facts::segment(id.as_str());
        let path = format!("flat/{text}/{version}/{text}.{version}.nupkg");
        let Ok(target) = route::parse(&path, None) else {
            return Answer::own("none", refused(&RequestError::NotFound));
        };
        let rule = target.rule;
        let served = proxy.serve(&request(target)).await;
        let elsewhere = match &served {
            Err(Error::NotOffered(_)) => proxy.speaks_v2(like).await,
            // The V3 resource knows what there is; nobody's failure makes that doubtful.
            Err(Error::NotFound) => Ok(proxy.speaks_v2(like).await.unwrap_or(false)),
            _ => Ok(false),
        };
        match elsewhere {
            Ok(true) => {
                let rule = file.rule;
                let served = proxy.serve(&request(file)).await;
                self.served(parts, rule, served)
            }
            Ok(false) => self.served(parts, rule, served),
            Err(error) => self.served(parts, file.rule, Err(error)),
        }
    }
}
