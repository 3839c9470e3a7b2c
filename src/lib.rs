//! nugate: a caching reverse proxy and mirror daemon for NuGet package sources.
//!
//! Layers, each importing only lower ones or its own folder (`tests/it/layers.rs` enforces it):
//!
//! ```text
//! main -> cli -> demo -> server -> pages -> jobs -> group -> proxy -> store, upstream -> folder, pace
//!      -> config -> nuget -> policy -> entry, observe -> clock
//! ```

pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod entry;
pub mod folder;
pub mod group;
pub mod jobs;
pub mod nuget;
pub mod observe;
pub mod pace;
pub mod pages;
pub mod policy;
pub mod proxy;
pub mod server;
pub mod store;
pub mod upstream;
