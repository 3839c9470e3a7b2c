//! Behaviours of nugate, one module each.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod access;
mod base;
mod bodies;
mod cli;
mod coalesce;
mod crawl;
mod credentials;
mod damage;
mod demo;
mod durable;
mod feeds;
mod folder;
mod harness;
mod hit_miss;
mod http;
mod layers;
mod lost;
mod metrics;
mod model;
mod modes;
mod negative;
mod publish;
mod quota;
mod raw;
mod revalidate;
mod search;
mod shapes;
mod shutdown;
mod slow;
mod stale;
mod strict;
mod support;
mod tidy;
mod tls;
mod v2;
mod vulnerabilities;
