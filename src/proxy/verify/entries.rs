//! The entries of an archive, inflated and summed while its bytes arrive.
//!
//! Follows the local headers from the first byte on (APPNOTE 6.3.10 section 4.3.7). It judges
//! nothing and gives up at whatever it does not know: the central directory, which comes last,
//! decides what is in an archive, and what was not summed here is then read again. Memory is
//! bounded by the longest header and [`ENTRIES_MAX`].

use std::collections::HashMap;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zip::CompressionMethod;

/// Inflated bytes of a package that are looked at.
pub(super) const INFLATED_MAX: u64 = 16 << 30;

/// Most entries that are remembered.
const ENTRIES_MAX: usize = 1 << 16;

const HEADER: usize = 30;
/// Signature, CRC and sizes, of 32 or 64 bits.
const DESCRIPTOR_MAX: usize = 24;
const SIGNATURE: usize = 4;
const BLOCK: usize = 64 * 1024;

const LOCAL: [u8; SIGNATURE] = *b"PK\x03\x04";
const CENTRAL: [u8; SIGNATURE] = *b"PK\x01\x02";
const DESCRIPTOR: [u8; SIGNATURE] = *b"PK\x07\x08";

const ENCRYPTED: u16 = 1;
const SIZES_FOLLOW: u16 = 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// What the data of an entry turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summed {
    /// CRC-32 of the inflated bytes.
    pub(super) crc: u32,
    /// Bytes in the archive.
    pub(super) compressed: u64,
    /// Bytes inflated.
    pub(super) size: u64,
    /// How they were compressed.
    pub(super) method: CompressionMethod,
}

/// The entry being read.
struct Entry {
    start: u64,
    method: u16,
    /// Bytes of data in the archive; `None` when a descriptor behind it tells.
    announced: Option<u64>,
    stream: Option<Box<Decompress>>,
    crc: Crc,
    compressed: u64,
    size: u64,
}

enum State {
    /// A header, gathered in the buffer.
    Header,
    /// So many bytes of name, extra fields or unknown data are passed over; then the entry's data.
    Skip(u64, Option<Box<Entry>>),
    Data(Box<Entry>),
    /// What follows data whose length was not announced, gathered in the buffer.
    Descriptor(Box<Entry>),
    /// Nothing more is understood, or the entries are over.
    Stopped,
}

/// Reads an archive's entries from its first byte on.
pub(in crate::proxy) struct Entries {
    state: State,
    buffer: Vec<u8>,
    block: Vec<u8>,
    /// Of the next byte that is not in the buffer.
    position: u64,
    inflated: u64,
    summed: HashMap<u64, Summed>,
}

impl Entries {
    pub(in crate::proxy) fn new() -> Self {
        Self {
            state: State::Header,
            buffer: Vec::new(),
            block: Vec::new(),
            position: 0,
            inflated: 0,
            summed: HashMap::new(),
        }
    }

    /// What the data of the entry whose local header begins at `start` was, if it was read whole.
    pub(super) fn summed(&self, start: u64) -> Option<&Summed> {
        self.summed.get(&start)
    }

    /// Inflated bytes looked at so far.
    pub(super) const fn inflated(&self) -> u64 {
        self.inflated
    }

