//! Answers in the terms of HTTP: status, validators, and the body or none.
//!
//! Every 200 has a strong entity tag and `Last-Modified` (RFC 9110 section 8.8). Only entity tags
//! are compared: removing a file makes nothing newer.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Answer;
use super::archive::{Archive, ArchiveError, open};
use super::body::Body;
use super::documents::Stand;
use super::inventory::Release;
use super::path::Part;
use super::stamp::http_date;

/// Longest file that is taken out of a package to be served beside it, in bytes.
const EXTRA_MAX: u64 = 8 << 20;

/// An answer without a document.
pub(super) fn absent(status: StatusCode) -> Answer {
    Answer {
        status,
        headers: HeaderMap::new(),
        body: Body::empty(),
    }
}

/// Whether the asker has what this tag names.
pub(super) fn matches(etag: Option<&HeaderValue>, tag: &str) -> bool {
    etag.and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim() == quoted(tag))
}

/// The asker has it.
pub(super) fn not_modified(stand: &Stand) -> Answer {
    Answer {
        status: StatusCode::NOT_MODIFIED,
        headers: validators(stand),
        body: Body::empty(),
    }
}

/// A JSON document.
pub(super) fn document(json: Bytes, stand: &Stand, head: bool) -> Answer {
    whole(Body::memory(json), "application/json", stand, head)
}

/// A package, or a file out of it; `None` when the file is not the one that was scanned.
///
/// # Errors
/// When it cannot be read, or the archive is damaged.
pub(super) fn file(
    release: &Release,
    part: Part,
    etag: Option<&HeaderValue>,
    head: bool,
) -> Result<Option<Answer>, ArchiveError> {
    let (file, stamp) = match open(&release.path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ArchiveError::Io(error)),
    };
    if stamp != release.stamp {
        return Ok(None);
    }
    let stand = Stand {
        tag: stamp.text(),
        modified: stamp.modified(),
    };
    if matches(etag, &stand.tag) {
        return Ok(Some(not_modified(&stand)));
    }
    if part == Part::Package {
        let body = Body::file(file, stamp);
        return Ok(Some(whole(body, "application/octet-stream", &stand, head)));
    }
    let mut archive = Archive::new(file)?;
    let extras = &release.manifest.extras;
    let path = match part {
        Part::Package | Part::Manifest => {
            let body = Body::memory(archive.manifest()?.into());
            return Ok(Some(whole(body, "text/xml", &stand, head)));
        }
        Part::Icon => &extras.icon,
        Part::Readme => &extras.readme,
        Part::License => &extras.license,
    };
    let Some(path) = path else {
        return Ok(Some(absent(StatusCode::GONE)));
    };
    Ok(Some(match archive.file(path, EXTRA_MAX)? {
        Some(bytes) => whole(Body::memory(bytes.into()), media_type(path), &stand, head),
        None => absent(StatusCode::GONE),
    }))
}

fn whole(body: Body, media_type: &'static str, stand: &Stand, head: bool) -> Answer {
    let mut headers = validators(stand);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, body.length().into());
    Answer {
        status: StatusCode::OK,
        headers,
        body: if head { Body::empty() } else { body },
    }
}

fn validators(stand: &Stand) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let fields = [
        (ETAG, quoted(&stand.tag)),
        (LAST_MODIFIED, http_date(stand.modified)),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers
}

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// By the end of its name, as nuget.org tells the kinds of icons and readmes it admits.
fn media_type(path: &str) -> &'static str {
    let end = path.rsplit('.').next().unwrap_or_default();
    match end.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "md" => "text/markdown; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
