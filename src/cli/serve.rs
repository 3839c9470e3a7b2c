//! `nugate serve`: the daemon, until it is told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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
    let stop = stopped();
    let daemon = Daemon::start(config).await?;
    let text = banner(config, daemon.address(), daemon.totals());
    super::print(&text);
    daemon.run(stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves at SIGINT or SIGTERM; a second one ends the process at once. Both are caught from the
/// call on, not from the first poll, so that none is lost once a start has been announced.
pub fn stopped() -> impl Future<Output = ()> {
    let mut interrupt = signal(SignalKind::interrupt());
    let mut terminate = signal(SignalKind::terminate());
    async move {
        caught(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping: responses under way are finished");
        tokio::spawn(async move {
            caught(&mut interrupt, &mut terminate).await;
            std::process::exit(130);
        });
    }
}

async fn caught(interrupt: &mut io::Result<Signal>, terminate: &mut io::Result<Signal>) {
    tokio::select! {
        () = received(interrupt) => {}
        () = received(terminate) => {}
    }
}

/// A signal that cannot be caught keeps its usual effect.
async fn received(signal: &mut io::Result<Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}
