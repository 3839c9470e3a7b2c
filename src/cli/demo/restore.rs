//! A client that restores one project, in the order in which `dotnet restore` asks.
//!
//! Service index; for every package of the graph its version list, then the package, whose manifest
//! says what comes next; then the known vulnerabilities. It asks for one document at a time, so that
//! every line of the result stands for itself. Invariant: it asks only below the given base, so
//! whatever it got came through nugate.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::manifest::{self, ManifestError, Need};
use crate::clock::Stopwatch;
use crate::entry::Validators;
use crate::nuget::id::PackageId;
use crate::nuget::range::VersionRange;
use crate::nuget::service_index::{IndexError, ServiceIndex};
use crate::nuget::version::PackageVersion;
use crate::observe::CacheStatus;
use crate::upstream::{
    ClientIdentity, Encoding, Feed, FeedOptions, Fetch, Outbound, UpstreamError, Wanted,
};

/// The framework of the project.
const FRAMEWORK: &str = "net8.0";

/// Longest wait for each step of a request; everything is on this machine.
const WAIT: Duration = Duration::from_secs(5);

/// Largest document, in bytes.
const SIZE_MAX: u64 = 16 << 20;

/// Why a restore does not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// No complete answer.
    #[error(transparent)]
    Fetch(#[from] UpstreamError),
    /// An answer that is not the document.
    #[error("{url} is answered with {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The service index is none.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A link to somewhere else.
    #[error("{0:?} leads past nugate")]
    Link(String),
    /// A document without what it must have.
    #[error("the {0} cannot be understood")]
    Document(&'static str),
    /// No version of a package will do.
    #[error("no version of {0} will do")]
    Version(PackageId),
    /// Two packages need different versions of a third.
    #[error("{0} is needed in versions that exclude each other")]
    Conflict(PackageId),
    /// A package cannot be read.
    #[error("{id}: {source}")]
    Package {
        /// The package.
        id: PackageId,
        /// Why.
        source: ManifestError,
    },
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Line {
    /// The kind of document.
    pub kind: &'static str,
    /// Which one of its kind; may be empty.
    pub name: String,
    /// The status.
    pub status: u16,
    /// How nugate came by it: the name of its [`CacheStatus`].
    pub cache: String,
    /// Decoded bytes of the body.
    pub bytes: usize,
    /// From the request to the last byte.
    pub time: Duration,
}

/// A package of the graph.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Its id.
    pub id: PackageId,
    /// The version that was chosen.
    pub version: PackageVersion,
    /// The package file.
    pub nupkg: Bytes,
}

/// A known vulnerability of any package of the feed.
#[derive(Clone, Debug)]
pub struct Vulnerability {
    /// The package.
    pub id: String,
    /// Its vulnerable versions, as the feed writes them.
    pub versions: String,
    /// From 0 (low) to 3 (critical).
    pub severity: u64,
    /// The page about it.
    pub advisory: String,
}

/// Everything one restore saw.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    /// Every request, in order.
    pub lines: Vec<Line>,
    /// The packages, in the order they were met.
    pub packages: Vec<Restored>,
    /// What the feed knows to be vulnerable.
    pub vulnerable: Vec<Vulnerability>,
    /// From the first request to the end.
    pub time: Duration,
}

/// Restores a project that needs `id` in `range` alone, from the service index `source`.
///
/// # Errors
/// [`RestoreError`] as described there.
pub async fn restore(source: &Url, root: Need) -> Result<Restore, RestoreError> {
    let watch = Stopwatch::start();
    let mut client = Client::new(source)?;
    let index = client.get("service index", "", source.as_str()).await?;
    let index = ServiceIndex::parse(&index, source)?;
    let base = |slug| {
        let first = index.bases(slug).into_iter().next();
        first.ok_or(RestoreError::Document("service index"))
    };
    client.walk(&base("flat")?, root).await?;
    client.audit(&base("vulnerabilities")?).await?;
    client.seen.time = watch.elapsed();
    Ok(client.seen)
}

/// The need for exactly this version; `None` when it is no id or no version.
pub fn exactly(id: &str, version: &str) -> Option<Need> {
    Some(Need {
        id: PackageId::parse(id)?,
        range: VersionRange::parse(&format!("[{version}]"))?,
    })
}

struct Client {
    feed: Feed,
    base: String,
    seen: Restore,
}

impl Client {
    fn new(source: &Url) -> Result<Self, UpstreamError> {
        let feed = Feed::new(FeedOptions {
            name: "nugate".to_owned(),
            url: source.clone(),
            redirect_hosts: Vec::new(),
            connect_timeout: WAIT,
            header_timeout: WAIT,
            idle_timeout: WAIT,
            attempts: 1,
            hold: Duration::ZERO,
            connections_max: 1,
            requests_per_second: 0,
            outbound: Outbound::default(),
            credential: None,
            pass_types: Vec::new(),
        })?;
        Ok(Self {
            feed,
            base: source.origin().ascii_serialization() + "/",
            seen: Restore::default(),
        })
    }

