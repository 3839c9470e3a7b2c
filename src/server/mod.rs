//! The edge: speaks HTTP, knows no freshness.

pub mod access;
mod activity;
mod answer;
mod app;
mod asked;
mod base;
mod body;
mod connection;
pub mod control;
mod crowd;
mod error;
mod handle;
mod hot;
mod linger;
mod listen;
mod own;
mod owned;
mod pass;
mod publish;
mod range;
mod raw;
mod reload;
mod respond;
mod scope;
mod sendfile;
mod strict;
mod tls;
mod tracked;
mod trickle;
mod v2;

pub use activity::Patience;
pub use base::BaseRules;
pub use handle::App;
pub use listen::{Door, Limits, run};
pub use reload::Reload;
pub use tls::{Reloaded, Tls, TlsError, TlsOptions};
