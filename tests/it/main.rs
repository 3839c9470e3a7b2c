//! Behaviours of nugate, one module each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod bodies;
mod coalesce;
mod harness;
mod hit_miss;
mod modes;
mod negative;
mod revalidate;
mod stale;
mod support;
