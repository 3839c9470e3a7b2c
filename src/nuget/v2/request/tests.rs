//! Tests of requests.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// What a path and query mean, in short.
fn shown(path: &str, query: &str) -> String {
    match parse(path, (!query.is_empty()).then_some(query)) {
        Ok(V2Request::Service) => "service".to_owned(),
        Ok(V2Request::Metadata) => "metadata".to_owned(),
        Ok(V2Request::Entry(id, version, select)) => {
            let select = select.map_or(String::new(), |some| format!(" {}", some.len()));
            format!("entry {id} {version}{select}")
        }
        Ok(V2Request::Package(id, version)) => {
            format!(
                "package {id} {}",
                version.map_or("latest".to_owned(), |it| it.to_string())
            )
        }
        Ok(V2Request::Count(list)) => format!("count {}", source(&list)),
        Ok(V2Request::List(list)) => format!("list {}", source(&list)),
        Err(RequestError::NotFound) => "none".to_owned(),
        Err(RequestError::Bad(text)) => format!("bad: {text}"),
        Err(RequestError::Unsupported(text)) => format!("unsupported: {text}"),
    }
}

fn source(list: &List) -> String {
    let mut text = match &list.source {
        Source::Ids(ids) => {
            let ids: Vec<_> = ids.iter().map(PackageId::as_str).collect();
            format!("ids {}", ids.join("+"))
        }
        Source::Search { term, prerelease } => {
            let kind = if *prerelease { "all" } else { "stable" };
            format!("search {term:?} {kind}")
        }
        Source::Updates(installed, updates) => {
            let each = installed.iter().map(|it| {
                format!(
                    "{}@{}{}",
                    it.id,
                    it.version,
                    if it.allowed.is_some() { "!" } else { "" }
                )
            });
            let each: Vec<_> = each.collect();
            format!(
                "updates {} {} {}",
                each.join("+"),
                updates.prerelease,
                updates.all
            )
        }
    };
    if list.skip > 0 || list.top.is_some() {
        let _ = write!(text, " {}..{:?}", list.skip, list.top);
    }
    for order in &list.orders {
        let sign = if order.descending { '-' } else { '+' };
        let _ = write!(text, " {sign}{}", order.property.name);
    }
    if list.semver2 {
        text += " semver2";
    }
    text
}

#[track_caller]
fn check(path: &str, query: &str, expected: &str) {
    assert_eq!(shown(path, query), expected, "{path}?{query}");
}

#[test]
fn documents_and_packages() {
    check("", "", "service");
    check("/", "", "service");
    check("/$metadata", "", "metadata");
    check("/package/A.B/1.0", "", "package a.b 1.0.0");
    check("/Package/A.B/1.0.0%2Bx", "", "package a.b 1.0.0");
    check("/package/A.B", "", "package a.b latest");
    check("/package/A.B/", "", "package a.b latest");
    check("/package/../x", "", "none");
    check("/package/a/b/c", "", "none");
    check("/package/a%2f1.0", "", "package a 1.0.0");
    check("/package/%2e%2e/1.0", "", "none");
    check("/package/", "", "none");
    check("/Nothing()", "", "none");
    check("/%ff", "", "bad: the path is not UTF-8");
}

#[test]
fn one_version() {
    check("/Packages(Id='A.B',Version='1.0')", "", "entry a.b 1.0.0");
    check(
        "/Packages(Version='1.0-RC', Id='A.B')",
        "",
        "entry a.b 1.0.0-rc",
    );
    check(
        "/Packages(Id=%27A%27,Version=%271%27)",
        "$select=Id,Version",
        "entry a 1.0.0 2",
    );
    check(
        "/Packages(Id='A',Version='1')/$value",
        "",
        "package a 1.0.0",
    );
    check("/Packages(Id='A',Version='x')", "", "none");
    check("/Packages(Id='a''b',Version='1')", "", "none");
    check("/Packages(Id='A',Version='1')/Other", "", "none");
    check(
        "/Packages(Id='A')",
        "",
        "bad: Packages() takes Id='…',Version='…', or nothing",
    );
    let wrong = "bad: the parentheses of the path are not NAME='VALUE',…";
    for path in [
        "/Packages(",
        "/Packages('A'",
        "/Packages(Id='A',Version='1",
        "/Packages(Id='A'x)",
    ] {
        check(path, "", wrong);
    }
}

#[test]
fn versions_of_an_id() {
    for (path, query) in [
        ("/FindPackagesById()", "id='A.B'"),
        ("/FindPackagesById", "id=%27A.B%27"),
        ("/findpackagesbyid()", "Id=A.B"),
        ("/FindPackagesById(id='A.B')", ""),
        ("/Packages()", "$filter=tolower(Id)+eq+'a.b'"),
        (
            "/Packages",
            "$filter=(Id%20eq%20'A.B')%20and%20IsLatestVersion",
        ),
    ] {
        check(path, query, "list ids a.b");
    }
    check(
        "/FindPackagesById()",
        "id='A'&semVerLevel=2.0.0",
        "list ids a semver2",
    );
    check("/FindPackagesById()/$count", "id='A'", "count ids a");
    check("/FindPackagesById()", "id='it''s'", "list ids ");
    check("/FindPackagesById()", "", "bad: id is missing");
    check(
        "/FindPackagesById()",
        "id='a",
        "bad: id is not 'TEXT' with quotes doubled within",
    );
    check(
        "/FindPackagesById()",
        "id='a'&ID='b'",
        "bad: ID is given twice",
    );
    check(
        "/GetUpdates(packageIds='a',versions='1.0')",
        "packageids='b'",
        "bad: packageIds is given twice",
    );
    check(
        "/Packages()",
        "$filter=Id eq 'a' or Id eq 'b'&$orderby=Version desc,Id&$skip=3&$top=7",
        "list ids a+b 3..Some(7) -Version +Id",
    );
}

