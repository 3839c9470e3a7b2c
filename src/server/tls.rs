//! The certificate we show: read from PEM files, and read again when they change.
//!
//! A pair that cannot be used never replaces one that can. What connections under way agreed on
//! stays; new handshakes use the new pair.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use crate::config::pem::{self, PemError};
use crate::config::{ClientCertificates, TlsVersion};
use crate::entry::Digest;

/// The largest PEM file, in MiB: some hundred certificates.
const FILE_MAX: u64 = 1;

/// What to read, and what to ask of clients.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// PEM file of our chain, our own certificate first.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// PEM file of the authorities of clients' certificates; none are asked for without it.
    pub client_authorities: Option<PathBuf>,
    /// Whether a client may go without a certificate.
    pub client_certificates: ClientCertificates,
    /// The oldest version.
    pub version_min: TlsVersion,
    /// The longest time for a handshake.
    pub handshake_timeout: Duration,
}

/// Why a certificate cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Key and certificate are not of one pair, or cannot be used together.
    #[error("{} and {} cannot be used together: {why}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        why: String,
    },
}

/// What [`Tls::reload`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The files hold what they held when they were last looked at.
    Same,
    /// New handshakes use the new pair.
    Changed,
}

/// The certificate in use.
pub struct Tls {
    options: TlsOptions,
    config: ArcSwap<ServerConfig>,
    /// Digest of what the files held when they were last looked at, good or bad.
    seen: Mutex<Digest>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be used.
    pub fn load(options: TlsOptions) -> Result<Self, TlsError> {
        let files = Files::read(&options)?;
        let config = files.config(&options)?;
        warn_of_open_key(&options.key);
        Ok(Self {
            config: ArcSwap::from_pointee(config),
            seen: Mutex::new(files.digest()),
            options,
        })
    }

    /// Reads the files again; on an error the old pair stays in use. Blocks on the disk.
    ///
    /// # Errors
    /// [`TlsError`]; the same bad files are an error once, then [`Reloaded::Same`].
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let files = Files::read(&self.options)?;
        let digest = files.digest();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == digest {
                return Ok(Reloaded::Same);
            }
            *seen = digest;
        }
        self.config.store(Arc::new(files.config(&self.options)?));
        Ok(Reloaded::Changed)
    }

    /// What the next handshake uses.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// The longest time for a handshake.
    pub const fn handshake_timeout(&self) -> Duration {
        self.options.handshake_timeout
    }
}

/// What the files held at one moment.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl Files {
    fn read(options: &TlsOptions) -> Result<Self, TlsError> {
        let read = |path: &Path| pem::read(path, FILE_MAX);
        let authorities = options.client_authorities.as_deref();
        Ok(Self {
            certificate: read(&options.certificate)?,
            key: read(&options.key)?,
            authorities: authorities.map(read).transpose()?,
        })
    }

    fn digest(&self) -> Digest {
        let authorities = self.authorities.as_deref().unwrap_or_default();
        let parts = [&*self.certificate, &self.key, authorities];
        let each = parts.map(|part| *Digest::of(part).as_bytes());
        Digest::of(&each.concat())
    }

    fn config(&self, options: &TlsOptions) -> Result<ServerConfig, TlsError> {
        let chain = pem::certificates(&options.certificate, "certificate", &self.certificate)?;
        let key = pem::private_key(&options.key, &self.key)?;
        let pair = |error: rustls::Error| TlsError::Pair {
            certificate: options.certificate.clone(),
            key: options.key.clone(),
            why: error.to_string(),
        };
        let versions = match options.version_min {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(pair)?;
        let builder = match self.verifier(options)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Clients keep their sessions themselves (RFC 8446 section 4.6.1, RFC 5077): rustls alone
        // remembers 256, and a farm has more clients. The key changes every six hours, and with the pair.
        // Without one, which takes random numbers, those 256 are all.
        if let Ok(ticketer) = Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(config)
    }

    fn verifier(
        &self,
        options: &TlsOptions,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some((path, text)) = options
            .client_authorities
            .as_ref()
            .zip(self.authorities.as_ref())
        else {
            return Ok(None);
        };
        let unusable = |why: String| PemError::unusable(path, "authorities", &why);
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(path, "certificate", text)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match options.client_certificates {
            ClientCertificates::Required => builder,
            ClientCertificates::Optional => builder.allow_unauthenticated(),
        };
        builder
            .build()
            .map(Some)
            .map_err(|error| unusable(error.to_string()).into())
    }
}

/// A key that every user of the machine can read is no secret.
fn warn_of_open_key(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = path.metadata() else {
        return;
    };
    if metadata.permissions().mode() & 0o004 != 0 {
        tracing::warn!(file = %path.display(), "everyone on this machine can read the private key");
    }
}
