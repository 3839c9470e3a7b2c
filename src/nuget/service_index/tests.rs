//! Service indexes of several kinds of feeds.

use serde_json::json;

use super::*;

const FEED: &str = "https://user:secret@api.nuget.org/v3/index.json?sig=secret";

pub(super) fn index(resources: &Value) -> ServiceIndex {
    parse_value(&json!({"version": "3.0.0", "resources": resources})).unwrap()
}

pub(super) fn parse_value(document: &Value) -> Result<ServiceIndex, IndexError> {
    let feed = Url::parse(FEED).unwrap();
    ServiceIndex::parse(document.to_string().as_bytes(), &feed)
}

/// What nuget.org offers: URL and types, in its order. Search is listed with two regions.
const NUGET_ORG: &[(&str, &[&str])] = &[
    (
        "https://azuresearch-*.nuget.org/query",
        &[
            "SearchQueryService",
            "SearchQueryService/3.0.0-rc",
            "SearchQueryService/3.5.0",
            "SearchQueryService/3.0.0-beta",
        ],
    ),
    (
        "https://azuresearch-*.nuget.org/autocomplete",
        &[
            "SearchAutocompleteService",
            "SearchAutocompleteService/3.0.0-rc",
            "SearchAutocompleteService/3.5.0",
            "SearchAutocompleteService/3.0.0-beta",
        ],
    ),
    (
        "https://azuresearch-*.nuget.org/",
        &["SearchGalleryQueryService/3.0.0-rc"],
    ),
    (
        "https://api.nuget.org/v3/registration5-semver1/",
        &[
            "RegistrationsBaseUrl",
            "RegistrationsBaseUrl/3.0.0-rc",
            "RegistrationsBaseUrl/3.0.0-beta",
        ],
    ),
    (
        "https://api.nuget.org/v3/registration5-gz-semver1/",
        &["RegistrationsBaseUrl/3.4.0"],
    ),
    (
        "https://api.nuget.org/v3/registration5-gz-semver2/",
        &[
            "RegistrationsBaseUrl/3.6.0",
            "RegistrationsBaseUrl/Versioned",
        ],
    ),
    (
        "https://api.nuget.org/v3-flatcontainer/",
        &["PackageBaseAddress/3.0.0"],
    ),
    (
        "https://api.nuget.org/v3-flatcontainer/{lower_id}/{lower_version}/readme",
        &["ReadmeUriTemplate/6.13.0"],
    ),
    (
        "https://api.nuget.org/v3/registration5-semver1/{id-lower}/index.json",
        &["PackageDisplayMetadataUriTemplate/3.0.0-rc"],
    ),
    (
        "https://api.nuget.org/v3/registration5-semver1/{id-lower}/{version-lower}.json",
        &["PackageVersionDisplayMetadataUriTemplate/3.0.0-rc"],
    ),
    (
        "https://api.nuget.org/v3-index/repository-signatures/4.7.0/index.json",
        &["RepositorySignatures/4.7.0"],
    ),
    (
        "https://api.nuget.org/v3-index/repository-signatures/5.0.0/index.json",
        &["RepositorySignatures/5.0.0"],
    ),
    (
        "https://api.nuget.org/v3/vulnerabilities/index.json",
        &["VulnerabilityInfo/6.7.0"],
    ),
    (
        "https://api.nuget.org/v3/catalog0/index.json",
        &["Catalog/3.0.0"],
    ),
    (
        "https://www.nuget.org/api/v2",
        &["LegacyGallery", "LegacyGallery/2.0.0"],
    ),
    (
        "https://www.nuget.org/api/v2/package",
        &["PackagePublish/2.0.0"],
    ),
    (
        "https://www.nuget.org/api/v2/symbolpackage",
        &["SymbolPackagePublish/4.9.0"],
    ),
    (
        "https://www.nuget.org/packages/{id}/{version}/ReportAbuse",
        &[
            "ReportAbuseUriTemplate/3.0.0-rc",
            "ReportAbuseUriTemplate/3.0.0-beta",
        ],
    ),
    (
        "https://www.nuget.org/packages/{id}/{version}?_src=template",
        &["PackageDetailsUriTemplate/5.1.0"],
    ),
    (
        "https://www.nuget.org/profiles/{owner}?_src=template",
        &["OwnerDetailsUriTemplate/6.11.0"],
    ),
];

