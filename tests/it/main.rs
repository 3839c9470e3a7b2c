//! Behaviours of nugate, one module each.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod base;
mod bodies;
mod cli;
mod coalesce;
mod crawl;
mod demo;
mod harness;
mod hit_miss;
mod http;
mod layers;
mod lost;
mod metrics;
mod model;
mod modes;
mod negative;
mod raw;
mod revalidate;
mod search;
mod shapes;
mod shutdown;
mod slow;
mod stale;
mod support;
mod tidy;
mod vulnerabilities;
