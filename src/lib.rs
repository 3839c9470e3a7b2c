//! nugate: a caching reverse proxy and mirror daemon for NuGet package sources.
//!
//! Layers, each importing only lower ones or its own folder (`tests/it/layers.rs` enforces it):
//!
//! ```text
//! main -> cli -> demo -> server -> jobs -> proxy -> store, upstream -> config -> nuget -> policy
//!      -> clock, entry, observe
//! ```

pub mod cli;
pub mod clock;
pub mod config;
pub mod entry;
pub mod nuget;
pub mod policy;
