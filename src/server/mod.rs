//! The edge: speaks HTTP, knows no freshness.

mod answer;
mod asked;
mod base;
mod body;
mod error;
mod handle;
mod linger;
mod listen;
mod own;
mod owned;
mod pass;
mod publish;
mod range;
mod respond;
mod scope;
mod trickle;
mod v2;

pub use base::BaseRules;
pub use handle::App;
pub use listen::{Limits, run};
