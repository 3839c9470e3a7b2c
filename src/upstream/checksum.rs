//! What a response says its body's digest is.
//!
//! Only fields that are defined to be a digest of the body: an entity tag that looks like one is
//! not. Invariant: a digest of encoded bytes is never compared with decoded ones.

use aws_lc_rs::digest::{SHA256, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName};

/// Most digests of one response that are compared.
const CHECKSUMS_MAX: usize = 8;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
/// Metadata that nuget.org gives its packages in Azure Blob Storage.
const BLOB_SHA512: HeaderName = HeaderName::from_static("x-ms-meta-sha512");
/// RFC 3230.
const DIGEST: HeaderName = HeaderName::from_static("digest");
/// RFC 9530.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// A function that digests are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// MD5: finds accidents, no attacks.
    Md5,
}

impl Algorithm {
    /// Its name in texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Md5 => "MD5",
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Sha256 => SHA256.output_len(),
            Self::Sha512 => SHA512.output_len(),
            Self::Md5 => 16,
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "sha-256" | "sha256" => Some(Self::Sha256),
            "sha-512" | "sha512" => Some(Self::Sha512),
            "md5" => Some(Self::Md5),
            _ => None,
        }
    }
}

/// A digest that a body must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The function.
    pub algorithm: Algorithm,
    /// Its value.
    pub value: Vec<u8>,
}

impl Checksum {
    /// The digest that is written so: the name of a known function, and base64.
    pub fn stated(algorithm: &str, value: &str) -> Option<Self> {
        Self::new(Algorithm::of_name(algorithm)?, value)
    }

    fn new(algorithm: Algorithm, text: &str) -> Option<Self> {
        let value = STANDARD.decode(text.trim()).ok()?;
        (value.len() == algorithm.length()).then_some(Self { algorithm, value })
    }
}

/// The digests that the head of a whole response gives of its body; what cannot be read is passed
/// over, and all are when the body is encoded.
pub fn checksums(headers: &HeaderMap) -> Vec<Checksum> {
    if headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Vec::new();
    }
    let mut found = Vec::new();
    let texts = |name: &HeaderName| {
        let values = headers.get_all(name).iter();
        values.filter_map(|value| value.to_str().ok())
    };
    let plain = [
        (CONTENT_MD5, Algorithm::Md5),
        (BLOB_SHA512, Algorithm::Sha512),
    ];
    for (name, algorithm) in &plain {
        found.extend(texts(name).filter_map(|text| Checksum::new(*algorithm, text)));
    }
    for name in [DIGEST, REPR_DIGEST, CONTENT_DIGEST] {
        let members = texts(&name).flat_map(|text| text.split(','));
        found.extend(members.filter_map(|member| {
            let (algorithm, value) = member.split_once('=')?;
            let value = value.trim();
            let value = if name == DIGEST {
                value
            } else {
                // A byte sequence (RFC 9651 section 3.3.5), perhaps with parameters behind it.
                value.strip_prefix(':')?.split_once(':')?.0
            };
            Checksum::stated(algorithm, value)
        }));
    }
    found.truncate(CHECKSUMS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";
    const SHA256: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    const SHA512: &str =
        "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==";

    #[track_caller]
    fn check(fields: &[(&'static str, &str)], expected: &[Algorithm]) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let found = checksums(&headers);
        let algorithms: Vec<_> = found.iter().map(|sum| sum.algorithm).collect();
        assert_eq!(algorithms, expected, "{fields:?}");
        assert!(
            found
                .iter()
                .all(|sum| sum.value.len() == sum.algorithm.length())
        );
    }

    #[test]
    fn the_fields_that_are_digests_are_understood() {
        use Algorithm::{Md5, Sha256, Sha512};
        check(&[("content-md5", MD5)], &[Md5]);
        check(&[("x-ms-meta-sha512", SHA512)], &[Sha512]);
        check(&[("digest", &format!("SHA-256={SHA256}"))], &[Sha256]);
        check(
            &[("digest", &format!("sha-512={SHA512},md5={MD5},adler32=1"))],
            &[Sha512, Md5],
        );
        check(
            &[(
                "repr-digest",
                &format!("sha-256=:{SHA256}:, sha-512=:{SHA512}:;x=1"),
            )],
            &[Sha256, Sha512],
        );
        check(
            &[("content-digest", &format!("sha-256=:{SHA256}:"))],
            &[Sha256],
        );
    }

    #[test]
    fn what_is_no_digest_of_the_body_is_passed_over() {
        check(&[("etag", "\"5d41402abc4b2a76b9719d911017c592\"")], &[]);
        check(&[("content-md5", SHA256)], &[]);
        check(&[("content-md5", "?")], &[]);
        check(&[("digest", &format!("sha-256=:{SHA256}:"))], &[]);
        check(&[("repr-digest", &format!("sha-256={SHA256}"))], &[]);
        check(&[("repr-digest", &format!("sha=:{SHA256}:"))], &[]);
        check(&[("content-md5", MD5), ("content-encoding", "gzip")], &[]);
        let many: Vec<_> = (0..20).map(|_| ("content-md5", MD5)).collect();
        check(&many, &[Algorithm::Md5; CHECKSUMS_MAX]);
    }
}
