//! Looks at a feed as clients use it: from the index to the packages of one id.

use http::header::DATE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use url::Url;

use super::ask::{Asker, Without, decoded};
use super::checks::{
    CLOCK, CREDENTIALS, HIVE_LABEL, INDEX, LINKS_HTTPS, PACKAGE, PROXY, REACH, REDIRECTS, SEARCH,
    TRUST, VERSION_LIST, VULNERABILITIES,
};
use super::finding::{Finding, Findings, Verdict};
use super::hive;
use super::index::{Index, TOLD_MAX};
use crate::clock::{Clock, Time};
use crate::upstream::{FeedOptions, Kind};

/// How far clocks may be apart: what nugate still believes.
const SKEW_MAX_SECONDS: u64 = 5 * 60;

/// What is searched for an id to look at.
const SAMPLE_QUERY: &str = "q=&skip=0&take=20&prerelease=true&semVerLevel=2.0.0";

/// Pages of vulnerabilities that the official client reads at most.
const PAGES_MAX: usize = 16;

/// Types of a search, the richest first.
const SEARCHES: &[&str] = &[
    "SearchQueryService/3.5.0",
    "SearchQueryService/3.0.0-beta",
    "SearchQueryService",
];

/// Looks at the feed with these options; `package` is the id to look at, else one that a search finds.
pub(super) async fn look(options: &FeedOptions, package: Option<&str>) -> Vec<Finding> {
    let mut findings = Findings::about(options.url.as_str());
    match Asker::new(options) {
        Ok(mut asker) => {
            examine(&mut asker, options, package, &mut findings).await;
            conclude(&asker, &mut findings);
        }
        Err(error) => findings.add(REACH, Verdict::Failed, error.to_string()),
    }
    findings.into_list()
}

async fn examine(
    asker: &mut Asker,
    options: &FeedOptions,
    package: Option<&str>,
    findings: &mut Findings,
) {
    let Some(index) = index(asker, &options.url, findings).await else {
        return;
    };
    let sample = match package {
        Some(id) => Some(id.to_lowercase()),
        None => search(asker, &index, findings).await,
    };
    vulnerabilities(asker, &index, findings).await;
    let Some(id) = sample else {
        let what = "no package is known to look at: name one with --package";
        findings.add(VERSION_LIST, Verdict::Note, what);
        return;
    };
    packages(asker, &index, &id, findings).await;
    hive::look(asker, &index, &id, findings).await;
}

/// The index, if it is one that clients can use.
async fn index(asker: &mut Asker, url: &Url, findings: &mut Findings) -> Option<Index> {
    let looked = match asker.get(url).await {
        Ok(looked) => looked,
        Err(error) => {
            let check = match error.kind {
                Kind::Tls => TRUST,
                Kind::Proxy | Kind::ProxyTimeout | Kind::ProxyDenied => PROXY,
                _ => REACH,
            };
            findings.add(check, Verdict::Failed, error.to_string());
            return None;
        }
    };
    clock(&looked.headers, Clock::System.now(), findings);
    if looked.downgrade.is_some() {
        return None;
    }
    match looked.status {
        StatusCode::OK => findings.add(REACH, Verdict::Ok, format!("{} answers", looked.url)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let what = format!("the index is answered with {}", looked.status);
            findings.add(CREDENTIALS, Verdict::Failed, what);
            return None;
        }
        status => {
            let what = format!("the index is answered with {status}");
            findings.add(REACH, Verdict::Failed, what);
            return None;
        }
    }
    match decoded(&looked) {
        Ok(document) => Index::judge(&document, url, findings),
        Err(why) => {
            findings.add(INDEX, Verdict::Failed, why);
            None
        }
    }
}

fn clock(headers: &HeaderMap, now: Time, findings: &mut Findings) {
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
    let Some(date) = date else {
        findings.add(CLOCK, Verdict::Note, "the server gives no date");
        return;
    };
    let now = now.to_system();
    let apart = match date.duration_since(now) {
        Ok(ahead) => ahead,
        Err(behind) => behind.duration(),
    };
    let seconds = apart.as_secs();
    if seconds > SKEW_MAX_SECONDS {
        let way = if date > now { "ahead of" } else { "behind" };
        let what = format!("the server's clock is {seconds} seconds {way} this machine's");
        findings.add(CLOCK, Verdict::Warning, what);
    } else {
        findings.add(CLOCK, Verdict::Ok, format!("{seconds} seconds apart"));
    }
}

