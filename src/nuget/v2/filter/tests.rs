//! Tests of filters.

use proptest::prelude::*;

use super::*;
use crate::nuget::v2::rows::tests::rows;

/// The versions of `A.Id` that a filter lets through.
#[track_caller]
fn check(filter: &str, expected: &[&str]) {
    let rows = rows(&["1.0", "!1.1.0", "1.10.0", "2.0.0-rc"], true);
    let parsed = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let found: Vec<&str> = rows
        .iter()
        .filter(|row| parsed.holds(row))
        .map(|row| &*row.release().version)
        .collect();
    assert_eq!(found, expected, "{filter}");
}

const ALL: &[&str] = &["1.0", "1.1.0", "1.10.0", "2.0.0-rc"];

#[test]
fn what_clients_send() {
    check("IsLatestVersion", &["1.10.0"]);
    check("IsLatestVersion eq true", &["1.10.0"]);
    check("IsAbsoluteLatestVersion", &["2.0.0-rc"]);
    check(
        "IsAbsoluteLatestVersion or IsLatestVersion",
        &["1.10.0", "2.0.0-rc"],
    );
    check("tolower(Id) eq 'a.id'", ALL);
    check("(tolower(Id) eq 'a.id') and IsLatestVersion", &["1.10.0"]);
    check("Id eq 'a.ID' and Version eq '1.0.0'", &["1.0"]);
    check("Id eq 'other'", &[]);
    check(
        "IsPrerelease eq false and NormalizedVersion ge '1.1'",
        &["1.1.0", "1.10.0"],
    );
    check(
        "NormalizedVersion gt '1.9.0' and NormalizedVersion lt '2.0.0'",
        &["1.10.0", "2.0.0-rc"],
    );
    check("not IsPrerelease", &["1.0", "1.1.0", "1.10.0"]);
    check(
        "Published gt datetime'1901-01-01T00:00:00'",
        &["1.0", "1.10.0", "2.0.0-rc"],
    );
    check(
        "((((Id ne null) and substringof('json',tolower(Id))) or ((Description ne null) and \
         substringof('json',tolower(Description)))) or ((Tags ne null) and \
         substringof(' json ',tolower(Tags)))) and IsLatestVersion",
        &["1.10.0"],
    );
    check("substringof(' jso ',Tags)", &[]);
    check(
        "startswith(Description, 'it''s') and endswith(Id,'ID')",
        ALL,
    );
    check("trim(toupper(Id)) eq 'A.ID'", ALL);
    check("Summary eq null", ALL);
    check("substringof('x',Summary)", &[]);
    check("not (Language ne null) and true", ALL);
    check("RequireLicenseAcceptance ne true", ALL);
    check("1 lt 2 and -3L le 1", ALL);
    check("false", &[]);
}

#[test]
fn what_cannot_be_answered_is_named() {
    for (filter, named) in [
        ("DownloadCount gt 7", "DownloadCount"),
        ("PackageSize lt 7", "PackageSize"),
        ("year(Published) eq 2019", "year"),
        ("length(Id) gt 2", "length"),
        ("Id add 'x' eq 'y'", "add"),
    ] {
        match Filter::parse(filter) {
            Err(RequestError::Unsupported(text)) => assert!(text.contains(named), "{text}"),
            other => panic!("{filter}: {other:?}"),
        }
    }
    for (filter, named) in [
        ("", "ends"),
        ("Id", "Edm.String"),
        ("Id eq", "ends"),
        ("Id eq 'x", "quote"),
        ("Id eq 'x')", "\")\""),
        ("(Id eq 'x'", "ends"),
        ("Id eq 7", "Edm.Int64"),
        ("Nothing eq 'x'", "Nothing"),
        ("id eq 'x'", "\"id\""),
        ("Id eq 'x' and Version", "Edm.String"),
        ("not Id", "Edm.String"),
        ("tolower(IsPrerelease) eq 'x'", "Edm.Boolean"),
        ("tolower(Id,Id) eq 'x'", "1 arguments"),
        ("substringof('x')", "2 arguments"),
        ("IsLatestVersion IsPrerelease", "IsPrerelease"),
        ("Id eq \u{1f980}", "'\u{1f980}'"),
        ("Published gt datetime'now'", "now"),
        ("99999999999999999999 eq 1", "99999999999999999999"),
        ("null", "null"),
        ("-", "\"-\""),
    ] {
        match Filter::parse(filter) {
            Err(RequestError::Bad(text) | RequestError::Unsupported(text)) => {
                assert!(text.contains(named), "{filter}: {text}");
            }
            other => panic!("{filter}: {other:?}"),
        }
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let deep = |levels| format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Filter::parse(&deep(30)).is_ok());
    assert!(Filter::parse(&deep(3000)).is_err());
    assert!(Filter::parse(&"not ".repeat(1500)).is_err());
    let long = vec!["true"; 900].join(" or ");
    check(&long, ALL);
    let longer = vec!["true"; 2000].join(" or ");
    assert!(Filter::parse(&longer).is_err());
}

#[test]
fn cost_grows_with_the_parts() {
    let cost = |filter: &str| Filter::parse(filter).unwrap().cost();
    assert_eq!(cost("IsLatestVersion"), 1);
    assert_eq!(cost("Id eq 'a' and not IsPrerelease"), 1 + 3 + 2);
    assert!(cost("substringof('a',Id)") > 5 * cost("Id eq 'a'"));
}

#[test]
fn ids_are_found_where_no_other_passes() {
    let ids = |filter: &str| {
        let ids = Filter::parse(filter).unwrap().ids();
        ids.map(|ids| ids.map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>()))
    };
    let some = |ids: &[&str]| Ok(Some(ids.iter().map(ToString::to_string).collect()));
    assert_eq!(ids("Id eq 'A'"), some(&["a"]));
    assert_eq!(ids("'A' eq tolower(Id) and IsLatestVersion"), some(&["a"]));
    assert_eq!(
        ids("(Id eq 'A' or Id eq 'b') or Id eq 'a'"),
        some(&["a", "b"])
    );
    assert_eq!(ids("Id eq '../x'"), some(&[]));
    assert_eq!(ids("Id eq 'A' or IsLatestVersion"), Ok(None));
    assert_eq!(ids("not (Id eq 'A')"), Ok(None));
    assert_eq!(ids("Id ne 'A'"), Ok(None));
    assert_eq!(ids("substringof('a',Id)"), Ok(None));
    let many: Vec<_> = (0..=IDS_MAX).map(|n| format!("Id eq 'a{n}'")).collect();
    assert!(ids(&many.join(" or ")).is_err());
}

#[test]
fn one_version_of_each_is_known_to_be_one() {
    let is = |filter: &str| Filter::parse(filter).unwrap().is_of_latest();
    assert!(is("IsLatestVersion") && is("Id eq 'x' and (IsAbsoluteLatestVersion eq true)"));
    assert!(!is("IsLatestVersion or IsAbsoluteLatestVersion") && !is("not IsLatestVersion"));
    assert!(!is("IsLatestVersion eq false") && !is("Id eq 'x'"));
}

proptest! {
    #[test]
    fn nothing_panics(text in "[ ()',a-z0-9=]{0,40}|\\PC{0,20}|(Id|not|eq|and|'x'|\\(|\\)| ){0,30}") {
        if let Ok(filter) = Filter::parse(&text) {
            for row in rows(&["1.0", "2.0-a"], true) {
                filter.holds(&row);
            }
        }
    }
}
