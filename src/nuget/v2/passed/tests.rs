//! Shapes of V2 requests, and what is none.

use super::*;
use crate::nuget::service_index::ServiceIndex;
use url::Url;

const INDEX: &str = r#"{"version":"3.0.0","resources":[
    {"@id":"https://h/v3/index.json","@type":"RegistrationsBaseUrl"},
    {"@id":"https://h/nuget/v2?x=1","@type":"LegacyGallery"}]}"#;

/// Rule, id, and upstream URL below the V2 endpoint.
fn target(path: &str, query: Option<&str>) -> (&'static str, Option<String>, String) {
    let target = match parse(path, query).unwrap() {
        Asked::Document(target) => target,
        Asked::Package { file, .. } => file,
        Asked::Latest => return ("latest", None, String::new()),
    };
    let feed = Url::parse("https://h/v3/index.json").unwrap();
    let index = ServiceIndex::parse(INDEX.as_bytes(), &feed).unwrap();
    let urls = target.upstream_urls(&feed, &index);
    assert_eq!(urls.len(), 1);
    let below = urls[0]
        .as_str()
        .strip_prefix("https://h/nuget/v2/")
        .unwrap();
    (
        target.rule.name,
        target.id.as_ref().map(|id| id.as_str().to_owned()),
        below.to_owned(),
    )
}

/// Path and query, and what becomes of them.
type Shape = (
    &'static str,
    Option<&'static str>,
    &'static str,
    Option<&'static str>,
    &'static str,
);

const SHAPES: &[Shape] = &[
    ("", None, "v2_service", None, ""),
    ("/", Some("a=b"), "v2_service", None, ""),
    ("/$metadata", Some("a"), "v2_metadata", None, "$metadata"),
    (
        "/FindPackagesById()",
        Some("id='A.B'&semVerLevel=2.0.0&$skiptoken='a','1.0'"),
        "v2_versions",
        Some("a.b"),
        "FindPackagesById()?id=%27A.B%27&semVerLevel=2.0.0&$skiptoken=%27a%27,%271.0%27",
    ),
    (
        "/findpackagesbyid",
        Some("ID=%27a%27"),
        "v2_versions",
        Some("a"),
        "FindPackagesById?ID=%27a%27",
    ),
    (
        "/FindPackagesById(id='A')",
        None,
        "v2_versions",
        Some("a"),
        "FindPackagesById(id='A')",
    ),
    (
        "/FindPackagesById()",
        Some("id='no+id'"),
        "v2_versions",
        None,
        "FindPackagesById()?id=%27no+id%27",
    ),
    (
        "/Packages(Id='A.B',Version='1.0-Beta%2B1')",
        Some("$select=Id"),
        "v2_entry",
        Some("a.b"),
        "Packages(Id='A.B',Version='1.0-Beta+1')?$select=Id",
    ),
    (
        "/Packages()",
        Some("$filter=(tolower(Id)%20eq%20'a')%20or%20PackageSize%20gt%201&$orderby=Id&$top=2"),
        "v2_packages",
        None,
        "Packages()?$filter=(tolower(Id)%20eq%20%27a%27)%20or%20PackageSize%20gt%201&$orderby=Id&$top=2",
    ),
    ("/Packages", None, "v2_packages", None, "Packages"),
    ("/Packages/", None, "v2_packages", None, "Packages"),
    (
        "/Search()",
        Some("searchTerm=''&targetFramework='a|b'"),
        "v2_search",
        None,
        "Search()?searchTerm=%27%27&targetFramework=%27a|b%27",
    ),
    (
        "/Search()/$count",
        Some("searchTerm='%C3%A9'"),
        "v2_count",
        None,
        "Search()/$count?searchTerm=%27%C3%A9%27",
    ),
    (
        "/FindPackagesById()/$count",
        Some("id='a'"),
        "v2_count",
        Some("a"),
        "FindPackagesById()/$count?id=%27a%27",
    ),
    (
        "/GetUpdates()",
        Some("packageIds='a|b'&versions='1|2'"),
        "v2_updates",
        None,
        "GetUpdates()?packageIds=%27a|b%27&versions=%271|2%27",
    ),
    (
        "/package/A.B/1.0",
        None,
        "v2_package",
        Some("a.b"),
        "package/A.B/1.0",
    ),
    (
        "/Package/A.B/1.0/",
        None,
        "v2_package",
        Some("a.b"),
        "package/A.B/1.0",
    ),
    (
        "/Packages(Id='A.B',Version='1.0')/$value",
        None,
        "v2_package",
        Some("a.b"),
        "package/A.B/1.0",
    ),
    ("/package/A.B", None, "latest", None, ""),
    (
        "/package-ids",
        Some("partialId=a"),
        "v2_ids",
        None,
        "package-ids?partialId=a",
    ),
    (
        "/package-versions/A",
        None,
        "v2_id_versions",
        Some("a"),
        "package-versions/A",
    ),
    (
        "/Packages()",
        Some("$format=atom"),
        "v2_packages",
        None,
        "Packages()?$format=atom",
    ),
];

#[test]
fn shapes_go_on_as_they_were_asked() {
    for &(path, query, rule, id, url) in SHAPES {
        let expected = (rule, id.map(str::to_owned), url.to_owned());
        assert_eq!(target(path, query), expected, "{path}");
    }
}

#[test]
fn everything_else_goes_nowhere() {
    for (path, query) in [
        ("/$batch", None),
        ("/Screencasts", None),
        ("/Packages/..", None),
        ("/../Packages", None),
        ("/%2e%2e/Packages", None),
        ("/Packages%2f..", None),
        ("/Packages()/../../x", None),
        ("/Packages()/Id", None),
        ("/Packages()/$value", None),
        ("/Packages(1)", None),
        ("/Packages(Id='a')", None),
        ("/Packages(Id='../x',Version='1.0')", None),
        ("/Packages(Id='a',Version='1.0/..')", None),
        ("/Packages(Id='a',Version='1.0')/$count", None),
        ("/Search", Some("a=%zz")),
        ("/Search", Some("a=%2")),
        ("/Search", Some("a=\u{e9}")),
        ("/Search", Some("$format=json")),
        ("/Search()x", None),
        ("/Search(a='b", None),
        ("/package/a/x", None),
        ("/package/a/1.0/b", None),
        ("/package/a b", None),
        ("/package//1.0", None),
        ("/Packages\\", None),
        ("//Packages", None),
    ] {
        assert!(parse(path, query).is_err(), "{path}");
    }
}

#[test]
fn the_entry_of_a_file_is_spelled_alike() {
    let Ok(Asked::Package { file, .. }) = parse("/package/A.B/1.0", None) else {
        panic!("no package")
    };
    let entry = entry_of(&file).unwrap();
    assert_eq!(entry.path(), "Packages(Id='A.B',Version='1.0')");
    let asked = parse("/Packages(Id='A.B',Version='1.0')", None).unwrap();
    let Asked::Document(asked) = asked else {
        panic!("no document")
    };
    assert_eq!(asked.key("f"), entry.key("f"));
    assert!(entry_of(&entry).is_none());
}
