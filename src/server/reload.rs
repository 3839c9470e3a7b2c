//! Files that are read again when they change: certificates and users.
//!
//! Contents are compared, not times: orchestrators replace links, and editors keep times. SIGHUP
//! makes it happen at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::observe::Metrics;
use crate::server::access::Access;
use crate::server::tls::{Reloaded, Tls};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is read again.
#[derive(Clone)]
pub struct Reload {
    /// The certificate.
    pub tls: Option<Arc<Tls>>,
    /// The users.
    pub access: Arc<Access>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Reload {
    /// Looks at the files for ever, every few seconds and on SIGHUP. The signal is caught from the
    /// call on; where it cannot be, it keeps its usual effect.
    pub fn watch(self) -> impl Future<Output = ()> {
        let hangup = signal(SignalKind::hangup());
        async move {
            let mut hangup = hangup.ok();
            loop {
                let signalled = async {
                    match &mut hangup {
                        Some(hangup) => drop(hangup.recv().await),
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = signalled => tracing::info!("SIGHUP: files are read again"),
                }
                let this = self.clone();
                if tokio::task::spawn_blocking(move || this.once())
                    .await
                    .is_err()
                {
                    tracing::error!("reading the files again failed");
                }
            }
        }
    }

    /// Looks at the files once; what cannot be used is logged, and what was in use stays.
    fn once(&self) {
        let counted = |outcome| {
            let reloads = &self.metrics.reloads;
            reloads.with_label_values(&[outcome]).inc();
        };
        match self.tls.as_ref().map(|tls| tls.reload()) {
            Some(Ok(Reloaded::Changed)) => {
                counted("used");
                tracing::info!("the certificate was changed");
            }
            Some(Err(error)) => {
                counted("refused");
                tracing::error!(%error, "the certificate is not changed, the old one stays in use");
            }
            Some(Ok(Reloaded::Same)) | None => {}
        }
        match self.access.reload() {
            Ok(true) => {
                counted("used");
                tracing::info!("the users were changed");
            }
            Err(error) => {
                counted("refused");
                tracing::error!(%error, "the users are not changed, the old ones stay");
            }
            Ok(false) => {}
        }
    }
}
