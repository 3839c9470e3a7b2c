//! Several feeds under one URL.
//!
//! Each member is a [`Proxy`] of its own; a group decides whom a request is for and combines what
//! members answer. Whatever names a package id that a member owns is asked of its owners alone, also
//! while they are down. Other ids belong to the first member that has them, or to all
//! ([`Versions`]). Invariant: doubt about an earlier member is a failure, never a reason to ask a
//! later one. A group of one member adds nothing to it.

mod combine;
mod first;
mod indexes;
mod search;
mod united;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Stopwatch};
use crate::nuget::id::PackageId;
use crate::nuget::merge::Versions;
use crate::nuget::owner::{IdPattern, owners_of};
use crate::nuget::resource::DocRule;
use crate::observe::Metrics;
use crate::proxy::{Error, Proxy, PublishError, Reply, Request};
use combine::Memo;

/// A feed of a group.
#[derive(Clone)]
pub struct Member {
    proxy: Proxy,
    owns: Vec<IdPattern>,
}

impl Member {
    /// The feed behind `proxy`, which owns the ids of these patterns.
    pub const fn new(proxy: Proxy, owns: Vec<IdPattern>) -> Self {
        Self { proxy, owns }
    }

    /// The feed's name.
    pub fn name(&self) -> &str {
        self.proxy.feed().0
    }

    /// The feed alone.
    pub const fn proxy(&self) -> &Proxy {
        &self.proxy
    }
}

impl From<Proxy> for Member {
    fn from(proxy: Proxy) -> Self {
        Self::new(proxy, Vec::new())
    }
}

/// How a group combines its members.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// What becomes of ids that nobody owns.
    pub versions: Versions,
    /// Bytes of memory for combined documents.
    pub memory: u64,
    /// Longest combined registration, in bytes.
    pub document_size_max: u64,
}

/// The feeds of a daemon, in the order of precedence; at least one. Cheap to clone.
#[derive(Clone)]
pub struct Group(Arc<Inner>);

struct Inner {
    first: Member,
    more: Vec<Member>,
    patterns: Vec<Vec<IdPattern>>,
    /// Each member as a group of its own, if there are several.
    alone: Vec<Group>,
    options: GroupOptions,
    memo: Memo,
}

/// A place in the order of members.
type Place = usize;

impl From<Proxy> for Group {
    fn from(proxy: Proxy) -> Self {
        let options = GroupOptions {
            versions: Versions::First,
            memory: 0,
            document_size_max: 0,
        };
        Self::new(proxy.into(), Vec::new(), options)
    }
}

impl Group {
    /// A group of `first` and `more`, whose feeds have different names and share one store.
    pub fn new(first: Member, more: Vec<Member>, options: GroupOptions) -> Self {
        let members = || std::iter::once(&first).chain(&more);
        let alone = if more.is_empty() {
            Vec::new()
        } else {
            members()
                .map(|member| Self::from(member.proxy.clone()))
                .collect()
        };
        Self(Arc::new(Inner {
            patterns: members().map(|member| member.owns.clone()).collect(),
            alone,
            memo: Memo::new(options.memory, &first.proxy.metrics().evictions),
            first,
            more,
            options,
        }))
    }

    /// Walks a request to its document, whichever members it takes.
    ///
    /// # Errors
    /// [`Error`] when there is no document to serve.
    pub async fn serve(&self, request: &Request) -> Result<Reply, Error> {
        if self.0.more.is_empty() {
            return self.0.first.proxy.serve(request).await;
        }
        let mut reply = self.several(request).await?;
        // Whose it is depends on more than what one feed has.
        reply.standing = None;
        Ok(reply)
    }

    async fn several(&self, request: &Request) -> Result<Reply, Error> {
        let rule = request.target.rule;
        match (&request.target.id, rule.name) {
            (Some(id), _) => self.package(request, id).await,
            (None, "service_index") => self.service_index(request).await,
            (None, "search") => self.search(request).await,
            (None, "autocomplete") => self.autocomplete(request).await,
            (None, "vulnerability_index") => self.vulnerabilities(request).await,
            (None, "repository_signatures") => self.signatures(request).await,
            (None, name) if name.starts_with("catalog") => Err(Error::NotOffered("Catalog")),
            (None, _) => self.any(request).await,
        }
    }

    /// A document of one package.
    async fn package(&self, request: &Request, id: &PackageId) -> Result<Reply, Error> {
        let places = self.candidates(id);
        if let [only] = places[..] {
            return self.at(only, request).await;
        }
        match self.0.options.versions {
            Versions::First => self.first_of(&places, request, id).await,
            Versions::United => self.united(&places, request, id).await,
        }
    }

    /// The members that may have an id: its owners, else all.
    fn candidates(&self, id: &PackageId) -> Vec<Place> {
        let owners = owners_of(&self.0.patterns, id);
        if owners.is_empty() {
            (0..=self.0.more.len()).collect()
        } else {
            owners
        }
    }

