//! What is said to and taken from the service manager: readiness, reloads, the end, signs of life,
//! and the socket to listen on (`sd_notify(3)`, `sd_listen_fds(3)`).
//!
//! Without a service manager nothing of this does anything. What cannot be told is no failure.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::observe::Metrics;
use crate::store::Store;

/// How often is told how much is left to do before the end.
const PROGRESS: Duration = Duration::from_secs(1);

/// More time than the limit of responses under way, for what is written down after them.
const MARGIN: Duration = Duration::from_secs(15);

/// Signs of life in the time after which a missing one counts as death.
const BEATS: u32 = 3;

/// The socket that the service manager opened for us, if it did. To be asked once, before there is
/// a second thread: the variables that name it are removed.
///
/// # Errors
/// When there are several, or it is none that listens for TCP.
pub fn inherited() -> Result<Option<TcpListener>, String> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        let many = passed.len();
        return Err(format!(
            "the service manager passes {many} sockets; allowed: one, for clients"
        ));
    }
    let unusable = |error| format!("the socket of the service manager cannot be used: {error}");
    let listener = passed.take_tcp_listener(0).map_err(unusable)?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true).map_err(unusable)?;
    }
    Ok(listener)
}

/// Clients are served.
pub fn ready(address: SocketAddr) {
    let status = format!("serving at {address}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    let states = [NotifyState::Reloading].into_iter().chain(now.ok());
    tell(&states.collect::<Vec<_>>());
}

/// It ends, within `limit`: the service manager is asked for as much time.
pub fn stopping(limit: Duration) {
    let patience = u32::try_from((limit + MARGIN).as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(patience),
        NotifyState::Status("stopping: responses under way are finished"),
    ]);
}

/// Tells how many connections still have a response under way, for ever.
pub async fn count_down(metrics: &Metrics) {
    loop {
        let left = match metrics.connections.get() {
            1 => "1 connection has a response".to_owned(),
            many => format!("{many} connections have responses"),
        };
        tell(&[NotifyState::Status(&format!("stopping: {left} under way"))]);
        tokio::time::sleep(PROGRESS).await;
    }
}

/// Gives signs of life for ever, if they are wanted: each says that this runtime runs tasks and that
/// the one thread that writes the index carries out orders.
pub async fn live(store: Store) {
    if let Some(limit) = sd_notify::watchdog_enabled() {
        // An order that fails was answered too: a full disk is no reason to be killed.
        let answer = async || drop(store.counted().await);
        beat(limit / BEATS, answer, || tell(&[NotifyState::Watchdog])).await;
    }
}

/// Tells after every answer that came within `pause`, then waits as long.
async fn beat(pause: Duration, answer: impl AsyncFn(), tell: impl Fn()) {
    let mut was_well = true;
    loop {
        let is_well = tokio::time::timeout(pause, answer()).await.is_ok();
        if is_well {
            tell();
        } else if was_well {
            tracing::error!("the index does not answer: the watchdog is not told that all is well");
        }
        was_well = is_well;
        tokio::time::sleep(pause).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_does_not_answer_is_not_said_to_live() {
        let (asked, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stuck = AtomicBool::new(true);
        let answer = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            if stuck.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let tell = || {
            told.fetch_add(1, Ordering::Relaxed);
        };
        let watching = async {
            while asked.load(Ordering::Relaxed) < 3 {
                tokio::task::yield_now().await;
            }
            assert_eq!(told.load(Ordering::Relaxed), 0);
            stuck.store(false, Ordering::Relaxed);
            while told.load(Ordering::Relaxed) < 3 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = beat(Duration::from_millis(5), answer, tell) => {}
            () = watching => {}
        }
    }
}
