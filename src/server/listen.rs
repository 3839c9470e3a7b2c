//! The listener: accepting connections, how many there may be, and the end of them all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::server::activity::{Activity, GRACE, Patience, Reason};
use crate::server::admin::Purpose;
use crate::server::connection::{self, Phase, Shared};
use crate::server::crowd::Crowd;
use crate::server::handle::{App, Ends};
use crate::server::speak::Protocols;
use crate::server::tls::Tls;

/// After a failed accept (no descriptors left), and between looks for a place in a full house.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that is gone without a word is noticed after this time of silence, or after this time
/// without an acknowledgement of what was sent.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
const USER_TIMEOUT_MILLIS: u32 = 120_000;

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; for further ones, idle ones are closed.
    pub connections_max: usize,
    /// Connections of one client address at once; for further ones, idle ones of it are closed.
    pub connections_per_client_max: usize,
    /// Peers without such a limit, because they speak for many clients.
    pub excepted: Vec<IpNet>,
    /// How long clients may keep us waiting.
    pub patience: Patience,
    /// How long responses under way may take when the listener stops.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_client_max: 1000,
            excepted: Vec::new(),
            patience: Patience::default(),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

/// Where clients come in.
pub struct Door {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    purpose: Purpose,
}

impl From<TcpListener> for Door {
    /// For plain HTTP.
    fn from(listener: TcpListener) -> Self {
        Self::new(listener, None)
    }
}

impl Door {
    /// For https when there is a certificate, else for plain HTTP; for everything.
    pub const fn new(listener: TcpListener, tls: Option<Arc<Tls>>) -> Self {
        Self {
            listener,
            tls,
            purpose: Purpose::Everything,
        }
    }

    /// The same, for this alone.
    #[must_use]
    pub fn only_for(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }
}

/// Serves connections through `door` until `shutdown` resolves; then responses under way finish
/// within the limit and idle connections are closed. No connection is left when it returns.
pub async fn run(
    door: impl Into<Door>,
    app: Arc<App>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let Door {
        listener,
        tls,
        purpose,
    } = door.into();
    let house = House {
        purpose,
        permits: Arc::new(Semaphore::new(limits.connections_max)),
        crowd: Arc::new(Crowd::new(
            limits.connections_per_client_max,
            limits.excepted,
        )),
        shared: Arc::new(Shared {
            app: Arc::clone(&app),
            protocols: Protocols::default(),
            patience: limits.patience,
            tls,
        }),
    };
    let (phase, phases) = watch::channel(Phase::Serving);
    tokio::pin!(shutdown);
    let mut failing = false;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    tokio::select! {
                        permit = house.permit() => house.admit(stream, peer, permit, &phases),
                        () = &mut shutdown => break,
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "connections cannot be accepted");
                    }
                    failing = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = &mut shutdown => break,
        }
    }
    app.stop();
    drop((listener, phases));
    phase.send_replace(Phase::Stopping);
    if tokio::time::timeout(limits.shutdown_timeout, phase.closed())
        .await
        .is_err()
    {
        tracing::warn!("responses were cut off: shutdown_timeout is over");
        phase.send_replace(Phase::Over);
        phase.closed().await;
    }
}

/// The connections of a listener and what they share.
struct House {
    purpose: Purpose,
    permits: Arc<Semaphore>,
    crowd: Arc<Crowd>,
    shared: Arc<Shared>,
}

impl House {
    /// Waits for a place; idle connections are asked to leave.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let permits = Arc::clone(&self.permits);
            if let Ok(permit) = permits.try_acquire_owned() {
                return Some(permit);
            }
            let evicted = self.crowd.evict();
            let permits = Arc::clone(&self.permits);
            // The one asked to leave needs its time; those who are busy now may be idle later.
            let wait = if evicted { 2 * GRACE } else { ACCEPT_PAUSE };
            if let Ok(permit) = tokio::time::timeout(wait, permits.acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
        phases: &watch::Receiver<Phase>,
    ) {
        let activity = Arc::new(Activity::new());
        let Some(place) = self.crowd.enter(peer.ip(), &activity) else {
            return self.shared.ended(peer, Reason::Refused);
        };
        configure(&stream);
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let ends = Ends {
            peer,
            local: stream.local_addr().unwrap_or(unspecified),
            tls: self.shared.tls.is_some(),
            purpose: self.purpose,
        };
        let (shared, phases) = (Arc::clone(&self.shared), phases.clone());
        tokio::spawn(async move {
            connection::serve(stream, ends, shared, (activity, phases)).await;
            drop((place, permit));
        });
    }
}

/// Heads and small documents must not wait for the client's acknowledgement, and a client that is
/// gone must be noticed. A connection works without these options too.
fn configure(stream: &TcpStream) {
    let results = [
        sockopt::set_tcp_nodelay(stream, true),
        sockopt::set_socket_keepalive(stream, true),
        sockopt::set_tcp_keepidle(stream, KEEPALIVE),
        sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL),
        sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES),
        sockopt::set_tcp_user_timeout(stream, USER_TIMEOUT_MILLIS),
    ];
    if let Some(error) = results.into_iter().find_map(Result::err) {
        tracing::debug!(%error, "a socket option could not be set");
    }
}
