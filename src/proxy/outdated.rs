//! What pushes and deletions through nugate have changed: documents confirmed before are asked for
//! again, whatever their age.
//!
//! Nothing stored is touched, so that an outage right after a push loses nothing. A document is
//! outdated when it was asked for before the last change of its package, which also holds for the
//! answer of a fill that was under way. Bounded: of many packages the oldest changes are merged into
//! one that concerns all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::clock::Time;
use crate::nuget::id::PackageId;
use crate::nuget::route::Target;
use crate::nuget::version::PackageVersion;
use crate::policy::class::Class;

/// Name under which the changes of a feed are written down.
pub(super) fn outdated_note(feed: &str) -> String {
    format!("published/{feed}")
}

/// Packages, and versions, whose changes are remembered one by one.
const NAMES_MAX: usize = 1024;

/// A change this far in the future is of a clock that was wrong, and is ignored.
const SKEW: Duration = Duration::from_secs(300);

/// The package and version that a change was about.
pub(super) type Changed<'a> = Option<(&'a PackageId, &'a PackageVersion)>;

/// When what was changed last.
pub(super) struct Outdated {
    state: ArcSwap<State>,
    /// Counts changes, each after it is in `state`.
    changes: AtomicU64,
    /// Whose turn it is to write it down.
    turn: Mutex<()>,
}

/// Times in milliseconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// Anything: for search, autocompletion and the catalog.
    any: Option<u64>,
    /// A package that is not known: for every package.
    all: Option<u64>,
    /// By id.
    ids: HashMap<String, u64>,
    /// By id and version.
    versions: HashMap<String, u64>,
    /// Deletions, by id as well as by id and version.
    deleted: HashMap<String, u64>,
}

impl Outdated {
    /// The changes an earlier run wrote down; none when the note cannot be read.
    pub(super) fn new(note: &[u8]) -> Self {
        let state: State = serde_json::from_slice(note).unwrap_or_default();
        Self {
            state: ArcSwap::from_pointee(state),
            changes: AtomicU64::new(0),
            turn: Mutex::new(()),
        }
    }

    /// Writes down all changes so far. Of several at a time each waits for the one before and has
    /// what that one had, so that the last is never an older state.
    pub(super) async fn write<R>(&self, write: impl AsyncFnOnce(Vec<u8>) -> R) -> R {
        let _turn = self.turn.lock().await;
        write(self.note()).await
    }

    fn note(&self) -> Vec<u8> {
        serde_json::to_vec(&**self.state.load()).unwrap_or_default()
    }

    /// Remembers a change at `now`.
    pub(super) fn change(&self, changed: Changed<'_>, now: Time) {
        let at = now.as_millis();
        self.state.rcu(|state| {
            let mut state = State::clone(state);
            state.any = Some(at);
            match changed {
                None => state.all = Some(at),
                Some((id, version)) => {
                    state.ids.insert(id.as_str().to_owned(), at);
                    state.versions.insert(name(id, version), at);
                }
            }
            state.bound();
            state
        });
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// How many changes there were since the start. While it stays the same, what a document that
    /// is not concerned is told stays the same too.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether a change may outdate a document confirmed at `checked_at`, now or later.
    pub(super) fn concerns(&self, target: &Target, checked_at: Time) -> bool {
        let changed = self.state.load().changed(target);
        changed.is_some_and(|at| checked_at.as_millis() <= at)
    }

    /// Remembers that the feed took a deletion; [`Self::change`] is told too, afterwards.
    pub(super) fn delete(&self, (id, version): (&PackageId, &PackageVersion), now: Time) {
        let names = [id.as_str().to_owned(), name(id, version)];
        self.state.rcu(|state| {
            let mut state = State::clone(state);
            let deletions = names.iter().map(|name| (name.clone(), now.as_millis()));
            state.deleted.extend(deletions);
            state
        });
    }

    /// Whether something of the document's package was deleted since it was confirmed: a 404 of it
    /// is then no doubtful one.
    pub(super) fn deletes(&self, target: &Target, checked_at: Time) -> bool {
        let state = self.state.load();
        let name = match (target.rule.class, &target.id, &target.version) {
            (Class::Immutable, Some(id), Some(version)) => name(id, version),
            (Class::Immutable, ..) | (_, None, _) => return false,
            (_, Some(id), _) => id.as_str().to_owned(),
        };
        let deleted = state.deleted.get(&name);
        deleted.is_some_and(|at| checked_at.as_millis() <= *at)
    }

    /// Whether a document confirmed at `checked_at` was changed since, as far as is known at `now`.
    pub(super) fn covers(&self, target: &Target, checked_at: Time, now: Time) -> bool {
        let state = self.state.load();
        let changed = state.changed(target).map(Time::from_millis);
        changed.is_some_and(|at| checked_at <= at && at.since(now) <= SKEW)
    }
}

impl State {
    /// When the document was changed last.
    fn changed(&self, target: &Target) -> Option<u64> {
        self.any?;
        match (target.rule.class, &target.id) {
            (Class::Index, _) | (Class::Immutable, None) => None,
            (Class::Immutable, Some(id)) => {
                let version = target.version.as_ref()?;
                self.versions.get(&name(id, version)).copied()
            }
            (_, None) => self.any,
            (_, Some(id)) => self.ids.get(id.as_str()).copied().max(self.all),
        }
    }