/// The index of nuget.org: 40 entries.
pub(super) fn nuget_org() -> Value {
    let mut resources = Vec::new();
    for (url, types) in NUGET_ORG {
        let regions: &[&str] = if url.contains('*') {
            &["usnc", "ussc"]
        } else {
            &[""]
        };
        for (name, region) in types
            .iter()
            .flat_map(|name| regions.iter().map(move |region| (name, region)))
        {
            let comment = format!("{name} of https://api.nuget.org/v3/");
            let mut entry =
                json!({"@id": url.replace('*', region), "@type": name, "comment": comment});
            if *name == "RegistrationsBaseUrl/Versioned" {
                entry["clientVersion"] = json!("4.3.0-alpha");
            }
            resources.push(entry);
        }
    }
    let prose = "http://www.w3.org/2000/01/rdf-schema#comment";
    json!({
        "version": "3.0.0",
        "resources": resources,
        "@context": {"@vocab": "http://schema.nuget.org/services#", "comment": prose},
    })
}

fn check_refused(document: &[u8], part: &str) {
    let error = ServiceIndex::parse(document, &Url::parse(FEED).unwrap()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("service index of https://api.nuget.org/v3/index.json: "),
        "{text}"
    );
    assert!(text.contains(part) && !text.contains("secret"), "{text}");
}

