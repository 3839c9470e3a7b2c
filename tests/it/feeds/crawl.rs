//! Every link that a group shows leads through it, and answers.

use std::collections::{BTreeSet, VecDeque};

use nugate::demo::{ExampleFeed, Package};
use serde_json::Value;

use super::documents;
use crate::support::GroupWorld;
use crate::support::group::FeedOf;

/// The demonstration's packages, and one with pages outside of its index.
fn large(name: &'static str, from: usize) -> FeedOf {
    let mut packages = ExampleFeed::demo();
    for minor in from..from + 132 {
        let package = Package::new("Example.Many", format!("1.{minor}.0"));
        packages.add(package).unwrap();
    }
    FeedOf {
        name,
        packages,
        owns: &["Example.Http"],
    }
}

/// All texts of a document that are URLs of ours, but bases and endpoints.
fn links(value: &Value, root: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let ours = text.strip_prefix(root).filter(|path| !path.ends_with('/'));
            found.extend(ours.map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| links(item, root, found)),
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| *name != "@context");
            members.for_each(|(_, member)| links(member, root, found));
        }
        _ => {}
    }
}

/// Versions of the large package beside its last; they are all alike.
fn is_one_of_many(path: &str) -> bool {
    let version = path.contains("example.many") && path.contains("1.");
    version && !path.contains("/page/") && !path.contains("1.131.0")
}

async fn crawl(world: &GroupWorld) -> BTreeSet<String> {
    let root = format!("http://{}", world.addr);
    let mut queue: VecDeque<String> = VecDeque::new();
    for id in ["example.core", "example.many", "example.http"] {
        let paths = documents(id)
            .into_iter()
            .filter(|path| path.ends_with("index.json"));
        queue.extend(paths.map(|path| format!("/v3/{path}")));
    }
    queue.push_back("/v3/query?q=example&prerelease=true&semVerLevel=2.0.0".to_owned());
    queue.push_back("/v3/vulnerabilities/index.json".to_owned());
    let mut seen = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        let path = path.split('#').next().unwrap().to_owned();
        if path.contains('{') || is_one_of_many(&path) || !seen.insert(path.clone()) {
            continue;
        }
        let answer = world.get_at(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        // The catalog is one feed's own, and leads to all of it.
        if answer.header("content-type") == "application/json" && !path.contains("/catalog/") {
            let mut found = Vec::new();
            links(&answer.json(), &root, &mut found);
            queue.extend(found);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_group_answer() {
    for world in [
        GroupWorld::first(vec![large("one", 0), large("two", 100)]).await,
        GroupWorld::united(vec![large("one", 0), large("two", 100)]).await,
    ] {
        let seen = crawl(&world).await;
        for part in [
            "/feeds/one/v3/flat/example.many/1.131.0/",
            "/feeds/one/v3/catalog/data/",
            "/feeds/two/v3/vulnerabilities/page/",
            "/v3/registration-gz-semver2/example.json/index.json",
        ] {
            assert!(
                seen.iter().any(|path| path.contains(part)),
                "{part}: {seen:#?}"
            );
        }
        let foreign = seen
            .iter()
            .find(|path| path.contains("/catalog/") && !path.starts_with("/feeds/"));
        assert_eq!(foreign, None);
    }
}
