//! Rules of keeping: pure functions over plain data; time is an argument, nothing here waits.
//!
//! [`judge`] decides what a request gets before the upstream is asked, [`absorb`] what becomes of
//! the upstream's answer. Both know classes of documents, not NuGet.

pub mod absorb;
pub mod class;
pub mod directives;
pub mod http;
pub mod judge;
pub mod older;
pub mod pacing;

pub use absorb::{Answer, Step, absorb};
pub use judge::{Verdict, judge};
