//! Answers of a V2 endpoint that cannot be used, and an endpoint that fails.

use super::{asked, entry, get, list, speak, world};
use crate::support::World;

const SEARCH: &str = "/Search()?searchTerm='x'";

fn good(world: &World) -> String {
    let base = format!("{}/api/v2", world.up.base_url());
    list(&base, &[entry(&base, "Gallery.Only", "1.0")], None)
}

/// Documents that must not be kept, with a part of what is said of them.
fn bad(good: &str) -> Vec<(String, &'static str)> {
    let bomb =
        "<!DOCTYPE feed [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><feed>&b;</feed>";
    vec![
        (good.replace("</entry>", ""), "not well-formed"),
        (good[..good.len() - 3].to_owned(), "not well-formed"),
        (bomb.to_owned(), "document type definition"),
        (good.replace("<entry", "&nbsp;<entry"), "not well-formed"),
        (
            good.replace("encoding=\"utf-8\"", "encoding=\"utf-16\""),
            "utf-8",
        ),
        (
            good.replace(">7<", &format!(">{}<", "<a>".repeat(100))),
            "nested deeper",
        ),
        ("<html><body>log in</body></html>".to_owned(), "html"),
        ("{\"d\":{\"results\":[]}}".to_owned(), "not well-formed"),
        (String::new(), "not well-formed"),
        ("<service/>".to_owned(), "service"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_usable_answer_is_a_failure_and_not_kept() {
    let world = world().await;
    let good = good(&world);
    for (body, why) in bad(&good) {
        world.up.on("/api/v2/Search()").reply(200, body);
        let refused = get(&world, SEARCH).await;
        assert_eq!(refused.status, 502, "{why}: {refused:?}");
        assert!(refused.text().contains(why), "{why}: {refused:?}");
        world.quiet().await;
    }
    world.up.on("/api/v2/Search()").reply(200, good.clone());
    let found = get(&world, SEARCH).await;
    assert_eq!(found.status, 200);
    world.quiet().await;
    for (body, why) in bad(&good) {
        world.later(3600);
        world.up.on("/api/v2/Search()").reply(200, body);
        let kept = get(&world, SEARCH).await;
        assert_eq!(
            (kept.status.as_u16(), &kept.body),
            (200, &found.body),
            "{why}"
        );
        world.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_a_number() {
    let world = world().await;
    let path = "/Packages()/$count";
    for body in ["", "x", "-1", "1.5", "<feed/>", "123456789012345678901"] {
        world.up.on("/api/v2/Packages()/$count").reply(200, body);
        assert_eq!(get(&world, path).await.status, 502, "{body}");
        world.quiet().await;
    }
    world
        .up
        .on("/api/v2/Packages()/$count")
        .reply(200, "\u{feff}130");
    assert_eq!(get(&world, path).await.text(), "\u{feff}130");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_refused() {
    let world = super::with(|settings| settings.options.document_size_max = 20_000).await;
    let long = good(&world).replace(">7<", &format!(">{}<", "7".repeat(30_000)));
    world.up.on("/api/v2/Search()").reply(200, long);
    assert_eq!(get(&world, SEARCH).await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_refuses_is_refused() {
    let world = world().await;
    for (status, expected) in [(400, 400), (501, 501), (404, 404), (500, 502), (401, 502)] {
        world.up.on("/api/v2/Search()").reply(status, "no");
        let answer = get(&world, SEARCH).await;
        assert_eq!(answer.status.as_u16(), expected, "{status}: {answer:?}");
        world.quiet().await;
    }
    let path = "/Packages(Id='Gallery.None',Version='1.0')";
    assert_eq!(get(&world, path).await.status, 404);
    world.quiet().await;
    assert_eq!(get(&world, path).await.status, 404);
    let entries = asked(&world).into_iter().filter(|it| it.contains("None"));
    assert_eq!(entries.count(), 1, "it is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_is_no_reason_for_another_answer() {
    let world = world().await;
    for status in [500, 403, 200] {
        world.up.on("/api/v2/").reply(status, "<html>");
        let answer = get(&world, SEARCH).await;
        assert_eq!(answer.status, 502, "{status}: {answer:?}");
        assert!(answer.text().contains("feeds.test.v2"), "{answer:?}");
        world.quiet().await;
    }
    // Packages are those of V3 all the same.
    assert_eq!(get(&world, "/package/Example.Core/1.0.0").await.status, 200);
    let unknown = get(&world, "/package/Example.None/1.0.0").await;
    assert_eq!(unknown.status, 404);
    speak(&world.up, "Gallery.Only");
    assert_eq!(get(&world, SEARCH).await.status, 200);
}
