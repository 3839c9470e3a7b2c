//! Fetches ahead what clients will ask for, so that it is there when the feed is not.
//!
//! Works in waves: the packages that are wanted, what those need, what that needs. Each wave is
//! asked for a few packages at a time, through the daemon's own feeds and limits, as clients would;
//! what is stored is not asked of the feed again. Invariant: what is reported as there has been
//! looked for in the store at the end.

mod ask;
mod package;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use self::ask::{Asker, path_of};
use self::package::{Beside, Brought, Errand};
use super::{Amount, Cache, Events, Failure, NotWarmed, Warm, Warmed};
use crate::nuget::id::PackageId;
use crate::nuget::resource::RESOURCES;
use crate::nuget::version::PackageVersion;
use crate::nuget::wanted::Want;
use crate::proxy::Error;

/// Most packages at a time, and how many there are if nothing is said.
const PARALLEL_MAX: u32 = 32;
const PARALLEL: u32 = 6;

/// Most versions of packages of one order.
const PACKAGES_MAX: usize = 100_000;

/// Failures that are told one by one.
const FAILURES_MAX: usize = 1_000;

/// Longest wait until what was fetched is written down.
const SETTLING: Duration = Duration::from_secs(60);

/// An order on its way.
struct Walk<'a> {
    cache: &'a Cache,
    asker: Asker,
    beside: Beside,
    parallel: usize,
    /// Versions that are there, by id.
    there: HashMap<PackageId, HashSet<PackageVersion>>,
    /// What was asked for already.
    asked: HashSet<Want>,
    paths: Vec<String>,
    /// Packages done and known of, for the progress.
    done: u64,
    of: u64,
    report: Warmed,
}

impl Cache {
    /// Fetches ahead.
    pub(super) async fn warm(&self, order: Warm, events: &Events) -> Result<Warmed, Failure> {
        let running = self.running.as_ref().ok_or_else(|| {
            let why = "no daemon runs on the cache: start one, since it is the one that fetches";
            Failure::Refused(why.to_owned())
        })?;
        let parsed = order.packages.iter().map(|text| text.parse::<Want>());
        let wants: Result<BTreeSet<Want>, String> = parsed.collect();
        let wants = wants.map_err(Failure::Refused)?;
        let parallel = match order.parallel {
            0 => PARALLEL,
            given => given.min(PARALLEL_MAX),
        };
        let mut walk = Walk {
            cache: self,
            asker: Asker::new(&running.group),
            beside: Beside {
                closure: order.closure,
                registration: order.registrations || order.closure,
            },
            parallel: parallel as usize,
            there: HashMap::new(),
            asked: HashSet::new(),
            paths: Vec::new(),
            done: 0,
            of: 0,
            report: Warmed::default(),
        };
        walk.shared().await;
        let mut wave = wants;
        while !wave.is_empty() {
            wave = walk.wave(wave, events).await?;
        }
        // Whoever else is served keeps it from being quiet; then what is stored is told.
        let _ = tokio::time::timeout(SETTLING, running.group.quiet()).await;
        walk.settle(events).await
    }
}

