//! An example feed that needs no network: packages made in memory and every V3 document of them.
//!
//! It answers the way nuget.org does (shapes, bases, encodings, cache headers), so that the program
//! can be tried without an upstream and so that tests have a measure of their own. It deliberately
//! shares no code with the rules it measures: versions, URLs and documents are written here a
//! second time. Invariant: the same packages and base URL give the same bytes.

mod catalog;
pub mod feed;
mod links;
pub mod package;
mod publish;
mod registration;
mod request;
mod search;
pub mod server;
mod service;
mod set;
mod stamp;
pub mod version;

pub use feed::ExampleFeed;
pub use package::Package;
