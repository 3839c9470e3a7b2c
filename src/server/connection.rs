//! One connection, from its handshake to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::IntGauge;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::observe::Metrics;
use crate::server::activity::{Activity, Patience, Reason};
use crate::server::handle::{App, Ends};
use crate::server::sendfile::{Outbox, SendFile};
use crate::server::speak::{Protocols, Speaker};
use crate::server::tls::Tls;

/// Bytes taken at a time from someone who is not understood.
const BLOCK: usize = 16 * 1024;

const PLAIN_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n\
    this server speaks https: use an https:// URL\n";

/// How far the listener is with its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Requests are taken.
    Serving,
    /// What is under way is finished.
    Stopping,
    /// Everything is cut.
    Over,
}

/// What all connections of a listener share.
pub(super) struct Shared {
    pub(super) app: Arc<App>,
    pub(super) protocols: Protocols,
    pub(super) patience: Patience,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Shared {
    pub(super) fn metrics(&self) -> &Metrics {
        self.app.proxy().metrics()
    }

    /// Counts a connection that we end.
    pub(super) fn ended(&self, peer: SocketAddr, reason: Reason) {
        let ended = &self.metrics().connections_ended;
        ended.with_label_values(&[reason.name()]).inc();
        tracing::debug!(client = %peer, reason = reason.name(), "a connection is ended");
    }
}

/// Serves a connection until it or the listener ends.
pub(super) async fn serve(
    stream: TcpStream,
    ends: Ends,
    shared: Arc<Shared>,
    (activity, mut phase): (Arc<Activity>, watch::Receiver<Phase>),
) {
    let _open = Open::new(&shared.metrics().connections);
    let Some(tls) = shared.tls.clone() else {
        let outbox = Outbox::default();
        let stream = SendFile::new(stream, outbox.clone());
        let speaker = Speaker::new(shared, ends, (activity, phase));
        return speaker.sending_by(outbox).speak(stream).await;
    };
    let handshake = tokio::time::timeout(tls.handshake_timeout(), secured(stream, &tls));
    let secured = tokio::select! {
        secured = handshake => secured,
        () = activity.evicted() => return shared.ended(ends.peer, Reason::Evicted),
        _ = phase.changed() => return,
    };
    match secured {
        Ok(Ok(stream)) => {
            let speaker = Speaker::new(shared, ends, (activity, phase));
            // In one piece with the handshake it would be as large as both.
            Box::pin(speaker.speak(stream)).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(client = %ends.peer, %error, "a TLS handshake failed");
            shared.ended(ends.peer, Reason::Handshake);
        }
        Err(_) => shared.ended(ends.peer, Reason::SlowHandshake),
    }
}

/// The handshake. Someone who speaks plain HTTP, whose first byte is a letter (a TLS record begins
/// with 22), is told so.
async fn secured(mut stream: TcpStream, tls: &Tls) -> std::io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
        stream.write_all(PLAIN_ON_TLS).await?;
        stream.shutdown().await?;
        // Closed with a request unread, the connection would be reset and the answer lost.
        let mut request = vec![0; BLOCK];
        while stream.read(&mut request).await? > 0 {}
        return Err(std::io::Error::other("the client speaks plain HTTP"));
    }
    TlsAcceptor::from(tls.config()).accept(stream).await
}

/// Counts an open connection, also when its task panics.
pub(super) struct Open(IntGauge);

impl Open {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
