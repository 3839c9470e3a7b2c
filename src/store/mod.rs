//! Bodies on disk.
mod chunk;
mod draft;
mod draft_reader;
mod error;

pub use draft::{Draft, DraftWriter, Finished, HOLD_BACK};
pub use draft_reader::{DraftFile, DraftReader};
pub use error::{StoreError, StoreErrorKind};
