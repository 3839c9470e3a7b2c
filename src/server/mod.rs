//! The edge: speaks HTTP, knows no freshness.

mod asked;
mod base;
mod body;
mod error;
mod handle;
mod listen;
mod own;
mod range;
mod raw;
mod respond;
mod trickle;

pub use base::BaseRules;
pub use handle::App;
pub use listen::{Limits, run};
