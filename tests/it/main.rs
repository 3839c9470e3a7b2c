//! Behaviours of nugate, one module each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod crawl;
mod harness;
mod hit_miss;
mod layers;
mod model;
mod shapes;
mod support;
mod tidy;
