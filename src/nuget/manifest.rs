//! The id and version of a package that is on its way, from its first bytes.
//!
//! A package is a zip archive whose manifest (`.nuspec`) lies at its root, and everything that
//! packs for NuGet writes the manifest among the first entries. So the beginning of an upload is
//! enough; what is not found there is not looked for. What is found decides which documents are
//! asked for afresh, and with several feeds that a package goes to none that its id is not for; a
//! wrong manifest harms nobody but its author.

use std::io::Read;

use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::id::PackageId;
use super::version::PackageVersion;

/// Most bytes of the beginning of an upload that are of use.
pub const BEGINNING_MAX: usize = 1 << 20;

/// Most bytes of a manifest; nuget.org's largest have some 200 KiB.
const MANIFEST_MAX: u64 = 1 << 20;

/// Most entries of the archive looked at.
const ENTRIES_MAX: usize = 256;

/// Id and version of the package in an upload that begins with `beginning`: a multipart form, of
/// which the first part counts, or the package itself.
pub fn identity(beginning: &[u8]) -> Option<(PackageId, PackageVersion)> {
    let mut archive = if beginning.starts_with(b"PK") {
        beginning
    } else {
        let end_of_head = memchr::memmem::find(beginning, b"\r\n\r\n")?;
        &beginning[end_of_head + 4..]
    };
    for _ in 0..ENTRIES_MAX {
        let entry = zip::read::read_zipfile_from_stream(&mut archive).ok()??;
        let name = entry.name().ok()?.to_ascii_lowercase();
        if name.ends_with(".nuspec") && !name.contains(['/', '\\']) {
            let mut text = String::new();
            entry.take(MANIFEST_MAX).read_to_string(&mut text).ok()?;
            return read(&text);
        }
    }
    None
}

/// `id` and `version` below `package/metadata`.
fn read(manifest: &str) -> Option<(PackageId, PackageVersion)> {
    let mut reader = Reader::from_str(manifest.trim_start_matches('\u{feff}'));
    let mut path: Vec<String> = Vec::new();
    let (mut id, mut version) = (None, None);
    while id.is_none() || version.is_none() {
        match reader.read_event().ok()? {
            Event::Start(tag) => path.push(tag.local_name().as_ref().to_ascii_lowercase()),
            Event::End(_) => drop(path.pop()),
            Event::Text(text) if path.len() == 3 && path[1] == "metadata" => {
                match path[2].as_str() {
                    "id" => id = Some(PackageId::parse(text.trim())?),
                    "version" => version = Some(PackageVersion::parse(text.trim())?),
                    _ => {}
                }
            }
            Event::Eof => return None,
            _ => {}
        }
    }
    id.zip(version)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            let options = SimpleFileOptions::default();
            let stored = options.compression_method(CompressionMethod::Stored);
            let options = if name.ends_with(".nuspec") {
                options
            } else {
                stored
            };
            archive.start_file(*name, options).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn manifest(id: &str, version: &str) -> String {
        format!(
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- <id>No</id> --><package xmlns=\"x\"><metadata>\
             <id> {id} </id><authors>A &amp; B</authors><version>{version}</version>\
             <dependencies><dependency id=\"Other\" version=\"9.0\"/></dependencies>\
             </metadata></package>"
        )
    }

    fn found(upload: &[u8]) -> Option<String> {
        identity(upload).map(|(id, version)| format!("{} {}", id.as_str(), version.as_str()))
    }

    #[test]
    fn the_manifest_at_the_root_says_what_it_is() {
        let text = manifest("Some.Id", "1.0.0.0-RC");
        let package = archive(&[
            ("_rels/.rels", b"x"),
            ("lib/Other.nuspec", manifest("Other", "2.0").as_bytes()),
            ("Some.Id.nuspec", text.as_bytes()),
            ("lib/a.dll", &vec![7; 100_000]),
        ]);
        let expected = Some("some.id 1.0.0-rc".to_owned());
        assert_eq!(found(&package), expected);
        let mut form = b"--b\r\nContent-Disposition: form-data; name=package\r\n\r\n".to_vec();
        form.extend_from_slice(&package);
        form.extend_from_slice(b"\r\n--b--\r\n");
        assert_eq!(found(&form), expected);
        assert_eq!(found(&form[..1200]), expected, "its beginning is enough");
    }

    #[test]
    fn what_has_no_manifest_at_its_beginning_is_nothing() {
        let late = archive(&[
            ("a.bin", &[1; 5000]),
            ("a.nuspec", manifest("A", "1").as_bytes()),
        ]);
        assert_eq!(found(&late[..30]), None);
        for upload in [
            b"".as_slice(),
            b"PK",
            b"--b\r\nno end of the head",
            b"--b\r\n\r\nno archive at all",
            &archive(&[("a.txt", b"x")]),
            &archive(&[(
                "a.nuspec",
                b"<package><metadata><id>A</id></metadata></package>",
            )]),
            &archive(&[("a.nuspec", manifest("../x", "1.0").as_bytes())]),
            &archive(&[("a.nuspec", manifest("A", "one").as_bytes())]),
        ] {
            assert_eq!(found(upload), None);
        }
    }
}
