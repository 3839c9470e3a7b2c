//! Fair shares of a line: how fast it is, whose turn it is, and when its limits hold.
//!
//! Rates are kept by governor (`valve`), which is neither fair nor in order; turns are taken here,
//! client by client ([`Turns`]). Time is an argument. Waiting, and waking who waits, is for
//! `crate::pace`.

mod quota;
mod turns;
mod valve;
mod window;

use std::net::IpAddr;
use std::sync::Arc;

pub use quota::{Quota, Rate};
pub use turns::{Next, Turns};
pub use valve::Valves;
pub use window::{DAY_MINUTES, Days, Direction, Moment, Window, rate_at};

/// Whose share something is taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Payer {
    /// Nobody waits for it: refreshes behind clients' backs.
    #[default]
    Background,
    /// Clients wait for it, but which ones is not known.
    Shared,
    /// A client's address, or for IPv6 its network.
    Client(IpAddr),
    /// A user or key, wherever it comes from.
    User(Arc<str>),
}
