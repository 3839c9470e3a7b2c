//! What must hold of a body before it is kept, and before its last bytes leave.
//!
//! Upstreams and the boxes between answer 200 with login pages, half archives and damaged bytes;
//! the official clients install a package with damaged file data without complaint. The verdict is
//! on a body that has arrived completely; what is costly ran beside its arrival (`along`).

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read, Seek};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use zip::ZipArchive;
use zip::result::ZipError;

use self::entries::{Entries, INFLATED_MAX, Summed};
use crate::nuget::resource::{Check, Root};
use crate::nuget::rewrite::MAX_DEPTH;
use crate::nuget::v2::markup;

pub(super) mod entries;

/// What verification found.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// All that can be checked is right.
    Good,
    /// It cannot be what was asked for.
    Bad(String),
    /// A whole archive with something wrong inside: refused, unless it is what the upstream has.
    Suspect(String),
    /// The digest is not the one that the response gives: the same, and worth another request.
    Mismatch(String),
    /// Nothing is wrong with it, but nothing says that it is whole: served, not kept.
    Unproven,
    /// It cannot be checked (an unknown compression method, too large when inflated): kept.
    Unknown(String),
}

/// What a damaged part of an archive is called.
const ENTRY: &str = "an entry";

/// Bytes looked at to tell an HTML page from anything else.
const SNIFF: u64 = 512;

/// What the response said of a body.
#[derive(Clone, Debug)]
pub struct Said {
    /// The upstream's `Content-Type`.
    pub content_type: Option<String>,
    /// Whether it told where the body ends.
    pub framed: bool,
}

/// Checks a whole body. `content_type` is the upstream's; `framed` says whether the response told
/// where the body ends, without which a cut one looks like a whole one.
pub fn verify(
    check: Check,
    content_type: Option<&str>,
    body: impl Read + Seek,
    framed: bool,
) -> Finding {
    match check {
        Check::Nupkg => archive(body, &Entries::new()),
        Check::Json(root, members) => whole(body, |bytes| json(bytes, root, members)),
        Check::Markup(roots) => whole(body, |bytes| match markup::check(bytes, roots) {
            Ok(()) => Finding::Good,
            Err(error) => Finding::Bad(error.to_string()),
        }),
        Check::Number => match whole(body, number) {
            // A cut number looks like a whole one.
            Finding::Good if !framed => Finding::Unproven,
            finding => finding,
        },
        Check::Xml => xml(body, framed),
        Check::Any => match not_html(content_type) {
            Finding::Good if !framed => Finding::Unproven,
            finding => finding,
        },
    }
}

/// What `check` finds of a document.
fn whole(mut body: impl Read, check: impl FnOnce(&[u8]) -> Finding) -> Finding {
    let mut bytes = Vec::new();
    match body.read_to_end(&mut bytes) {
        Ok(_) => check(&bytes),
        Err(error) => Finding::Bad(format!("the body cannot be read: {error}")),
    }
}

fn number(bytes: &[u8]) -> Finding {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = text.trim_ascii();
    if (1..=20).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) {
        Finding::Good
    } else {
        Finding::Bad("not a whole number".to_owned())
    }
}

/// Checks an archive; `read` are the entries that were read on the way.
pub(super) fn archive(body: impl Read + Seek, read: &Entries) -> Finding {
    let mut archive = match ZipArchive::new(body) {
        Ok(archive) => archive,
        Err(error) => return of_zip(&error, "the archive"),
    };
    let mut budget = INFLATED_MAX.saturating_sub(read.inflated());
    for index in 0..archive.len() {
        if is_proven(&archive, index, read) {
            continue;
        }
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(error) => return of_zip(&error, ENTRY),
        };
        let announced = entry.size();
        // Reading to the end compares the CRC.
        match io::copy(&mut entry.by_ref().take(budget), &mut io::sink()) {
            Ok(read) if read == budget => {
                return Finding::Unknown("inflates to more than 16 GiB".to_owned());
            }
            Ok(read) if read != announced => {
                return Finding::Suspect(format!("entry {index} is {read} bytes, not {announced}"));
            }
            Ok(read) => budget -= read,
            Err(error) => return Finding::Suspect(format!("entry {index}: {error}")),
        }
    }
    Finding::Good
}

