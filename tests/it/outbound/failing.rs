//! A proxy that does not.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::support::client::Response;
use crate::support::proxy::Manner;
use crate::support::stored;

/// A failure that names the proxy and the reason, and shows no secret.
#[track_caller]
fn failed(response: &Response, status: u16, proxy: &WebProxy, why: &str) {
    let text = response.text();
    assert_eq!(response.status, status, "{text}");
    assert!(text.contains("feed test"), "{text}");
    named(&text, proxy, why);
    named(response.header("x-nuget-warning"), proxy, why);
    secretless(&format!("{response:?}"));
    for name in ["proxy-authenticate", "www-authenticate"] {
        assert_eq!(response.headers.get(name), None);
    }
}

#[track_caller]
fn named(text: &str, proxy: &WebProxy, why: &str) {
    assert!(
        text.contains(&format!("://{} {why}", proxy.addr())),
        "{why}: {text}"
    );
}

#[track_caller]
fn secretless(text: &str) {
    for secret in [
        "s3cret",
        &basic(USER)["Basic ".len()..],
        "The proxy of the company says no",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

/// What is stored, with a warning that names the proxy.
#[track_caller]
fn stale(response: &Response, first: &Response, proxy: &WebProxy, why: &str) {
    assert_eq!(
        (response.status, &response.body),
        (first.status, &first.body),
        "{response:?}"
    );
    let warning = response.header("x-nuget-warning");
    assert!(warning.contains("stored"), "{warning}");
    named(warning, proxy, why);
    secretless(&format!("{response:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_password_nothing_is_asked_and_it_says_so() {
    let (wrong, missing) = (
        "answered 407: it refuses the user",
        "answered 407: it wants a user",
    );
    let authority = authority();
    for is_tls in [true, false] {
        for why in [wrong, missing] {
            let proxy = WebProxy::guarded().await;
            let up = if is_tls {
                secure(&proxy, &authority).await
            } else {
                plain(&proxy).await
            };
            let proxies = if why == wrong {
                proxy.for_all_as((USER.0, "another s3cret"))
            } else {
                proxy.for_all()
            };
            let world = world_with(up, proxies, Some(&authority), |settings| {
                settings.feed.attempts = 3;
            })
            .await;
            failed(&world.get("index.json").await, 502, &proxy, why);
            // Asking again would not help, and locks users out.
            assert_eq!(proxy.log().len(), 1);
            assert_eq!(world.up.requests(), 0);
            assert!(counted(&world, "proxy-denied").await >= 1.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_the_proxy_is_an_answer_of_the_feed() {
    let authority = authority();
    for (status, counts) in [
        (404, "proxy-denied"),
        (403, "proxy-denied"),
        (302, "proxy-denied"),
        (500, "proxy"),
        (502, "proxy"),
        (503, "proxy"),
    ] {
        let proxy = WebProxy::guarded().await;
        let up = secure(&proxy, &authority).await;
        let mut world = world(up, proxy.for_all_as(USER), Some(&authority)).await;
        let first = stored(&world, LIST).await;
        assert_eq!(first.status, 200);
        // Tunnels that are open stay open.
        world.restart().await;
        proxy.be(Manner::Answers(status, &[("retry-after", "1")]));
        world_is_without_it(&world, &first, (&proxy, &format!("answered {status}"))).await;
        assert!(counted(&world, counts).await >= 1.0, "{status}");
        // As soon as it leads there again, it is asked.
        proxy.be(Manner::Works);
        world.later(3600);
        assert_eq!(
            stored(&world, NUPKG).await.body,
            world.nupkg("A.Tool", "1.0.0")
        );
    }
}

async fn world_is_without_it(world: &World, first: &Response, (proxy, why): (&WebProxy, &str)) {
    world.later(3600);
    stale(&world.get(LIST).await, first, proxy, why);
    failed(&world.get(NUPKG).await, 502, proxy, why);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_squid_over_http_are_told_apart() {
    for status in [404, 403, 503] {
        let proxy = WebProxy::open().await;
        let up = plain(&proxy).await;
        let world = world(up, proxy.for_all(), None).await;
        let first = stored(&world, LIST).await;
        proxy.be(Manner::Answers(
            status,
            &[("x-squid-error", "ERR_ACCESS_DENIED 0")],
        ));
        world_is_without_it(&world, &first, (&proxy, &format!("answered {status}"))).await;
    }
    // A page without a mark is at least no document.
    let proxy = WebProxy::open().await;
    let up = plain(&proxy).await;
    let world = world(up, proxy.for_all(), None).await;
    let first = stored(&world, LIST).await;
    proxy.be(Manner::Answers(200, &[]));
    world.later(3600);
    let second = world.get(LIST).await;
    assert_eq!((second.status, second.body), (first.status, first.body));
    assert_eq!(world.get(NUPKG).await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_gone_what_is_stored_is_served() {
    let authority = authority();
    for is_tls in [true, false] {
        let proxy = WebProxy::guarded().await;
        let up = if is_tls {
            secure(&proxy, &authority).await
        } else {
            plain(&proxy).await
        };
        let world = world(up, proxy.for_all_as(USER), Some(&authority)).await;
        let first = stored(&world, LIST).await;
        proxy.down().await;
        let why = "cannot be reached: connection refused";
        world_is_without_it(&world, &first, (&proxy, why)).await;
        assert!(counted(&world, "proxy").await >= 1.0);
        // The feed itself is there, and is not asked past the proxy.
        assert!(world.up.log().iter().all(|seen| seen.path() != NUPKG));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_proxy_has_a_limit_of_its_own() {
    let authority = authority();
    let proxy = WebProxy::open().await;
    proxy.be(Manner::Silent);
    let up = secure(&proxy, &authority).await;
    let limit = Duration::from_millis(200);
    let world = world_with(up, proxy.for_all(), Some(&authority), |settings| {
        settings.feed.connect_timeout = limit;
    })
    .await;
    failed(
        &world.get("index.json").await,
        504,
        &proxy,
        "opened no tunnel within 200ms",
    );
    assert!(counted(&world, "proxy").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_proxy_is_told() {
    let authority = authority();
    for (said, why) in [
        (
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            "did not answer as a proxy: no HTTP",
        ),
        (b"", "closed the connection before its answer"),
        (
            b"HTTP/1.1 200 OK\r\n\r\n<html>",
            "did not answer as a proxy: bytes behind the answer",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(said).await.unwrap();
            }
        });
        let proxy = WebProxy::open().await;
        let up = secure(&proxy, &authority).await;
        let mut proxies = proxy.for_all();
        let url = format!("http://{place}/").parse().unwrap();
        proxies.tls.as_mut().unwrap().url = url;
        let world = world(up, proxies, Some(&authority)).await;
        let response = world.get("index.json").await;
        assert_eq!(response.status, 502, "{response:?}");
        let text = response.text();
        assert!(
            text.contains(&format!("proxy http://{place} {why}")),
            "{text}"
        );
        assert_eq!(world.up.requests(), 0);
    }
}
