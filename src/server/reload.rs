//! Files that are read again when they change: certificates and users.
//!
//! Contents are compared, not times: orchestrators replace links, and editors keep times.

use std::sync::Arc;

use crate::observe::Metrics;
use crate::server::access::Access;
use crate::server::tls::{Reloaded, Tls};

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
    /// Looks at the files; what cannot be used is logged, and what was in use stays. Blocks on the
    /// disk.
    pub fn once(&self) {
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
