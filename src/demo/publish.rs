//! Pushes, deletions and relistings, as nuget.org answers them.
//!
//! A deletion unlists; the package stays. Keys, forms and manifests are read here a second time, not
//! with the rules under test. The words behind a status say what is wrong, as nuget.org's do.
//! Invariant: what is refused leaves the feed as it was.

use std::io::{Cursor, Read as _};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use memchr::memmem;
use percent_encoding::percent_decode_str;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use zip::ZipArchive;

use super::feed::{ExampleFeed, FeedError};
use super::package::{Dependency, Package};
use super::version::Version;

const PACKAGES: &str = "/api/v2/package";
const SYMBOLS: &str = "/api/v2/symbolpackage";

/// Why something is refused, for the client.
type Refusal = (StatusCode, String);

impl ExampleFeed {
    /// Takes pushes and deletions only with this key.
    #[must_use]
    pub fn guarded_by(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Whether symbols of a version were pushed; id and version in any spelling.
    pub fn has_symbols(&self, id: &str, version: &str) -> bool {
        Version::parse(version)
            .is_some_and(|version| self.symbols.contains(&(id.to_lowercase(), version.lower())))
    }

    /// The response to any request, for a base URL without trailing slash.
    pub fn answer(&mut self, base: &str, head: &Parts, body: &Bytes) -> Response<Bytes> {
        let path = head.uri.path().trim_end_matches('/');
        let publishing = path == SYMBOLS || path.starts_with(PACKAGES);
        if !publishing {
            return self.respond(base, &head.method, &head.uri, &head.headers);
        }
        let rest = path.strip_prefix(PACKAGES).unwrap_or_default();
        let names: Vec<_> = rest
            .split('/')
            .filter(|name| !name.is_empty())
            .map(|name| percent_decode_str(name).decode_utf8_lossy())
            .collect();
        let allowed = if names.is_empty() {
            "PUT"
        } else {
            "DELETE, POST"
        };
        let outcome = match (&head.method, names.as_slice()) {
            (&Method::PUT, []) if path == SYMBOLS => self.push_symbols(&head.headers, body),
            (&Method::PUT, []) => self.push(&head.headers, body),
            (&Method::DELETE, [id, version]) => self.relist(&head.headers, (id, version), false),
            (&Method::POST, [id, version]) => self.relist(&head.headers, (id, version), true),
            _ => Err((
                StatusCode::METHOD_NOT_ALLOWED,
                format!("Allowed: {allowed}"),
            )),
        };
        let mut response = match outcome {
            Ok(status) => said(status, ""),
            Err((status, text)) => said(status, &text),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(ALLOW, allowed);
        }
        response
    }

    fn push(&mut self, headers: &HeaderMap, body: &Bytes) -> Result<StatusCode, Refusal> {
        self.unlock(headers)?;
        let (package, nupkg, nuspec) = unpack(headers, body)?;
        match self.commit(package, nupkg, nuspec) {
            Ok(()) => Ok(StatusCode::CREATED),
            Err(FeedError::Twice { id, version }) => Err((
                StatusCode::CONFLICT,
                format!(
                    "A package with ID '{id}' and version '{version}' already exists and cannot be \
                     modified."
                ),
            )),
            Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
        }
    }

    fn push_symbols(&mut self, headers: &HeaderMap, body: &Bytes) -> Result<StatusCode, Refusal> {
        self.unlock(headers)?;
        let (package, ..) = unpack(headers, body)?;
        let nothing = || {
            let text = "There is no package that these symbols belong to.";
            (StatusCode::NOT_FOUND, text.to_owned())
        };
        self.nupkg(&package.id, &package.version)
            .ok_or_else(nothing)?;
        let version = Version::parse(&package.version).ok_or_else(nothing)?;
        self.symbols
            .insert((package.id.to_lowercase(), version.lower()));
        Ok(StatusCode::CREATED)
    }

    fn relist(
        &mut self,
        headers: &HeaderMap,
        (id, version): (&str, &str),
        listed: bool,
    ) -> Result<StatusCode, Refusal> {
        self.unlock(headers)?;
        if !self.list(id, version, listed) {
            let text = format!("There is no package '{id}' of version '{version}'.");
            return Err((StatusCode::NOT_FOUND, text));
        }
        Ok(if listed {
            StatusCode::OK
        } else {
            StatusCode::NO_CONTENT
        })
    }

    fn unlock(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers
            .get("x-nuget-apikey")
            .and_then(|key| key.to_str().ok());
        match &self.key {
            Some(key) if given != Some(key) => Err((
                StatusCode::FORBIDDEN,
                "The specified API key is invalid, has expired, or does not have permission to \
                 access the specified package."
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// A response whose reason says what happened.
fn said(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(text.as_bytes()));
    *response.status_mut() = status;
    if !text.is_empty() {
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        if let Ok(reason) = ReasonPhrase::try_from(text.as_bytes()) {
            response.extensions_mut().insert(reason);
        }
    }
    if status != StatusCode::NO_CONTENT {
        let length = HeaderValue::from(text.len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    response
}

/// The package of a multipart form, its file and its manifest.
fn unpack(headers: &HeaderMap, body: &Bytes) -> Result<(Package, Bytes, Bytes), Refusal> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let nupkg = first_part(headers, body).ok_or_else(|| bad("The request has no package."))?;
    let invalid = || bad("The package is invalid.");
    let mut archive = ZipArchive::new(Cursor::new(nupkg.clone())).map_err(|_| invalid())?;
    let name = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .find(|name| name.ends_with(".nuspec") && !name.contains('/'))
        .ok_or_else(|| bad("The package has no manifest."))?;
    let mut nuspec = String::new();
    archive
        .by_name(&name)
        .and_then(|mut file| Ok(file.read_to_string(&mut nuspec)?))
        .map_err(|_| invalid())?;
    let package = describe(&nuspec).ok_or_else(|| bad("The manifest is invalid."))?;
    Ok((package, nupkg, Bytes::from(nuspec)))
}

/// RFC 7578 section 4.1: only the first part counts.
fn first_part(headers: &HeaderMap, body: &Bytes) -> Option<Bytes> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (form, boundary) = kind.split_once("boundary=")?;
    if !form.trim_start().starts_with("multipart/form-data") {
        return None;
    }
    let boundary = boundary.split(';').next()?.trim().trim_matches('"');
    let begin = memmem::find(body, b"\r\n\r\n")? + 4;
    let end = begin + memmem::find(&body[begin..], format!("\n--{boundary}").as_bytes())?;
    // NuGet 2 ends its part with LF alone, and nuget.org takes it.
    let end = end - usize::from(body[begin..end].ends_with(b"\r"));
    Some(body.slice(begin..end))
}

/// What a manifest says of its package.
fn describe(nuspec: &str) -> Option<Package> {
    let mut reader = Reader::from_str(nuspec.trim_start_matches('\u{feff}'));
    let mut package = Package::new("", "");
    package.tags.clear();
    let (mut name, mut framework) = (String::new(), None);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) | Event::Empty(tag) => {
                tag.local_name().as_ref().clone_into(&mut name);
                match name.as_str() {
                    "group" => framework = attribute(&tag, "targetFramework"),
                    "dependency" => package.dependencies.push(Dependency {
                        id: attribute(&tag, "id")?,
                        range: attribute(&tag, "version").unwrap_or_default(),
                        framework: framework.clone(),
                    }),
                    _ => {}
                }
            }
            Event::Text(text) => match name.as_str() {
                "id" => text.trim().clone_into(&mut package.id),
                "version" => text.trim().clone_into(&mut package.version),
                "description" => text.trim().clone_into(&mut package.description),
                "tags" => package.tags = text.split_whitespace().map(str::to_owned).collect(),
                _ => {}
            },
            Event::End(_) => name.clear(),
            Event::Eof => break,
            _ => {}
        }
    }
    (!package.id.is_empty() && !package.version.is_empty()).then_some(package)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.try_get_attribute(name).ok()??;
    Some(found.value.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const TYPE: (&str, &str) = ("content-type", "multipart/form-data; boundary=\"b\"");
    const KEY: (&str, &str) = ("x-nuget-apikey", "k");

    fn form(nupkg: &[u8]) -> Bytes {
        let head = b"--b\r\nContent-Disposition: form-data; name=package\r\n\r\n".as_slice();
        Bytes::from([head, nupkg, b"\r\n--b--\r\n"].concat())
    }

    fn ask(
        feed: &mut ExampleFeed,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &Bytes,
    ) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let response = feed.answer("http://feed.test", &head, body);
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), text)
    }

