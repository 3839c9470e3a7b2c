//! PEM files that settings name: reading them, within a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a PEM file cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{} has no usable {what}: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why there is none.
        why: String,
    },
}

impl PemError {
    /// A file without `what` it should have.
    pub fn unusable(path: &Path, what: &'static str, why: &dyn std::fmt::Display) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            what,
            why: why.to_string(),
        }
    }
}

/// What is in a file of at most `mebibytes`.
///
/// # Errors
/// [`PemError::Unreadable`], also when it is larger.
pub fn read(path: &Path, mebibytes: u64) -> Result<Vec<u8>, PemError> {
    let unreadable = |source| PemError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let max = mebibytes << 20;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > max {
        let why = format!("it is larger than {mebibytes} MiB");
        return Err(unreadable(io::Error::other(why)));
    }
    Ok(bytes)
}

/// The certificates in what was read of a file, which are to be `what`: one at least.
///
/// # Errors
/// [`PemError::Unusable`].
pub fn certificates(
    path: &Path,
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| PemError::unusable(path, what, &error))?;
    if found.is_empty() {
        return Err(PemError::unusable(
            path,
            what,
            &"it has no CERTIFICATE section",
        ));
    }
    Ok(found)
}

/// The private key in what was read of a file.
///
/// # Errors
/// [`PemError::Unusable`].
pub fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let key = PrivateKeyDer::from_pem_slice(pem);
    key.map_err(|error| PemError::unusable(path, "private key", &error))
}