    /// Takes the next bytes of the archive.
    pub(in crate::proxy) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !matches!(self.state, State::Stopped) {
            let before = bytes.len();
            self.state = match std::mem::replace(&mut self.state, State::Stopped) {
                State::Header => self.header(&mut bytes),
                State::Skip(left, entry) => Self::skip(left, entry, &mut bytes),
                State::Data(entry) => self.data(entry, &mut bytes),
                State::Descriptor(entry) => self.descriptor(entry, &mut bytes),
                State::Stopped => State::Stopped,
            };
            self.position += (before - bytes.len()) as u64;
        }
    }

    /// Moves bytes into the buffer until it has `want`; whether it has.
    fn gather(&mut self, want: usize, bytes: &mut &[u8]) -> bool {
        let taken = want.saturating_sub(self.buffer.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(taken);
        self.buffer.extend_from_slice(head);
        *bytes = rest;
        self.buffer.len() >= want
    }

    fn header(&mut self, bytes: &mut &[u8]) -> State {
        let had = self.buffer.len() as u64;
        if !self.gather(HEADER, bytes) {
            return State::Header;
        }
        let header = std::mem::take(&mut self.buffer);
        let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u64::from(short(at)) | (u64::from(short(at + 2)) << 16);
        if header[..SIGNATURE] != LOCAL || self.summed.len() >= ENTRIES_MAX {
            return State::Stopped;
        }
        let (flags, method) = (short(6), short(8));
        let (compressed, size) = (long(18), long(22));
        let name_and_extra = u64::from(short(26)) + u64::from(short(28));
        let huge = compressed == u64::from(u32::MAX) || size == u64::from(u32::MAX);
        let follow = flags & SIZES_FOLLOW != 0;
        let known = matches!(method, STORED | DEFLATED);
        if huge || flags & ENCRYPTED != 0 || (follow && method != DEFLATED) {
            return State::Stopped;
        }
        if !known {
            return State::Skip(name_and_extra + compressed, None);
        }
        let entry = Box::new(Entry {
            start: self.position - had,
            method,
            announced: (!follow).then_some(compressed),
            stream: (method == DEFLATED).then(|| Box::new(Decompress::new(false))),
            crc: Crc::new(),
            compressed: 0,
            size: 0,
        });
        State::Skip(name_and_extra, Some(entry))
    }

    fn skip(mut left: u64, entry: Option<Box<Entry>>, bytes: &mut &[u8]) -> State {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        *bytes = &bytes[taken..];
        left -= taken as u64;
        match entry {
            _ if left > 0 => State::Skip(left, entry),
            Some(entry) => State::Data(entry),
            None => State::Header,
        }
    }

    fn data(&mut self, mut entry: Box<Entry>, bytes: &mut &[u8]) -> State {
        let left = entry.announced.map(|all| all - entry.compressed);
        let most = left.and_then(|left| usize::try_from(left).ok());
        let input = &bytes[..most.map_or(bytes.len(), |most| most.min(bytes.len()))];
        let Some(stream) = &mut entry.stream else {
            entry.crc.update(input);
            let taken = input.len();
            *bytes = &bytes[taken..];
            entry.compressed += taken as u64;
            entry.size += taken as u64;
            self.inflated += taken as u64;
            if entry.announced == Some(entry.compressed) {
                return self.complete(&entry);
            }
            return State::Data(entry);
        };
        self.block.resize(BLOCK, 0);
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(input, &mut self.block, FlushDecompress::None);
        let used = usize::try_from(stream.total_in() - read).unwrap_or(0);
        let made = usize::try_from(stream.total_out() - written).unwrap_or(0);
        entry.crc.update(&self.block[..made]);
        *bytes = &bytes[used..];
        entry.compressed += used as u64;
        entry.size += made as u64;
        self.inflated += made as u64;
        match status {
            Ok(Status::StreamEnd) if entry.announced.is_none() => State::Descriptor(entry),
            Ok(Status::StreamEnd) if entry.announced == Some(entry.compressed) => {
                self.complete(&entry)
            }
            // All of the data may be taken while some of it is still to come out.
            Ok(Status::Ok | Status::BufError)
                if (used > 0 || made > 0) && self.inflated < INFLATED_MAX =>
            {
                State::Data(entry)
            }
            _ => State::Stopped,
        }
    }

    /// The descriptor is found by what must follow it: its signature is optional, and its sizes
    /// have 32 or 64 bits (APPNOTE 6.3.10 section 4.3.9).
    fn descriptor(&mut self, entry: Box<Entry>, bytes: &mut &[u8]) -> State {
        if !self.gather(DESCRIPTOR_MAX + SIGNATURE, bytes) {
            return State::Descriptor(entry);
        }
        let buffer = std::mem::take(&mut self.buffer);
        let crc = entry.crc.sum().to_le_bytes();
        let signed = usize::from(buffer.starts_with(&DESCRIPTOR)) * SIGNATURE;
        let fits = |length: &usize| {
            let next = &buffer[*length..*length + SIGNATURE];
            buffer[signed..].starts_with(&crc) && (next == LOCAL || next == CENTRAL)
        };
        let Some(length) = [signed + 12, signed + 20].into_iter().find(fits) else {
            return State::Stopped;
        };
        let next = self.complete(&entry);
        self.buffer = buffer[length..].to_vec();
        next
    }

    fn complete(&mut self, entry: &Entry) -> State {
        let method = match entry.method {
            STORED => CompressionMethod::Stored,
            _ => CompressionMethod::Deflated,
        };
        let summed = Summed {
            crc: entry.crc.sum(),
            compressed: entry.compressed,
            size: entry.size,
            method,
        };
        self.summed.insert(entry.start, summed);
        State::Header
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Seek, Write};

    use zip::write::{SimpleFileOptions, StreamWriter};
    use zip::{ZipArchive, ZipWriter};

    use super::*;

    fn noise(size: usize) -> Vec<u8> {
        let mut seed = 7_u32;
        let next = |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Compresses, but not to nothing.
            u8::try_from(seed >> 28).unwrap()
        };
        (0..size).map(next).collect()
    }

    fn write<W: Write + Seek>(mut writer: ZipWriter<W>) -> W {
        let options = SimpleFileOptions::default();
        let stored = options.compression_method(CompressionMethod::Stored);
        for (name, options, size) in [
            ("a.nuspec", options, 500),
            ("empty", stored, 0),
            ("empty.deflated", options, 0),
            ("stored", stored, 70_000),
            ("deflated", options, 300_000),
            ("small", options, 1),
        ] {
            writer.start_file(name, options).unwrap();
            writer.write_all(&noise(size)).unwrap();
        }
        writer.finish().unwrap()
    }

    fn seekable() -> Vec<u8> {
        write(ZipWriter::new(Cursor::new(Vec::new()))).into_inner()
    }

    /// Written without going back: sizes follow the data.
    fn streamed() -> Vec<u8> {
        let mut writer = ZipWriter::new_stream(Vec::new());
        for size in [500, 0, 300_000, 1] {
            let name = format!("f{size}");
            let options = SimpleFileOptions::default();
            writer.start_file(name, options).unwrap();
            writer.write_all(&noise(size)).unwrap();
        }
        let end: StreamWriter<Vec<u8>> = writer.finish().unwrap();
        end.into_inner()
    }

    fn feed(bytes: &[u8], step: usize) -> Entries {
        let mut entries = Entries::new();
        for piece in bytes.chunks(step) {
            entries.feed(piece);
        }
        entries
    }

    #[test]
    fn every_entry_is_summed_however_the_bytes_come() {
        for archive in [seekable(), streamed()] {
            for step in [1, 7, 29, 1000, 65_536, usize::MAX] {
                let entries = feed(&archive, step);
                let mut whole = ZipArchive::new(Cursor::new(&archive)).unwrap();
                for index in 0..whole.len() {
                    let mut entry = whole.by_index(index).unwrap();
                    let mut inflated = Vec::new();
                    entry.read_to_end(&mut inflated).unwrap();
                    let expected = Summed {
                        crc: entry.crc32(),
                        compressed: entry.compressed_size(),
                        size: entry.size(),
                        method: entry.compression(),
                    };
                    let found = entries.summed(entry.header_start());
                    assert_eq!(found, Some(&expected), "{step} {index}");
                }
                assert_eq!(entries.summed.len(), whole.len());
            }
        }
    }

    #[test]
    fn damaged_data_has_another_sum_or_none() {
        let archive = seekable();
        let good = feed(&archive, 1000);
        let mut whole = ZipArchive::new(Cursor::new(&archive)).unwrap();
        for index in [0, 3, 4, 5] {
            let entry = whole.by_index(index).unwrap();
            let (start, data) = (entry.header_start(), entry.data_start().unwrap());
            for at in (data..data + entry.compressed_size()).step_by(997) {
                let mut bytes = archive.clone();
                bytes[usize::try_from(at).unwrap()] ^= 1;
                let damaged = feed(&bytes, 4096);
                assert_ne!(damaged.summed(start), good.summed(start), "{index} {at}");
            }
        }
    }

    #[test]
    fn what_is_no_archive_is_given_up() {
        for text in [
            "<html>",
            "PK\x03\x04",
            "",
            "PK\x01\x02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let entries = feed(text.as_bytes(), 3);
            assert!(entries.summed.is_empty(), "{text}");
        }
        assert!(feed(&noise(100_000), 1000).summed.is_empty());
    }
}
