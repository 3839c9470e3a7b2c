//! Where each path and query leads.

use super::*;

const INDEX: &str = r#"{"version":"3.0.0","resources":[
    {"@id":"https://h/flat","@type":"PackageBaseAddress/3.0.0"},
    {"@id":"https://h/reg5/","@type":"RegistrationsBaseUrl/3.6.0"},
    {"@id":"https://one/q?old=1","@type":"SearchQueryService"},
    {"@id":"https://two/q","@type":"SearchQueryService"},
    {"@id":"https://h/catalog0/index.json","@type":"Catalog/3.0.0"},
    {"@id":"https://h/sig/5/index.json","@type":"RepositorySignatures/5.0.0"}
]}"#;

/// The key and the upstream URLs that a path and query lead to.
#[track_caller]
fn check(path: &str, query: Option<&str>, key: &str, urls: &[&str]) {
    let feed = Url::parse("https://h/v3/index.json").unwrap();
    let index = ServiceIndex::parse(INDEX.as_bytes(), &feed).unwrap();
    let target = parse(path, query).unwrap();
    assert_eq!(target.key("f").as_str(), key, "{path}");
    let key = target.key("f");
    let (of_feed, read) = read_key(&key).unwrap();
    assert_eq!((of_feed, read.rule.name), ("f", target.rule.name), "{path}");
    assert_eq!((&read.id, &read.version), (&target.id, &target.version));
    let found = target.upstream_urls(&feed, &index);
    let found: Vec<_> = found.iter().map(Url::as_str).collect();
    assert_eq!(found, urls, "{path}");
}

#[test]
fn paths_lead_to_keys_and_urls() {
    check(
        "index.json",
        None,
        "f/index.json",
        &["https://h/v3/index.json"],
    );
    check(
        "flat/A.B/index.json",
        Some("semVerLevel=2.0.0"),
        "f/flat/a.b/index.json",
        &["https://h/flat/a.b/index.json"],
    );
    check(
        "flat/%C3%89a/1.0/%c3%a9a.1.0.0+x.nupkg",
        None,
        "f/flat/éa/1.0.0/éa.1.0.0.nupkg",
        &["https://h/flat/%C3%A9a/1.0.0/%C3%A9a.1.0.0.nupkg"],
    );
    check(
        "registration-gz-semver2/A/page/1.0.0/2.0.0-Beta.json",
        None,
        "f/registration-gz-semver2/a/page/1.0.0/2.0.0-Beta.json",
        &["https://h/reg5/a/page/1.0.0/2.0.0-Beta.json"],
    );
    check(
        "catalog/index.json",
        None,
        "f/catalog/index.json",
        &["https://h/catalog0/index.json"],
    );
    check(
        "catalog/page0.json",
        None,
        "f/catalog/page0.json",
        &["https://h/catalog0/page0.json"],
    );
    check(
        "repository-signatures/5.0.0/index.json",
        None,
        "f/repository-signatures/5.0.0/index.json",
        &["https://h/sig/5/index.json"],
    );
    check(
        "repository-signatures/4.7.0/index.json",
        None,
        "f/repository-signatures/4.7.0/index.json",
        &[],
    );
    check("autocomplete", Some("q=a"), "f/autocomplete?q=a", &[]);
}

#[test]
fn a_client_never_chooses_the_host() {
    let feed = Url::parse("https://h/v3/index.json").unwrap();
    let index = r#"{"version":"3.0.0","resources":[{"@id":"https://c","@type":"Catalog/3.0.0"}]}"#;
    let index = ServiceIndex::parse(index.as_bytes(), &feed).unwrap();
    for path in [
        "catalog/evil.example/latest.json",
        "catalog/data/evil/x.json",
    ] {
        for url in parse(path, None).unwrap().upstream_urls(&feed, &index) {
            assert_eq!(url.host_str(), Some("c"), "{path}: {url}");
        }
    }
}

#[test]
fn a_search_has_one_spelling_and_all_hosts() {
    for query in ["take=2&q=a+b&x=2&x=1", "x=2&q=a%20b&x=1&take=2"] {
        check(
            "query",
            Some(query),
            "f/query?q=a+b&take=2&x=2&x=1",
            &[
                "https://one/q?q=a+b&take=2&x=2&x=1",
                "https://two/q?q=a+b&take=2&x=2&x=1",
            ],
        );
    }
    check(
        "query",
        None,
        "f/query?",
        &["https://one/q", "https://two/q"],
    );
}

#[test]
fn what_is_no_path_or_means_nothing_is_refused() {
    for (path, expected) in [
        ("", RouteError::BadPath),
        ("flat//index.json", RouteError::BadPath),
        ("flat/../index.json", RouteError::BadPath),
        ("flat/%2e%2e/index.json", RouteError::BadPath),
        ("flat/a%2fb/index.json", RouteError::BadPath),
        ("flat/a%5Cb/index.json", RouteError::BadPath),
        ("flat/a%00/index.json", RouteError::BadPath),
        ("flat/%zz/index.json", RouteError::BadPath),
        ("flat/%ff/index.json", RouteError::BadPath),
        ("flat/a%25/index.json", RouteError::NotFound),
        ("flat/a b/index.json", RouteError::NotFound),
        ("nothing/a/index.json", RouteError::NotFound),
        ("flat/a/other.json", RouteError::NotFound),
        ("query/more", RouteError::NotFound),
    ] {
        assert_eq!(parse(path, None).err(), Some(expected), "{path}");
    }
    let long = format!("q={}", "a".repeat(QUERY_MAX));
    assert_eq!(
        parse("query", Some(&long)).err(),
        Some(RouteError::BadQuery)
    );
    let many = "a=1&".repeat(PARAMETERS_MAX + 1);
    assert_eq!(
        parse("query", Some(&many)).err(),
        Some(RouteError::BadQuery)
    );
}
