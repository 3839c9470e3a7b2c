//! Keys of bundles: Ed25519 (RFC 8032).
//!
//! The private key is a PEM file of PKCS #8, as `openssl genpkey -algorithm ed25519` writes it too;
//! the public one is a line of text. Invariant: no message and no `Debug` has the private key in it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::shown;

/// How the text of a public key begins.
const PREFIX: &str = "nugate-bundle:";

/// Length of a public key in bytes.
const PUBLIC_LEN: usize = 32;

/// Largest key file, in bytes.
const FILE_MAX: u64 = 16 * 1024;

/// A private key.
pub struct SigningKey(Ed25519KeyPair);

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_LEN]);

impl SigningKey {
    /// A new key, and its PEM.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn generate() -> Result<(Self, String), String> {
        let failed = |_| "this machine gives no key".to_owned();
        let key = Ed25519KeyPair::generate().map_err(failed)?;
        let der = key.to_pkcs8v1().map_err(failed)?;
        let text = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Ok((Self(key), pem))
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut pem = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_MAX).read_to_end(&mut pem))
            .map_err(|error| format!("the key {} cannot be read: {error}", shown(path)))?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem)
            .map_err(|_| format!("{} has no private key in PEM", shown(path)))?;
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(|_| format!("the key in {} is not Ed25519", shown(path)))?;
        Ok(Self(key))
    }

    /// The key that signatures are checked with.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; PUBLIC_LEN];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl PublicKey {
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.trim().strip_prefix(PREFIX);
        let bytes = bytes.and_then(|rest| STANDARD.decode(rest).ok());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        let wrong = || format!("{text:?} is no public key of bundles: {PREFIX} and 44 characters");
        bytes.map(Self).ok_or_else(wrong)
    }
}
