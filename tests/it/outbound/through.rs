//! A proxy that works.

use std::time::Duration;

use http::Method;
use nugate::policy::http::Lifetimes;
use nugate::proxy::generic::RouteOptions;

use super::*;
use crate::support::proxy::Asked;
use crate::support::{get, stored};

/// The proxy was shown its credential with each request; with or without the feed's.
#[track_caller]
fn shown(log: &[Asked], with_feed: bool) {
    assert!(!log.is_empty());
    for asked in log {
        let value = asked.headers.get("proxy-authorization").unwrap();
        assert_eq!(*value, *basic(USER), "{asked:?}");
        let feed = asked.headers.get("authorization").is_some();
        assert_eq!(feed, with_feed, "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_goes_through_a_tunnel() {
    let authority = authority();
    let in_clear = WebProxy::guarded().await;
    let in_tls = WebProxy::guarded_tls(&authority.issue(&["127.0.0.1"])).await;
    for proxy in [in_clear, in_tls] {
        let up = secure(&proxy, &authority).await;
        let world = world(up, proxy.for_all_as(USER), Some(&authority)).await;
        assert_eq!(world.get(LIST).await.status, 200);
        let nupkg = world.get(NUPKG).await;
        assert_eq!(nupkg.body, world.nupkg("A.Tool", "1.0.0"));
        assert_eq!(world.push("B.Tool", "1.0.0").await.status, 201);
        only_its_own(&world.up);
        let log = proxy.log();
        shown(&log, false);
        for asked in &log {
            assert_eq!(
                (&asked.method, &*asked.target),
                (&Method::CONNECT, "feed.test:443")
            );
            assert_eq!(asked.headers["host"], "feed.test:443");
        }
        // A tunnel is kept like any connection; only a push has one of its own.
        assert!(log.len() < world.up.requests(), "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_goes_in_absolute_form() {
    let proxy = WebProxy::guarded().await;
    let up = plain(&proxy).await;
    let world = world(up, proxy.for_all_as(USER), None).await;
    assert_eq!(world.get(LIST).await.status, 200);
    assert_eq!(world.get(NUPKG).await.body, world.nupkg("A.Tool", "1.0.0"));
    assert_eq!(world.push("B.Tool", "1.0.0").await.status, 201);
    let log = proxy.log();
    // What is in clear, the proxy sees.
    let (pushes, reads): (Vec<_>, Vec<_>) = log
        .into_iter()
        .partition(|asked| asked.method == Method::PUT);
    shown(&reads, true);
    shown(&pushes, false);
    assert_eq!(pushes.len(), 1);
    let targets: Vec<_> = reads.iter().map(|asked| &*asked.target).collect();
    for expected in [
        "http://feed.test/v3/index.json",
        "http://feed.test/v3-flatcontainer/a.tool/1.0.0/a.tool.1.0.0.nupkg",
    ] {
        assert!(targets.contains(&expected), "{targets:?}");
    }
    for seen in world.up.log() {
        knows_no_proxy(&seen.headers);
        assert_eq!(seen.header("host"), "feed.test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_goes_its_own_way() {
    let authority = authority();
    let proxy = WebProxy::guarded().await;
    let up = plain(&proxy).await;
    let blobs = ScriptedUpstream::called("https://blobs.test", feed()).await;
    let front = in_tls(&authority.issue(&["blobs.test"]), blobs.addr()).await;
    proxy.knows("blobs.test:443", front);
    let direct = ScriptedUpstream::at([127, 0, 0, 2], feed()).await;
    let flat = "/v3-flatcontainer/a.tool";
    let list = format!("{flat}/index.json");
    let nupkg = format!("{flat}/1.0.0/a.tool.1.0.0.nupkg");
    for (path, host) in [(&list, direct.base_url()), (&nupkg, blobs.base_url())] {
        let there = format!("{host}{path}");
        up.on(path).reply(302, "").header("location", &there);
    }
    let mut proxies = proxy.for_all_as(USER);
    proxies.exempt = vec!["127.0.0.0/8".parse().unwrap()];
    let hosts = vec![direct.addr().to_string(), "blobs.test".to_owned()];
    let world = world_with(up, proxies, Some(&authority), |settings| {
        settings.feed.redirect_hosts = hosts;
    })
    .await;
    assert_eq!(world.get(LIST).await.status, 200);
    assert_eq!(world.get(NUPKG).await.body, world.nupkg("A.Tool", "1.0.0"));
    only_its_own(&world.up);
    for seen in [direct.log(), blobs.log()].concat() {
        knows_no_proxy(&seen.headers);
        assert_eq!(seen.header("authorization"), "", "{seen:?}");
    }
    assert_eq!((direct.requests(), blobs.requests()), (1, 1));
    let log = proxy.log();
    let to = |target: &str| {
        log.iter()
            .filter(|asked| asked.target.contains(target))
            .count()
    };
    assert_eq!((to("blobs.test:443"), to("127.0.0.2")), (1, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exempt_does_not_come_near_the_proxy() {
    for exempt in ["127.0.0.1", "127.0.0.0/8", "*"] {
        let proxy = WebProxy::guarded().await;
        let up = ScriptedUpstream::new(feed()).await;
        let mut proxies = proxy.for_all_as(USER);
        proxies.exempt = vec!["other.test".parse().unwrap(), exempt.parse().unwrap()];
        let world = world(up, proxies, None).await;
        assert_eq!(world.get(LIST).await.status, 200);
        only_its_own(&world.up);
        assert!(proxy.log().is_empty(), "{:?}", proxy.log());
    }
    // One port of it is not another.
    let proxy = WebProxy::guarded().await;
    let up = ScriptedUpstream::new(feed()).await;
    proxy.knows(&up.addr().to_string(), up.addr());
    let mut proxies = proxy.for_all_as(USER);
    proxies.exempt = vec!["127.0.0.1:1".parse().unwrap()];
    let world = world(up, proxies, None).await;
    assert_eq!(world.get(LIST).await.status, 200);
    assert!(!proxy.log().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generic_route_goes_through_it_too() {
    let proxy = WebProxy::guarded().await;
    let up = plain(&proxy).await;
    up.on("/tools/list").reply(200, "the list");
    let route = RouteOptions {
        name: "dist".to_owned(),
        url: "http://feed.test/tools/".parse().unwrap(),
        unsafe_methods: false,
        relay_credentials: true,
        lifetimes: Lifetimes {
            default: Duration::ZERO,
            heuristic_max: Duration::ZERO,
            stale_if_unreachable: Duration::ZERO,
        },
        size_max: 1 << 20,
        rewrite: Vec::new(),
    };
    let proxies = proxy.for_all_as(USER);
    let world = world_with(up, proxies, None, |settings| settings.routes = vec![route]).await;
    // What a client has for a proxy is not for this one.
    let client = [("proxy-authorization", "Basic Y2xpZW50OmNsaWVudA==")];
    let answer = get(world.addr, "/raw/dist/list", &client).await;
    assert_eq!(answer.text(), "the list");
    shown(&proxy.log(), false);
    for seen in world.up.log() {
        knows_no_proxy(&seen.headers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_behind_a_proxy_cannot_lead_to_the_machine_of_the_proxy() {
    let proxy = WebProxy::open().await;
    let up = plain(&proxy).await;
    let bait = ScriptedUpstream::new(feed()).await;
    for name in ["localhost", "127.0.0.1", "a.localhost"] {
        let target = format!("{name}:{}", bait.addr().port());
        proxy.knows(&target, bait.addr());
        let path = "/v3-flatcontainer/a.tool/index.json";
        let away = format!("http://{target}{path}");
        up.on(path)
            .reply(302, "")
            .header("location", &away)
            .times(1);
    }
    let port = bait.addr().port();
    // Patterns for names below a host are no names of this machine.
    let world = world_with(up, proxy.for_all(), None, |settings| {
        settings.feed.redirect_hosts = vec![format!("*.localhost:{port}"), "*.0.0.1".to_owned()];
    })
    .await;
    for _ in 0..3 {
        assert_eq!(stored(&world, LIST).await.status, 502);
        world.later(120);
    }
    assert_eq!(bait.requests(), 0);
}
