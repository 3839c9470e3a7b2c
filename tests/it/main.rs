//! Behaviours of nugate, one module each.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod access;
mod ahead;
mod attacks;
mod base;
mod bodies;
mod breaker;
mod cli;
mod coalesce;
mod commands;
mod control;
mod crawl;
mod credentials;
mod damage;
mod demo;
mod deploy;
mod doors;
mod durable;
mod faults;
mod feeds;
mod folder;
mod harness;
mod hit_miss;
mod hot;
mod http;
mod layers;
mod lifecycle;
mod long_documents;
mod lost;
mod metrics;
mod model;
mod modes;
mod negative;
mod outbound;
mod pacing;
mod pages;
mod publish;
mod quota;
mod raw;
mod resume;
mod revalidate;
mod search;
mod shapes;
mod shutdown;
mod silence;
mod slow;
mod stale;
mod stock;
mod strict;
mod support;
mod tidy;
mod tls;
mod upstream_bodies;
mod upstream_faults;
mod v2;
mod v2_upstream;
mod vulnerabilities;