impl Walk<'_> {
    /// What every restore and audit asks for, whatever the packages are. A feed need not have it.
    async fn shared(&mut self) {
        let mut brought = Brought::default();
        if let Err(error) = brought.json(&self.asker, "v3/index.json").await {
            brought.fail("v3/index.json", &error);
        }
        for path in signatures() {
            self.optional(&path, &mut brought).await;
        }
        let index = self
            .optional("v3/vulnerabilities/index.json", &mut brought)
            .await;
        let pages = index.as_ref().and_then(|index| index.as_array());
        for page in pages.into_iter().flatten() {
            let link = page["@id"].as_str().unwrap_or_default();
            match path_of(link) {
                Some(path) => drop(self.optional(path, &mut brought).await),
                None => brought.fail(link, &"nugate does not know this page"),
            }
        }
        self.take(brought);
    }

    async fn optional(&self, path: &str, brought: &mut Brought) -> Option<serde_json::Value> {
        match brought.json(&self.asker, path).await {
            Ok(value) => Some(value),
            Err(Error::NotOffered(_)) => None,
            Err(error) => {
                brought.fail(path, &error);
                None
            }
        }
    }

    /// Fetches what is wanted, and gives what that needs.
    async fn wave(
        &mut self,
        wants: BTreeSet<Want>,
        events: &Events,
    ) -> Result<BTreeSet<Want>, Failure> {
        let errands = self.errands(wants);
        self.of += errands.len() as u64;
        let (asker, beside) = (self.asker.clone(), self.beside);
        let mut running = stream::iter(errands)
            .map(|errand| {
                let asker = &asker;
                async move {
                    let id = errand.id.clone();
                    (id, package::run(asker, errand, beside).await)
                }
            })
            .buffer_unordered(self.parallel);
        let mut next = BTreeSet::new();
        while let Some((id, mut brought)) = running.next().await {
            self.done += 1;
            next.extend(std::mem::take(&mut brought.needs));
            self.there
                .entry(id)
                .or_default()
                .extend(brought.versions.drain(..));
            self.take(brought);
            events.progress(self.done, self.of).await?;
        }
        let there: usize = self.there.values().map(HashSet::len).sum();
        if there > PACKAGES_MAX {
            let why = format!("these are more than {PACKAGES_MAX} packages");
            return Err(Failure::Refused(why));
        }
        next.retain(|want| !self.asked.contains(want));
        Ok(next)
    }

    /// One errand for each id.
    fn errands(&mut self, wants: BTreeSet<Want>) -> Vec<Errand> {
        let mut by_id: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
        for want in wants {
            if self.asked.insert(want.clone()) {
                by_id.entry(want.id).or_default().insert(want.range);
            }
        }
        let errand = |(id, ranges): (String, _)| {
            let id = PackageId::parse(&id)?;
            let known = self.there.get(&id).cloned().unwrap_or_default();
            Some(Errand { id, ranges, known })
        };
        by_id.into_iter().filter_map(errand).collect()
    }

    fn take(&mut self, brought: Brought) {
        let add = |to: &mut Amount, more: Amount| {
            to.count += more.count;
            to.bytes += more.bytes;
        };
        add(&mut self.report.stored, brought.stored);
        add(&mut self.report.fetched, brought.fetched);
        self.paths.extend(brought.paths);
        for failure in brought.failures {
            self.fail(failure);
        }
    }

    fn fail(&mut self, failure: NotWarmed) {
        self.report.missing += 1;
        if self.report.failures.len() < FAILURES_MAX {
            self.report.failures.push(failure);
        }
    }

    /// Looks whether everything is in the store, and gives the report.
    async fn settle(mut self, events: &Events) -> Result<Warmed, Failure> {
        let why = match self.cache.store.degraded() {
            Some(degraded) => format!(
                "was fetched, but the cache keeps nothing: {}",
                degraded.text()
            ),
            None => {
                "was fetched and is not kept: it made room, or is still being written".to_owned()
            }
        };
        let paths = std::mem::take(&mut self.paths);
        for (done, path) in paths.into_iter().enumerate() {
            if done % 256 == 0 {
                events.progress(self.of, self.of).await?;
            }
            if !self.asker.is_stored(self.cache, &path).await {
                let why = why.clone();
                self.fail(NotWarmed { what: path, why });
            }
        }
        let there = self.there.values().filter(|versions| !versions.is_empty());
        self.report.ids = there.clone().count() as u64;
        self.report.packages = there.map(HashSet::len).sum::<usize>() as u64;
        Ok(self.report)
    }
}

/// The paths of repository signatures, one for each version of the resource.
fn signatures() -> impl Iterator<Item = String> {
    let rows = RESOURCES
        .iter()
        .filter(|row| row.name == "RepositorySignatures");
    rows.flat_map(|row| {
        let suffixes = row.types.iter().filter_map(|name| name.split_once('/'));
        suffixes.map(|(_, suffix)| format!("v3/{}/{suffix}/index.json", row.slug))
    })
}
