//! SIGHUP: the configuration is read again, and what can be is used.
//!
//! Everything that can fail is tried before anything is changed, so that a configuration is used or
//! not, never in part. What needs a restart is named and stays as it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::parts::{access_format, bases, quota};
use crate::cli::{logging, supervisor};
use crate::config::live::Change;
use crate::config::{Config, ConfigErrors, Loaded};
use crate::observe::Metrics;
use crate::proxy::Tuning;
use crate::server::access::{Access, Clients};
use crate::server::{App, Reload};
use crate::store::{Quota, Store};

/// How often files that the configuration names are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// Reads the configuration from where it was read at start.
pub type Again = Arc<dyn Fn() -> Result<Loaded, ConfigErrors> + Send + Sync>;

/// The configuration in use, and where it is had again.
pub struct Source {
    /// In use.
    pub running: Loaded,
    /// How it is read.
    pub again: Again,
}

/// What new settings are given to.
pub(super) struct Parts {
    pub(super) address: SocketAddr,
    pub(super) app: Arc<App>,
    pub(super) access: Arc<Access>,
    pub(super) store: Store,
    pub(super) quota: Arc<ArcSwap<Quota>>,
    pub(super) metrics: Arc<Metrics>,
}

/// Everything that has been tried of a configuration, ready to be used.
struct Tried {
    clients: Option<Clients>,
    tunings: Vec<Tuning>,
}

/// SIGHUP, caught from its making on; where it cannot be, it keeps its usual effect.
pub(super) struct Hangup(Option<Signal>);

impl Hangup {
    pub(super) fn caught() -> Self {
        Self(signal(SignalKind::hangup()).ok())
    }

    async fn heard(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Looks at files for ever, every few seconds and on SIGHUP; on SIGHUP the configuration is read
/// again before.
pub(super) async fn watch(
    (files, mut hangup): (Reload, Hangup),
    mut source: Option<Source>,
    parts: Parts,
) {
    loop {
        let told = tokio::select! {
            () = tokio::time::sleep(INTERVAL) => false,
            () = hangup.heard() => true,
        };
        if told {
            supervisor::reloading();
            tracing::info!("SIGHUP: configuration and files are read again");
            if let Some(source) = &mut source {
                parts.reload(source).await;
            }
        }
        let files = files.clone();
        if tokio::task::spawn_blocking(move || files.once())
            .await
            .is_err()
        {
            tracing::error!("reading the files again failed");
        }
        if told {
            supervisor::ready(parts.address);
        }
    }
}

impl Parts {
    /// Reads the configuration again and uses what can be used, or says why not.
    async fn reload(&self, source: &mut Source) {
        let outcome = match self.changed(source).await {
            Ok(false) => return,
            Ok(true) => "used",
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!("the configuration is refused: {mistake}");
                }
                tracing::error!("nothing was changed, the configuration stays as it was");
                "refused"
            }
        };
        self.metrics.reloads.with_label_values(&[outcome]).inc();
    }

    /// Whether anything counts now that did not; what is wrong otherwise.
    async fn changed(&self, source: &mut Source) -> Result<bool, Vec<String>> {
        let again = Arc::clone(&source.again);
        let newer = blocking(move || again()).await?;
        let newer = newer.map_err(|errors| {
            let text = errors.to_string();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })?;
        let changes = source.running.changes(&newer);
        if changes.is_empty() {
            tracing::info!("the configuration is as it was");
            return Ok(false);
        }
        let now = source.running.take_over(&newer);
        let tried = self.try_out(&source.running.config, &now.config).await?;
        self.apply(&source.running.config, &now.config, tried).await;
        source.running = now;
        tell(&changes);
        Ok(changes.iter().any(|change| change.is_live))
    }

    /// Everything that may fail.
    async fn try_out(&self, before: &Config, now: &Config) -> Result<Tried, Vec<String>> {
        let clients = if before.access == now.access {
            None
        } else {
            let (access, proxies) = (now.access.clone(), now.trusted_proxies.clone());
            let read = blocking(move || Clients::read(&access, proxies)).await?;
            Some(read.map_err(|error| vec![format!("access: {error}")])?)
        };
        let members = self.app.group().members();
        let tunings = members.zip(now.feeds()).map(|(member, feed)| {
            let (key, credential) = (feed.push_key.clone(), feed.auth.credential.clone());
            let tuning = member.proxy().tuning(now.freshness, key, credential);
            tuning.map_err(|error| vec![error.to_string()])
        });
        Ok(Tried {
            tunings: tunings.collect::<Result<_, _>>()?,
            clients,
        })
    }

    async fn apply(&self, before: &Config, now: &Config, tried: Tried) {
        if let Some(clients) = tried.clients {
            self.access.replace(clients);
        }
        for (member, tuning) in self.app.group().members().zip(tried.tunings) {
            member.proxy().tune(tuning);
        }
        self.app.set_bases(bases(now));
        if before.log != now.log {
            logging::change(now.log);
            self.app.set_access_log(access_format(now));
        }
        if quota(before) != quota(now) {
            self.quota.store(Arc::new(quota(now)));
            if let Err(error) = self.store.limit(quota(now)).await {
                tracing::error!(%error, "the cache keeps to its old limits until the next start");
            }
        }
    }
}

/// What waits for the disk does not keep a worker waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Vec<String>> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| vec![error.to_string()])
}

/// Says what counts now and what does not, by key; values may be secret.
fn tell(changes: &[Change]) {
    for change in changes.iter().filter(|change| !change.is_live) {
        let key = &change.key;
        tracing::warn!("{key}: needs a restart; until then it stays as it was");
    }
    let live = changes.iter().filter(|change| change.is_live);
    let live: Vec<_> = live.map(|change| change.key.as_str()).collect();
    if !live.is_empty() {
        tracing::info!("settings in use now: {}", live.join(", "));
    }
}
