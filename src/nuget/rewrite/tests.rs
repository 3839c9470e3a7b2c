//! Rewriting by example.

use serde_json::json;

use super::*;
use crate::nuget::resource::{View, of_slug};

mod model;

const OURS: &str = "https://cache.example/n/v3/";
const BASES: &[(&str, &str)] = &[
    (
        "https://api.nuget.org/v3/registration5-gz-semver2/",
        "registration-gz-semver2/",
    ),
    (
        "https://api.nuget.org/v3/registration5-gz-semver1/",
        "registration-gz/",
    ),
    (
        "https://api.nuget.org/v3/registration5-semver1/",
        "registration/",
    ),
    (
        "https://api.nuget.org/v3/registration5-gz-semver2/deep/",
        "deep/",
    ),
    ("https://api.nuget.org/v3-flatcontainer/", "flat/"),
    ("https://api.nuget.org/v3/catalog0/", "catalog/"),
    ("https://azuresearch-usnc.nuget.org/query", "query"),
];

fn map() -> LinkMap {
    let pair = |(base, ours): &(&str, &str)| ((*base).to_owned(), (*ours).to_owned());
    LinkMap::new(BASES.iter().map(pair).collect())
}

fn rule(slug: &str) -> &'static LinkRule {
    match of_slug(slug).map(|row| row.docs[0].view) {
        Some(View::Links(rule)) => rule,
        _ => panic!("{slug} has no links"),
    }
}

fn rewrite(slug: &str, document: &str) -> Rewritten {
    let place = Place { base: OURS, slug };
    links(document.as_bytes(), rule(slug), &map(), place).unwrap()
}

/// `REG` and `FLAT` stand for upstream bases, `OUT` for our base.
fn spell(text: &str) -> String {
    text.replace("REG/", BASES[0].0)
        .replace("FLAT/", BASES[4].0)
        .replace("OUT/", OURS)
}

fn check(slug: &str, document: &str, expected: &str, counts: (usize, usize)) {
    let done = rewrite(slug, &spell(document));
    assert_eq!(
        String::from_utf8_lossy(&done.bytes),
        spell(expected),
        "{document}"
    );
    assert_eq!((done.replaced, done.left), counts, "{document}");
}

fn check_left(slug: &str, document: &str, left: usize) {
    check(slug, document, document, (0, left));
}

#[test]
fn links_of_registrations_point_at_us() {
    let slug = "registration-gz-semver2";
    check(
        slug,
        r#"{"@id":"REG/a/index.json#page/1.0.0/2.0.0"}"#,
        r#"{"@id":"OUT/registration-gz-semver2/a/index.json#page/1.0.0/2.0.0"}"#,
        (1, 0),
    );
    check(
        slug,
        "{ \"count\" : 1.50 ,\r\n\t\"items\":[{\"parent\": \"REG/a/index.json\"}] }\n",
        "{ \"count\" : 1.50 ,\r\n\t\"items\":[{\"parent\": \"OUT/registration-gz-semver2/a/index.json\"}] }\n",
        (1, 0),
    );
    check(
        slug,
        r#"{"catalogEntry":{"@id":"REG/a#b","packageContent":"FLAT/a/1/a.1.nupkg","iconUrl":"FLAT/a/1/icon"},"packageContent":"FLAT/a/1/a.1.nupkg"}"#,
        r#"{"catalogEntry":{"@id":"OUT/registration-gz-semver2/a#b","packageContent":"OUT/flat/a/1/a.1.nupkg","iconUrl":"OUT/flat/a/1/icon"},"packageContent":"OUT/flat/a/1/a.1.nupkg"}"#,
        (4, 0),
    );
    check(
        slug,
        r#"{"catalogEntry":"https://api.nuget.org/v3/catalog0/data/x.json"}"#,
        r#"{"catalogEntry":"OUT/catalog/data/x.json"}"#,
        (1, 0),
    );
    check(
        slug,
        r#"{"@id":"REG/a","@id":"REG/b"}"#,
        r#"{"@id":"OUT/registration-gz-semver2/a","@id":"OUT/registration-gz-semver2/b"}"#,
        (2, 0),
    );
}

