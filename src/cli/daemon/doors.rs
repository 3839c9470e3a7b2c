//! The sockets of a daemon: the one for clients, and the one for those who look after it, if they have
//! one of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::TcpListener;

use super::StartError;
use crate::cli::descriptors::Shares;
use crate::config::Config;
use crate::server::{self, App, Door, Limits, Patience, Purpose, Tls};

/// Where a daemon listens.
pub(super) struct Doors {
    clients: Open,
    admin: Option<Open>,
}

/// A socket that listens.
struct Open {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    purpose: Purpose,
}

impl Doors {
    /// Listens for clients on `socket`, if there is one, and else where the configuration says.
    ///
    /// # Errors
    /// [`StartError::Listen`] and [`StartError::AdminListen`].
    pub(super) async fn open(
        socket: Option<std::net::TcpListener>,
        config: &Config,
        shares: &Shares,
    ) -> Result<Self, StartError> {
        let limits = Limits {
            connections_max: shares.connections,
            connections_per_client_max: config.connections_per_client_max as usize,
            excepted: config.trusted_proxies.clone(),
            patience: Patience::default(),
            shutdown_timeout: config.shutdown_timeout,
        };
        let (address, admin_address) = (config.listen, config.admin_listen);
        let listener = match socket {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(address).await,
        };
        let purpose = admin_address.map_or(Purpose::Everything, |_| Purpose::Feeds);
        let clients = Open::new(listener, limits.clone(), purpose);
        let clients = clients.map_err(|source| StartError::Listen { address, source })?;
        let Some(address) = admin_address else {
            let admin = None;
            return Ok(Self { clients, admin });
        };
        let limits = Limits {
            connections_max: shares.admin,
            // One that forgets its connections leaves places for others.
            connections_per_client_max: shares.admin.div_ceil(2),
            ..limits
        };
        let listener = TcpListener::bind(address).await;
        let admin = Open::new(listener, limits, Purpose::Admin);
        let admin = admin.map_err(|source| StartError::AdminListen { address, source })?;
        let address = admin.address;
        tracing::info!(%address, "metrics and pages are served at admin_listen alone");
        let admin = Some(admin);
        Ok(Self { clients, admin })
    }

    /// Where it listens for clients.
    pub(super) const fn address(&self) -> SocketAddr {
        self.clients.address
    }

    /// Where it listens for those who look after it, if not there too.
    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// How long what is under way may take at the end.
    pub(super) const fn shutdown_timeout(&self) -> Duration {
        self.clients.limits.shutdown_timeout
    }

    /// Serves through all of them until `shutdown`, after which all of them drain at the same time.
    pub(super) async fn serve(
        self,
        app: Arc<App>,
        tls: Option<Arc<Tls>>,
        shutdown: impl Future<Output = ()>,
    ) {
        let shutdown = shutdown.shared();
        let serve = |open: Open| {
            let door = Door::new(open.listener, tls.clone()).only_for(open.purpose);
            server::run(door, Arc::clone(&app), open.limits, shutdown.clone())
        };
        match self.admin {
            None => serve(self.clients).await,
            Some(admin) => {
                tokio::join!(serve(self.clients), serve(admin));
            }
        }
    }
}

impl Open {
    fn new(
        listener: std::io::Result<TcpListener>,
        limits: Limits,
        purpose: Purpose,
    ) -> std::io::Result<Self> {
        let listener = listener?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            limits,
            purpose,
        })
    }
}