/// Checks the end of an archive, of which at least 64 KiB or all is given: there must be an end record,
/// and nothing behind its comment (APPNOTE.TXT section 4.3.16).
pub fn archive_tail(tail: &[u8]) -> Finding {
    const RECORD: usize = 22;
    let ends = |at: usize| {
        let comment = tail.get(at + 20..at + RECORD);
        let comment = comment.map(|length| u16::from_le_bytes([length[0], length[1]]));
        comment.is_some_and(|length| at + RECORD + usize::from(length) == tail.len())
    };
    let found = tail
        .windows(4)
        .enumerate()
        .any(|(at, bytes)| bytes == b"PK\x05\x06" && ends(at));
    if found {
        Finding::Good
    } else {
        Finding::Bad("the archive has no end".to_owned())
    }
}

/// Whether an entry's data was found to be what the central directory says.
fn is_proven<R: Read + Seek>(archive: &ZipArchive<R>, index: usize, read: &Entries) -> bool {
    let Ok(entry) = archive.by_index_data(index) else {
        return false;
    };
    let said = Summed {
        crc: entry.crc32(),
        compressed: entry.compressed_size(),
        size: entry.size(),
        method: entry.compression(),
    };
    !entry.encrypted() && read.summed(entry.header_start()) == Some(&said)
}

fn of_zip(error: &ZipError, what: &str) -> Finding {
    match error {
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            Finding::Unknown(format!("{what} cannot be checked: {error}"))
        }
        _ if what == ENTRY => Finding::Suspect(format!("{what} is damaged: {error}")),
        _ => Finding::Bad(format!("{what} is damaged: {error}")),
    }
}

/// Checks the syntax of a whole JSON document, its depth, the kind of its root and that `members`
/// are there.
pub fn json(bytes: &[u8], root: Root, members: &[&str]) -> Finding {
    match json_syntax(bytes, root, members) {
        Finding::Good if depth(bytes) > MAX_DEPTH => {
            Finding::Bad(format!("the JSON document nests deeper than {MAX_DEPTH}"))
        }
        finding => finding,
    }
}

fn json_syntax(bytes: &[u8], root: Root, members: &[&str]) -> Finding {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let found = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Root::Object,
        Some(b'[') => Root::Array,
        _ => return Finding::Bad("not a JSON document".to_owned()),
    };
    if root != Root::Either && root != found {
        return Finding::Bad(
            format!("the root of the JSON document is no {root:?}").to_lowercase(),
        );
    }
    if found == Root::Array {
        return match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Finding::Good,
            Err(error) => Finding::Bad(format!("not valid JSON: {error}")),
        };
    }
    match serde_json::from_slice::<Members>(bytes) {
        Ok(Members(names)) => match members.iter().find(|member| !names.contains(**member)) {
            None => Finding::Good,
            Some(member) => Finding::Bad(format!("the JSON document has no member {member:?}")),
        },
        Err(error) => Finding::Bad(format!("not valid JSON: {error}")),
    }
}

/// How deep the containers of a valid JSON document nest.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut text, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = text,
            b'"' => text = !text,
            _ if text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The names of an object's members; their values are read past.
struct Members(HashSet<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = HashSet::new();
                while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    names.insert(name);
                }
                Ok(Members(names))
            }
        }
        input.deserialize_map(Names)
    }
}

fn xml(mut body: impl Read + Seek, framed: bool) -> Finding {
    let mut start = Vec::new();
    if let Err(error) = body.by_ref().take(SNIFF).read_to_end(&mut start) {
        return Finding::Bad(format!("the body cannot be read: {error}"));
    }
    let start = String::from_utf8_lossy(&start).to_lowercase();
    let start = start.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if !start.starts_with('<') && !start.contains('\0') {
        return Finding::Bad("not an XML document".to_owned());
    }
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Finding::Bad("an HTML page instead of the document".to_owned());
    }
    if !framed && !ends_with_its_root(&mut body) {
        return Finding::Bad("the document is cut off".to_owned());
    }
    Finding::Good
}

/// Whether the last thing in a manifest is the end of its root element, `package` in any case or
/// prefix.
fn ends_with_its_root(body: &mut (impl Read + Seek)) -> bool {
    let mut text = Vec::new();
    if body.rewind().is_err() || body.read_to_end(&mut text).is_err() {
        return false;
    }
    let text = String::from_utf8_lossy(&text);
    let tail = text.trim_end().to_ascii_lowercase();
    tail.rsplit_once("</")
        .is_some_and(|(_, tag)| tag.trim_end_matches('>').trim_end().ends_with("package"))
        && tail.ends_with('>')
}

