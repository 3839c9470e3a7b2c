//! The feed behind nugate, on two hosts, and who asked each of them for what.
//!
//! As at nuget.org, pushes and searches lie on another host than everything else. The first host
//! wants the credential that nugate is configured with, so that a client which goes past nugate gets
//! nothing there; [`Upstream::audit`] finds one that tries, and secrets that went astray.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, VIA};
use http::request::Parts;
use http::{HeaderName, Response, StatusCode};
use nugate::demo::{ExampleFeed, server};
use nugate::entry::Digest;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::bench::{Failure, Identity};

/// What nugate shows to the feed: user name, password, and both as a header.
pub const CREDENTIAL: (&str, &str, &str) =
    ("nugate", "feed-secret", "Basic bnVnYXRlOmZlZWQtc2VjcmV0");

/// What the service index names on the other host.
const ELSEWHERE: &[&str] = &["/search-us", "/api/v2/package", "/api/v2/symbolpackage"];

/// Where keys belong.
const PUBLISH: &[&str] = &["/api/v2/package", "/api/v2/symbolpackage"];

/// Which host was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// That of the service index.
    Feed,
    /// The other one, which never gets the feed's credential.
    Elsewhere,
}

/// A request that reached the feed.
#[derive(Clone, Debug)]
struct Seen {
    host: Host,
    path: String,
    via: Option<String>,
    authorization: Option<String>,
    key: Option<String>,
    has_cookie: bool,
}

/// The feed, and the log of its requests.
pub struct Upstream {
    /// URL of its service index.
    pub index: String,
    /// Its packages by the digest of their bytes: lower-case id and version.
    pub packages: BTreeMap<[u8; 32], Identity>,
    feed: Arc<Mutex<ExampleFeed>>,
    log: Arc<Mutex<Vec<Seen>>>,
    direct: bool,
    /// Where its hosts listen.
    pub addrs: [SocketAddr; 2],
    /// What it runs on.
    pub runtime: Runtime,
}

impl Upstream {
    /// Serves the feed; `direct` if clients ask it themselves. Its hosts are called by their
    /// addresses, unless they are `called` something else.
    pub fn start(feed: ExampleFeed, direct: bool, called: Option<[&str; 2]>) -> Self {
        let packages = feed
            .by_commit()
            .into_iter()
            .map(|release| {
                let identity = (release.package.id.to_lowercase(), release.version.lower());
                (*Digest::of(&release.nupkg).as_bytes(), identity)
            })
            .collect();
        let runtime = Runtime::new().unwrap();
        let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (first, second) = (bind(), bind());
        let base = |of: &TcpListener| format!("http://{}", of.local_addr().unwrap());
        let addrs = [&first, &second].map(|host| host.local_addr().unwrap());
        let bases = match called {
            Some([first, second]) => (first.to_owned(), second.to_owned()),
            None => (base(&first), base(&second)),
        };
        let feed = Arc::new(Mutex::new(feed));
        let log = Arc::new(Mutex::new(Vec::new()));
        let index = format!("{}/v3/index.json", bases.0);
        for (host, listener) in [(Host::Feed, first), (Host::Elsewhere, second)] {
            let (feed, log, bases) = (Arc::clone(&feed), Arc::clone(&log), bases.clone());
            let answer = move |head: &Parts, body: Bytes| {
                let seen = Seen::of(host, head);
                let is_stranger = host == Host::Feed && !direct && !seen.shows_credential();
                log.lock().unwrap().push(seen);
                if is_stranger {
                    return refusal();
                }
                let answer = feed.lock().unwrap().answer(&bases.0, head, &body);
                if head.uri.path() == "/v3/index.json" {
                    return on_two_hosts(answer, &bases);
                }
                answer
            };
            runtime.spawn(server::serve_with(
                listener,
                Arc::new(answer),
                std::future::pending(),
            ));
        }
        Self {
            index,
            packages,
            feed,
            log,
            direct,
            addrs,
            runtime,
        }
    }

    /// What is wrong with any request so far: no client reached the feed itself, and each secret
    /// went only where it belongs.
    pub fn audit(&self) -> Result<(), Failure> {
        let log = self.log.lock().unwrap();
        let wrong = log.iter().find_map(|seen| {
            let what = seen.fault(self.direct)?;
            Some(format!("{what}: {seen:?}"))
        });
        wrong.map_or(Ok(()), Err)
    }

    /// How many requests there have been.
    pub fn mark(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// Paths the feed has been asked for since.
    pub fn requests_since(&self, mark: usize) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log[mark..].iter().map(|seen| seen.path.clone()).collect()
    }

    /// The versions the feed has of an id in lower case.
    pub fn versions_of(&self, id: &str) -> Vec<String> {
        let feed = self.feed.lock().unwrap();
        let releases = feed.releases(id).iter();
        releases.map(|release| release.version.lower()).collect()
    }

    /// How many of them it lists.
    pub fn listed_of(&self, id: &str) -> usize {
        let feed = self.feed.lock().unwrap();
        let releases = feed.releases(id).iter();
        releases.filter(|release| release.package.listed).count()
    }

    /// Whether the feed has symbols of a version.
    pub fn has_symbols(&self, id: &str, version: &str) -> bool {
        self.feed.lock().unwrap().has_symbols(id, version)
    }
}

impl Seen {
    fn of(host: Host, head: &Parts) -> Self {
        let field = |name: HeaderName| {
            let value = head.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            host,
            path: head.uri.path().to_owned(),
            via: field(VIA),
            authorization: field(AUTHORIZATION),
            key: field(HeaderName::from_static("x-nuget-apikey")),
            has_cookie: head.headers.contains_key(COOKIE),
        }
    }

    fn shows_credential(&self) -> bool {
        self.authorization.as_deref() == Some(CREDENTIAL.2)
    }

    /// What should not have happened, if anything.
    fn fault(&self, direct: bool) -> Option<&'static str> {
        let is_publish = PUBLISH.iter().any(|path| self.path.starts_with(path));
        if self.key.is_some() && (self.host == Host::Feed || !is_publish) {
            return Some("a key at a wrong place");
        }
        if direct {
            return None;
        }
        if self.via.as_deref() != Some("1.1 nugate") {
            return Some("a client went past nugate");
        }
        if self.has_cookie {
            return Some("a client's cookie reached the feed");
        }
        match (self.host, &self.authorization) {
            (Host::Feed, Some(_)) if self.shows_credential() => None,
            (Host::Feed, _) => Some("the feed was not shown its credential alone"),
            (Host::Elsewhere, Some(_)) => Some("a credential at a wrong host"),
            (Host::Elsewhere, None) => None,
        }
    }
}

fn refusal() -> Response<Bytes> {
    let mut refusal = Response::new(Bytes::new());
    *refusal.status_mut() = StatusCode::UNAUTHORIZED;
    refusal
}

/// The service index with some resources on the second host.
fn on_two_hosts(mut index: Response<Bytes>, bases: &(String, String)) -> Response<Bytes> {
    let mut text = String::from_utf8_lossy(index.body()).into_owned();
    for path in ELSEWHERE {
        let (from, to) = (format!("{}{path}", bases.0), format!("{}{path}", bases.1));
        text = text.replace(&from, &to);
    }
    index.headers_mut().remove(CONTENT_LENGTH);
    *index.body_mut() = Bytes::from(text);
    index
}
