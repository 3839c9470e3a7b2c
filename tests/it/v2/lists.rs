//! Lists that are long, and searches that go page by page.

use nugate::demo::{ExampleFeed, Package};

use super::{all, entries, get, many, next, of, world, xml};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_paged() {
    let world = many().await;
    let expected: Vec<_> = (0..300)
        .map(|minor| format!("Example.Many 1.{minor}.0"))
        .collect();
    for first in [
        "/FindPackagesById()?id='Example.Many'",
        "/Search()?searchTerm='many'&$orderby=Id",
        "/Packages()?$filter=tolower(Id)%20eq%20'example.many'&$orderby=Version",
    ] {
        let mut path = Some(first.to_owned());
        let mut found = Vec::new();
        let mut pages = 0;
        while let Some(this) = path {
            let page = xml(&world, &this).await;
            found.extend(entries(&page));
            path = next(&world, &page);
            pages += 1;
        }
        assert_eq!((pages, &found), (3, &expected), "{first}");
    }
    let window = "/FindPackagesById()?id='Example.Many'&$skip=290&$top=5&$inlinecount=allpages&$orderby=Version desc";
    let page = xml(&world, &window.replace(' ', "%20")).await;
    assert_eq!(
        entries(&page),
        ["9", "8", "7", "6", "5"].map(|minor| format!("Example.Many 1.{minor}.0"))
    );
    assert!(page.contains("<m:count>300</m:count>") && next(&world, &page).is_none());
    let top = xml(&world, "/FindPackagesById()?id='Example.Many'&$top=150").await;
    let rest = xml(&world, &next(&world, &top).unwrap()).await;
    assert_eq!((entries(&top).len(), entries(&rest).len()), (100, 50));
    assert!(next(&world, &rest).is_none());
    let latest = xml(
        &world,
        "/Packages()?$filter=Id%20eq%20'example.many'%20and%20IsLatestVersion",
    )
    .await;
    assert_eq!(entries(&latest), ["Example.Many 1.299.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_of_the_latest_go_page_by_page() {
    let packages = (0..130).map(|n| Package::new(format!("Example.P{n:03}"), "1.0.0"));
    let world = of(ExampleFeed::new(packages).unwrap()).await;
    let query =
        "/Search()?$filter=IsLatestVersion&searchTerm=''&includePrerelease=false&$orderby=Id";
    let mut found = Vec::new();
    for skip in (0..150).step_by(30) {
        let page = xml(&world, &format!("{query}&$skip={skip}&$top=30")).await;
        found.extend(entries(&page));
    }
    let expected: Vec<_> = (0..130).map(|n| format!("Example.P{n:03} 1.0.0")).collect();
    assert_eq!(found, expected);
    let page = xml(
        &world,
        &format!("{query}%20desc&$inlinecount=allpages&$top=2"),
    )
    .await;
    assert_eq!(entries(&page), ["Example.P129 1.0.0", "Example.P128 1.0.0"]);
    assert!(page.contains("<m:count>130</m:count>"));
    let unordered = query.replace("&$orderby=Id", "");
    let page = xml(&world, &unordered).await;
    assert_eq!(entries(&page).len(), 100);
    let rest = xml(&world, &next(&world, &page).unwrap()).await;
    assert_eq!(entries(&rest).len(), 30);
    assert!(next(&world, &rest).is_none());
    let count = query.replace("Search()", "Search()/$count");
    assert_eq!(get(&world, &count).await.text(), "130");
    let term = xml(&world, "/Search()?$filter=IsLatestVersion&searchTerm='P12'").await;
    assert_eq!(entries(&term).len(), 10);
    assert_eq!(all(&term, "DownloadCount")[0], "7", "what the search says");
}

/// The upstream's search gives at most two packages at a time, of those from `skip` on.
fn give_two(world: &World, skip: usize, take: usize, total: usize) {
    let ids = [
        "Example.App",
        "Example.Core",
        "Example.Http",
        "Example.Json",
        "Example.Legacy",
    ];
    let data: Vec<_> = ids
        .iter()
        .skip(skip)
        .take(2)
        .map(|id| serde_json::json!({ "id": id, "version": "1.0.0", "versions": [] }))
        .collect();
    let body = serde_json::json!({ "totalHits": total, "data": data }).to_string();
    let query = format!("prerelease=false&q=&skip={skip}&take={take}");
    let path = format!("/search-usnc/query?{query}");
    world.up.on(&path).reply(200, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_may_give_fewer_than_asked_and_not_say_how_many_there_are() {
    for total in [5, 0] {
        let world = world().await;
        for (skip, take) in [(0, 4), (2, 2), (4, 4), (5, 3)] {
            give_two(&world, skip, take, total);
        }
        let query = "/Search()?$filter=IsLatestVersion&searchTerm=''";
        let first = xml(&world, &format!("{query}&$top=4")).await;
        let rest = xml(&world, &format!("{query}&$skip=4&$top=4")).await;
        let found = [entries(&first), entries(&rest)].concat();
        let expected = [
            "Example.App 1.0.0",
            "Example.Core 1.1.0",
            "Example.Http 1.0.0",
            "Example.Json 1.2.0",
            "Example.Legacy 0.2.0",
        ];
        assert_eq!(found, expected, "of {total}");
        let log = world.up.log();
        let went_on = log
            .iter()
            .any(|seen| seen.path_and_query.ends_with("&skip=2&take=2"));
        assert!(went_on, "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_can_be_gathered_is_refused() {
    let world = world().await;
    let body = serde_json::json!({ "totalHits": 501, "data": [{ "id": "Example.App" }] });
    let script = world.up.on("/search-usnc/query");
    drop(script.reply(200, body.to_string()));
    let response = get(&world, "/Search()?searchTerm='x'").await;
    assert_eq!(response.status, 501);
    assert!(
        response.text().contains("more than 500 packages"),
        "{response:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn long_filters_over_many_versions_are_bounded() {
    let many = (0..3000).map(|patch| Package::new("Example.Many", format!("1.0.{patch}")));
    let world = of(ExampleFeed::new(many).unwrap()).await;
    let of_parts = |count| {
        let parts = vec!["endswith(tolower(Version),'99')"; count].join("or ");
        format!("/FindPackagesById()?id='Example.Many'&$filter={parts}").replace(' ', "+")
    };
    let found = entries(&xml(&world, &of_parts(3)).await);
    let expected = (0..3000).filter(|patch| patch % 100 == 99);
    let expected: Vec<_> = expected
        .map(|patch| format!("Example.Many 1.0.{patch}"))
        .collect();
    assert_eq!(found, expected);
    let refused = get(&world, &of_parts(190)).await;
    assert_eq!(refused.status, 501, "{refused:?}");
    assert!(refused.text().contains("3000 versions"), "{refused:?}");
}
