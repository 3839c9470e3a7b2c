//! Pages for people over HTTP: which there are, who gathers their facts, and what their forms do.
//!
//! What lies below `/-/` needs the admin scope where access is restricted (`access/`). Invariants: a
//! page is for this address alone and is kept by nobody; it may load nothing and be framed by nobody;
//! a form counts only when it was sent from a page of ours.

mod error;
mod form;
mod html;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use http_body::Body;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;
use uuid::Uuid;

use self::form::is_of_ours;
use self::html::{Html, broken, html};
use crate::config::address::shown;
use crate::config::{Scope, Scopes};
use crate::group::base_of_feed;
use crate::jobs::command::{Cache, Order, Report, Stats};
use crate::nuget::id::PackageId;
use crate::nuget::subject::ARCHIVE;
use crate::nuget::version::PackageVersion;
use crate::observe::Metrics;
use crate::observe::journal::Journal;
use crate::pages::{
    Done, Facts, FeedLink, ListingPage, PackagePage, RestorePage, SetupPage, Source, StatePage,
    Tab, Tabs,
};
use crate::policy::pacing::Payer;
use crate::server::admin::Purpose;
use crate::server::answer::misdirected;
use crate::server::body::BodyError;
use crate::server::handle::{App, Ends};
use crate::server::own;
use crate::store::Degraded;

/// What pages are counted under.
pub(super) const RESOURCE: &str = "page";

/// The kind of document that a package is in V2.
const V2_PACKAGE: &str = "v2_package";

/// How long a look through the index is used: however many look, it is gone through that often.
const STATS_LIFE: Duration = Duration::from_secs(3);

/// What pages are made of.
pub struct Pages {
    cache: Cache,
    journal: Arc<Journal>,
    stats: moka::future::Cache<(), Arc<Stats>>,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Setup,
    State,
    Restore(Uuid),
    Listing,
    Package(PackageId),
}

impl Pages {
    /// Pages about this cache, and what its daemon was asked lately.
    pub fn new(cache: Cache, journal: Arc<Journal>) -> Self {
        let stats = moka::future::Cache::builder()
            .max_capacity(1)
            .time_to_live(STATS_LIFE)
            .build();
        Self {
            cache,
            journal,
            stats,
        }
    }

    /// A journal that knows the paths of packages.
    pub fn journal(metrics: &Metrics) -> Journal {
        Journal::new(package_of, metrics.journal_skipped.clone())
    }

    async fn stats(&self) -> Result<Arc<Stats>, Arc<String>> {
        let look = async {
            match self.cache.clone().finish(Order::Stats).await? {
                Report::Stats(stats) => Ok(Arc::from(stats)),
                _ => Err("the order was taken for another".to_owned()),
            }
        };
        self.stats.try_get_with((), Box::pin(look)).await
    }
}

impl Page {
    /// The page at a path below our root.
    fn of(path: &str, headers: &HeaderMap) -> Option<Self> {
        let named = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .ok()
                .map(String::from)
        };
        match path {
            "/" => wants_html(headers).then_some(Self::Setup),
            "/-/state" => Some(Self::State),
            "/-/packages" => Some(Self::Listing),
            _ => {
                if let Some(id) = path.strip_prefix("/-/restores/") {
                    return Uuid::try_parse(id).ok().map(Self::Restore);
                }
                let id = named(path.strip_prefix("/-/packages/")?)?;
                PackageId::parse(&id).map(Self::Package)
            }
        }
    }

    /// The scope that it takes: all but the set-up show who asked.
    const fn needs(&self) -> Scope {
        match self {
            Self::Setup => Scope::Read,
            _ => Scope::Admin,
        }
    }

    /// Where it is among the others.
    const fn tab(&self) -> Tab {
        match self {
            Self::Setup => Tab::Setup,
            Self::State | Self::Restore(_) => Tab::State,
            Self::Listing | Self::Package(_) => Tab::Packages,
        }
    }

    /// The methods it is asked with.
    const fn methods(&self) -> &'static str {
        match self {
            Self::Package(_) => "GET, HEAD, POST",
            _ => own::METHODS,
        }
    }
}

