//! The HTTP client of a feed: connection pool, TLS, protocol settings.
//!
//! Knows nothing of redirects, retries or bodies. Certificates of the platform are read at the first
//! TLS handshake, so that a machine without any can still start and serve plain-text feeds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::reach::{self, Reach};

const POOL_IDLE: Duration = Duration::from_mins(1);
const TCP_KEEP_ALIVE: Duration = Duration::from_mins(1);
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for 80 MB/s on one stream at a round trip of 50 ms.
const H2_STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const H2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Requests for documents never have a body; pushes, and those that are passed on for clients, may.
pub(super) type Client<B = Empty<Bytes>> = legacy::Client<Connector, B>;

/// How connections are made; clients that share it share what is known of certificates.
pub(super) type Connector = HttpsConnector<HttpConnector<reach::Resolver>>;

/// A client with a pool of connections.
pub(super) fn build<B>(connector: Connector) -> Client<B>
where
    B: Body<Data: Send> + Send,
{
    builder().build(connector)
}

/// The same for requests that can be made only once: each has a fresh connection, because one that
/// was idle may be closed under it.
pub(super) fn build_once<B>(connector: Connector) -> Client<B>
where
    B: Body<Data: Send> + Send,
{
    let mut builder = builder();
    builder
        .pool_max_idle_per_host(0)
        .retry_canceled_requests(false);
    builder.build(connector)
}

/// Trusts the platform's certificates and `extra_roots`, and gives up on a TCP connection after
/// `connect_timeout`. Connects to nothing out of `reach`. Fails only on an unreadable extra root.
pub(super) fn connector(
    connect_timeout: Duration,
    extra_roots: Vec<CertificateDer<'static>>,
    reach: Reach,
) -> Result<Connector, rustls::Error> {
    let mut http = HttpConnector::new_with_resolver(reach::Resolver::new(reach));
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(TCP_KEEP_ALIVE));
    http.set_connect_timeout(Some(connect_timeout));
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls(extra_roots)?)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(http))
}

fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http2_initial_stream_window_size(H2_STREAM_WINDOW)
        .http2_initial_connection_window_size(H2_CONNECTION_WINDOW)
        .http2_keep_alive_interval(H2_PING_INTERVAL)
        .http2_keep_alive_timeout(H2_PING_TIMEOUT)
        .http2_keep_alive_while_idle(true);
    builder
}

fn tls(extra_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig, rustls::Error> {
    let mut probe = RootCertStore::empty();
    for root in &extra_roots {
        probe.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(LazyVerifier {
        provider: Arc::clone(&provider),
        extra_roots,
        verifier: OnceLock::new(),
    });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The platform's verifier, made when it is first needed; a failure is kept as the answer.
#[derive(Debug)]
struct LazyVerifier {
    provider: Arc<CryptoProvider>,
    extra_roots: Vec<CertificateDer<'static>>,
    verifier: OnceLock<Result<Verifier, rustls::Error>>,
}

impl LazyVerifier {
    fn get(&self) -> Result<&Verifier, rustls::Error> {
        let made = self.verifier.get_or_init(|| {
            let roots = self.extra_roots.iter().cloned();
            Verifier::new_with_extra_roots(roots, Arc::clone(&self.provider))
        });
        made.as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.get()?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.get()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.get()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
