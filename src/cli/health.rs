//! `nugate health`: asks a running daemon whether it is well, for images that have nothing else to
//! ask with.
//!
//! Over https only the certificate that the configuration names is believed: names do not matter,
//! because it is asked at its own address. A daemon that wants a certificate of its clients has
//! answered when it says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cli::args::HealthFlags;
use crate::config::Config;

/// The longest wait for the whole answer.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// Asks, prints the answer, and fails unless it is a good one.
///
/// # Errors
/// Why the daemon is not well, or cannot be asked.
pub async fn run(config: &Config, flags: &HealthFlags) -> Result<(), String> {
    let address = own_address(config.listen)?;
    let path = if flags.ready { "/-/ready" } else { "/-/health" };
    let certificate = config.tls.pair().map(|(certificate, _)| certificate);
    let asked = ask(address, path, certificate.map(PathBuf::as_path));
    let asked = tokio::time::timeout(LIMIT, asked).await;
    let text = asked.map_err(|_| format!("{address} did not answer within {LIMIT:?}"))??;
    super::print(&text);
    Ok(())
}

/// Where a daemon that listens on `address` is reached from this machine.
fn own_address(address: SocketAddr) -> Result<SocketAddr, String> {
    if address.port() == 0 {
        return Err("listen has port 0, so the port is not known: give --listen".to_owned());
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, address.port()))
}

async fn ask(
    address: SocketAddr,
    path: &str,
    certificate: Option<&Path>,
) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    let answer = match certificate {
        None => exchange(stream, address, path).await,
        Some(certificate) => {
            let connector = TlsConnector::from(Arc::new(trusting(certificate)?));
            match connector.connect(address.ip().into(), stream).await {
                Ok(stream) => exchange(stream, address, path).await,
                Err(error) => Err(error),
            }
        }
    };
    match answer {
        Ok(answer) => judged(&answer).map_err(|why| format!("{address}{path}: {why}")),
        Err(error) if is_asked_for_certificate(&error) => {
            Ok("alive, and asks for a client certificate\n".to_owned())
        }
        Err(error) => Err(failed(error)),
    }
}

/// One request, and everything that comes back.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    path: &str,
) -> std::io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The body of a 200.
fn judged(answer: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(format!("{status}: {}", body.trim_end())),
    }
}

/// Whether the server ended the connection because we have shown no certificate.
fn is_asked_for_certificate(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        inner,
        Some(Error::AlertReceived(AlertDescription::CertificateRequired))
    )
}

fn trusting(certificate: &Path) -> Result<ClientConfig, String> {
    let unusable = |error: &dyn std::fmt::Display| {
        format!("tls.certificate {}: {error}", certificate.display())
    };
    let own = CertificateDer::from_pem_file(certificate).map_err(|error| unusable(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Only {
        own,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    Ok(config
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Believes one certificate, whatever name it is for.
#[derive(Debug)]
struct Only {
    own: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.own {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_asked_where_it_is_reached() {
        for (listens, asked) in [
            ("0.0.0.0:6842", "127.0.0.1:6842"),
            ("[::]:1", "[::1]:1"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            let address = own_address(listens.parse().unwrap()).unwrap();
            assert_eq!(address.to_string(), asked);
        }
        own_address("127.0.0.1:0".parse().unwrap()).unwrap_err();
    }

    #[test]
    fn only_200_is_well() {
        let judge = |text: &str| judged(text.as_bytes());
        assert_eq!(
            judge("HTTP/1.1 200 OK\r\na: b\r\n\r\nalive\n").unwrap(),
            "alive\n"
        );
        let error = judge("HTTP/1.1 503 Service Unavailable\r\n\r\nstopping\n").unwrap_err();
        assert_eq!(error, "HTTP/1.1 503 Service Unavailable: stopping");
        for wrong in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 2000 x\r\n\r\n",
        ] {
            judge(wrong).unwrap_err();
        }
    }
}
