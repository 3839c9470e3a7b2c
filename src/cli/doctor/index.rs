//! Judges a service index: no I/O.
//!
//! Reads the document itself and not what nugate makes of it, which leaves out what is wrong.

use serde_json::Value;
use url::Url;

use super::checks::{ENTRIES, INDEX, LINKS_HTTPS, SIGNATURES, TYPES, VERSION};
use super::finding::{Findings, Verdict};
use crate::nuget::resource::{self, At};
use crate::nuget::service_index::{IndexErrorKind, ServiceIndex};

/// Most texts of one kind that are told.
pub(super) const TOLD_MAX: usize = 5;

/// Types that clients look for: any of these, how bad it is without, and for whom.
struct Wanted(&'static [&'static str], Verdict, &'static str);

/// By resource; without any type of it only that is told.
const WANTED: &[(&str, &[Wanted])] = &[
    (
        "PackageBaseAddress",
        &[Wanted(
            &["PackageBaseAddress/3.0.0"],
            Verdict::Failed,
            "restore of every client: packages come from there",
        )],
    ),
    (
        "RegistrationsBaseUrl",
        &[
            Wanted(
                &[
                    "RegistrationsBaseUrl/3.6.0",
                    "RegistrationsBaseUrl/Versioned",
                ],
                Verdict::Warning,
                "NuGet 4.3 and later: no versions of SemVer 2.0.0, deprecations and vulnerabilities",
            ),
            Wanted(
                &["RegistrationsBaseUrl/3.4.0"],
                Verdict::Warning,
                "NuGet 3.4 to 4.2, which look for it",
            ),
            Wanted(
                &["RegistrationsBaseUrl/3.0.0-beta", "RegistrationsBaseUrl"],
                Verdict::Warning,
                "Dependabot, and NuGet before 3.4",
            ),
        ],
    ),
    (
        "SearchQueryService",
        &[
            Wanted(
                &[
                    "SearchQueryService/3.0.0-beta",
                    "SearchQueryService/3.4.0",
                    "SearchQueryService/Versioned",
                ],
                Verdict::Warning,
                "search of the official client: it knows no other type",
            ),
            Wanted(
                &["SearchQueryService/3.5.0"],
                Verdict::Warning,
                "search by type of package, as for tools and templates",
            ),
            Wanted(
                &["SearchQueryService"],
                Verdict::Warning,
                "clients that look for the type without a version, such as node-nuget-client",
            ),
        ],
    ),
    (
        "SearchAutocompleteService",
        &[Wanted(
            &[
                "SearchAutocompleteService/3.0.0-beta",
                "SearchAutocompleteService/Versioned",
            ],
            Verdict::Warning,
            "completion of ids in Visual Studio",
        )],
    ),
    (
        "VulnerabilityInfo",
        &[Wanted(
            &["VulnerabilityInfo/6.7.0"],
            Verdict::Note,
            "NuGetAudit",
        )],
    ),
    (
        "PackagePublish",
        &[Wanted(&["PackagePublish/2.0.0"], Verdict::Note, "push")],
    ),
];

/// The entries of an index: type and address, one for each type.
pub(super) struct Index(Vec<(String, String)>);

impl Index {
    /// Reads an index that was served at `url`; `None` when no client can use it.
    pub(super) fn judge(document: &[u8], url: &Url, findings: &mut Findings) -> Option<Self> {
        if let Err(error) = ServiceIndex::parse(document, url) {
            match error.kind {
                // What is wrong with its entries is told for each.
                IndexErrorKind::NothingKnown => {}
                IndexErrorKind::NoVersion | IndexErrorKind::Version(_) => {
                    findings.add(VERSION, Verdict::Failed, error.kind.to_string());
                    return None;
                }
                kind => {
                    findings.add(INDEX, Verdict::Failed, kind.to_string());
                    return None;
                }
            }
        }
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let value: Value = serde_json::from_slice(document).ok()?;
        let version = value["version"].as_str().unwrap_or_default();
        let entries = value["resources"].as_array()?;
        let index = Self(entries.iter().flat_map(of_entry).collect());
        findings.add(
            INDEX,
            Verdict::Ok,
            format!("version {version}, {} entries", entries.len()),
        );
        index.judge_types(findings);
        index.judge_links(url, findings);
        index.judge_entries(entries, findings);
        Some(index)
    }

