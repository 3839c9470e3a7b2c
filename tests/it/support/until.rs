//! Waiting for what no channel tells.

use std::time::Duration;

use super::World;
use super::client::Response;

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until `condition` holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let asking = async {
            while !condition().await {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, asking).await.is_ok();
        assert!(in_time, "{caller}: never came true: {what}");
    }
}

/// GET below our `/v3/` that is over only when what was answered is stored.
pub async fn stored(world: &World, path: &str) -> Response {
    let response = world.get(path).await;
    world.quiet().await;
    response
}
