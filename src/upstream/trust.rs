//! Certificates of the configuration: authorities that are trusted, and our own.
//!
//! PEM files, read once. Invariants: a file that holds nothing of what it should, or a private key
//! where there should be none, is a mistake; no message has any of a key in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, Tag};

use crate::clock::Time;
use crate::config::pem::{self, PemError};
use crate::config::{Family, Proxies, Source};

/// The largest PEM file, in MiB: those of systems have a quarter of one.
const FILE_MAX: u64 = 4;

/// How long before its end a certificate is warned of.
const NOTICE: Duration = Duration::from_hours(24 * 30);

/// How connections of a feed are made, besides where to.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    /// Through which proxies.
    pub proxies: Proxies,
    /// Certificates trusted beside the platform's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// What is shown to the feed, if it asks.
    pub identity: Option<Arc<Identity>>,
    /// From which addresses.
    pub source: Source,
    /// To which addresses.
    pub family: Family,
}

/// A certificate of our own.
#[derive(Debug)]
pub struct Identity {
    /// Our certificate and what leads from it to an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// The authorities in a file; those that have expired, or will soon, are warned of.
///
/// # Errors
/// [`PemError`] when there are none, when one cannot be used, and when there is a key.
pub fn read_authorities(path: &Path, now: Time) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let what = "authority";
    let pem = pem::read(path, FILE_MAX)?;
    if memmem::find(&pem, b"PRIVATE KEY-----").is_some() {
        let why = "there is a private key in it, which belongs nowhere near";
        return Err(PemError::unusable(path, what, &why));
    }
    let found = pem::certificates(path, what, &pem)?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in found.iter().enumerate() {
        let added = roots.add(certificate.clone());
        let wrong = |error| format!("certificate {} of it is none: {error}", index + 1);
        added.map_err(|error| PemError::unusable(path, what, &wrong(error)))?;
    }
    warn(path, &found, now);
    Ok(found)
}

/// Our own certificate, with the same warnings.
///
/// # Errors
/// [`PemError`] when one of the files has not what it should. Whether they fit together is found
/// when they are used.
pub fn read_identity(certificate: &Path, key: &Path, now: Time) -> Result<Identity, PemError> {
    let read = |path| pem::read(path, FILE_MAX);
    let chain = pem::certificates(certificate, "certificate", &read(certificate)?)?;
    let key = pem::private_key(key, &read(key)?)?;
    warn(certificate, &chain, now);
    Ok(Identity { chain, key })
}

fn warn(path: &Path, certificates: &[CertificateDer<'static>], now: Time) {
    for (index, certificate) in certificates.iter().enumerate() {
        let (file, number) = (path.display(), index + 1);
        let Ok(end) = end(certificate) else {
            continue;
        };
        if end <= now {
            tracing::warn!(%file, number, "a certificate has expired");
        } else if end.since(now) < NOTICE {
            let days = end.since(now).as_secs() / 86_400;
            tracing::warn!(%file, number, days, "a certificate expires soon");
        }
    }
}

/// When a certificate ends (RFC 5280 section 4.1.2.5). What checks certificates does not tell.
fn end(certificate: &[u8]) -> ASN1Result<Time> {
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|fields| {
            let end = fields.next().read_sequence(|fields| {
                // The version, which is left out for the first.
                fields.read_optional(|reader| reader.read_tagged(Tag::context(0), skip))?;
                // Serial number, algorithm and issuer.
                for _ in 0..3 {
                    skip(fields.next())?;
                }
                let end = fields.next().read_sequence(|both| {
                    skip(both.next())?;
                    moment(both.next())
                })?;
                while fields.read_optional(skip)?.is_some() {}
                Ok(end)
            })?;
            skip(fields.next())?;
            skip(fields.next())?;
            Ok(end)
        })
    })
}

fn skip(reader: BERReader<'_, '_>) -> ASN1Result<()> {
    reader.read_der().map(drop)
}

fn moment(reader: BERReader<'_, '_>) -> ASN1Result<Time> {
    let seconds = match reader.lookahead_tag()? {
        TAG_UTCTIME => reader.read_utctime()?.datetime().unix_timestamp(),
        TAG_GENERALIZEDTIME => reader.read_generalized_time()?.datetime().unix_timestamp(),
        _ => return Err(ASN1Error::new(ASN1ErrorKind::Invalid)),
    };
    let millis = u64::try_from(seconds).unwrap_or_default();
    Ok(Time::from_millis(millis.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn pem(until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 7, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        (certificate, key.serialize_pem())
    }

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn authorities(text: &[u8]) -> Result<usize, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let read = read_authorities(file.path(), NOW);
        let told = |error: PemError| {
            let text = error.to_string();
            text.replace(&file.path().display().to_string(), "FILE")
        };
        read.map(|found| found.len()).map_err(told)
    }

    #[test]
    fn a_file_has_authorities_and_nothing_else() {
        let ((one, key), (two, _)) = (pem(2030), pem(2020));
        let both = format!("# ours\n{one}\nsome text\n{two}");
        assert_eq!(authorities(both.as_bytes()), Ok(2));
        let none = "FILE has no usable authority: it has no CERTIFICATE section".to_owned();
        for text in [
            "",
            "hello",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ] {
            assert_eq!(authorities(text.as_bytes()), Err(none.clone()), "{text}");
        }
        let secret = authorities(format!("{one}{key}").as_bytes()).unwrap_err();
        assert!(secret.contains("there is a private key in it"), "{secret}");
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let wrong = authorities(format!("{one}{wrong}").as_bytes()).unwrap_err();
        assert!(wrong.contains("certificate 2 of it is none"), "{wrong}");
        let cut = authorities(&one.as_bytes()[..one.len() / 2]);
        assert!(cut.is_err(), "{cut:?}");
        let missing = read_authorities(Path::new("/nowhere/ca.pem"), NOW).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("/nowhere/ca.pem cannot be read: "),
            "{missing}"
        );
    }

    #[test]
    fn the_end_of_a_certificate_is_known() {
        // Both ways of writing it: before 2050, and from then on.
        for (year, seconds) in [(2030, 1_909_094_400), (2060, 2_855_865_600)] {
            let certificate = CertificateDer::from_pem_slice(pem(year).0.as_bytes()).unwrap();
            assert_eq!(
                end(&certificate),
                Ok(Time::from_millis(seconds * 1000)),
                "{year}"
            );
            assert!(end(&certificate[..200]).is_err());
        }
    }

    #[test]
    fn a_certificate_and_a_key_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = pem(2030);
        let paths = [("c", &certificate), ("k", &key)].map(|(name, text)| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        let identity = read_identity(&paths[0], &paths[1], NOW).unwrap();
        assert_eq!(identity.chain.len(), 1);
        assert!(!format!("{identity:?}").contains("PrivatePkcs8KeyDer(["));
        let swapped = read_identity(&paths[1], &paths[0], NOW).unwrap_err();
        assert!(
            swapped.to_string().contains("no CERTIFICATE section"),
            "{swapped}"
        );
    }
}
