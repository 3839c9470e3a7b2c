//! Byte ranges (RFC 9110 section 14).
//!
//! - a stored package answers single ranges exactly, small or large
//! - what cannot be satisfied is 416 with the length; several ranges are the whole
//! - `If-Range` holds for the same strong tag or the same date only
//! - what is not stored yet is sent whole

use super::{CORE, LARGE, world};
use crate::support::client;

#[tokio::test(flavor = "multi_thread")]
async fn single_ranges_of_stored_packages() {
    let world = world().await;
    for path in [CORE, LARGE] {
        let whole = world.hit(path).await;
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let body = &whole.body;
        let end = body.len();
        for (range, start, stop) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=0-99".to_owned(), 0, 100),
            ("bytes=100-".to_owned(), 100, end),
            ("bytes=-7".to_owned(), end - 7, end),
            (format!("bytes=-{}", end + 1), 0, end),
            (format!("bytes={}-", end - 1), end - 1, end),
            (format!("bytes=5-{}", end * 2), 5, end),
            (
                format!("bytes={}-{}", end / 3, end / 2),
                end / 3,
                end / 2 + 1,
            ),
        ] {
            let part = world.get_with(path, &[("range", &range)]).await;
            assert_eq!(part.status, 206, "{path} {range}");
            assert!(part.body == body[start..stop], "{path} {range}");
            let place = format!("bytes {start}-{}/{end}", stop - 1);
            assert_eq!(part.header("content-range"), place, "{path} {range}");
            assert_eq!(part.header("content-length"), (stop - start).to_string());
            assert_eq!(part.header("etag"), whole.header("etag"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_ranges() {
    let world = world().await;
    for path in [CORE, LARGE] {
        let whole = world.hit(path).await;
        let end = whole.body.len();
        for (range, expected) in [
            (format!("bytes={end}-"), 416),
            (format!("bytes={}-{}", end * 2, end * 3), 416),
            ("bytes=-0".to_owned(), 416),
            ("bytes=0-1,3-4".to_owned(), 200),
            ("bytes=5-2".to_owned(), 200),
            ("lines=1-2".to_owned(), 200),
            ("bytes=a-b".to_owned(), 200),
        ] {
            let answer = world.get_with(path, &[("range", &range)]).await;
            assert_eq!(answer.status, expected, "{path} {range}");
            if expected == 416 {
                assert!(answer.body.is_empty(), "{path} {range}");
                assert_eq!(answer.header("content-range"), format!("bytes */{end}"));
            } else {
                assert!(answer.body == whole.body, "{path} {range}");
                assert_eq!(answer.header("content-range"), "", "{path} {range}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn if_range() {
    let world = world().await;
    for path in [CORE, LARGE] {
        let whole = world.hit(path).await;
        let tag = whole.header("etag");
        for (condition, expected) in [
            (tag.to_owned(), 206),
            (whole.header("last-modified").to_owned(), 206),
            (format!("W/{tag}"), 200),
            ("\"other\"".to_owned(), 200),
            ("Fri, 01 Jan 2100 00:00:00 GMT".to_owned(), 200),
        ] {
            let headers = [("range", "bytes=10-19"), ("if-range", condition.as_str())];
            let answer = world.get_with(path, &headers).await;
            assert_eq!(answer.status, expected, "{path} {condition}");
            let expected = match expected {
                206 => &whole.body[10..20],
                _ => &whole.body[..],
            };
            assert!(answer.body == expected, "{path} {condition}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_is_sent_whole_unless_it_is_small() {
    let world = world().await;
    let range = [("range", "bytes=10-19")];
    let large = world.get_with(LARGE, &range).await;
    assert_eq!(large.status, 200);
    assert!(large.body == world.nupkg("example.large", "1.0.0"));
    let small = world.get_with(CORE, &range).await;
    assert_eq!(small.status, 206);
    assert!(small.body == world.nupkg("example.core", "1.0.0")[10..20]);
    let seen = world.up.log();
    assert!(seen.iter().all(|seen| seen.header("range").is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_arriving_is_sent_whole() {
    let world = world().await;
    let package = world.nupkg("example.large", "1.0.0");
    let path = "/v3-flatcontainer/example.large/1.0.0/example.large.1.0.0.nupkg";
    world.up.on(path).stall_after(1_000_000);
    let target = format!("/v3/{LARGE}");
    let first = client::open(world.addr, &target, &[]).await;
    let second = client::open(world.addr, &target, &[("range", "bytes=0-9")]).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
    world.up.release();
    let (first, second) = tokio::join!(first.rest(), second.rest());
    assert!(first.unwrap().body == package);
    assert!(second.unwrap().body == package);
    assert_eq!(world.up.count(path), 1);
}
