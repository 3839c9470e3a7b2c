//! Content codings of responses: identity, gzip and zlib-wrapped deflate (RFC 9110 section 8.4.1).
//!
//! Decodes what the response is labelled as, whatever was asked for, and nothing else: nuget.org
//! answers gzip to clients that asked for none, and a stacked label (`gzip, aws-chunked`) is known
//! to make clients read compressed bytes as JSON.
//!
//! Invariant: a body counts as whole only after its checksum was seen and was right.

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Most bytes in one decoded block.
pub(super) const BLOCK_MAX: usize = 256 * 1024;
/// Most encoded bytes that are decoded in one go, so that no thread is held for long.
const INPUT_MAX: usize = 64 * 1024;
const BLOCK_MIN: usize = 4 * 1024;
const WINDOW_BITS: u8 = 15;

/// Why a body cannot be decoded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// A label that is not understood, or more than one.
    #[error("unsupported content-encoding {0:?}")]
    Unsupported(String),
    /// Bytes that are not what the label says, a wrong checksum, or bytes after the end.
    #[error("damaged {0} data")]
    Damaged(&'static str),
    /// The encoded data stops before its own end.
    #[error("{0} data ends early")]
    EndsEarly(&'static str),
}

/// Decodes one body.
#[derive(Debug)]
pub(super) enum Decoder {
    Identity,
    Inflate(Inflate),
}

impl Decoder {
    /// The decoder that a response's `Content-Encoding` calls for.
    pub(super) fn for_headers(headers: &HeaderMap) -> Result<Self, DecodeError> {
        let mut labels = headers.get_all(CONTENT_ENCODING).iter();
        let (Some(label), None) = (labels.next(), labels.next()) else {
            return match headers.get_all(CONTENT_ENCODING).iter().count() {
                0 => Ok(Self::Identity),
                _ => Err(DecodeError::Unsupported("several fields".to_owned())),
            };
        };
        let label = String::from_utf8_lossy(label.as_bytes())
            .trim()
            .to_ascii_lowercase();
        match label.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Inflate(Inflate::new("gzip"))),
            "deflate" => Ok(Self::Inflate(Inflate::new("deflate"))),
            _ => Err(DecodeError::Unsupported(label.chars().take(64).collect())),
        }
    }

    /// Whether decoded bytes are the received bytes.
    pub(super) const fn is_identity(&self) -> bool {
        matches!(self, Self::Identity)
    }

    /// The next block of at most [`BLOCK_MAX`] bytes, taking what it needs from `input`; `None` when
    /// more input is needed.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        match self {
            Self::Identity if input.is_empty() => Ok(None),
            Self::Identity => Ok(Some(input.split_to(input.len().min(BLOCK_MAX)))),
            Self::Inflate(inflate) => inflate.next(input),
        }
    }

    /// Whether the body was whole, asked after the last input.
    pub(super) const fn finish(&self) -> Result<(), DecodeError> {
        match self {
            Self::Inflate(inflate) if !inflate.ended => Err(DecodeError::EndsEarly(inflate.name)),
            _ => Ok(()),
        }
    }
}

/// State of one gzip or zlib body.
#[derive(Debug)]
pub(super) struct Inflate {
    name: &'static str,
    stream: Decompress,
    /// The trailer of the last member was seen and was right.
    ended: bool,
    /// Length of the last block if it was filled to the brim, so that the stream may hold more;
    /// else 0.
    filled: usize,
}

