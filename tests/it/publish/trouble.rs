//! Pushes that go wrong: made once, never looking complete when they are not, told in words.

use std::time::Duration;

use http::Method;

use super::UPSTREAM;
use crate::support::client::call;
use crate::support::push::{FORM, Uploading, form_of};
use crate::support::upstream::Seen;
use crate::support::world::Settings;
use crate::support::{World, until};
use nugate::demo::ExampleFeed;
use nugate::policy::class::Network;

async fn with(change: impl FnOnce(&mut Settings)) -> World {
    World::with(ExampleFeed::demo(), change).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_never_repeated() {
    let world = with(|settings| settings.feed.attempts = 3).await;
    for status in [500, 502, 503, 504, 429, 408] {
        drop(
            world
                .up
                .on(UPSTREAM)
                .reply(status, "later")
                .header("retry-after", "7"),
        );
        world.up.clear_log();
        let pushed = world.push("New.Id", "1.0.0").await;
        assert_eq!(pushed.status, status);
        assert_eq!(pushed.text(), "later");
        assert_eq!(pushed.header("retry-after"), "7");
        assert_eq!(world.up.count(UPSTREAM), 1, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_gets_no_answer_is_not_repeated_either() {
    let mut world = with(|settings| settings.feed.attempts = 3).await;
    world.up.on(UPSTREAM).hang();
    let address = world.addr;
    let pushing = tokio::spawn(async move {
        let body = form_of("New.Id", "1.0.0");
        call(address, Method::PUT, "/v3/publish/", &[FORM], body).await
    });
    let is_push = |seen: &Seen| seen.path() == UPSTREAM;
    world.up.wait_for(|log| log.iter().any(is_push)).await;
    world.up.down().await;
    world.up.behave();
    world.up.up();
    let lost = pushing.await.unwrap();
    assert_eq!(lost.status, 502, "{}", lost.text());
    assert_eq!(world.up.count(UPSTREAM), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_told_and_not_followed() {
    let world = World::demo().await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/api/v2/symbolpackage/?key=secret", world.up.base_url());
        drop(
            world
                .up
                .on(UPSTREAM)
                .reply(status, "")
                .header("location", &to),
        );
        let pushed = world.push("New.Id", "1.0.0").await;
        assert_eq!(pushed.status, 502);
        let text = pushed.text();
        assert!(
            text.contains("feed test") && text.contains("redirects to 127.0.0.1"),
            "{text}"
        );
        assert!(
            text.contains("cannot be sent twice") && !text.contains("secret"),
            "{text}"
        );
    }
    assert_eq!(world.up.count("/api/v2/symbolpackage/"), 0);
    assert_eq!(world.up.count(UPSTREAM), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_down_is_named() {
    let mut world = World::demo().await;
    world.get("index.json").await;
    world.up.down().await;
    for (method, path) in [
        (Method::PUT, "publish/"),
        (Method::PUT, "symbols/"),
        (Method::DELETE, "publish/Example.Core/1.0.0"),
    ] {
        // Longer than all buffers: the client must see the answer and no reset.
        let body = vec![7; 8_000_000];
        let failed = world.call(method, path, &[FORM], body).await;
        assert_eq!(failed.status, 502, "{path}");
        assert!(failed.text().contains("feed test"), "{}", failed.text());
        assert!(failed.header("x-nuget-warning").contains("feed test"));
    }
    assert_eq!(
        world
            .metric("nugate_published_total{outcome=\"failed\"}")
            .await,
        3.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_does_not_answer_is_not_waited_for_for_ever() {
    let quick = Duration::from_millis(200);
    let world = with(|settings| settings.options.publish_timeout = quick).await;
    world.up.on(UPSTREAM).hang();
    let failed = world.push("New.Id", "1.0.0").await;
    assert_eq!(failed.status, 504);
    let text = failed.text();
    assert!(
        text.contains("feed test") && text.contains("200ms"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_takes_no_more_is_not_waited_for_for_ever() {
    let world = with(|settings| settings.feed.idle_timeout = Duration::from_secs(2)).await;
    drop(world.up.on(UPSTREAM).reply(201, "").early(10).hang());
    // More than all the buffers on the way hold.
    let body = vec![7; 64 << 20];
    let failed = world.call(Method::PUT, "publish/", &[FORM], body).await;
    assert_eq!(failed.status, 504, "{}", failed.text());
    assert!(
        failed.text().contains("took no further byte"),
        "{}",
        failed.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused() {
    let world = with(|settings| settings.options.package_size_max = 1_000_000).await;
    world.get("index.json").await;
    let mut upload = Uploading::begin(world.addr, "Content-Length: 1000001").await;
    upload.raw(&vec![7; 1_000_001]).await;
    let answer = upload.answer().await;
    assert_eq!(answer.status_line(), "HTTP/1.1 413 Payload Too Large");
    assert!(answer.0.contains("cache.package_size_max"), "{answer:?}");
    assert_eq!(world.up.received(), 0);
    let mut upload = Uploading::begin(world.addr, "Transfer-Encoding: chunked").await;
    for _ in 0..30 {
        upload.chunk(&vec![7; 100_000]).await;
    }
    upload.raw(b"0\r\n\r\n").await;
    let answer = upload.answer().await;
    assert_eq!(answer.status_line(), "HTTP/1.1 413 Payload Too Large");
    assert!(world.up.received() <= 1_000_000);
    assert_eq!(
        world.up.count(UPSTREAM),
        0,
        "the feed never saw a whole body"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stalls_is_ended() {
    let world = with(|settings| settings.feed.idle_timeout = Duration::from_secs(2)).await;
    let mut upload = Uploading::begin(world.addr, "Transfer-Encoding: chunked").await;
    upload.chunk(&[7; 1000]).await;
    world.up.has_received(1000).await;
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        answer.push_str(&upload.read(1).await);
    }
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{answer}"
    );
    assert_eq!(
        world.up.count(UPSTREAM),
        0,
        "the feed never saw a whole body"
    );
    assert_eq!(
        world
            .metric("nugate_published_total{outcome=\"unsent\"}")
            .await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_never_looks_complete() {
    let world = World::demo().await;
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 5000"] {
        let before = world.up.received();
        let mut upload = Uploading::begin(world.addr, framing).await;
        if framing.starts_with('T') {
            upload.chunk(&[7; 1000]).await;
        } else {
            upload.raw(&[7; 1000]).await;
        }
        world.up.has_received(before + 1000).await;
        drop(upload);
    }
    let unsent = "nugate_published_total{outcome=\"unsent\"}";
    until("both are counted", async || {
        world.metric(unsent).await == 2.0
    })
    .await;
    assert_eq!(world.up.count(UPSTREAM), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_passed_on_offline() {
    let mut world = World::demo().await;
    world.hit("index.json").await;
    world.change(|settings| settings.options.network = Network::Offline);
    world.restart().await;
    let failed = world.push("New.Id", "1.0.0").await;
    assert_eq!(failed.status, 504);
    assert!(failed.text().contains("offline"), "{}", failed.text());
    assert_eq!(world.up.count(UPSTREAM), 0);
    let form = form_of("New.Id", "1.0.0");
    let again = world.call(Method::PUT, "symbols", &[FORM], form).await;
    assert_eq!(again.status, 504);
}
