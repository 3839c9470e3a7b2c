//! Keeps the upstream's service index known and fresh, so that no client waits for it.
//!
//! An upstream that is down does not stop anything: what is stored is served, and this keeps
//! trying.

use std::time::Duration;

use crate::proxy::Proxy;

/// Between looks at the age of the index.
const PERIOD: Duration = Duration::from_secs(30);

/// First and longest pause while the index cannot be had.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Runs until it is dropped.
pub async fn run(proxy: Proxy) {
    let mut pause = FIRST;
    let mut failing = false;
    loop {
        match proxy.keep_index_fresh().await {
            Ok(()) => {
                if failing {
                    tracing::info!(feed = proxy.feed().0, "the upstream answers again");
                }
                failing = false;
                pause = FIRST;
                tokio::time::sleep(PERIOD).await;
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(feed = proxy.feed().0, %error, "the upstream's service index cannot be had; trying on");
                }
                failing = true;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
            }
        }
    }
}
