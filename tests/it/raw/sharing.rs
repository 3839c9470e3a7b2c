//! Who may have the answer to whose question.

use futures_util::future::join_all;

use super::{ABOVE, HIT, MISS, PATH, get, says, world, world_of};
use crate::support::{World, client, until};

/// This many clients ask while the upstream hangs; it goes on when all are connected.
async fn crowd(world: &World, headers: &[Vec<(&str, &str)>]) -> Vec<client::Response> {
    let path = format!("/raw/test/{PATH}");
    let clients = join_all(
        headers
            .iter()
            .map(|one| client::get(world.addr, &path, one)),
    );
    let wanted = f64::from(u32::try_from(headers.len()).unwrap());
    let release = async {
        until("all are connected", async || {
            world.metric("nugate_connections").await > wanted
        })
        .await;
        world.up.release();
    };
    let (responses, ()) = tokio::join!(clients, release);
    world.quiet().await;
    responses
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_may_share_an_answer_cost_one_question() {
    let world = world().await;
    let on = world.up.on(ABOVE).hang().reply(200, "x".repeat(300_000));
    drop(on.header("cache-control", "max-age=60"));
    let responses = crowd(&world, &vec![Vec::new(); 30]).await;
    for response in &responses {
        assert_eq!(
            (response.status.as_u16(), response.body.len()),
            (200, 300_000)
        );
    }
    assert_eq!(world.up.count(ABOVE), 1);
    assert_eq!(get(&world, PATH, &[]).await.header("cache-status"), HIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_one_alone_is_asked_for_by_each() {
    for cache_control in ["no-store", "private, max-age=60", "max-age=0", "no-cache"] {
        let world = world().await;
        let on = world.up.on(ABOVE).hang().reply(200, "hello");
        drop(
            on.header("cache-control", cache_control)
                .header("etag", "\"1\""),
        );
        let responses = crowd(&world, &vec![Vec::new(); 8]).await;
        for response in &responses {
            assert_eq!(response.text(), "hello", "{cache_control}");
        }
        assert!(world.up.count(ABOVE) >= 8, "{cache_control}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_varies_is_for_those_it_fits() {
    let world = world().await;
    let on = world.up.on(ABOVE).hang().reply(200, "hello");
    drop(
        on.header("cache-control", "max-age=60")
            .header("vary", "foo"),
    );
    let headers: Vec<_> = ["1", "2", "3"].map(|value| vec![("foo", value)]).into();
    for response in crowd(&world, &headers).await {
        assert_eq!(response.text(), "hello");
    }
    assert_eq!(world.up.count(ABOVE), 3, "one for each value of the field");
    for header in &headers {
        assert_eq!(get(&world, PATH, header).await.header("cache-status"), HIT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_credentials_joins_nobody() {
    let world = world_of(|route| route.relay_credentials = true).await;
    let on = world.up.on(ABOVE).hang().reply(200, "hello");
    drop(on.header("cache-control", "max-age=60"));
    let headers: Vec<_> = ["a", "b", "c"].map(|it| vec![("authorization", it)]).into();
    crowd(&world, &headers).await;
    let log = world.up.log();
    let mut seen: Vec<_> = log
        .iter()
        .map(|seen| seen.header("authorization"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, ["a", "b", "c"]);
    let anonymous = get(&world, PATH, &[]).await;
    assert_eq!(
        anonymous.header("cache-status"),
        MISS,
        "theirs was not kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_credentials_is_shared_where_it_says_so() {
    let world = world_of(|route| route.relay_credentials = true).await;
    for (number, value) in [
        "public, max-age=60",
        "must-revalidate, max-age=60",
        "s-maxage=60",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("{number}.txt");
        says(&world, &format!("/files/{path}"), value);
        get(&world, &path, &[("authorization", "a")]).await;
        assert_eq!(
            get(&world, &path, &[]).await.header("cache-status"),
            HIT,
            "{value}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_stay_with_us_unless_told_otherwise() {
    for relay in [false, true] {
        let world = world_of(|route| route.relay_credentials = relay).await;
        says(&world, ABOVE, "max-age=60, public");
        let secrets = [
            ("authorization", "s"),
            ("cookie", "s"),
            ("x-nuget-apikey", "s"),
        ];
        get(&world, PATH, &secrets).await;
        let seen = world.up.log().pop().unwrap();
        for (name, value) in secrets {
            assert_eq!(seen.header(name), if relay { value } else { "" }, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_credentials_drops_nothing_of_others() {
    let world = world_of(|route| route.relay_credentials = true).await;
    for status in [304, 200] {
        let on = world
            .up
            .on(ABOVE)
            .reply(200, "for all")
            .header("etag", "\"1\"");
        drop(on.header("cache-control", "max-age=60"));
        get(&world, PATH, &[]).await;
        world.later(61);
        let on = world
            .up
            .on(ABOVE)
            .reply(status, "for one")
            .header("etag", "\"1\"");
        drop(on.header("cache-control", "max-age=60"));
        let own = get(&world, PATH, &[("authorization", "a")]).await;
        assert_eq!(
            own.text(),
            if status == 200 { "for one" } else { "for all" }
        );
        let stored = [("cache-control", "only-if-cached, max-stale")];
        assert_eq!(get(&world, PATH, &stored).await.text(), "for all");
        world.later(1);
    }
}
