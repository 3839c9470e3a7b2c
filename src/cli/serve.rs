//! `nugate serve`: the daemon, until it is told to stop.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::banner::banner;
use crate::cli::daemon::{Daemon, Source, StartError};
use crate::cli::{logging, supervisor};
use crate::config::Config;

/// Runs the daemon, on `socket` if there is one; prints how clients are pointed at it.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub async fn run(
    config: &Config,
    source: Source,
    socket: Option<TcpListener>,
) -> Result<(), StartError> {
    logging::start(config.log);
    let stop = stopped();
    let listen_unused = socket.is_some();
    let daemon = Daemon::start_on(socket, config).await?.with_source(source);
    if listen_unused {
        let address = daemon.address();
        tracing::info!(%address, "the socket of the service manager is used, not `listen`");
    }
    let text = banner(
        config,
        (daemon.address(), daemon.admin_address()),
        daemon.totals(),
    );
    super::print(&text);
    let metrics = Arc::clone(daemon.metrics());
    let limit = config.shutdown_timeout;
    let (begun, ending) = tokio::sync::oneshot::channel();
    let stop = async {
        stop.await;
        supervisor::stopping(limit);
        let _ = begun.send(());
    };
    let told = async {
        // There is no end to tell of while this waits.
        if ending.await.is_ok() {
            supervisor::count_down(&metrics).await;
        }
        std::future::pending::<()>().await;
    };
    let alive = supervisor::live(daemon.store().clone());
    supervisor::ready(daemon.address());
    tokio::select! {
        () = daemon.run(stop) => {}
        () = beside(alive, told) => {}
    }
    tracing::info!("stopped");
    Ok(())
}

/// Both, for ever.
async fn beside(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::join!(one, other);
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
