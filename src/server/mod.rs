//! The edge: speaks HTTP, knows no freshness.

pub mod access;
mod activity;
mod asked;
mod base;
mod body;
mod connection;
mod crowd;
mod error;
mod handle;
mod listen;
mod own;
mod range;
mod reload;
mod respond;
mod strict;
mod tls;
mod tracked;
mod trickle;

pub use activity::Patience;
pub use base::BaseRules;
pub use handle::App;
pub use listen::{Door, Limits, run};
pub use reload::Reload;
pub use tls::{Reloaded, Tls, TlsError, TlsOptions};
