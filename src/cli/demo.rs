//! `nugate demo`: the main job with no network at all.

use crate::cli::args::DemoFlags;
use crate::cli::daemon::StartError;
use crate::config::Config;

/// Shows the proxy at work.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub async fn run(_config: &Config, _flags: &DemoFlags) -> Result<(), StartError> {
    Ok(())
}