#[test]
fn searches() {
    check(
        "/Search()",
        "$filter=IsLatestVersion&$orderby=Id&searchTerm='json'&targetFramework='net45|x'&includePrerelease=false&$skip=0&$top=30&semVerLevel=2.0.0",
        "list search \"json\" stable 0..Some(30) +Id semver2",
    );
    check("/Search", "", "list search \"\" stable");
    check(
        "/Search()",
        "searchTerm='a''b c'&includePrerelease=True",
        "list search \"a'b c\" all",
    );
    check(
        "/Search()/$count",
        "searchTerm=''",
        "count search \"\" stable",
    );
    check("/Packages", "", "list search \"\" all");
    check(
        "/Packages()",
        "$filter=IsLatestVersion",
        "list search \"\" stable",
    );
    check(
        "/Search()",
        "includePrerelease=1",
        "bad: includePrerelease is neither true nor false",
    );
    check(
        "/Search()",
        "$orderby=DownloadCount desc,Id",
        "list search \"\" stable -DownloadCount +Id",
    );
}

#[test]
fn updates_of_what_is_installed() {
    check(
        "/GetUpdates()",
        "packageIds='A|b'&versions='1.0|2.0-rc'&includePrerelease=true&includeAllVersions=false&targetFrameworks=''&versionConstraints='|[2.0,3.0)'",
        "list updates a@1.0.0+b@2.0.0-rc! true false",
    );
    check(
        "/GetUpdates()",
        "packageIds=''&versions=''",
        "list updates  false false",
    );
    check(
        "/GetUpdates()",
        "packageIds='a'&versions=''",
        "bad: packageIds and versions are not equally many",
    );
    check(
        "/GetUpdates()",
        "packageIds='a'&versions='x'",
        "bad: versions: \"x\" is no version",
    );
    check(
        "/GetUpdates()",
        "packageIds='a'&versions='1'&versionConstraints='x'",
        "bad: versionConstraints: \"x\" is no range of versions",
    );
}

#[test]
fn what_would_change_the_list_is_understood_or_refused() {
    for query in ["$expand=x", "$skiptoken='a'", "$format=json", "$unknown=1"] {
        let said = shown("/Packages()", query);
        assert!(
            said.starts_with("unsupported: ") && said.contains(query),
            "{said}"
        );
    }
    for (query, expected) in [
        (
            "$top=-1",
            "bad: $top is no whole number from 0 to 4294967295",
        ),
        (
            "$skip=x",
            "bad: $skip is no whole number from 0 to 4294967295",
        ),
        (
            "$orderby=Nope",
            "bad: $orderby: a package has no property \"Nope\"",
        ),
        (
            "$orderby=Id up",
            "bad: $orderby: \"Id up\" is neither asc nor desc",
        ),
        (
            "$orderby=PackageSize",
            "unsupported: $orderby: packages cannot be ordered by PackageSize here",
        ),
        (
            "$select=Id,Nope",
            "bad: $select: a package has no property \"Nope\"",
        ),
        (
            "$inlinecount=some",
            "bad: $inlinecount is neither allpages nor none",
        ),
        (
            "$filter=Nope eq 1",
            "bad: $filter: a package has no property \"Nope\"",
        ),
    ] {
        check("/Packages()", query, expected);
    }
    let many = "a=1&".repeat(50);
    assert!(shown("/Packages()", &many).contains("more than 32"));
}

#[test]
fn the_next_page_asks_for_the_rest() {
    let list = |path: &str, query: &str| match parse(path, Some(query)) {
        Ok(V2Request::List(list)) => list,
        other => panic!("{other:?}"),
    };
    let first = list("/FindPackagesById()", "id='a'&$top=250&semVerLevel=2.0.0");
    let next = first.next(100);
    assert_eq!(
        next,
        "FindPackagesById?id=%27a%27&semVerLevel=2.0.0&%24skip=100&%24top=150"
    );
    let (path, query) = next.split_once('?').unwrap();
    let second = list(&format!("/{path}"), query);
    assert_eq!(
        (second.skip, second.top, second.semver2),
        (100, Some(150), true)
    );
    let inside = list("/Search(searchTerm='it''s')", "").next(5);
    assert_eq!(inside, "Search?searchTerm=%27it%27%27s%27&%24skip=5");
}

proptest! {
    #[test]
    fn nothing_panics(path in "/[ (),='A-Za-z%$/.]{0,40}|\\PC{0,20}", query in "[$&=a-zA-Z'|% ]{0,40}|\\PC{0,20}") {
        drop(parse(&path, Some(&query)));
    }
}
