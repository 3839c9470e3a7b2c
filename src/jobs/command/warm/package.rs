//! One package: its list of versions, the versions that are wanted, its registration.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use serde_json::Value;

use super::ask::{Answer, Asker, path_of};
use crate::jobs::command::{Amount, NotWarmed};
use crate::nuget::id::PackageId;
use crate::nuget::merge::version_set;
use crate::nuget::range::VersionRange;
use crate::nuget::version::PackageVersion;
use crate::nuget::wanted::Want;
use crate::proxy::Error;

/// Hives, the one with the most first.
const HIVES: &[&str] = &["registration-gz-semver2", "registration-gz", "registration"];

/// One id, and which versions of it are wanted.
pub(super) struct Errand {
    pub(super) id: PackageId,
    /// In interval notation; the newest version for none.
    pub(super) ranges: BTreeSet<Option<String>>,
    /// Versions that are there already.
    pub(super) known: HashSet<PackageVersion>,
}

/// What else an errand is to bring.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    /// What the packages need.
    pub(super) closure: bool,
    /// Their registrations.
    pub(super) registration: bool,
}

/// What an errand brought.
#[derive(Default)]
pub(super) struct Brought {
    /// Versions that were not there before.
    pub(super) versions: Vec<PackageVersion>,
    /// What they need.
    pub(super) needs: Vec<Want>,
    pub(super) paths: Vec<String>,
    pub(super) stored: Amount,
    pub(super) fetched: Amount,
    pub(super) failures: Vec<NotWarmed>,
}

impl Brought {
    pub(super) fn fail(&mut self, what: impl Into<String>, why: &dyn fmt::Display) {
        self.failures.push(NotWarmed {
            what: what.into(),
            why: why.to_string(),
        });
    }

    fn note(&mut self, path: String, answer: &Answer) {
        let amount = if answer.stored {
            &mut self.stored
        } else {
            &mut self.fetched
        };
        amount.add(answer.length);
        self.paths.push(path);
    }

    /// Asks for a document and notes it.
    pub(super) async fn json(&mut self, asker: &Asker, path: &str) -> Result<Value, Error> {
        let (value, answer) = asker.json(path).await?;
        self.note(path.to_owned(), &answer);
        Ok(value)
    }
}

/// Runs an errand. What fails is in what it brought.
pub(super) async fn run(asker: &Asker, errand: Errand, beside: Beside) -> Brought {
    let mut brought = Brought::default();
    let wanted = choose(asker, &errand, &mut brought).await;
    let id = errand.id.as_str();
    for version in wanted {
        if errand.known.contains(&version) {
            continue;
        }
        let path = format!("v3/flat/{id}/{version}/{id}.{version}.nupkg");
        match asker.ask(&path).await {
            Ok(answer) => {
                brought.note(path, &answer);
                brought.versions.push(version);
            }
            Err(error) => brought.fail(format!("{id}@{version}"), &error),
        }
    }
    if beside.registration && !brought.versions.is_empty() {
        registration(asker, id, beside.closure, &mut brought).await;
    }
    brought
}

/// The versions that are wanted of those there are.
async fn choose(asker: &Asker, errand: &Errand, brought: &mut Brought) -> BTreeSet<PackageVersion> {
    let id = errand.id.as_str();
    let mut wanted = BTreeSet::new();
    let path = format!("v3/flat/{id}/index.json");
    let list = match asker.ask(&path).await {
        Ok(answer) => {
            let list = version_set(&answer.bytes).map_err(|error| error.to_string());
            brought.note(path, &answer);
            list
        }
        Err(error) => Err(error.to_string()),
    };
    let list = match list {
        Ok(list) => list,
        Err(why) => {
            brought.fail(id, &why);
            return wanted;
        }
    };
    for range in &errand.ranges {
        if let Some(version) = chosen(range.as_deref(), &list) {
            wanted.insert(version);
        } else {
            let range = range.as_deref().unwrap_or("newest");
            let why = format!("none of its {} versions will do", list.len());
            brought.fail(format!("{id}@{range}"), &why);
        }
    }
    wanted
}