    /// Asks one member.
    async fn at(&self, place: Place, request: &Request) -> Result<Reply, Error> {
        let member = self.at_place(place);
        if !leads_to_member(request.target.rule) {
            return member.proxy.serve(request).await;
        }
        let kept = member.proxy.as_kept(&request.target).await?;
        let request = Request {
            target: kept.unwrap_or_else(|| request.target.clone()),
            base: base_of_feed(&request.base, member.name()),
            ..request.clone()
        };
        member.proxy.serve(&request).await
    }

    /// A document that one member has and whose name says nothing: a page behind a token.
    async fn any(&self, request: &Request) -> Result<Reply, Error> {
        let mut none = None;
        for member in self.members() {
            match member.proxy.serve(request).await {
                Ok(reply) => return Ok(reply),
                Err(error) => none = Some(combine::weightier(none, error)),
            }
        }
        Err(none.unwrap_or(Error::NotFound))
    }

    fn at_place(&self, place: Place) -> &Member {
        let later = place
            .checked_sub(1)
            .and_then(|place| self.0.more.get(place));
        later.unwrap_or(&self.0.first)
    }

    /// The members in the order of precedence.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.0.first).chain(&self.0.more)
    }

    /// The member that is asked first.
    pub fn first(&self) -> &Member {
        &self.0.first
    }

    /// The member, if there is no other.
    pub fn only(&self) -> Option<&Member> {
        self.0.more.is_empty().then_some(&self.0.first)
    }

    /// The member with this feed name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members().find(|member| member.name() == name)
    }

    /// The member with this feed name as a group of its own: what is below `/feeds/NAME/`.
    pub fn alone(&self, name: &str) -> Option<Self> {
        if self.0.more.is_empty() {
            return (self.0.first.name() == name).then(|| self.clone());
        }
        let mut alone = self.0.alone.iter();
        alone.find(|group| group.0.first.name() == name).cloned()
    }

    /// The member that takes pushes and deletions: with several feeds the only one whose
    /// configuration lets them pass. What to push where is not guessed, or a private package could
    /// end up on a public feed.
    ///
    /// # Errors
    /// [`PublishError::WhichFeed`] when there is not exactly one.
    pub fn publisher(&self) -> Result<&Member, PublishError> {
        if self.0.more.is_empty() {
            return Ok(&self.0.first);
        }
        let mut takers = self.members().filter(|member| member.proxy.takes_pushes());
        match (takers.next(), takers.next()) {
            (Some(taker), None) => Ok(taker),
            _ => Err(PublishError::WhichFeed),
        }
    }

    /// Whether there is another member that an id may belong to.
    pub fn has_owners(&self) -> bool {
        let owning = |patterns: &Vec<IdPattern>| !patterns.is_empty();
        !self.0.more.is_empty() && self.0.patterns.iter().any(owning)
    }

    /// The member that takes pushes and deletions of an id: [`Self::publisher`], unless the id is
    /// another's.
    ///
    /// # Errors
    /// [`PublishError`] as there, and [`PublishError::Owned`].
    pub fn publisher_of(&self, id: &PackageId) -> Result<&Member, PublishError> {
        let taker = self.publisher()?;
        let owners = owners_of(&self.0.patterns, id);
        let mut names = owners.iter().map(|place| self.at_place(*place).name());
        match names.next() {
            Some(first) if first != taker.name() && names.all(|name| name != taker.name()) => {
                Err(PublishError::Owned(first.into()))
            }
            _ => Ok(taker),
        }
    }

    /// The first member that owns an id, if one does.
    pub fn owner_of(&self, id: &PackageId) -> Option<&Member> {
        let owners = owners_of(&self.0.patterns, id);
        owners.first().map(|place| self.at_place(*place))
    }

    /// The counters, which the members share.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.0.first.proxy.metrics()
    }

    /// Where time comes from.
    pub fn clock(&self) -> &Clock {
        self.0.first.proxy.clock()
    }

    /// Waits until no member has a fill under way.
    pub async fn quiet(&self) {
        for member in self.members() {
            member.proxy.quiet().await;
        }
    }

    /// Waits until no member has a fill under way, at most `limit` in all, and until the store that
    /// they share has written everything down.
    pub async fn close(&self, limit: Duration) {
        let started = Stopwatch::start();
        let more = async {
            for member in &self.0.more {
                member.proxy.quiet().await;
            }
        };
        if tokio::time::timeout(limit, more).await.is_err() {
            tracing::warn!("fills were cut off: the time to stop is over");
        }
        let left = limit.saturating_sub(started.elapsed());
        self.0.first.proxy.close(left).await;
    }
}

/// Whether links of a document lead to the member it is from: to documents that the group does not
/// offer, such as the catalog's, or whose names only the member understands.
fn leads_to_member(rule: &DocRule) -> bool {
    rule.name.starts_with("registration")
        || matches!(rule.name, "vulnerability_index" | "repository_signatures")
}

/// The base URL of one feed alone, from that of the group; both end in `/v3/`.
pub fn base_of_feed(base: &str, feed: &str) -> Arc<str> {
    let root = base.strip_suffix("v3/").unwrap_or(base);
    format!("{root}feeds/{feed}/v3/").into()
}
