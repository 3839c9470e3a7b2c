//! What a feed is known to have, told from memory: for those who choose between feeds.

use crate::nuget::merge::version_set;
use crate::nuget::resource::of_slug;
use crate::nuget::route::Target;
use crate::policy::Verdict;
use crate::proxy::{Error, Proxy, Request};

/// A stored body of at most this many bytes may be an empty list.
const EMPTY_MAX: u64 = 64;

/// Registration hives, the one with the most versions first.
const HIVES: &[&str] = &["registration-gz-semver2", "registration-gz", "registration"];

/// What is known of a document without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// It is stored, whatever its age, and has versions.
    Stored,
    /// The feed said a moment ago that there is none.
    Absent,
    /// Neither, or a push or deletion has changed it since: the document must be asked for, or
    /// looked into.
    Unsure,
}

impl Proxy {
    /// What is known of the version list that `request` asks for. Reads a body only if it is so
    /// short that it may have no version, which some servers say of ids they do not know.
    pub async fn peek(&self, request: &Request) -> Peek {
        let key = request.target.key(self.0.feed.name());
        let entry = self.0.lookup(&key).await;
        let entry = entry.filter(|entry| !self.is_outdated(request, entry));
        match entry.as_deref().map(|entry| entry.body) {
            Some(Some(body)) if body.size > EMPTY_MAX => Peek::Stored,
            Some(Some(body)) => match self.0.load_whole(&body).await {
                Ok(list) if version_set(&list).is_ok_and(|versions| !versions.is_empty()) => {
                    Peek::Stored
                }
                _ => Peek::Unsure,
            },
            Some(None) if self.judge(&key, entry.as_deref(), request) == Verdict::Absent => {
                Peek::Absent
            }
            _ => Peek::Unsure,
        }
    }

    /// The document as this feed has it: registrations may lie in another hive than the group's
    /// service index says, either because the feed has one hive for all types, or because it lacks
    /// the one asked for. Then it is one with fewer versions, never one with more: older clients
    /// cannot read those.
    ///
    /// # Errors
    /// What keeps the feed's service index from being known.
    pub async fn as_kept(&self, target: &Target) -> Result<Option<Target>, Error> {
        let slug = target.resource.map_or("", |resource| resource.slug);
        let Some(asked) = HIVES.iter().position(|hive| *hive == slug) else {
            return Ok(None);
        };
        let known = self.0.discovered().await?;
        let mut bases = HIVES[asked..]
            .iter()
            .filter_map(|hive| known.index.bases(hive).into_iter().next());
        let ours = bases.next().and_then(|base| known.map.resolve(&base));
        let kept = ours.as_deref().and_then(|path| path.split('/').next());
        let kept = kept.and_then(of_slug).map(|resource| resource.slug);
        Ok(kept
            .filter(|kept| *kept != slug)
            .and_then(|kept| target.moved_to(kept)))
    }
}