    /// The addresses of a type, in the order of the document.
    pub(super) fn of_type(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(own, _): &&(String, String)| own == name;
        self.0.iter().filter(same).map(|(_, id)| id.as_str())
    }

    /// The first address of the first of these types that is there.
    pub(super) fn first_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.of_type(name).next())
    }

    /// Types that clients look for.
    fn judge_types(&self, findings: &mut Findings) {
        let has = |name: &str| self.of_type(name).next().is_some();
        for (name, wanted) in WANTED {
            let own = |(of, _): &(String, String)| of.split('/').next() == Some(*name);
            let any = self.0.iter().any(own);
            for Wanted(types, verdict, breaks) in *wanted {
                if types.iter().any(|name| has(name)) {
                    continue;
                }
                let what = if any {
                    format!("no entry of the type {}", types.join(" or "))
                } else {
                    format!("no {name} at all")
                };
                findings.add_breaking(TYPES, *verdict, what, Some(*breaks));
                if !any {
                    break;
                }
            }
        }
        findings.add_ok(TYPES, "all that clients look for");
    }

    /// Schemes: what is https has no http in it, and signatures never.
    fn judge_links(&self, url: &Url, findings: &mut Findings) {
        let plain = |(name, id): &&(String, String)| {
            let known = resource::of_type(name);
            let page = known.is_some_and(|row| matches!(row.at, At::WebPage));
            known.is_some() && !page && id.to_ascii_lowercase().starts_with("http://")
        };
        let is_signatures =
            |(name, _): &&(String, String)| name.starts_with("RepositorySignatures");
        let (signatures, others): (Vec<_>, Vec<_>) =
            self.0.iter().filter(plain).partition(is_signatures);
        if signatures.is_empty() {
            findings.add(SIGNATURES, Verdict::Ok, "none over http");
        } else {
            findings.add(SIGNATURES, Verdict::Failed, told(&signatures));
        }
        if url.scheme() == "http" {
            let what = "the feed itself is http: clients want allowInsecureConnections";
            findings.add(LINKS_HTTPS, Verdict::Note, what);
        } else if others.is_empty() {
            findings.add(LINKS_HTTPS, Verdict::Ok, "every resource is https");
        } else {
            findings.add(LINKS_HTTPS, Verdict::Failed, told(&others));
        }
    }

    /// What some clients trip over.
    fn judge_entries(&self, entries: &[Value], findings: &mut Findings) {
        if entries.iter().any(|entry| entry["@type"].is_array()) {
            let what = "an entry has several types in an array";
            findings.add(ENTRIES, Verdict::Warning, what);
        }
        for (name, id) in &self.0 {
            let what = match resource::of_type(name).map(|row| row.at) {
                Some(At::Base) if !id.ends_with('/') => "has no slash at its end",
                Some(At::Endpoint) if id.contains('?') => "has a query, which clients replace",
                _ => continue,
            };
            findings.add(ENTRIES, Verdict::Warning, format!("{name} {id} {what}"));
        }
        findings.add_ok(ENTRIES, "one type each, as clients put them together");
    }
}

/// Type and address of an entry, once for each of its types.
fn of_entry(entry: &Value) -> Vec<(String, String)> {
    let id = entry["@id"].as_str().unwrap_or_default();
    let types = match &entry["@type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let pair = |name: &str| (name.to_owned(), id.to_owned());
    types.into_iter().map(pair).collect()
}

fn told(entries: &[&(String, String)]) -> String {
    let texts = entries.iter().map(|(name, id)| format!("{name} is {id}"));
    let text = texts.take(TOLD_MAX).collect::<Vec<_>>().join(", ");
    if entries.len() > TOLD_MAX {
        let more = entries.len() - TOLD_MAX;
        return format!("{text} and {more} more");
    }
    text
}
