//! More connections than there are places for.

use std::time::Duration;

use nugate::clock::Stopwatch;
use tokio::net::TcpStream;

use super::{HEALTH, LARGE, UPSTREAM, again, ended, rest, used, world};
use crate::support::client;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn with_too_many_connections_an_idle_one_makes_room() {
    let world = world(|it| it.limits.connections_max = 3).await;
    world.up.on(UPSTREAM).stall_after(1_000_000);
    let busy = client::open(world.addr, LARGE, &[]).await;
    let mut first = used(world.addr).await;
    let mut second = used(world.addr).await;
    let mut third = used(world.addr).await;
    let left = tokio::select! {
        _ = rest(&mut first) => &mut second,
        _ = rest(&mut second) => &mut first,
    };
    again(left).await;
    again(&mut third).await;
    world.up.release();
    busy.rest().await.unwrap();
    assert_eq!(ended(&world, "evicted"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_just_asked_makes_room_at_once() {
    let world = world(|it| it.limits.connections_max = 1).await;
    let started = Stopwatch::start();
    let mut held = Vec::new();
    for _ in 0..6 {
        // None of them closes, or reads that it is to.
        held.push(used(world.addr).await);
    }
    // Who lingers has two seconds to close.
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(ended(&world, "evicted"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_too_many_connections_loses_its_own() {
    let world = world(|it| it.limits.connections_per_client_max = 2).await;
    world.up.on(UPSTREAM).stall_after(1_000_000);
    let busy = client::open(world.addr, LARGE, &[]).await;
    let mut idle = TcpStream::connect(world.addr).await.unwrap();
    let mut newer = used(world.addr).await;
    assert_eq!(rest(&mut idle).await, b"");
    again(&mut newer).await;
    drop(newer);
    until("only the busy one is left", async || {
        world.app().proxy().metrics().connections.get() == 1
    })
    .await;
    let other = client::open(world.addr, LARGE, &[]).await;
    // Both are busy: neither is given up for a third.
    assert_eq!(
        client::raw(world.addr, format!("{HEALTH}\r\n").as_bytes()).await,
        b""
    );
    assert_eq!((ended(&world, "evicted"), ended(&world, "refused")), (1, 1));
    world.up.release();
    let length = busy.rest().await.unwrap().body.len();
    assert_eq!(other.rest().await.unwrap().body.len(), length);
}
