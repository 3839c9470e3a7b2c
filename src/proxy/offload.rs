//! Work on documents, done where it keeps nobody waiting.

use crate::proxy::error::Error;

/// Up to so many bytes, work takes less than the way to another thread.
const INLINE_MAX: usize = 32 * 1024;

/// Works on documents of so many `bytes` in all, long ones on the blocking pool.
///
/// # Errors
/// [`Error::Internal`] when the work panicked there; `what` says what was done.
pub async fn offload<T: Send + 'static>(
    bytes: usize,
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes <= INLINE_MAX {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::internal(format!("{what} panicked")))
}
