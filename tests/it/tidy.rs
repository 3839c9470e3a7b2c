//! The source and its documentation stay in order.
//!
//! - no file has more than 400 lines before its tests, none is named after nothing
//! - each document of the protocol table is served from the example feed and counted under its name
//! - `docs/protocol.md` has the table and `docs/metrics.md` every series, as the program has them
//!
//! With `NGTEST_BLESS=1` the tables of the documentation are written anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use nugate::demo::ExampleFeed;
use nugate::nuget::resource::{At, DocRule, RESOURCES, SERVICE_INDEX, View};
use nugate::observe::metrics::SERIES;
use nugate::observe::{CacheStatus, StaleReason};
use nugate::policy::class::Class;

use super::layers::{sources, src};
use crate::support::World;
use crate::support::client::get;

const LINES_MAX: usize = 400;

const BANNED: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "manager", "misc",
];

/// A path below `/v3/` for each document, by slug and name; `TOKEN` is found in the document
/// before it.
const FIXTURES: &[(&str, &str, &str)] = &[
    ("", "service_index", "index.json"),
    ("flat", "versions", "example.core/index.json"),
    (
        "flat",
        "nupkg",
        "example.core/1.0.0/example.core.1.0.0.nupkg",
    ),
    ("flat", "nuspec", "example.core/1.0.0/example.core.nuspec"),
    ("flat", "readme", "example.json/1.2.0/readme"),
    ("flat", "icon", "example.json/1.2.0/icon"),
    ("flat", "license", "example.json/1.2.0/license"),
    (
        "registration*",
        "registration_index",
        "example.core/index.json",
    ),
    (
        "registration*",
        "registration_page",
        "example.many/page/1.64.0/1.127.0.json",
    ),
    (
        "registration*",
        "registration_leaf",
        "example.core/1.0.0.json",
    ),
    (
        "registration*",
        "registration_other",
        "example.core/other/document.json",
    ),
    ("query", "search", "?q=example"),
    ("autocomplete", "autocomplete", "?q=example"),
    ("vulnerabilities", "vulnerability_index", "index.json"),
    ("vulnerabilities", "vulnerability_page", "page/TOKEN"),
    (
        "repository-signatures",
        "repository_signatures",
        "5.0.0/index.json",
    ),
    (
        "repository-signatures",
        "repository_certificate",
        "page/TOKEN",
    ),
    ("catalog", "catalog_index", "index.json"),
    (
        "catalog",
        "catalog_leaf",
        "data/2026.01.01.00.01.00/example.core.1.0.0.json",
    ),
    ("catalog", "catalog_page", "page0.json"),
    ("api-v2", "v2_service", ""),
    ("api-v2", "v2_metadata", "/$metadata"),
    (
        "api-v2",
        "v2_entry",
        "/Packages(Id='Gallery.Only',Version='1.0')",
    ),
    (
        "api-v2",
        "v2_versions",
        "/FindPackagesById()?id='Gallery.Only'",
    ),
    ("api-v2", "v2_packages", "/Packages()"),
    ("api-v2", "v2_search", "/Search()?searchTerm=''"),
    (
        "api-v2",
        "v2_updates",
        "/GetUpdates()?packageIds='A'&versions='1.0'",
    ),
    ("api-v2", "v2_count", "/Packages()/$count"),
    ("api-v2", "v2_ids", "/package-ids"),
    ("api-v2", "v2_id_versions", "/package-versions/Gallery.Only"),
    ("api-v2", "v2_package", "/package/Gallery.Only/1.0"),
];

/// Slug and rule of every document.
fn documents() -> Vec<(&'static str, &'static DocRule)> {
    let rows = RESOURCES.iter();
    let of_row = rows.flat_map(|row| row.docs.iter().map(move |rule| (row.slug, rule)));
    [("", &SERVICE_INDEX)].into_iter().chain(of_row).collect()
}

#[test]
fn files_are_short_and_named_after_something() {
    for file in sources(&src()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(!BANNED.contains(&name), "{}", file.display());
        let product = text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]");
        let lines = product.count();
        assert!(
            name == "tests" || lines <= LINES_MAX,
            "{}: {lines} lines",
            file.display()
        );
        assert!(
            text.starts_with("//!"),
            "{} does not say what it is for",
            file.display()
        );
    }
}

/// Below the root.
fn fixture(slug: &str, rule: &DocRule) -> String {
    let group = if slug.starts_with("registration") {
        "registration*"
    } else {
        slug
    };
    let found = FIXTURES
        .iter()
        .find(|(of, name, _)| *of == group && *name == rule.name)
        .unwrap_or_else(|| panic!("{slug} {} has no fixture", rule.name));
    match (slug, found.2) {
        ("", path) => format!("/v3/{path}"),
        ("api-v2", path) => format!("/api/v2{path}"),
        (slug, query) if query.starts_with('?') => format!("/v3/{slug}{query}"),
        (slug, path) => format!("/v3/{slug}/{path}"),
    }
}

/// The demonstration's packages, and what they lack.
async fn world() -> World {
    let mut feed = ExampleFeed::demo();
    for minor in 0..130 {
        let package = nugate::demo::Package::new("Example.Many", format!("1.{minor}.0"));
        feed.add(package).unwrap();
    }
    let world = World::with(feed, |settings| {
        settings.bases.public_url = Some("https://cache.test".parse().unwrap());
        settings.options.v2 = true;
    })
    .await;
    let license = "/v3-flatcontainer/example.json/1.2.0/license";
    world.up.on(license).reply(200, "Do as you like.");
    crate::v2_upstream::speak(&world.up, "Gallery.Only");
    for hive in ["semver1", "gz-semver1", "gz-semver2"] {
        let other = format!("/v3/registration5-{hive}/example.core/other/document.json");
        world.up.on(&other).reply(200, "{}");
    }
    world
}

