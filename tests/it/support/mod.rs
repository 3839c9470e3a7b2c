//! What the behaviours are tested with: a scripted upstream and a plain client.

pub mod authority;
pub mod client;
pub mod disk;
pub mod group;
pub mod port;
pub mod program;
pub mod proxy;
pub mod push;
pub mod script;
pub mod until;
pub mod upstream;
pub mod world;

pub use client::{Response, get, head};
pub use group::GroupWorld;
pub use program::Program;
pub use until::{stored, until};
pub use upstream::ScriptedUpstream;
pub use world::World;