impl App {
    /// The path below our root at the door that the client came in by.
    fn path_at<'p>(&self, ends: Ends, parts: &'p Parts) -> &'p str {
        match ends.purpose {
            Purpose::Admin => parts.uri.path(),
            Purpose::Everything | Purpose::Feeds => self.below_prefix(parts.uri.path()),
        }
    }

    /// The page that a request is for, if there are pages and those who may do this may see it.
    pub(super) fn page_of(
        &self,
        ends: Ends,
        parts: &Parts,
        scopes: Scopes,
    ) -> Option<(&Pages, Page)> {
        let pages = self.pages.as_ref()?;
        let page = Page::of(self.path_at(ends, parts), &parts.headers)?;
        if !ends.purpose.tabs().contains(&page.tab()) {
            return None;
        }
        // Asked here too, because the prefix may have changed since the request was let in.
        scopes.has(page.needs()).then_some((pages, page))
    }

    /// Answers a request for a page.
    pub(super) async fn page<B>(
        &self,
        ends: Ends,
        parts: &Parts,
        (pages, page): (&Pages, Page),
        body: B,
    ) -> Html
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send,
    {
        let base = match self.base_of(ends, parts) {
            Ok(base) => base,
            Err(error) => return misdirected(&error),
        };
        match (&parts.method, page) {
            (&Method::POST, Page::Package(_)) if !self.may_act(ends, parts) => {
                let text = "as access.mode is none, forms are taken from this machine alone\n";
                own::text(StatusCode::FORBIDDEN, text)
            }
            (&Method::POST, Page::Package(id)) if is_of_ours(&parts.headers, &base) => {
                pages.act(&id, body).await
            }
            (&Method::POST, Page::Package(_)) => {
                let text = "forms are taken from pages of this server alone\n";
                own::text(StatusCode::FORBIDDEN, text)
            }
            (&Method::GET | &Method::HEAD, page) => {
                Box::pin(self.shown(pages, page, (ends, parts), base)).await
            }
            (method, page) => own::not_allowed(method, page.methods()),
        }
    }

    /// Whether forms are taken: from those who showed that they may, or, where nobody shows anything,
    /// from this machine.
    fn may_act(&self, ends: Ends, parts: &Parts) -> bool {
        let asker = self.access.payer(ends, parts, None);
        self.access.is_required()
            || matches!(asker, Payer::Client(address) if address.is_loopback())
    }

    async fn shown(
        &self,
        pages: &Pages,
        page: Page,
        (ends, parts): (Ends, &Parts),
        base: Arc<str>,
    ) -> Html {
        let (now, tabs) = (self.group.clock().now(), ends.purpose.tabs());
        let asked = |name| query(parts, name);
        match page {
            Page::Setup => html(&self.setup(&base, tabs)),
            Page::State => match pages.stats().await {
                Ok(stats) => html(&self.state(pages, &stats, tabs)),
                Err(why) => broken(&why),
            },
            Page::Restore(id) => {
                let restore = pages.journal.restore(id);
                let forgotten = || {
                    let text = "nothing is remembered of such a restore\n";
                    own::text(StatusCode::NOT_FOUND, text)
                };
                restore.map_or_else(forgotten, |it| html(&RestorePage::new(&it, now, tabs)))
            }
            Page::Listing => {
                let beginning = asked("q").unwrap_or_default();
                match pages.cache.listing(&beginning).await {
                    Ok(listing) => html(&ListingPage::new(&beginning, &listing, now, tabs)),
                    Err(error) => broken(&error.to_string()),
                }
            }
            Page::Package(id) => match pages.cache.package(&id).await {
                Ok(package) => {
                    let demands = pages.journal.demands(id.as_str());
                    let done = asked("done");
                    let done = Done::ALL
                        .into_iter()
                        .find(|it| Some(it.name()) == done.as_deref());
                    html(&PackagePage::new(
                        id.as_str(),
                        (&package, &demands),
                        (done, self.may_act(ends, parts)),
                        now,
                        tabs,
                    ))
                }
                Err(why) => broken(&why),
            },
        }
    }

    fn setup(&self, base: &str, tabs: Tabs) -> SetupPage {
        let root = base.strip_suffix("v3/").unwrap_or(base);
        let source = Source {
            index: format!("{base}index.json"),
            gallery: self.v2.is_some().then(|| format!("{root}api/v2")),
            login: self.access.is_required(),
        };
        let link = |name: &str| FeedLink {
            name: name.to_owned(),
            index: format!("{}index.json", base_of_feed(base, name)),
        };
        let members = self.group.members();
        let feeds = members.map(|member| link(member.name())).collect();
        SetupPage::new(source, feeds, tabs)
    }

    fn state(&self, pages: &Pages, stats: &Stats, tabs: Tabs) -> StatePage {
        let running = pages.cache.running.as_ref();
        let members = self.group.members();
        let facts = Facts {
            stats,
            started_at: running.map(|it| it.started_at).unwrap_or_default(),
            urls: members.map(|it| shown(it.proxy().feed().1)).collect(),
            alarm: self.proxy().degraded().map(Degraded::text),
            restores: &pages.journal.restores(),
            failures: &pages.journal.failures(),
        };
        StatePage::new(&facts, self.group.clock().now(), tabs)
    }
}

