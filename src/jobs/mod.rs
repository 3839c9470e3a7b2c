//! Work that nobody waits for.

pub mod discover;
pub mod scrub;
