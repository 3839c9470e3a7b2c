//! What is kept, how long, and how it is confirmed.

use nugate::policy::class::Network;

use super::{ABOVE, HIT, MISS, PATH, call, get, says, world, world_of};
use crate::support::client;

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_fresh_as_long_as_it_says_and_tells_its_age() {
    let mut world = world().await;
    let on = world.up.on(ABOVE).reply(200, "hello");
    drop(on.header("cache-control", "max-age=60").header("age", "10"));
    let first = get(&world, PATH, &[]).await;
    assert_eq!(
        (first.text(), first.header("age")),
        ("hello".to_owned(), "10")
    );
    assert_eq!(first.header("cache-status"), MISS);
    world.later(49);
    let hit = get(&world, PATH, &[]).await;
    assert_eq!((hit.text(), hit.header("age")), ("hello".to_owned(), "59"));
    assert_eq!(hit.header("cache-status"), HIT);
    assert_eq!(hit.header("date"), first.header("date"));
    world.restart().await;
    assert_eq!(get(&world, PATH, &[]).await.header("cache-status"), HIT);
    assert_eq!(world.up.count(ABOVE), 1);
    world.later(1);
    get(&world, PATH, &[]).await;
    assert_eq!(world.up.count(ABOVE), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_forbids_it_or_says_nothing_is_not_kept() {
    let world = world().await;
    for (number, cache_control) in [
        "no-store, max-age=60",
        "private, max-age=60",
        "max-age=0",
        "x",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("{number}.txt");
        let above = format!("/files/{path}");
        says(&world, &above, cache_control);
        for count in 1..=2 {
            let response = get(&world, &path, &[]).await;
            assert_eq!(
                response.header("cache-status"),
                "nugate; fwd=uri-miss",
                "{cache_control}"
            );
            assert_eq!(world.up.count(&above), count, "{cache_control}");
        }
    }
    let cookie = world.up.on(ABOVE).reply(200, "hello");
    drop(
        cookie
            .header("cache-control", "max-age=60")
            .header("set-cookie", "a=b"),
    );
    for count in 1..=2 {
        let response = get(&world, PATH, &[]).await;
        assert_eq!(
            response.header("set-cookie"),
            "",
            "a cookie is for who asked"
        );
        assert_eq!(world.up.count(ABOVE), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_lifetimes_are_for_what_says_nothing() {
    let minute = std::time::Duration::from_secs(60);
    let world = world_of(|route| route.lifetimes.default = minute).await;
    drop(world.up.on(ABOVE).reply(200, "hello"));
    get(&world, PATH, &[]).await;
    world.later(59);
    assert_eq!(get(&world, PATH, &[]).await.header("cache-status"), HIT);
    world.later(2);
    get(&world, PATH, &[]).await;
    assert_eq!(world.up.count(ABOVE), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_confirms_and_updates_what_is_stored() {
    let world = world().await;
    let on = world.up.on(ABOVE).reply(200, "hello");
    let on = on
        .header("etag", "\"1\"")
        .header("x-a", "old")
        .header("x-b", "stays");
    drop(on.header("cache-control", "max-age=60").times(1));
    get(&world, PATH, &[]).await;
    world.later(61);
    let on = world.up.on(ABOVE).reply(304, "");
    drop(
        on.header("x-a", "new")
            .header("cache-control", "max-age=100"),
    );
    let confirmed = get(&world, PATH, &[("if-none-match", "\"other\"")]).await;
    assert_eq!(
        (confirmed.status.as_u16(), confirmed.text()),
        (200, "hello".to_owned())
    );
    assert_eq!(
        (confirmed.header("x-a"), confirmed.header("x-b")),
        ("new", "stays")
    );
    assert_eq!(
        confirmed.header("cache-status"),
        "nugate; fwd=stale; fwd-status=304"
    );
    let asked = world.up.log().pop().unwrap();
    assert_eq!(
        asked.header("if-none-match"),
        "\"1\"",
        "the stored tag, not the client's"
    );
    world.later(99);
    let hit = get(&world, PATH, &[]).await;
    assert_eq!(
        (hit.header("cache-status"), hit.header("x-a")),
        (HIT, "new")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_about_something_else_confirms_nothing() {
    let world = world().await;
    let on = world.up.on(ABOVE).reply(200, "old").header("etag", "\"1\"");
    drop(on.header("cache-control", "max-age=60").times(1));
    get(&world, PATH, &[]).await;
    world.later(61);
    drop(
        world
            .up
            .on(ABOVE)
            .reply(304, "")
            .header("etag", "\"2\"")
            .times(1),
    );
    drop(world.up.on(ABOVE).reply(200, "new").header("etag", "\"2\""));
    assert_eq!(get(&world, PATH, &[]).await.text(), "new");
    assert_eq!(world.up.log().pop().unwrap().header("if-none-match"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_ranges_are_answered_from_what_is_stored() {
    let world = world().await;
    let on = world
        .up
        .on(ABOVE)
        .reply(200, "0123456789")
        .header("etag", "\"1\"");
    drop(on.header("cache-control", "max-age=60"));
    get(&world, PATH, &[]).await;
    let same = get(&world, PATH, &[("if-none-match", "W/\"1\"")]).await;
    assert_eq!((same.status.as_u16(), same.header("etag")), (304, "\"1\""));
    for (range, status, text, told) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=20-", 416, "", "bytes */10"),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
    ] {
        let part = get(&world, PATH, &[("range", range)]).await;
        assert_eq!(
            (part.status.as_u16(), part.text().as_str()),
            (status, text),
            "{range}"
        );
        assert_eq!(part.header("content-range"), told, "{range}");
    }
    let other = get(
        &world,
        PATH,
        &[("range", "bytes=0-1"), ("if-range", "\"2\"")],
    )
    .await;
    assert_eq!(other.status.as_u16(), 200);
    let head = client::head(world.addr, "/raw/test/a.txt", &[]).await;
    assert_eq!(
        (head.header("content-length"), head.header("cache-status")),
        ("10", HIT)
    );
    assert_eq!(world.up.count(ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn directives_of_requests_are_heard() {
    let world = world().await;
    says(&world, ABOVE, "max-age=60");
    let only = ("cache-control", "only-if-cached");
    assert_eq!(get(&world, PATH, &[only]).await.status.as_u16(), 504);
    get(&world, PATH, &[("cache-control", "no-store")]).await;
    assert_eq!(
        get(&world, PATH, &[only]).await.status.as_u16(),
        504,
        "not kept"
    );
    get(&world, PATH, &[]).await;
    assert_eq!(get(&world, PATH, &[only]).await.status.as_u16(), 200);
    world.later(30);
    let asked = world.up.count(ABOVE);
    for (number, wish) in ["no-cache", "max-age=29", "min-fresh=31"]
        .into_iter()
        .enumerate()
    {
        get(&world, PATH, &[("cache-control", wish)]).await;
        assert_eq!(world.up.count(ABOVE), asked + number + 1, "{wish}");
        world.later(30);
    }
    world.later(100);
    let old = get(&world, PATH, &[("cache-control", "max-stale=200")]).await;
    assert_eq!(old.header("cache-status"), HIT);
    assert!(old.header("age").parse::<u64>().unwrap() > 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_while_revalidate_answers_at_once() {
    let world = world().await;
    says(&world, ABOVE, "max-age=60, stale-while-revalidate=60");
    get(&world, PATH, &[]).await;
    world.later(90);
    let stale = get(&world, PATH, &[]).await;
    assert_eq!(
        stale.header("cache-status"),
        "nugate; hit; detail=stale-while-revalidate"
    );
    assert_eq!(world.up.count(ABOVE), 2);
    let fresh = get(&world, PATH, &[]).await;
    assert_eq!(
        (fresh.header("cache-status"), fresh.header("age")),
        (HIT, "0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_variants_is_kept() {
    let world = world().await;
    for language in ["de", "en"] {
        let on = world
            .up
            .on(ABOVE)
            .reply(200, language)
            .header("vary", "Accept-Language");
        drop(on.header("cache-control", "max-age=60"));
        get(&world, PATH, &[("accept-language", language)]).await;
    }
    for language in ["de", "en"] {
        let hit = get(&world, PATH, &[("accept-language", language)]).await;
        assert_eq!(
            (hit.text().as_str(), hit.header("cache-status")),
            (language, HIT)
        );
    }
    let other = get(&world, PATH, &[]).await;
    assert_eq!(
        other.header("cache-status"),
        "nugate; fwd=vary-miss; stored"
    );
    for query in ["?a=1", "?a=2"] {
        says(&world, &format!("{ABOVE}{query}"), "max-age=60");
        let first = get(&world, &format!("{PATH}{query}"), &[]).await;
        assert_eq!(first.header("cache-status"), MISS, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_unsafe_method_changes_is_forgotten() {
    let world = world_of(|route| route.unsafe_methods = true).await;
    let other = "/files/b.txt";
    for path in [ABOVE, other] {
        says(&world, path, "max-age=600");
    }
    for (status, kept) in [(500, true), (200, false)] {
        get(&world, PATH, &[]).await;
        get(&world, "b.txt", &[]).await;
        let on = world.up.on(ABOVE).reply(status, "done").times(1);
        drop(on.header("location", "b.txt"));
        let answer = call(&world, "M-SEARCH", PATH, "what").await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("cache-status"), "nugate; fwd=method");
        assert_eq!(world.up.log().pop().unwrap().body, "what");
        for path in [PATH, "b.txt"] {
            let only = get(&world, path, &[("cache-control", "only-if-cached")]).await;
            assert_eq!(only.status.as_u16() == 200, kept, "{path} after {status}");
        }
        says(&world, ABOVE, "max-age=600");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_body_that_is_lost_is_fetched_again() {
    let mut world = world().await;
    says(&world, ABOVE, "max-age=600");
    get(&world, PATH, &[]).await;
    world.stop().await;
    std::fs::remove_dir_all(world.path().join("bodies-v1/content-v2")).unwrap();
    world.start().await;
    let healed = get(&world, PATH, &[]).await;
    assert_eq!(
        (healed.text(), healed.header("cache-status")),
        ("hello".to_owned(), MISS)
    );
    assert_eq!(get(&world, PATH, &[]).await.header("cache-status"), HIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_serves_what_is_stored_whatever_its_age() {
    let mut world = world().await;
    says(&world, ABOVE, "max-age=1, must-revalidate");
    get(&world, PATH, &[]).await;
    world.change(|settings| settings.options.network = Network::Offline);
    world.restart().await;
    world.later(100);
    assert_eq!(get(&world, PATH, &[]).await.header("cache-status"), HIT);
    assert_eq!(get(&world, "b.txt", &[]).await.status.as_u16(), 504);
    assert_eq!(world.up.count("/files/b.txt"), 0);
}
