//! Upstreams that fail.

use super::{ABOVE, PATH, get, says, world};
use crate::support::client;

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_forbid_it_outlives_an_outage() {
    for (cache_control, later, served) in [
        ("max-age=60", 100, true),
        ("max-age=60", 1100, false),
        ("max-age=60, stale-if-error=2000", 1100, true),
        ("max-age=60, must-revalidate", 100, false),
        ("s-maxage=60", 100, false),
    ] {
        let mut world = world().await;
        says(&world, ABOVE, cache_control);
        get(&world, PATH, &[]).await;
        world.up.down().await;
        world.later(later);
        let response = get(&world, PATH, &[]).await;
        if served {
            assert_eq!(response.text(), "hello", "{cache_control}");
            let status = "nugate; fwd=stale; detail=upstream-error";
            assert_eq!(response.header("cache-status"), status);
            assert!(
                response
                    .header("x-nuget-warning")
                    .contains("cannot connect")
            );
            let rested = get(&world, PATH, &[]).await;
            assert_eq!(
                rested.header("cache-status"),
                "nugate; hit; detail=backed-off"
            );
        } else {
            assert_eq!(response.status.as_u16(), 502, "{cache_control}");
        }
        world.up.up();
        world.later(60);
        let after = get(&world, PATH, &[]).await;
        assert_eq!(
            (after.status.as_u16(), after.header("age")),
            (200, ""),
            "{cache_control}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_ridden_out_only_by_stale_if_error() {
    for (cache_control, status) in [("max-age=60", 503), ("max-age=60, stale-if-error=60", 200)] {
        let world = world().await;
        says(&world, ABOVE, cache_control);
        get(&world, PATH, &[]).await;
        world.later(100);
        let on = world.up.on(ABOVE).reply(503, "sorry");
        drop(on.header("cache-control", "max-age=600"));
        for path in [PATH, PATH] {
            let response = get(&world, path, &[]).await;
            assert_eq!(response.status.as_u16(), status, "{cache_control}");
        }
        world.later(60);
        assert_eq!(get(&world, PATH, &[]).await.status.as_u16(), 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_neither_whole_nor_kept() {
    for (size, cut) in [(1000, 500), (400_000, 300_000)] {
        let world = world().await;
        let on = world.up.on(ABOVE).reply(200, "x".repeat(size));
        drop(
            on.header("cache-control", "max-age=60")
                .cut_after(cut)
                .times(1),
        );
        let path = format!("/raw/test/{PATH}");
        match client::try_get(world.addr, &path, &[]).await {
            Ok(response) => assert_eq!((response.status.as_u16(), size), (502, 1000)),
            Err(_) => assert_eq!(size, 400_000, "a small one fails with a status"),
        }
        world.quiet().await;
        says(&world, ABOVE, "max-age=60");
        assert_eq!(get(&world, PATH, &[]).await.text(), "hello");
        assert_eq!(world.up.count(ABOVE), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_an_end_of_its_own_is_passed_on_and_not_kept() {
    let world = world().await;
    let on = world.up.on(ABOVE).reply(200, "hello").close_delimited();
    drop(on.header("cache-control", "max-age=60"));
    for count in 1..=2 {
        assert_eq!(get(&world, PATH, &[]).await.text(), "hello");
        assert_eq!(world.up.count(ABOVE), count);
    }
}
