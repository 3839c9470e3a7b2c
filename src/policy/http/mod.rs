//! The rules of a shared HTTP cache: RFC 9111, stale responses of RFC 5861, and the targeted field
//! `CDN-Cache-Control` of RFC 9213.
//!
//! Freshness follows a response's own fields alone; nothing here knows NuGet. Where the RFC leaves a
//! choice, the more careful one is taken: what cannot be understood makes a response older, never
//! younger.

pub mod directives;
pub mod fields;
pub mod freshness;
pub mod reuse;
pub mod storable;
pub mod targeted;
pub mod vary;

pub use directives::{RequestDirectives, ResponseDirectives};
pub use freshness::Lifetimes;
pub use reuse::{Failure, Question, Verdict};

/// Headers of a test: a line for each.
#[cfg(test)]
fn headers(lines: &[(&'static str, &str)]) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    for (name, value) in lines {
        let name = http::HeaderName::from_static(name);
        headers.append(name, value.parse().unwrap());
    }
    headers
}
