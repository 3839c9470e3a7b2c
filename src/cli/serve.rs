//! `nugate serve`: the daemon, until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::banner::banner;
use crate::cli::daemon::{Daemon, StartError};
use crate::cli::logging;
use crate::config::Config;

/// Runs the daemon; prints how clients are pointed at it.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub async fn run(config: &Config) -> Result<(), StartError> {
    logging::start(config.log);
    let daemon = Daemon::start(config).await?;
    let text = banner(config, daemon.address(), daemon.totals());
    super::print(&text);
    daemon.run(stopped()).await;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves at SIGINT or SIGTERM; a second one ends the process at once.
pub async fn stopped() {
    wait_for_signal().await;
    tracing::info!("stopping: responses under way are finished");
    tokio::spawn(async {
        wait_for_signal().await;
        std::process::exit(130);
    });
}

async fn wait_for_signal() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => drop(interrupted),
        () = terminated => {}
    }
}