impl Inflate {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            stream: Self::stream(name),
            ended: false,
            filled: 0,
        }
    }

    fn stream(name: &str) -> Decompress {
        match name {
            "gzip" => Decompress::new_gzip(WINDOW_BITS),
            _ => Decompress::new(true),
        }
    }

    fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        while self.filled > 0 || !input.is_empty() {
            self.begin_member(input)?;
            let taken = input.len().min(INPUT_MAX);
            let mut block =
                Vec::with_capacity((8 * taken).max(2 * self.filled).clamp(BLOCK_MIN, BLOCK_MAX));
            let before = self.stream.total_in();
            let status = self
                .stream
                .decompress_vec(&input[..taken], &mut block, FlushDecompress::None)
                .map_err(|_| DecodeError::Damaged(self.name))?;
            let used = usize::try_from(self.stream.total_in() - before).unwrap_or(taken);
            input.advance(used.min(taken));
            self.ended = status == Status::StreamEnd;
            let full = !self.ended && block.len() == block.capacity();
            self.filled = if full { block.len() } else { 0 };
            if !block.is_empty() {
                return Ok(Some(Bytes::from(block)));
            }
            if used == 0 && !self.ended && taken > 0 {
                return Err(DecodeError::Damaged(self.name));
            }
        }
        Ok(None)
    }

    /// gzip data may be several members in a row (RFC 1952 section 2.2); zlib data may not.
    fn begin_member(&mut self, input: &Bytes) -> Result<(), DecodeError> {
        if self.ended && !input.is_empty() {
            if self.name != "gzip" {
                return Err(DecodeError::Damaged(self.name));
            }
            self.stream = Self::stream(self.name);
            self.ended = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn labelled(labels: &[&'static str]) -> Result<Decoder, DecodeError> {
        let mut headers = HeaderMap::new();
        for label in labels {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(label));
        }
        Decoder::for_headers(&headers)
    }

    fn decode(label: &'static str, encoded: &[u8], step: usize) -> Result<Vec<u8>, DecodeError> {
        let mut decoder = labelled(&[label])?;
        let mut plain = Vec::new();
        for frame in encoded.chunks(step) {
            let mut input = Bytes::copy_from_slice(frame);
            while let Some(block) = decoder.next(&mut input)? {
                assert!(block.len() <= BLOCK_MAX);
                plain.extend_from_slice(&block);
            }
        }
        decoder.finish()?;
        Ok(plain)
    }

    #[test]
    fn labels() {
        let check = |labels: &[&'static str], identity: Option<bool>| {
            let decoder = labelled(labels);
            assert_eq!(
                decoder.ok().map(|d| d.is_identity()),
                identity,
                "{labels:?}"
            );
        };
        check(&[], Some(true));
        check(&["identity"], Some(true));
        check(&["GZip"], Some(false));
        check(&["x-gzip"], Some(false));
        check(&["deflate"], Some(false));
        check(&["br"], None);
        check(&["gzip, aws-chunked"], None);
        check(&["gzip", "gzip"], None);
    }

    #[test]
    fn whole_bodies_decode_at_any_framing() {
        let mut plain: Vec<u8> = (0..700_000_u32)
            .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
            .collect();
        plain.extend(std::iter::repeat_n(b' ', 3_000_000));
        for step in [1000, 64 * 1024, usize::MAX] {
            assert!(
                decode("gzip", &gzip(&plain), step).unwrap() == plain,
                "{step}"
            );
            assert!(
                decode("deflate", &zlib(&plain), step).unwrap() == plain,
                "{step}"
            );
            assert!(decode("identity", &plain, step).unwrap() == plain, "{step}");
        }
        let members = [gzip(b"one "), gzip(b"two")].concat();
        for step in [1, 7, usize::MAX] {
            assert_eq!(decode("gzip", &members, step).unwrap(), b"one two");
        }
        assert_eq!(decode("gzip", &gzip(b""), 1).unwrap(), b"");
    }

    #[test]
    fn damage_is_noticed() {
        let whole = gzip(b"{\"versions\":[]}");
        let check = |label: &'static str, bytes: &[u8], expected: DecodeError| {
            for step in [1, usize::MAX] {
                assert_eq!(decode(label, bytes, step).unwrap_err(), expected);
            }
        };
        let mut crc = whole.clone();
        crc[whole.len() - 8] ^= 1;
        check("gzip", &crc, DecodeError::Damaged("gzip"));
        let mut length = whole.clone();
        length[whole.len() - 4] ^= 1;
        check("gzip", &length, DecodeError::Damaged("gzip"));
        check(
            "gzip",
            &[&whole[..], b"garbage"].concat(),
            DecodeError::Damaged("gzip"),
        );
        check("gzip", b"{\"versions\":[]}", DecodeError::Damaged("gzip"));
        check(
            "gzip",
            &whole[..whole.len() - 1],
            DecodeError::EndsEarly("gzip"),
        );
        check("gzip", b"", DecodeError::EndsEarly("gzip"));
        check(
            "deflate",
            &[zlib(b"x"), zlib(b"y")].concat(),
            DecodeError::Damaged("deflate"),
        );
    }
}