/// How many requests for this kind of document were answered with a document.
async fn answered(world: &World, name: &str) -> f64 {
    let text = get(world.addr, "/metrics", &[]).await.text();
    let label = format!("resource=\"{name}\",status=\"2xx\"}} ");
    let lines = text
        .lines()
        .filter(|line| line.starts_with("nugate_requests_total{"));
    lines
        .filter_map(|line| line.split_once(&label)?.1.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_document_of_the_table_is_served_under_its_name() {
    let world = world().await;
    let mut token = String::new();
    for (slug, rule) in documents() {
        let path = fixture(slug, rule).replace("TOKEN", &token);
        let before = answered(&world, rule.name).await;
        let response = get(world.addr, &path, &[]).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let after = answered(&world, rule.name).await;
        assert!(after > before, "{path} is not counted as {}", rule.name);
        if let Some((_, rest)) = String::from_utf8_lossy(&response.body).split_once("/page/") {
            token = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        }
    }
}

#[test]
fn no_fixture_is_left_over() {
    let names: BTreeSet<_> = documents().iter().map(|(_, rule)| rule.name).collect();
    let fixtures: BTreeSet<_> = FIXTURES.iter().map(|(_, name, _)| *name).collect();
    assert_eq!(names, fixtures);
}

/// Compares the text between two markers of a page with what the program says, or writes it.
fn check_table(page: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (written, after) = rest.split_once(&end).unwrap();
    let table = format!("\n\n{table}\n");
    if std::env::var_os("NGTEST_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(
            written, table,
            "docs/{page}: run the tests with NGTEST_BLESS=1"
        );
    }
}

const fn kept(class: Class) -> &'static str {
    match class {
        Class::Immutable => "for ever",
        Class::Versions => "versions",
        Class::Metadata => "metadata",
        Class::Index => "index",
        Class::Query => "query",
    }
}

fn changed(view: View) -> String {
    match view {
        View::Raw | View::Document => "nothing".to_owned(),
        View::Atom => "links of V2".to_owned(),
        View::ServiceIndex => "`@id`".to_owned(),
        View::Links(rule) => {
            let context = rule.context_base.then_some("@context.@base");
            let members = rule.members.iter().copied().chain(context);
            let quoted: Vec<_> = members.map(|name| format!("`{name}`")).collect();
            quoted.join(", ")
        }
    }
}

fn resources() -> String {
    let mut table = String::from("| Resource | Types | Where |\n|---|---|---|\n");
    for row in RESOURCES {
        let suffix = |name: &&str| match name.split_once('/') {
            Some((_, suffix)) => format!("`/{suffix}`"),
            None => "none".to_owned(),
        };
        let types: Vec<_> = row.types.iter().map(suffix).collect();
        let place = match row.at {
            At::Base => format!("`/v3/{}/`", row.slug),
            At::Endpoint => format!("`/v3/{}`", row.slug),
            At::Document => format!("`/v3/{}/index.json`", row.slug),
            At::Versioned => format!("`/v3/{}/{{type}}/index.json`, over https only", row.slug),
            At::Template => "template below another resource".to_owned(),
            At::V2 => "`/api/v2`".to_owned(),
            At::Publish(_) => format!("`/v3/{}`, unless `publish` is `refuse`", row.slug),
            At::WebPage => "web page of the upstream, kept or dropped".to_owned(),
        };
        writeln!(table, "| {} | {} | {place} |", row.name, types.join(", ")).unwrap();
    }
    table.push_str(
        "\n| Document | Path | Kept as | 404 remembered | Changed |\n|---|---|---|---|---|\n",
    );
    for (slug, rule) in documents() {
        let slug = if slug == "api-v2" {
            "/api/v2".to_owned()
        } else {
            format!("/v3/{slug}").trim_end_matches('/').to_owned()
        };
        let path = [slug, rule.pattern.to_owned()].into_iter();
        let path: Vec<_> = path.filter(|part| !part.is_empty()).collect();
        let negative = if rule.negative { "yes" } else { "no" };
        let (path, kept, changed) = (path.join("/"), kept(rule.class), changed(rule.view));
        let name = rule.name;
        writeln!(
            table,
            "| {name} | `{path}` | {kept} | {negative} | {changed} |"
        )
        .unwrap();
    }
    table
}

#[test]
fn the_protocol_page_has_the_table() {
    check_table("protocol.md", "resources", &resources());
}

#[test]
fn the_protocol_page_has_every_cache_status() {
    let page = std::fs::read_to_string(src().join("../docs/protocol.md")).unwrap();
    let stale = StaleReason::ALL.map(CacheStatus::Stale);
    let others = [
        CacheStatus::Hit,
        CacheStatus::HitStale,
        CacheStatus::Miss,
        CacheStatus::Joined,
        CacheStatus::Revalidated,
        CacheStatus::Negative,
        CacheStatus::Passed,
        CacheStatus::Relayed,
        CacheStatus::VaryMiss,
        CacheStatus::Replaced,
        CacheStatus::Refused,
        CacheStatus::Own,
    ];
    for status in stale.into_iter().chain(others) {
        let row = format!("| `{}` |", status.header());
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn the_metrics_page_has_every_series() {
    let mut table = String::from("| Series | Labels | Meaning |\n|---|---|---|\n");
    for (name, labels, help) in SERIES {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}` | {} | {help} |", labels.join(", ")).unwrap();
    }
    assert!(SERIES.len() > 20);
    check_table("metrics.md", "metrics", &table);
}
