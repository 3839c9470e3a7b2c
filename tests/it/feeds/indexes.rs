//! Documents about whole feeds.

use nugate::demo::{ExampleFeed, Package};
use nugate::nuget::merge::Versions;
use serde_json::{Value, json};

use super::leaves;
use crate::support::group::{FeedOf, feed};
use crate::support::{GroupWorld, head};

fn vulnerable(name: &'static str, id: &str) -> FeedOf {
    let advisory = format!("https://{name}.test/1");
    let package = Package::new(id, "1.0.0").vulnerable(2, &advisory);
    FeedOf {
        name,
        packages: ExampleFeed::new([package]).unwrap(),
        owns: &[],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vulnerabilities_of_all_feeds_are_known() {
    let world = GroupWorld::first(vec![vulnerable("one", "A"), vulnerable("two", "B")]).await;
    let index = world.get("vulnerabilities/index.json").await.json();
    let pages = index.as_array().unwrap();
    let mut names = Vec::new();
    let mut text = String::new();
    for page in pages {
        names.push(page["@name"].as_str().unwrap().to_owned());
        let url = page["@id"].as_str().unwrap();
        let page = world.get_at(&world.path_of(url)).await;
        assert_eq!(page.status, 200, "{url}");
        text.push_str(&page.text());
    }
    assert_eq!(names, ["base", "update", "two-base", "two-update"]);
    assert!(text.contains("https://one.test/1") && text.contains("https://two.test/1"));
    // Pages under the group's own URL, as a client with an index of one feed asks.
    let token = pages[2]["@id"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap();
    let page = world.get(&format!("vulnerabilities/page/{token}")).await;
    assert_eq!(page.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_vulnerabilities_are_none() {
    let mut world = GroupWorld::first(vec![vulnerable("one", "A"), vulnerable("two", "B")]).await;
    world.get("index.json").await;
    world.ups[1].down().await;
    assert_eq!(world.get("vulnerabilities/index.json").await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_those_of_all_and_promise_nothing_for_others() {
    let world = GroupWorld::first(vec![feed("one", &[], &[]), feed("two", &[], &[])]).await;
    let other = r#"{"allRepositorySigned":true,"signingCertificates":[{"fingerprints":{"x":"y"},
        "contentUrl":"https://elsewhere.test/c.crt"}]}"#;
    let path = "/v3-index/repository-signatures/5.0.0/index.json";
    world.ups[1].on(path).reply(200, other);
    let https = [("x-forwarded-proto", "https")];
    let path = "/v3/repository-signatures/5.0.0/index.json";
    let document = world.get_with(path, &https).await.json();
    assert_eq!(document["allRepositorySigned"], false);
    assert_eq!(document["signingCertificates"].as_array().unwrap().len(), 2);
    let url = document["signingCertificates"][0]["contentUrl"]
        .as_str()
        .unwrap();
    let url = url.strip_prefix("https://").unwrap();
    let certificate = world.get_at(&url[url.find('/').unwrap()..]).await;
    assert!(certificate.text().contains("CERTIFICATE"), "{url}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_index_offers_what_a_feed_offers() {
    let one = feed("one", &[("A", "1.0.0")], &[]);
    let two = feed("two", &[("B", "1.0.0")], &[]);
    let world = GroupWorld::first(vec![
        FeedOf {
            packages: one.packages.without("VulnerabilityInfo"),
            ..one
        },
        two,
    ])
    .await;
    let index = world.get("index.json").await.json();
    let types: Vec<_> = index["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let url = entry["@id"].as_str().unwrap();
            assert!(url.starts_with(&world.base()), "{url}");
            entry["@type"].as_str().unwrap()
        })
        .collect();
    for offered in [
        "PackageBaseAddress/3.0.0",
        "VulnerabilityInfo/6.7.0",
        "RegistrationsBaseUrl",
    ] {
        assert_eq!(
            types.iter().filter(|it| **it == offered).count(),
            1,
            "{types:?}"
        );
    }
    for kept_out in ["Catalog/3.0.0", "PackageDetailsUriTemplate/5.1.0"] {
        assert!(!types.contains(&kept_out), "{kept_out}");
    }
    assert_eq!(world.get("catalog/index.json").await.status, 404);
    let alone = world.get_at("/feeds/two/v3/catalog/index.json").await;
    assert_eq!(alone.status, 200);
    assert_eq!(world.get("vulnerabilities/index.json").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_with_one_hive_serves_those_who_ask_for_others() {
    let world = GroupWorld::first(vec![
        feed("one", &[("A", "1.0.0")], &[]),
        feed("two", &[("B", "1.0.0"), ("B", "2.0.0-a.1")], &[]),
    ])
    .await;
    let index = world.ups[1].base_url();
    let hive = |name: &str| format!("{index}/v3/registration5-{name}/");
    let entry = |kind: &str, url: &str| serde_json::json!({"@id": url, "@type": kind});
    let document = serde_json::json!({"version": "3.0.0", "resources": [
        entry("PackageBaseAddress/3.0.0", &format!("{index}/v3-flatcontainer/")),
        entry("RegistrationsBaseUrl", &hive("semver1")),
    ]});
    world.ups[1]
        .on("/v3/index.json")
        .reply(200, document.to_string());
    for hive in ["registration", "registration-gz", "registration-gz-semver2"] {
        let shown = leaves(&world.get(&format!("{hive}/b/index.json")).await);
        assert_eq!(shown.len(), 1, "{hive}");
    }
    // It is one document, kept once.
    assert_eq!(world.asked("registration5-semver1/b/")[1], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_index_that_is_missing_keeps_nobody_out() {
    let mut world = GroupWorld::first(vec![
        feed("one", &[("A", "1.0.0")], &["A"]),
        feed("two", &[("B", "1.0.0")], &["B"]),
    ])
    .await;
    world.ups[0].down().await;
    let index = world.get("index.json").await;
    assert_eq!(index.status, 200, "{}", index.text());
    let warning = index.header("x-nuget-warning");
    assert!(
        warning.contains("what it offers is missing: feed one"),
        "{warning}"
    );
    assert_eq!(world.get("flat/b/index.json").await.status, 200);
    world.ups[1].down().await;
    world.later(100_000);
    assert_eq!(world.get("index.json").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_tell_the_feeds_apart() {
    let world = GroupWorld::first(vec![
        feed("one", &[], &[]),
        feed("two", &[("B", "1.0.0")], &[]),
    ])
    .await;
    world.get("flat/b/index.json").await;
    let text = world.get_at("/metrics").await.text();
    for line in [
        "nugate_upstream_requests_total{feed=\"one\",outcome=\"4xx\",resource=\"versions\"} 1",
        "nugate_upstream_requests_total{feed=\"two\",outcome=\"2xx\",resource=\"versions\"} 1",
        "nugate_upstream_up{feed=\"one\"} 1",
        "nugate_upstream_up{feed=\"two\"} 1",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_through_does_not_need_the_other_feeds() {
    let feeds = vec![feed("one", &[], &[]), feed("two", &[], &[])];
    let mut world = GroupWorld::of(feeds, Versions::First, |name, settings| {
        if name == "two" {
            settings.feed.pass_types = vec!["Custom/1.0.0".to_owned()];
        }
    })
    .await;
    let index = "/v3/index.json";
    let url = world.ups[1].base_url().to_owned();
    let document = world.ups[1].change(|feed| feed.document(&url, index, ""));
    let mut document: Value = serde_json::from_slice(&document.unwrap().body).unwrap();
    let entry = json!({"@id": format!("{url}/custom"), "@type": "Custom/1.0.0"});
    document["resources"].as_array_mut().unwrap().push(entry);
    let script = world.ups[1].on(index);
    drop(script.reply(200, document.to_string()));
    world.ups[1].on("/custom/a").times(3).reply(200, "custom");
    world.ups[0].down().await;
    let shown = world.get("index.json").await.json();
    let entries = shown["resources"].as_array().unwrap();
    let ours = entries.iter().find(|it| it["@type"] == "Custom/1.0.0");
    let path = world.path_of(ours.unwrap()["@id"].as_str().unwrap()) + "/a";
    let passed = world.get_at(&path).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(passed.text(), "custom");
    assert_eq!(head(world.addr, &path, &[]).await.status, 200);
    // Nobody has it, as far as those who can be asked know.
    let token = "0123456789abcdef0123456789abcdef";
    assert_eq!(world.get(&format!("pass/{token}")).await.status, 502);
    world.ups[1].down().await;
    assert_eq!(world.get_at(&path).await.status, 502);
}
