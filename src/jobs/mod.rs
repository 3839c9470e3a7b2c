//! What goes on beside requests.

pub mod command;
pub mod discover;
pub mod scrub;