#[test]
fn what_is_no_service_index_is_refused_by_name() {
    check_refused(b"\n <!DOCTYPE html>", "begins with `<`");
    check_refused(b"{\"version\":", "not json: EOF while parsing");
    check_refused(b"[]", "not a json object");
    check_refused(br#"{"resources":[]}"#, "`version` is missing");
    check_refused(br#"{"version":3,"resources":[]}"#, "`version` is missing");
    check_refused(
        br#"{"version":"2.0.0","resources":[]}"#,
        "`version` is `2.0.0`",
    );
    check_refused(
        br#"{"version":"three","resources":[]}"#,
        "`version` is `three`",
    );
    check_refused(br#"{"version":"3.0.0"}"#, "`resources` is missing");
    check_refused(
        br#"{"version":"3.0.0","resources":{}}"#,
        "`resources` is missing",
    );
    check_refused(
        br#"{"version":"3.0.0","resources":[]}"#,
        "no resource of a known type",
    );
    let many = json!({"version": "3.0.0", "resources": vec![1; MAX_RESOURCES + 1]});
    check_refused(many.to_string().as_bytes(), "1001 resources");
    check_refused(&vec![b' '; MAX_BYTES + 1], "1048577 bytes");
}

#[test]
fn an_id_that_is_no_absolute_http_url_is_kept_out() {
    for id in [
        "/v3/flat/",
        "flat",
        "",
        "urn:uuid:1",
        "ftp://h/",
        "https://",
        "https://u:p@h/",
        "https://h/{id}/",
    ] {
        let flat = json!({"@id": id, "@type": "PackageBaseAddress/3.0.0"});
        let error = parse_value(&json!({"version": "3.0.0", "resources": [flat]})).unwrap_err();
        assert!(
            matches!(error.kind, IndexErrorKind::NothingKnown),
            "{id}: {error}"
        );
        let query = json!({"@id": "https://h/query", "@type": "SearchQueryService"});
        let index = index(&json!([flat, query]));
        assert_eq!(index.unroutable(), [id]);
        assert_eq!(index.bases("flat"), [""; 0]);
    }
}

#[test]
fn every_3_x_version_is_accepted() {
    for version in ["3.0.0", "3.0.0-beta.1", "3.0.0-beta", "3.1", "3.99.7+x"] {
        let mut document = nuget_org();
        document["version"] = json!(version);
        assert!(parse_value(&document).is_ok(), "{version}");
    }
}

#[test]
fn a_byte_order_mark_and_odd_entries_do_no_harm() {
    let document = "\u{feff}{\"version\":\"3.0.0\",\"resources\":[7,{},{\"@id\":1,\"@type\":\"x\"},{\"@id\":\"x\"},\
        {\"@id\":\"https://h/f\",\"@type\":[1,\"PackageBaseAddress/3.0.0\"]}]}";
    let index = ServiceIndex::parse(document.as_bytes(), &Url::parse(FEED).unwrap()).unwrap();
    assert_eq!(index.bases("flat"), ["https://h/f/"]);
}

#[test]
fn nuget_org_is_understood() {
    let document = nuget_org();
    assert_eq!(document["resources"].as_array().map(Vec::len), Some(40));
    let index = parse_value(&document).unwrap();
    assert_eq!(
        index.bases("flat"),
        ["https://api.nuget.org/v3-flatcontainer/"]
    );
    assert_eq!(
        index.bases("registration-gz-semver2"),
        ["https://api.nuget.org/v3/registration5-gz-semver2/"]
    );
    assert_eq!(
        index.bases("registration"),
        ["https://api.nuget.org/v3/registration5-semver1/"]
    );
    assert_eq!(
        index.bases("query"),
        [
            "https://azuresearch-usnc.nuget.org/query",
            "https://azuresearch-ussc.nuget.org/query"
        ]
    );
    assert_eq!(
        index.bases("vulnerabilities"),
        ["https://api.nuget.org/v3/vulnerabilities/index.json"]
    );
    assert_eq!(index.bases("nonsense"), [""; 0]);
    assert_eq!(
        index.versioned("repository-signatures", "4.7.0").as_deref(),
        Some("https://api.nuget.org/v3-index/repository-signatures/4.7.0/index.json")
    );
    assert_eq!(index.versioned("repository-signatures", "4.9.0"), None);
    assert_eq!(index.versioned("flat", "3.0.0"), None);
    let hosts: Vec<_> = index.hosts().into_iter().collect();
    assert_eq!(
        hosts,
        [
            "api.nuget.org",
            "azuresearch-usnc.nuget.org",
            "azuresearch-ussc.nuget.org",
            "www.nuget.org"
        ]
    );
    assert_eq!(index.unknown(), ["SearchGalleryQueryService/3.0.0-rc",]);
    assert_eq!(index.unroutable(), [""; 0]);
}

#[test]
fn links_of_nuget_org_are_ours() {
    let map = parse_value(&nuget_org()).unwrap().link_map();
    for (url, ours) in [
        (
            "https://api.nuget.org/v3/registration5-gz-semver1/a/index.json",
            Some("registration-gz/a/index.json"),
        ),
        (
            "https://api.nuget.org/v3/registration5-semver1/",
            Some("registration/"),
        ),
        (
            "https://api.nuget.org/v3-flatcontainer/a/1.0.0/icon",
            Some("flat/a/1.0.0/icon"),
        ),
        (
            "https://azuresearch-ussc.nuget.org/query?q=a",
            Some("query?q=a"),
        ),
        (
            "https://api.nuget.org/v3/catalog0/data/x.json#y",
            Some("catalog/data/x.json#y"),
        ),
        (
            "https://api.nuget.org/v3/catalog0/index.json",
            Some("catalog/index.json"),
        ),
        (
            "https://api.nuget.org/v3/vulnerabilities/index.json",
            Some("vulnerabilities/index.json"),
        ),
        ("https://api.nuget.org/v3/vulnerabilities/other.json", None),
        (
            "https://api.nuget.org/v3-index/repository-signatures/5.0.0/index.json",
            None,
        ),
        ("https://www.nuget.org/api/v2/package", None),
    ] {
        assert_eq!(map.resolve(url).as_deref(), ours, "{url}");
    }
}

#[test]
fn a_document_may_have_any_name() {
    let map =
        index(&json!([{"@id": "https://h/c/root.json", "@type": "Catalog/3.0.0"}])).link_map();
    assert_eq!(
        map.resolve("https://h/c/root.json").as_deref(),
        Some("catalog/index.json")
    );
    assert_eq!(
        map.resolve("https://h/c/page0.json").as_deref(),
        Some("catalog/page0.json")
    );
}

#[test]
fn github_shares_one_url_without_a_slash() {
    let url = "https://nuget.pkg.github.com/owner";
    let index = index(&json!([
        {"@id": format!("{url}/download"), "@type": "PackageBaseAddress/3.0.0"},
        {"@id": format!("{url}/query"), "@type": "SearchQueryService"},
        {"@id": format!("{url}/query"), "@type": "SearchQueryService/3.0.0-beta"},
        {"@id": url, "@type": "PackagePublish/2.0.0"},
        {"@id": url, "@type": "RegistrationsBaseUrl"},
        {"@id": url, "@type": "RegistrationsBaseUrl/3.6.0"},
    ]));
    assert_eq!(index.bases("registration"), [format!("{url}/")]);
    assert_eq!(index.bases("registration-gz-semver2"), [format!("{url}/")]);
    let map = index.link_map();
    for (path, ours) in [
        ("/a/index.json", "registration-gz-semver2/a/index.json"),
        ("/download/a/1/a.1.nupkg", "flat/a/1/a.1.nupkg"),
        ("/query?q=x", "query?q=x"),
    ] {
        assert_eq!(map.resolve(&format!("{url}{path}")).as_deref(), Some(ours));
    }
}

#[test]
fn the_best_type_that_is_present_decides() {
    let index = index(&json!([
        {"@id": "https://h/old", "@type": "SearchQueryService"},
        {"@id": "https://h/one?x=1#y", "@type": ["SearchQueryService/3.0.0-beta", "SearchQueryService/3.4.0"]},
        {"@id": "https://h/two/", "@type": "SearchQueryService/3.4.0"},
        {"@id": "https://h/one", "@type": "SearchQueryService/3.4.0"},
        {"@id": "https://h:8080/f?x", "@type": "PackageBaseAddress/3.0.0"},
    ]));
    assert_eq!(index.bases("query"), ["https://h/one", "https://h/two/"]);
    assert_eq!(index.bases("flat"), ["https://h:8080/f/"]);
    assert_eq!(
        index.hosts().into_iter().collect::<Vec<_>>(),
        ["h", "h:8080"]
    );
    assert_eq!(
        index.link_map().resolve("https://h/old?q").as_deref(),
        Some("query?q")
    );
}

#[test]
fn an_https_feed_has_no_http_resources_but_web_pages() {
    let document = r#"{"version":"3.0.0","resources":[
        {"@id":"http://h/flat/","@type":"PackageBaseAddress/3.0.0"},
        {"@id":"https://h/reg/","@type":"RegistrationsBaseUrl"},
        {"@id":"http://www/{id}/{version}","@type":"PackageDetailsUriTemplate/5.1.0"}]}"#;
    for (feed, flat) in [("https://h/i.json", 0), ("http://h/i.json", 1)] {
        let feed = Url::parse(feed).unwrap();
        let index = ServiceIndex::parse(document.as_bytes(), &feed).unwrap();
        assert_eq!(index.bases("flat").len(), flat, "{feed}");
        assert_eq!(index.bases("registration").len(), 1, "{feed}");
        assert_eq!(index.unroutable().len(), 1 - flat, "{feed}");
    }
}