/// The id that a search finds with the most versions: one that is more likely to have pages.
async fn search(asker: &mut Asker, index: &Index, findings: &mut Findings) -> Option<String> {
    let base = index.first_of(SEARCHES)?;
    let url = format!("{}?{SAMPLE_QUERY}", base.split('?').next().unwrap_or(base));
    let found = match asker.json(&url).await {
        Ok(found) => found,
        Err(Without::Plain) => return None,
        Err(Without::Failed(why)) => {
            findings.add(SEARCH, Verdict::Warning, why);
            return None;
        }
    };
    let Some(hits) = found["data"].as_array() else {
        findings.add(SEARCH, Verdict::Warning, "the answer has no `data`");
        return None;
    };
    findings.add(SEARCH, Verdict::Ok, format!("{} hits", hits.len()));
    let versions = |hit: &&Value| hit["versions"].as_array().map_or(0, Vec::len);
    let hit = hits.iter().rev().max_by_key(versions)?;
    Some(hit["id"].as_str()?.to_lowercase())
}

/// What a restore asks for: the list of versions, and one of the packages.
async fn packages(asker: &mut Asker, index: &Index, id: &str, findings: &mut Findings) {
    let Some(base) = index.first_of(&["PackageBaseAddress/3.0.0"]) else {
        return;
    };
    let base = format!("{}/{id}", base.trim_end_matches('/'));
    let list = match asker.json(&format!("{base}/index.json")).await {
        Ok(list) => list,
        Err(Without::Plain) => return,
        Err(Without::Failed(why)) => {
            findings.add(VERSION_LIST, Verdict::Failed, why);
            return;
        }
    };
    let versions = list["versions"].as_array().map(Vec::as_slice);
    let Some(newest) = versions.and_then(|all| all.last()?.as_str()) else {
        let what = format!("the list of {id} has no `versions`");
        findings.add(VERSION_LIST, Verdict::Failed, what);
        return;
    };
    let count = versions.map_or(0, <[Value]>::len);
    findings.add(VERSION_LIST, Verdict::Ok, format!("{id}, {count} versions"));
    let version = newest.to_lowercase();
    let package = format!("{base}/{version}/{id}.{version}.nupkg");
    match asker.has_package(&package).await {
        Ok(()) => findings.add(PACKAGE, Verdict::Ok, format!("{id} {version}")),
        Err(Without::Plain) => {}
        Err(Without::Failed(why)) => findings.add(PACKAGE, Verdict::Failed, why),
    }
}

async fn vulnerabilities(asker: &mut Asker, index: &Index, findings: &mut Findings) {
    let Some(link) = index.first_of(&["VulnerabilityInfo/6.7.0"]) else {
        return;
    };
    let pages = match asker.json(link).await {
        Ok(pages) => pages,
        Err(Without::Plain) => return,
        Err(Without::Failed(why)) => {
            findings.add(VULNERABILITIES, Verdict::Warning, why);
            return;
        }
    };
    let Some(pages) = pages.as_array() else {
        findings.add(VULNERABILITIES, Verdict::Warning, "the index is no array");
        return;
    };
    for page in pages.iter().take(PAGES_MAX) {
        let link = page["@id"].as_str().unwrap_or_default();
        if let Err(Without::Failed(why)) = asker.json(link).await {
            findings.add(VULNERABILITIES, Verdict::Warning, why);
        }
    }
    findings.add_ok(VULNERABILITIES, format!("{} pages", pages.len()));
}

/// What was met on the way, whatever was asked for.
fn conclude(asker: &Asker, findings: &mut Findings) {
    let some = |texts: &[String]| {
        let shown = texts.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>();
        shown.join(", ")
    };
    if !asker.downgrades.is_empty() {
        findings.add(REDIRECTS, Verdict::Failed, some(&asker.downgrades));
    }
    if !asker.plain_links.is_empty() && !findings.has_fault(LINKS_HTTPS) {
        findings.add(LINKS_HTTPS, Verdict::Failed, some(&asker.plain_links));
    }
    if !asker.unlabelled.is_empty() {
        findings.add(HIVE_LABEL, Verdict::Failed, some(&asker.unlabelled));
    }
}