#[test]
fn prose_is_never_touched() {
    for member in [
        "projectUrl",
        "description",
        "comment",
        "licenseUrl",
        "title",
        "id",
        "summary",
    ] {
        check_left(
            "registration-gz-semver2",
            &format!(r#"{{"{member}":"REG/a/index.json"}}"#),
            0,
        );
        check_left(
            "query",
            &format!(r#"{{"data":[{{"{member}":"see REG/ or FLAT/"}}]}}"#),
            0,
        );
    }
    check_left(
        "registration-gz-semver2",
        r#"{"tags":["REG/a","@id"],"iconUrl":["REG/a"]}"#,
        0,
    );
    check_left(
        "registration-gz-semver2",
        r#"{"@id":"see REG/a","iconUrl":"../icon","parent":""}"#,
        0,
    );
}

#[test]
fn links_under_no_known_base_are_left_and_counted() {
    check_left(
        "registration-gz-semver2",
        r#"{"iconUrl":"https://i.example/a.png","@id":"http://x"}"#,
        2,
    );
    check_left(
        "query",
        r#"{"@id":"https://api.nuget.org/v3/registration5-gz-semver2x/a"}"#,
        1,
    );
    check_left(
        "query",
        r#"{"@id":"https://api.nuget.org/v3/registration5-gz-semver"}"#,
        1,
    );
}

#[test]
fn the_longest_base_wins() {
    check(
        "query",
        r#"{"@id":"REG/deep/a"}"#,
        r#"{"@id":"OUT/deep/a"}"#,
        (1, 0),
    );
    check(
        "query",
        r#"{"@id":"REG/deeper/a"}"#,
        r#"{"@id":"OUT/registration-gz-semver2/deeper/a"}"#,
        (1, 0),
    );
}

#[test]
fn context_is_left_but_for_the_base_of_search() {
    let context = r#"{"@context":{"@vocab":"http://schema.nuget.org/schema#","@base":"REG/","items":{"@id":"catalog:item","parent":"REG/"}},"@id":"x"}"#;
    check_left("registration-gz-semver2", context, 0);
    check(
        "query",
        context,
        &context.replace("@base\":\"REG/", "@base\":\"OUT/registration-gz-semver2/"),
        (1, 0),
    );
}

#[test]
fn escaped_spellings_are_links_too() {
    check(
        "query",
        r#"{"\u0040id":"https:\/\/api.nuget.org\u002fv3-flatcontainer\/a","title":"\u00e4\/"}"#,
        r#"{"\u0040id":"OUT/flat/a","title":"\u00e4\/"}"#,
        (1, 0),
    );
    check(
        "query",
        r#"{"@id":"FLAT/\"\\\u0001ä"}"#,
        r#"{"@id":"OUT/flat/\"\\\u0001ä"}"#,
        (1, 0),
    );
}

#[test]
fn foreign_package_content_is_built_from_its_leaf() {
    let built = r#""OUT/flat/a.b/1.0.0/a.b.1.0.0.nupkg""#;
    let foreign = r#""https://cdn.example/x""#;
    for leaf in [
        r#"{"packageContent":@,"catalogEntry":{"id":"A.B","version":"1.0"}}"#,
        r#"{"catalogEntry":{"packageContent":@,"version":"1.0.0+x","id":"A.B"},"packageContent":@}"#,
    ] {
        let count = leaf.matches('@').count();
        check(
            "registration-gz-semver2",
            &leaf.replace('@', foreign),
            &leaf.replace('@', built),
            (count, 0),
        );
    }
    check_left(
        "registration-gz-semver2",
        r#"{"packageContent":"https://cdn.example/x","catalogEntry":"c"}"#,
        1,
    );
    check_left(
        "query",
        r#"{"id":"a","version":"1","@id":"https://cdn.example/x"}"#,
        1,
    );
}

#[test]
fn every_page_link_becomes_a_token() {
    let urls = [
        "https://api.nuget.org/v3-vulnerabilities/1/base.json",
        "https://api.nuget.org/v3/catalog0/x",
    ];
    let index = |urls: [&str; 2]| {
        format!(
            r#"[{{"@name":"base","@id":"{}"}},{{"@id":"{}"}},{{"@id":"x"}}]"#,
            urls[0], urls[1]
        )
    };
    let tokens = urls.map(page_token);
    let ours = tokens
        .clone()
        .map(|token| format!("{OURS}vulnerabilities/page/{token}"));
    let done = rewrite("vulnerabilities", &index(urls));
    assert_eq!(done.bytes, index([&ours[0], &ours[1]]).into_bytes());
    assert_eq!((done.replaced, done.left), (2, 0));
    let pages: Vec<_> = tokens.into_iter().zip(urls.map(str::to_owned)).collect();
    assert_eq!(done.pages, pages);
    assert!(pages.iter().all(|(token, _)| token.len() == 32));
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (document, place) in [
        (&b"<html>"[..], "line 1 column 1"),
        (b"", "line 1 column 0"),
        (b"{\"@id\":\n\"a\"", "line 2 column 3"),
        (b"{} {}", "line 1 column 4"),
        (b"{\"a\":\"\xff\"}", "index 6"),
        (b"{\"a\":\"\n\"}", "line"),
    ] {
        let refused = links(
            document,
            rule("query"),
            &map(),
            Place {
                base: OURS,
                slug: "query",
            },
        );
        let Err(RewriteError::NotJson { position }) = refused else {
            panic!("{refused:?}");
        };
        assert!(position.contains(place), "{position}");
    }
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    assert_eq!(
        links(
            deep.as_bytes(),
            rule("query"),
            &map(),
            Place {
                base: OURS,
                slug: "query"
            }
        ),
        Err(RewriteError::TooDeep)
    );
}

#[test]
fn a_byte_order_mark_is_dropped() {
    check("query", "\u{feff}{}", "{}", (0, 0));
}
