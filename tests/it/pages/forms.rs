//! Forms count only when a page of ours sent them, for who may.

use nugate::demo::ExampleFeed;

use super::{CORE, OURS, PACKAGE, form, page};
use crate::support::{World, get};

#[tokio::test(flavor = "multi_thread")]
async fn forms_pin_and_remove() {
    let world = World::demo().await;
    world.hit(CORE).await;
    for (body, said) in [
        ("do=pin", "pinned by <code>example.core</code>"),
        ("do=unpin", "No longer pinned"),
        ("do=pin&version=1.0", "pinned by example.core@1.0.0"),
        ("do=unpin&version=1.0.0", "No longer pinned"),
        ("do=purge&version=9.9.9", "example.core.1.0.0.nupkg</code>"),
        ("version=1.0.0&do=purge", "No version of it is stored"),
    ] {
        let answer = form(world.addr, &[OURS], body).await;
        assert_eq!(answer.status, 303, "{body}: {}", answer.text());
        let to = format!("/-/packages/{}", answer.header("location"));
        let text = page(&world, &to).await.text();
        assert!(text.contains(said), "{body}: {said} is not in\n{text}");
        assert!(text.contains("role=\"status\""), "{body}");
    }
    let asked = world.up.requests();
    world.get(CORE).await;
    assert!(world.up.requests() > asked, "it was not forgotten");
    let long = format!("do=pin&version={}", "1".repeat(5000));
    for (body, status) in [
        ("", 400),
        ("do=format", 400),
        ("do=pin&version=../..", 409),
        ("do=unpin", 409),
        (&long, 400),
    ] {
        assert_eq!(
            form(world.addr, &[OURS], body).await.status,
            status,
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_do_nothing() {
    let world = World::demo().await;
    world.hit(CORE).await;
    let ours = format!("http://{}", world.addr);
    for (headers, status) in [
        (&[][..], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", &ours)], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "http://evil.example")], 403),
        (
            &[("origin", "http://evil.example"), ("host", "evil.example")],
            421,
        ),
        (&[("origin", &ours)], 303),
    ] {
        let answer = form(world.addr, headers, "do=purge").await;
        assert_eq!(answer.status, status, "{headers:?}");
        let stored = page(&world, PACKAGE).await.text().contains(".nupkg</code>");
        assert_eq!(stored, status != 303, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_access_rules_forms_are_for_this_machine_alone() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    world.hit(CORE).await;
    let ours = format!("http://{}", world.addr);
    for (client, status) in [("192.0.2.7", 403), ("127.0.0.1", 303)] {
        let from = [("x-forwarded-for", client)];
        let shown = get(world.addr, PACKAGE, &from).await;
        assert_eq!(shown.text().contains("<form"), status == 303, "{client}");
        let headers = [("origin", ours.as_str()), from[0]];
        assert_eq!(
            form(world.addr, &headers, "do=pin").await.status,
            status,
            "{client}"
        );
    }
}
