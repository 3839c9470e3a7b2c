//! What goes through, what ends here, and what is refused.

use super::{ABOVE, HIT, PATH, call, get, says, world, world_of, world_with};
use crate::support::client;

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_one_connection_ends_here() {
    let world = world().await;
    let on = world.up.on(ABOVE).reply(200, "hello").header("x-kept", "1");
    let on = on.header("connection", "x-hop").header("x-hop", "1");
    drop(
        on.header("keep-alive", "5")
            .header("cache-control", "max-age=60"),
    );
    let sent = [
        ("connection", "x-mine"),
        ("x-mine", "1"),
        ("te", "trailers"),
        ("x-end", "1"),
    ];
    for _ in 0..2 {
        let response = get(&world, PATH, &sent).await;
        assert_eq!(response.header("x-kept"), "1");
        for name in ["x-hop", "keep-alive"] {
            assert_eq!(response.header(name), "", "{name}");
        }
        assert!(response.header("via").starts_with("1.1 nugate-"));
    }
    let seen = world.up.log().pop().unwrap();
    assert_eq!(
        (
            seen.header("x-mine"),
            seen.header("te"),
            seen.header("x-end")
        ),
        ("", "", "1")
    );
    assert!(seen.header("via").starts_with("1.1 nugate-"));
    assert_eq!(seen.header("host"), world.up.addr().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_in_circles_is_refused() {
    let world = world().await;
    says(&world, ABOVE, "max-age=60");
    let via = get(&world, PATH, &[]).await.header("via").to_owned();
    let circle = format!("1.0 other, {via}");
    assert_eq!(
        get(&world, PATH, &[("via", &circle)]).await.status.as_u16(),
        508
    );
    let passed = get(&world, PATH, &[("via", "1.1 nugate-0, 1.1 nugate")]).await;
    assert_eq!(passed.status.as_u16(), 200, "another nugate is no circle");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_unless_allowed() {
    let world = world().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = call(&world, method, PATH, "").await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("allow")),
            (405, "GET, HEAD")
        );
    }
    assert_eq!(world.up.count(ABOVE), 0);
    let world = world_of(|route| route.unsafe_methods = true).await;
    drop(world.up.on(ABOVE).reply(201, "made"));
    assert_eq!(call(&world, "PUT", PATH, "x").await.status.as_u16(), 201);
    assert_eq!(call(&world, "TRACE", PATH, "").await.status.as_u16(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_beside_the_route_is_reached() {
    let world = world().await;
    for path in [
        "/raw/test/../v3/index.json",
        "/raw/test/%2e%2e/v3/index.json",
        "/raw/test/a/%2E%2e/../../v3/index.json",
        "/raw/test/..%5cv3/index.json",
    ] {
        let response = client::get(world.addr, path, &[]).await;
        assert!(
            matches!(response.status.as_u16(), 400 | 404),
            "{path}: {}",
            response.status
        );
    }
    for path in ["/raw/other/a", "/raw/test", "/raw/"] {
        let response = client::get(world.addr, path, &[]).await;
        assert_eq!(response.status.as_u16(), 404, "{path}");
    }
    let foreign = get(&world, PATH, &[("host", "evil.example")]).await;
    assert_eq!(foreign.status.as_u16(), 421);
    assert!(
        world
            .up
            .log()
            .iter()
            .all(|seen| seen.path().starts_with("/files/"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_stay_on_the_route_or_are_passed_on() {
    let world = world().await;
    let inside = format!("{}/files/b.txt?x=1", world.up.base_url());
    for (location, expected) in [
        (
            inside.as_str(),
            format!("http://{}/raw/test/b.txt?x=1", world.addr),
        ),
        ("b.txt", format!("http://{}/raw/test/b.txt", world.addr)),
        (
            "https://other.example/b",
            "https://other.example/b".to_owned(),
        ),
    ] {
        drop(
            world
                .up
                .on(ABOVE)
                .reply(302, "")
                .header("location", location),
        );
        let response = get(&world, PATH, &[]).await;
        assert_eq!(response.status.as_u16(), 302);
        assert_eq!(response.header("location"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_to_listed_hosts_are_followed() {
    let world = world_with(|settings| {
        let port = settings.routes[0].url.port().unwrap();
        settings.feed.redirect_hosts = vec![format!("127.0.0.1:{port}")];
    })
    .await;
    drop(
        world
            .up
            .on(ABOVE)
            .reply(302, "")
            .header("location", "/elsewhere/b.txt"),
    );
    says(&world, "/elsewhere/b.txt", "max-age=60");
    for expected in ["nugate; fwd=uri-miss; stored", HIT] {
        let response = get(&world, PATH, &[]).await;
        assert_eq!(
            (response.text(), response.header("cache-status")),
            ("hello".to_owned(), expected)
        );
    }
    let on = world
        .up
        .on("/files/b.txt")
        .reply(302, "")
        .header("cache-control", "no-store");
    drop(on.header("location", "/elsewhere/b.txt"));
    for count in 1..=2 {
        get(&world, "b.txt", &[]).await;
        assert_eq!(
            world.up.count("/files/b.txt"),
            count,
            "a redirect that is not to be stored"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_listed_documents_lead_back_to_the_route() {
    let world = world().await;
    let (here, above) = (
        format!("http://{}/raw/test/", world.addr),
        world.up.base_url(),
    );
    let theirs =
        format!(r#"{{"nuget.exe":[{{"url":"{above}/files/v6/nuget.exe","n":"{above}"}}]}}"#);
    let ours = format!(r#"{{"nuget.exe":[{{"url":"{here}v6/nuget.exe","n":"{above}"}}]}}"#);
    for path in ["tools.json", "other.json"] {
        let on = world
            .up
            .on(&format!("/files/{path}"))
            .reply(200, theirs.clone());
        drop(
            on.header("cache-control", "max-age=60")
                .header("etag", "\"1\""),
        );
    }
    let mut tags = Vec::new();
    for cache in ["nugate; fwd=uri-miss; stored", HIT] {
        let listed = get(&world, "tools.json", &[]).await;
        assert_eq!(
            (listed.text(), listed.header("cache-status")),
            (ours.clone(), cache)
        );
        assert_ne!(listed.header("etag"), "\"1\"");
        tags.push(listed.header("etag").to_owned());
        assert_eq!(get(&world, "other.json", &[]).await.text(), theirs);
    }
    assert_eq!(tags[0], tags[1]);
    let same = get(&world, "tools.json", &[("if-none-match", &tags[0])]).await;
    assert_eq!(same.status.as_u16(), 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_asks_for_the_head_alone() {
    let world = world().await;
    says(&world, ABOVE, "max-age=60");
    let head = client::head(world.addr, "/raw/test/a.txt", &[]).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, "5")
    );
    assert_eq!(world.up.log().pop().unwrap().method, "HEAD");
    get(&world, PATH, &[]).await;
    world.later(61);
    client::head(world.addr, "/raw/test/a.txt", &[]).await;
    world.later(30);
    let hit = get(&world, PATH, &[]).await;
    assert_eq!(
        (hit.header("cache-status"), hit.header("age")),
        (HIT, "30"),
        "freshened by a HEAD"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_or_range_on_what_is_not_stored_is_passed_on() {
    let world = world().await;
    let on = world
        .up
        .on(ABOVE)
        .reply(206, "el")
        .header("content-range", "bytes 1-2/5");
    drop(on.header("cache-control", "max-age=60"));
    for count in 1..=2 {
        let part = get(&world, PATH, &[("range", "bytes=1-2")]).await;
        assert_eq!((part.status.as_u16(), part.text()), (206, "el".to_owned()));
        assert_eq!(world.up.count(ABOVE), count);
    }
    assert_eq!(world.up.log().pop().unwrap().header("range"), "bytes=1-2");
    drop(world.up.on(ABOVE).reply(304, "").header("etag", "\"1\""));
    let same = get(&world, PATH, &[("if-none-match", "\"1\"")]).await;
    assert_eq!(same.status.as_u16(), 304);
}
