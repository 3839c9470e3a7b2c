//! Generic routes: a shared HTTP cache below `/raw/`.
//!
//! - what is kept and for how long follows the response's own fields; ages are told
//! - requests that may share an answer cost one question, others one each
//! - what concerns one connection ends here, in both directions; credentials stay with us
//! - a body that a client keeps back, or that cannot be read, is the client's fault
//! - an outage is ridden out where the response does not forbid it

mod outage;
mod passing;
mod sharing;
mod storing;
mod uploads;

use std::time::Duration;

use http::Method;
use nugate::policy::http::Lifetimes;
use nugate::proxy::generic::RouteOptions;

use crate::support::client::{self, Response};
use crate::support::world::Settings;
use crate::support::{ScriptedUpstream, World};

/// A path of the upstream, and of ours.
pub const ABOVE: &str = "/files/a.txt";
pub const PATH: &str = "a.txt";

pub const MISS: &str = "nugate; fwd=uri-miss; stored";
pub const HIT: &str = "nugate; hit";

/// A nugate whose route `test` leads to `/files/` of the upstream.
pub async fn world() -> World {
    world_with(|_| {}).await
}

/// The same with other settings.
pub async fn world_with(change: impl FnOnce(&mut Settings)) -> World {
    let up = ScriptedUpstream::demo().await;
    let url = format!("{}/files/", up.base_url()).parse().unwrap();
    World::before(up, |settings| {
        settings.routes = vec![RouteOptions {
            name: "test".to_owned(),
            url,
            unsafe_methods: false,
            relay_credentials: false,
            lifetimes: Lifetimes {
                stale_if_unreachable: Duration::from_secs(1000),
                ..Lifetimes::default()
            },
            size_max: 1 << 30,
            rewrite: vec!["tools.json".to_owned()],
        }];
        change(settings);
    })
    .await
}

/// The same with other settings of the route.
pub async fn world_of(change: impl FnOnce(&mut RouteOptions)) -> World {
    world_with(|settings| change(&mut settings.routes[0])).await
}

/// GET on the route; over when what was answered is stored.
pub async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Response {
    let response = client::get(world.addr, &format!("/raw/test/{path}"), headers).await;
    world.quiet().await;
    response
}

/// Any method on the route.
pub async fn call(world: &World, method: &str, path: &str, body: &'static str) -> Response {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let path = format!("/raw/test/{path}");
    client::call(world.addr, method, &path, &[], body).await
}

/// A reply of the upstream with this `Cache-Control`.
pub fn says(world: &World, path: &str, cache_control: &str) {
    let on = world.up.on(path).reply(200, "hello");
    drop(on.header("cache-control", cache_control));
}