fn not_html(content_type: Option<&str>) -> Finding {
    let html = content_type.is_some_and(|value| {
        value
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("text/html")
    });
    if html {
        Finding::Bad("an HTML page instead of the document".to_owned())
    } else {
        Finding::Good
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::SimpleFileOptions;

    use super::*;

    fn package() -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer
            .start_file("a.nuspec", SimpleFileOptions::default())
            .unwrap();
        writer.write_all(b"<package/>").unwrap();
        writer.start_file("lib/a.dll", stored).unwrap();
        writer.write_all(&[7; 5000]).unwrap();
        writer.finish().unwrap().into_inner()
    }

    fn nupkg(bytes: &[u8]) -> Finding {
        verify(Check::Nupkg, None, Cursor::new(bytes), true)
    }

    #[test]
    fn a_whole_package_is_good_and_no_part_of_it_is() {
        let whole = package();
        assert_eq!(nupkg(&whole), Finding::Good);
        for length in 0..whole.len() {
            assert!(
                matches!(nupkg(&whole[..length]), Finding::Bad(_)),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_damaged_byte_of_file_data_is_found() {
        let mut damaged = package();
        let data = damaged
            .windows(100)
            .position(|window| window == [7; 100])
            .unwrap();
        damaged[data + 50] ^= 1;
        assert!(matches!(nupkg(&damaged), Finding::Suspect(_)));
        assert!(matches!(nupkg(b"<html>login</html>"), Finding::Bad(_)));
    }

    #[track_caller]
    fn check_json(text: &str, root: Root, members: &[&str], good: bool) {
        let finding = json(text.as_bytes(), root, members);
        assert_eq!(finding == Finding::Good, good, "{text}: {finding:?}");
    }

    #[test]
    fn json_documents() {
        check_json(r#"{"versions":[]}"#, Root::Object, &["versions"], true);
        check_json(
            "\u{feff} {\"versions\":[]}",
            Root::Object,
            &["versions"],
            true,
        );
        check_json(r#"{"version":[]}"#, Root::Object, &["versions"], false);
        check_json("[]", Root::Object, &[], false);
        check_json("[1]", Root::Either, &[], true);
        check_json("[1", Root::Either, &[], false);
        check_json(r#"{"a":1}}"#, Root::Object, &[], false);
        check_json(r#"{"a":1"#, Root::Object, &[], false);
        check_json("<html>", Root::Object, &[], false);
        check_json("", Root::Either, &[], false);
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        check_json(&nested(MAX_DEPTH), Root::Either, &[], true);
        check_json(&nested(MAX_DEPTH + 1), Root::Either, &[], false);
        let flat = format!(r#"{{"a\\":"\"{}"}}"#, "[".repeat(200));
        check_json(&flat, Root::Object, &[], true);
        let deep = format!(r#"{{"a\\":[],"\"":{}}}"#, nested(MAX_DEPTH));
        check_json(&deep, Root::Object, &[], false);
    }

    #[test]
    fn manifests_and_files() {
        let xml = |text: &str| verify(Check::Xml, None, Cursor::new(text.as_bytes()), true);
        assert_eq!(
            xml("\u{feff}<?xml version=\"1.0\"?><package/>"),
            Finding::Good
        );
        assert!(matches!(xml("<!DOCTYPE html><html>"), Finding::Bad(_)));
        assert!(matches!(xml("{}"), Finding::Bad(_)));
        let any = |kind| verify(Check::Any, Some(kind), Cursor::new(b"x"), true);
        assert_eq!(any("image/png"), Finding::Good);
        assert!(matches!(any("text/HTML; charset=utf-8"), Finding::Bad(_)));
    }

    #[test]
    fn what_has_no_end_of_its_own_needs_one_told() {
        let xml = |text: &str| verify(Check::Xml, None, Cursor::new(text.as_bytes()), false);
        assert_eq!(xml("<package><metadata/></package>\n"), Finding::Good);
        assert_eq!(xml("<p:package></p:package >"), Finding::Good);
        for cut in [
            "<package><metadata/></pack",
            "<package><metadata>",
            "<package></metadata>",
        ] {
            assert!(matches!(xml(cut), Finding::Bad(_)), "{cut}");
        }
        let any = verify(Check::Any, Some("image/png"), Cursor::new(b"x"), false);
        assert_eq!(any, Finding::Unproven);
    }
}
