//! Looks at the registrations of one package, in each hive.

use std::collections::HashSet;

use serde_json::Value;

use super::ask::{Asker, Without};
use super::checks::{HIVE, HIVE_LABEL, HIVE_SEMVER, PAGES};
use super::finding::{Findings, Verdict};
use super::index::Index;
use crate::nuget::version::PackageVersion;

/// Most pages of a registration that are read, the first and the last among them.
const PAGES_MAX: usize = 8;

/// Types that may have versions of `SemVer` 2.0.0.
const FULL: &[&str] = &[
    "RegistrationsBaseUrl/3.6.0",
    "RegistrationsBaseUrl/Versioned",
];

/// The others, the richest first.
const OLD: &[&str] = &[
    "RegistrationsBaseUrl/3.4.0",
    "RegistrationsBaseUrl/3.0.0-rc",
    "RegistrationsBaseUrl/3.0.0-beta",
    "RegistrationsBaseUrl",
];

/// What the registration of a package in one hive says.
#[derive(Default)]
struct Said {
    versions: Vec<String>,
    /// A leaf and a package of it.
    leaf: Option<(String, String)>,
}

/// Looks at each hive.
pub(super) async fn look(asker: &mut Asker, index: &Index, id: &str, findings: &mut Findings) {
    let mut seen = HashSet::new();
    for name in FULL.iter().chain(OLD) {
        for base in index.of_type(name) {
            if seen.insert(base.trim_end_matches('/')) {
                // A feed with one hive for all types says in it what it has.
                let full = FULL.contains(name);
                one(asker, (base, full), id, findings).await;
            }
        }
    }
    if seen.is_empty() {
        return;
    }
    findings.add_ok(HIVE, format!("{} answer", seen.len()));
    findings.add_ok(PAGES, format!("those of {id} answer"));
    if asker.unlabelled.is_empty() {
        findings.add_ok(HIVE_LABEL, "what is gzip says so");
    }
    findings.add_ok(HIVE_SEMVER, "versions are where clients expect them");
}

async fn one(asker: &mut Asker, (base, full): (&str, bool), id: &str, findings: &mut Findings) {
    let url = format!("{}/{id}/index.json", base.trim_end_matches('/'));
    let registration = match asker.json(&url).await {
        Ok(registration) => registration,
        Err(Without::Plain) => return,
        // All its versions may be of SemVer 2.0.0.
        Err(Without::Failed(why)) => {
            let verdict = if full {
                Verdict::Warning
            } else {
                Verdict::Note
            };
            findings.add(HIVE, verdict, why);
            return;
        }
    };
    let Some(pages) = registration["items"].as_array() else {
        findings.add(HIVE, Verdict::Warning, format!("{url} has no `items`"));
        return;
    };
    let mut said = Said::default();
    let mut broken = Vec::new();
    let last = pages.len().saturating_sub(1);
    let mut read = 0;
    for (place, page) in pages.iter().enumerate() {
        if page["items"].is_array() {
            said.add(page);
        } else if read + 1 < PAGES_MAX || place == last {
            read += 1;
            match asker.json(page["@id"].as_str().unwrap_or_default()).await {
                Ok(page) => said.add(&page),
                Err(Without::Plain) => {}
                Err(Without::Failed(why)) => broken.push(why),
            }
        }
    }
    if let Some((leaf, package)) = &said.leaf {
        for link in [leaf, package] {
            if let Err(Without::Failed(why)) = asker.has_package(link).await {
                broken.push(why);
            }
        }
    }
    if !broken.is_empty() {
        findings.add(PAGES, Verdict::Failed, broken.join(", "));
    }
    let newer: Vec<_> = said.versions.iter().filter(|it| is_semver2(it)).collect();
    if let (false, Some(first)) = (full, newer.first()) {
        let what = format!("{url} has {} of them, such as {first}", newer.len());
        findings.add(HIVE_SEMVER, Verdict::Warning, what);
    }
}

impl Said {
    fn add(&mut self, page: &Value) {
        for item in page["items"].as_array().into_iter().flatten() {
            let version = item["catalogEntry"]["version"].as_str();
            self.versions.extend(version.map(str::to_owned));
            let text = |name: &str| item[name].as_str().map(str::to_owned);
            if let (Some(leaf), Some(package)) = (text("@id"), text("packageContent")) {
                self.leaf = Some((leaf, package));
            }
        }
    }
}

/// Whether clients from before NuGet 4.3 cannot read a version.
fn is_semver2(version: &str) -> bool {
    let parsed = PackageVersion::parse(version);
    let label = parsed.as_ref().and_then(PackageVersion::label);
    version.contains('+') || label.is_some_and(|label| label.contains('.'))
}