    fn bound(&mut self) {
        if let Some(dropped) = drop_older(&mut self.ids) {
            self.all = self.all.max(Some(dropped));
        }
        drop_older(&mut self.versions);
        drop_older(&mut self.deleted);
    }
}

/// Drops the older half of too many changes; the time of the newest that was dropped.
fn drop_older(changes: &mut HashMap<String, u64>) -> Option<u64> {
    if changes.len() <= NAMES_MAX {
        return None;
    }
    let mut times: Vec<u64> = changes.values().copied().collect();
    times.sort_unstable();
    let middle = times[times.len() / 2];
    changes.retain(|_, at| *at > middle);
    Some(middle)
}

fn name(id: &PackageId, version: &PackageVersion) -> String {
    format!("{}/{}", id.as_str(), version.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nuget::route;

    const PUSHED: Time = Time::from_millis(1_000_000);

    fn ids(id: &str, version: &str) -> (PackageId, PackageVersion) {
        let version = PackageVersion::parse(version).unwrap();
        (PackageId::parse(id).unwrap(), version)
    }

    fn covered(outdated: &Outdated, path: &str, checked_at: u64) -> bool {
        let target = route::parse(path, None).unwrap();
        outdated.covers(&target, Time::from_millis(checked_at), PUSHED)
    }

    #[test]
    fn a_change_concerns_the_documents_of_its_package() {
        let outdated = Outdated::new(b"");
        let (id, version) = ids("Some.Id", "1.0");
        outdated.change(Some((&id, &version)), PUSHED);
        let again = Outdated::new(&outdated.note());
        for outdated in [outdated, again] {
            for (path, expected) in [
                ("flat/some.id/index.json", true),
                ("flat/some.id/1.0.0/some.id.1.0.0.nupkg", true),
                ("flat/some.id/1.0.0/icon", true),
                ("flat/some.id/2.0.0/some.id.2.0.0.nupkg", false),
                ("registration/some.id/index.json", true),
                ("registration-gz/some.id/page/1.0.0/2.0.0.json", true),
                ("registration-gz-semver2/some.id/1.0.0.json", true),
                ("query", true),
                ("autocomplete", true),
                ("catalog/index.json", true),
                ("catalog/data/2026/some.id.1.0.0.json", false),
                ("flat/some.idea/index.json", false),
                ("vulnerabilities/index.json", false),
                ("index.json", false),
            ] {
                assert_eq!(covered(&outdated, path, 999_999), expected, "{path}");
                assert!(!covered(&outdated, path, 1_000_001), "{path}");
            }
        }
    }

    #[test]
    fn a_change_of_something_unknown_concerns_every_package() {
        let outdated = Outdated::new(b"no json");
        assert!(!covered(&outdated, "flat/a/index.json", 0));
        outdated.change(None, PUSHED);
        assert!(covered(&outdated, "flat/a/index.json", 0));
        assert!(!covered(&outdated, "flat/a/1.0.0/a.1.0.0.nupkg", 0));
        assert!(!covered(&outdated, "index.json", 0));
    }

    #[test]
    fn what_is_forgotten_of_many_changes_concerns_all() {
        let outdated = Outdated::new(b"");
        for number in 0..5000 {
            let (id, version) = ids(&format!("id{number}"), "1.0");
            outdated.change(Some((&id, &version)), Time::from_millis(number));
        }
        let state = outdated.state.load();
        assert!(state.ids.len() <= NAMES_MAX && state.versions.len() <= NAMES_MAX);
        for number in 0..5000 {
            let path = format!("flat/id{number}/index.json");
            assert!(covered(&outdated, &path, number), "{path}");
        }
        assert!(!covered(&outdated, "flat/id4999/index.json", 5000));
    }

    #[test]
    fn a_deletion_concerns_the_version_and_what_tells_of_it() {
        let outdated = Outdated::new(b"");
        let (id, version) = ids("Some.Id", "1.0");
        outdated.delete((&id, &version), PUSHED);
        outdated.change(Some((&id, &version)), PUSHED);
        let outdated = Outdated::new(&outdated.note());
        for (path, expected) in [
            ("flat/some.id/index.json", true),
            ("registration/some.id/index.json", true),
            ("flat/some.id/1.0.0/some.id.1.0.0.nupkg", true),
            ("flat/some.id/2.0.0/some.id.2.0.0.nupkg", false),
            ("flat/other/index.json", false),
            ("catalog/index.json", false),
            ("index.json", false),
        ] {
            let target = route::parse(path, None).unwrap();
            assert_eq!(outdated.deletes(&target, PUSHED), expected, "{path}");
            let later = PUSHED.plus(Duration::from_millis(1));
            assert!(!outdated.deletes(&target, later), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_written_last_has_every_change() {
        let outdated = Outdated::new(b"");
        let written = std::sync::Mutex::new(Vec::new());
        let (one, other) = (ids("One", "1.0"), ids("Other", "1.0"));
        let slow = async {
            outdated.change(Some((&one.0, &one.1)), PUSHED);
            let write = async |note| {
                // The other has every chance to overtake.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                written.lock().unwrap().push(note);
            };
            outdated.write(write).await;
        };
        let fast = async {
            tokio::task::yield_now().await;
            outdated.change(Some((&other.0, &other.1)), PUSHED);
            let write = async |note| written.lock().unwrap().push(note);
            outdated.write(write).await;
        };
        tokio::join!(slow, fast);
        let last = Outdated::new(written.lock().unwrap().last().unwrap());
        for path in ["flat/one/index.json", "flat/other/index.json"] {
            assert!(covered(&last, path, 999_999), "{path}");
        }
    }

    #[test]
    fn a_change_by_a_clock_that_was_ahead_is_ignored() {
        let outdated = Outdated::new(b"");
        outdated.change(None, PUSHED.plus(Duration::from_secs(301)));
        assert!(!covered(&outdated, "flat/a/index.json", 0));
    }
}