    /// Nearest wins: a package that was met is not chosen again, only compared.
    async fn walk(&mut self, flat: &str, root: Need) -> Result<(), RestoreError> {
        let mut needs = VecDeque::from([root]);
        while let Some(Need { id, range }) = needs.pop_front() {
            if let Some(met) = self.seen.packages.iter().find(|met| met.id == id) {
                if !range.contains(&met.version) {
                    return Err(RestoreError::Conflict(id));
                }
                continue;
            }
            let list = format!("{flat}{id}/index.json");
            let list = self.get("version list", id.as_str(), &list).await?;
            let versions = versions(&list).ok_or(RestoreError::Document("version list"))?;
            let version = range.lowest(&versions).cloned();
            let version = version.ok_or_else(|| RestoreError::Version(id.clone()))?;
            let text = version.as_str();
            let url = format!("{flat}{id}/{text}/{id}.{text}.nupkg");
            let nupkg = self.get("package", &format!("{id} {text}"), &url).await?;
            let more = manifest::needs(&nupkg, FRAMEWORK).map_err(|source| {
                let id = id.clone();
                RestoreError::Package { id, source }
            })?;
            needs.extend(more);
            self.seen.packages.push(Restored { id, version, nupkg });
        }
        Ok(())
    }

    async fn audit(&mut self, index: &str) -> Result<(), RestoreError> {
        const WRONG: RestoreError = RestoreError::Document("vulnerability index");
        let index = self.get("vulnerability index", "", index).await?;
        let index: Vec<Value> = serde_json::from_slice(&index).map_err(|_| WRONG)?;
        for page in &index {
            let (Some(url), Some(name)) = (page["@id"].as_str(), page["@name"].as_str()) else {
                return Err(WRONG);
            };
            let page = self.get("vulnerability page", name, url).await?;
            let known = vulnerabilities(&page);
            let known = known.ok_or(RestoreError::Document("vulnerability page"))?;
            self.seen.vulnerable.extend(known);
        }
        Ok(())
    }

    async fn get(
        &mut self,
        kind: &'static str,
        name: &str,
        url: &str,
    ) -> Result<Bytes, RestoreError> {
        let link = || RestoreError::Link(url.to_owned());
        let target: Url = url.parse().map_err(|_| link())?;
        if !target.as_str().starts_with(&self.base) {
            return Err(link());
        }
        let watch = Stopwatch::start();
        let request = Fetch {
            urls: &[target],
            method: Method::GET,
            validators: &Validators::default(),
            encoding: if kind == "package" {
                Encoding::Identity
            } else {
                Encoding::Gzip
            },
            wanted: Wanted::Whole,
            allowed_hosts: &HashSet::new(),
            identity: &ClientIdentity::default(),
            size_max: SIZE_MAX,
            question: false,
            patient: false,
        };
        let mut answer = self.feed.fetch(request).await?;
        let mut body = BytesMut::new();
        while let Some(block) = answer.body.next().await {
            body.extend_from_slice(&block?);
        }
        if answer.status != StatusCode::OK {
            let (url, status) = (url.to_owned(), answer.status);
            return Err(RestoreError::Status { url, status });
        }
        let cache = answer.headers.get("cache-status");
        self.seen.lines.push(Line {
            kind,
            name: name.to_owned(),
            status: answer.status.as_u16(),
            cache: cache_name(cache.and_then(|value| value.to_str().ok()).unwrap_or("")),
            bytes: body.len(),
            time: watch.elapsed(),
        });
        Ok(body.freeze())
    }
}

/// The short name of a `Cache-Status`; the header itself where this client never causes it.
fn cache_name(header: &str) -> String {
    let statuses = [
        CacheStatus::Hit,
        CacheStatus::HitStale,
        CacheStatus::Miss,
        CacheStatus::Joined,
        CacheStatus::Revalidated,
        CacheStatus::Passed,
    ];
    let known = statuses
        .into_iter()
        .find(|status| status.header() == header);
    known.map_or(header, |status| status.name()).to_owned()
}

fn versions(list: &[u8]) -> Option<Vec<PackageVersion>> {
    let list: Value = serde_json::from_slice(list).ok()?;
    let versions = list["versions"].as_array()?.iter();
    versions
        .map(|version| PackageVersion::parse(version.as_str()?))
        .collect()
}

/// NuGet documentation, "Vulnerability info", section "Vulnerability page".
fn vulnerabilities(page: &[u8]) -> Option<Vec<Vulnerability>> {
    let page: Value = serde_json::from_slice(page).ok()?;
    let mut all = Vec::new();
    for (id, known) in page.as_object()? {
        for one in known.as_array()? {
            all.push(Vulnerability {
                id: id.clone(),
                versions: one["versions"].as_str()?.to_owned(),
                severity: one["severity"].as_u64()?,
                advisory: one["url"].as_str()?.to_owned(),
            });
        }
    }
    Some(all)
}
