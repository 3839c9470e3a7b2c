//! The check of packages: one that is called good has every entry as its directory says, by a
//! reading that does not compare checksums itself.
#![no_main]

use std::io::{Cursor, Read as _};

use flate2::{Crc, read::DeflateDecoder};
use libfuzzer_sys::fuzz_target;
use nugate_fuzz::nuget::resource::{Check, Root};
use nugate_fuzz::proxy::verify::{Finding, json, verify};
use zip::{CompressionMethod, ZipArchive};

/// Length and checksum of what is inside, inflated here.
fn measured(raw: &[u8], method: CompressionMethod) -> (u64, u32) {
    let mut bytes = Vec::new();
    match method {
        CompressionMethod::Stored => bytes.extend_from_slice(raw),
        CompressionMethod::Deflated => {
            DeflateDecoder::new(raw)
                .read_to_end(&mut bytes)
                .expect("it inflates");
        }
        other => panic!("{other} is called good"),
    }
    let mut crc = Crc::new();
    crc.update(&bytes);
    (bytes.len() as u64, crc.sum())
}

fuzz_target!(|data: &[u8]| {
    let _ = json(data, Root::Either, &["versions"]);
    for framed in [true, false] {
        let _ = verify(Check::Xml, None, Cursor::new(data), framed);
    }
    if verify(Check::Nupkg, None, Cursor::new(data), true) != Finding::Good {
        return;
    }
    let mut archive = ZipArchive::new(Cursor::new(data)).expect("it is good");
    for index in 0..archive.len() {
        let mut entry = archive.by_index_raw(index).expect("it is good");
        let (size, crc, method) = (entry.size(), entry.crc32(), entry.compression());
        let mut raw = Vec::new();
        entry.read_to_end(&mut raw).expect("it is in memory");
        assert_eq!(measured(&raw, method), (size, crc), "entry {index}");
    }
});
