//! Feeds through a proxy of the company, with its authorities, from given addresses.
//!
//! - https goes through a tunnel, http in absolute form; pushes, redirects and generic routes too
//! - the proxy's credential goes to the proxy alone, the feed's never to the proxy but inside http
//! - what is exempt, or of a feed with a way of its own, never comes near the proxy
//! - a proxy that is gone, silent, no proxy, or says no: what is stored is served, the rest says so;
//!   nothing that it answers is taken for the feed's answer
//! - what is wrong in settings or in variables of the environment stops the start
//! - authorities and a certificate of our own, source addresses, one kind of addresses

mod certificates;
mod failing;
mod settings;
mod through;

use std::sync::Arc;

use http::Method;
use nugate::config::{Credential, Proxies, Scheme, Secret};
use nugate::demo::{ExampleFeed, Package};

use crate::support::authority::Authority;
use crate::support::proxy::{USER, WebProxy, basic, in_tls};
use crate::support::world::Settings;
use crate::support::{ScriptedUpstream, World};

const LIST: &str = "flat/a.tool/index.json";
const NUPKG: &str = "flat/a.tool/1.0.0/a.tool.1.0.0.nupkg";
/// What a feed wants to be shown, and the same as a header.
const FEED_USER: (&str, &str) = ("me", "feed-s3cret");

fn feed() -> ExampleFeed {
    ExampleFeed::new([Package::new("A.Tool", "1.0.0")]).unwrap()
}

fn credential() -> Credential {
    Credential {
        scheme: Scheme::Basic {
            username: FEED_USER.0.to_owned(),
        },
        secret: Secret::new(FEED_USER.1),
        hosts: Vec::new(),
    }
}

/// A feed called `feed.test` over http, which only the proxy finds.
async fn plain(proxy: &WebProxy) -> ScriptedUpstream {
    let up = ScriptedUpstream::called("http://feed.test", feed()).await;
    proxy.knows("feed.test:80", up.addr());
    up
}

/// The same over https, with a certificate of this authority.
async fn secure(proxy: &WebProxy, authority: &Authority) -> ScriptedUpstream {
    let up = ScriptedUpstream::called("https://feed.test", feed()).await;
    let front = in_tls(&authority.issue(&["feed.test"]), up.addr()).await;
    proxy.knows("feed.test:443", front);
    up
}

/// A world whose feed wants a credential, through these proxies, trusting this authority.
async fn world(up: ScriptedUpstream, proxies: Proxies, authority: Option<&Authority>) -> World {
    world_with(up, proxies, authority, |_| {}).await
}

async fn world_with(
    up: ScriptedUpstream,
    proxies: Proxies,
    authority: Option<&Authority>,
    change: impl FnOnce(&mut Settings),
) -> World {
    World::before(up, |settings| {
        settings.feed.outbound.proxies = proxies;
        settings.feed.outbound.extra_roots = authority.map(Authority::root).into_iter().collect();
        settings.feed.credential = Some(credential());
        change(settings);
    })
    .await
}

/// The upstream was shown its own credential, but with pushes, and none of the proxy's.
#[track_caller]
fn only_its_own(up: &ScriptedUpstream) {
    let log = up.log();
    assert!(!log.is_empty());
    for seen in log {
        let own = if seen.method == Method::PUT {
            String::new()
        } else {
            basic(FEED_USER)
        };
        assert_eq!(seen.header("authorization"), own, "{seen:?}");
        knows_no_proxy(&seen.headers);
    }
}

#[track_caller]
fn knows_no_proxy(headers: &http::HeaderMap) {
    let mut names = headers.keys().map(http::HeaderName::as_str);
    assert!(!names.any(|name| name.starts_with("proxy-")), "{headers:?}");
    let credential = basic(USER);
    assert!(
        !headers.values().any(|value| value == credential.as_str()),
        "{headers:?}"
    );
}

/// A value of `nugate_upstream_requests_total` for this outcome.
async fn counted(world: &World, outcome: &str) -> f64 {
    let text = crate::support::get(world.addr, "/metrics", &[])
        .await
        .text();
    let label = format!("outcome=\"{outcome}\"");
    let lines = text.lines().filter(|line| {
        line.starts_with("nugate_upstream_requests_total{") && line.contains(&label)
    });
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Where tests share an authority.
fn authority() -> Arc<Authority> {
    Arc::new(Authority::new("The company"))
}