    #[test]
    fn a_pushed_package_is_part_of_the_feed() {
        let mut feed = ExampleFeed::demo().guarded_by("k");
        let package = Package::new("New.Id", "1.0.0-Beta")
            .needs("Example.Core", "[1.0.0, 2.0.0)")
            .needs_on("net8.0", "Example.Json", "1.2.0")
            .tagged(&["one", "two"])
            .described("what it is");
        let nupkg = package.nupkg().unwrap();
        let body = form(&nupkg);
        let push = ("PUT", "/api/v2/package/");
        let pushed = ask(&mut feed, push, &[TYPE, KEY], &body);
        assert_eq!(pushed, (201, String::new()));
        assert_eq!(feed.nupkg("new.id", "1.0.0-beta"), Some(nupkg));
        let release = &feed.releases("new.id")[0];
        assert_eq!(release.nuspec, package.nuspec());
        assert_eq!(release.package.tags, ["one", "two"]);
        assert_eq!(release.package.description, "what it is");
        assert_eq!(release.package.groups().len(), 2);
        assert_eq!(release.package.groups()[1].0, Some("net8.0"));
        let again = ask(&mut feed, push, &[TYPE, KEY], &body);
        assert_eq!(again.0, 409);
        assert!(again.1.contains("already exists"), "{}", again.1);
        let symbols = ("PUT", "/api/v2/symbolpackage/");
        assert_eq!(ask(&mut feed, symbols, &[TYPE, KEY], &body).0, 201);
        assert!(feed.has_symbols("NEW.ID", "1.0-beta"));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let mut feed = ExampleFeed::demo().guarded_by("k");
        let before = feed.modified();
        let body = form(&Package::new("New.Id", "1.0").nupkg().unwrap());
        let impossible = form(&Package::new("New.Id", "one").nupkg().unwrap());
        let (put, symbols) = ("PUT", "/api/v2/symbolpackage");
        for (ask_for, headers, body, status) in [
            ((put, PACKAGES), [TYPE, ("x-nuget-apikey", "K")], &body, 403),
            ((put, PACKAGES), [TYPE, ("x", "k")], &body, 403),
            (
                (put, PACKAGES),
                [("content-type", "text/plain"), KEY],
                &body,
                400,
            ),
            ((put, PACKAGES), [TYPE, KEY], &form(b"no archive"), 400),
            ((put, PACKAGES), [TYPE, KEY], &Bytes::new(), 400),
            ((put, PACKAGES), [TYPE, KEY], &impossible, 400),
            ((put, symbols), [TYPE, KEY], &body, 404),
            (("GET", PACKAGES), [TYPE, KEY], &body, 405),
            (
                ("DELETE", "/api/v2/package/no/1.0"),
                [TYPE, KEY],
                &body,
                404,
            ),
        ] {
            assert_eq!(
                ask(&mut feed, ask_for, &headers, body).0,
                status,
                "{ask_for:?}"
            );
        }
        assert_eq!(feed.modified(), before);
    }

    #[test]
    fn a_deletion_unlists_and_a_post_lists_again() {
        let mut feed = ExampleFeed::demo();
        let path = "/api/v2/package/Example.Core/1.0.0";
        for (method, status, listed) in [("DELETE", 204, false), ("POST", 200, true)] {
            let answer = ask(&mut feed, (method, path), &[], &Bytes::new());
            assert_eq!(answer.0, status);
            let release = &feed.releases("example.core")[0];
            assert_eq!(release.package.listed, listed);
        }
        assert!(feed.nupkg("example.core", "1.0.0").is_some());
    }
}