/// Whether a browser asks, and not a client that looks for the service index.
fn wants_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut kinds = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    kinds.any(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|it| it.trim() == "text/html")
    })
}

/// The value of a parameter of the query.
fn query(parts: &Parts, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(parts.uri.query()?.as_bytes());
    Some(pairs.find(|(given, _)| given == name)?.1.into_owned())
}

/// Id and version of the package that an answered request was for, by the kind of document and the
/// end of its path: `ID/VERSION/FILE`, or `ID/VERSION` in V2.
fn package_of(resource: &str, path: &str) -> Option<(String, String)> {
    let end = match resource {
        ARCHIVE => path.rsplit_once('/')?.0,
        V2_PACKAGE => path,
        _ => return None,
    };
    let mut segments = end
        .rsplit('/')
        .map(|it| percent_decode_str(it).decode_utf8());
    let version = PackageVersion::parse(&segments.next()?.ok()?)?;
    let id = PackageId::parse(&segments.next()?.ok()?)?;
    Some((id.to_string(), version.to_string()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::nuget::resource::RESOURCES;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn browsers_are_told_from_clients() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/json, text/html;q=0.9", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            assert_eq!(wants_html(&headers(&[("accept", accept)])), expected);
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[test]
    fn paths_of_packages_name_them_in_one_spelling() {
        let some = Some(("some.id".to_owned(), "1.0.0".to_owned()));
        for (resource, path, expected) in [
            (ARCHIVE, "/v3/flat/Some.Id/1.0/some.id.1.0.nupkg", &some),
            (ARCHIVE, "/feeds/a/v3/flat/some%2Eid/1.0.0/x", &some),
            (V2_PACKAGE, "/api/v2/package/Some.Id/1.0", &some),
            ("versions", "/v3/flat/some.id/1.0.0/x", &None),
            (ARCHIVE, "/v3/flat/some.id/1.0.0", &None),
            (ARCHIVE, "/", &None),
            (V2_PACKAGE, "/api/v2/package/%3Cb%3E/1.0", &None),
            (V2_PACKAGE, "1.0", &None),
        ] {
            assert_eq!(package_of(resource, path), *expected, "{path}");
        }
    }

    #[test]
    fn kinds_of_packages_are_those_of_the_table() {
        for name in [ARCHIVE, V2_PACKAGE] {
            let mut rules = RESOURCES.iter().flat_map(|row| row.docs);
            assert!(rules.any(|rule| rule.name == name), "{name}");
        }
    }
}