/// The version restore takes; without a range the newest, no prerelease where there is another.
fn chosen(range: Option<&str>, list: &HashSet<PackageVersion>) -> Option<PackageVersion> {
    let Some(range) = range else {
        let released = list
            .iter()
            .filter(|version| version.label().is_none())
            .max();
        return released.or_else(|| list.iter().max()).cloned();
    };
    let range = VersionRange::parse(range)?;
    // A feed may have what it does not list.
    let only = range.only().cloned();
    only.or_else(|| range.lowest(list).cloned())
}

/// The registration in each hive that a feed offers, and its pages: which one a client reads depends
/// on its age. What packages need is read in the first that knows the package.
async fn registration(asker: &Asker, id: &str, closure: bool, brought: &mut Brought) {
    let mut told = HashSet::new();
    let mut known = false;
    let mut absent = Error::NotOffered("RegistrationsBaseUrl");
    for hive in HIVES {
        let index = brought
            .json(asker, &format!("v3/{hive}/{id}/index.json"))
            .await;
        match index {
            Ok(index) => {
                let needed = (closure && !known).then_some(&mut told);
                pages(asker, (id, &index), needed, brought).await;
                leaves(asker, (hive, id), brought).await;
                known = true;
            }
            Err(error @ (Error::NotFound | Error::RememberedNotFound)) => absent = error,
            Err(Error::NotOffered(_)) => {}
            Err(error) => brought.fail(format!("the registration of {id}"), &error),
        }
    }
    if !closure {
        // Nothing a restore needs.
        return;
    }
    if !known {
        // Nobody else knows what packages need.
        brought.fail(format!("the registration of {id}"), &absent);
        return;
    }
    let unknown = brought
        .versions
        .iter()
        .filter(|version| !told.contains(version));
    let unknown: Vec<_> = unknown.map(ToString::to_string).collect();
    for version in unknown {
        brought.fail(
            format!("{id}@{version}"),
            &"what it needs is not in its registration",
        );
    }
}

/// The leaves of what was brought, which results of a search lead to. A hive need not have them all.
async fn leaves(asker: &Asker, (hive, id): (&str, &str), brought: &mut Brought) {
    for version in brought.versions.clone() {
        let path = format!("v3/{hive}/{id}/{version}.json");
        match brought.json(asker, &path).await {
            Ok(_) | Err(Error::NotFound | Error::RememberedNotFound) => {}
            Err(error) => brought.fail(path, &error),
        }
    }
}

/// The pages of a registration; reads in them what versions need and notes those in `told`.
async fn pages(
    asker: &Asker,
    (id, index): (&str, &Value),
    mut told: Option<&mut HashSet<PackageVersion>>,
    brought: &mut Brought,
) {
    for page in index["items"].as_array().into_iter().flatten() {
        let fetched;
        let page = if page["items"].is_array() {
            page
        } else {
            let link = page["@id"].as_str().unwrap_or_default();
            let Some(path) = path_of(link) else {
                let why = format!("its page {link} is unknown");
                brought.fail(format!("the registration of {id}"), &why);
                continue;
            };
            match brought.json(asker, path).await {
                Ok(page) => {
                    fetched = page;
                    &fetched
                }
                Err(error) => {
                    brought.fail(path, &error);
                    continue;
                }
            }
        };
        if let Some(told) = told.as_deref_mut() {
            needs(page, told, brought);
        }
    }
}

/// What the versions that were brought need, as a page of their registration says.
fn needs(page: &Value, told: &mut HashSet<PackageVersion>, brought: &mut Brought) {
    for item in page["items"].as_array().into_iter().flatten() {
        let entry = &item["catalogEntry"];
        let version = entry["version"].as_str().and_then(PackageVersion::parse);
        let Some(version) = version.filter(|version| brought.versions.contains(version)) else {
            continue;
        };
        let groups = entry["dependencyGroups"].as_array().into_iter().flatten();
        let dependencies = groups.filter_map(|group| group["dependencies"].as_array());
        for dependency in dependencies.flatten() {
            let id = dependency["id"].as_str().unwrap_or_default();
            // Without a range, any version will do (NuGet documentation, ".nuspec reference").
            let range = dependency["range"]
                .as_str()
                .filter(|range| !range.is_empty());
            match Want::within(id, range.unwrap_or("0.0.0")) {
                Ok(want) => brought.needs.push(want),
                Err(why) => brought.fail(version.to_string(), &why),
            }
        }
        told.insert(version);
    }
}
