//! Requests that a feed answers which speaks V2 itself: which paths are passed on, and as what.
//!
//! Only the shapes of the protocol go on; what they ask is for the feed to understand. The path is
//! decoded once, checked and encoded once; the query goes on as it was written, but for its
//! quotation marks, which URLs have escaped. Invariant: no path leads elsewhere than below the
//! feed's V2 endpoint.

use crate::nuget::documents::{
    V2_COUNT, V2_ENTRY, V2_ID_VERSIONS, V2_IDS, V2_METADATA, V2_PACKAGE, V2_PACKAGES, V2_SEARCH,
    V2_SERVICE, V2_UPDATES, V2_VERSIONS,
};
use crate::nuget::id::PackageId;
use crate::nuget::resource::DocRule;
use crate::nuget::route::{self, Target};
use crate::nuget::v2::RequestError;
use crate::nuget::v2::literal;
use crate::nuget::v2::request::Call;
use crate::nuget::version::PackageVersion;

/// Names of sets and functions, and what they are counted and kept as.
const LISTS: [(&str, &DocRule); 4] = [
    ("Packages", &V2_PACKAGES),
    ("FindPackagesById", &V2_VERSIONS),
    ("Search", &V2_SEARCH),
    ("GetUpdates", &V2_UPDATES),
];

/// What a client wants of a feed that speaks V2.
#[derive(Debug)]
pub enum Asked {
    /// A document.
    Document(Target),
    /// A package file, which may be elsewhere too.
    Package {
        /// Its id.
        id: PackageId,
        /// Its version.
        version: PackageVersion,
        /// The file as V2 has it.
        file: Target,
    },
    /// The package file of the latest version.
    Latest,
}

/// The service document, which says whether a feed speaks V2.
pub fn service() -> Target {
    Target::gallery(&V2_SERVICE, (None, None), String::new(), None)
}

/// The entry of the version whose file is [`Asked::Package`]'s; `None` for any other target.
pub fn entry_of(file: &Target) -> Option<Target> {
    let (id, version) = file.path().strip_prefix("package/")?.split_once('/')?;
    let path = format!("Packages(Id='{id}',Version='{version}')");
    let about = (file.id.clone(), file.version.clone());
    Some(Target::gallery(&V2_ENTRY, about, path, Some(String::new())))
}

/// Understands a path below `/api/v2` as it was sent, and its query.
///
/// # Errors
/// [`RequestError`] as described there.
pub fn parse(path: &str, query: Option<&str>) -> Result<Asked, RequestError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Asked::Document(service()));
    }
    let segments = route::decode(path).map_err(|error| RequestError::Bad(error.to_string()))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let query = Some(written(query.unwrap_or_default())?);
    let target = |rule, about, path: &str| {
        let target = Target::gallery(rule, about, path.to_owned(), query.clone());
        Ok(Asked::Document(target))
    };
    match segments[..] {
        ["$metadata"] => {
            let target = Target::gallery(&V2_METADATA, (None, None), path_of(&segments), None);
            Ok(Asked::Document(target))
        }
        [word, id, version] if word.eq_ignore_ascii_case("package") => package(id, version),
        [word, id] if word.eq_ignore_ascii_case("package") => {
            known(id)?;
            Ok(Asked::Latest)
        }
        ["package-ids"] => target(&V2_IDS, (None, None), "package-ids"),
        ["package-versions", id] => {
            let about = (Some(known(id)?), None);
            target(&V2_ID_VERSIONS, about, &path_of(&segments))
        }
        [call] => list(call, false, query.as_deref()),
        [call, "$count"] => list(call, true, query.as_deref()),
        [call, "$value"] => {
            let (id, version) = key(&Call::parse(call)?).ok_or(RequestError::NotFound)?;
            package(&id, &version)
        }
        _ => Err(RequestError::NotFound),
    }
}

fn path_of(segments: &[&str]) -> String {
    segments.join("/")
}

fn known(id: &str) -> Result<PackageId, RequestError> {
    PackageId::parse(id).ok_or(RequestError::NotFound)
}

fn package(id: &str, version: &str) -> Result<Asked, RequestError> {
    let about = known(id)?;
    let parsed = PackageVersion::parse(version).ok_or(RequestError::NotFound)?;
    // As they were written: not every feed knows a version by another spelling.
    let path = format!("package/{id}/{version}");
    let file = (Some(about.clone()), Some(parsed.clone()));
    Ok(Asked::Package {
        id: about,
        version: parsed,
        file: Target::gallery(&V2_PACKAGE, file, path, None),
    })
}

/// Id and version of `Packages(Id='X',Version='Y')`.
fn key(call: &Call<'_>) -> Option<(String, String)> {
    let is_set = call.name.eq_ignore_ascii_case("Packages");
    let id = call.argument("Id").filter(|_| is_set)?;
    Some((id.to_owned(), call.argument("Version")?.to_owned()))
}

/// A list, one entry, or how many entries a list has.
fn list(text: &str, count: bool, query: Option<&str>) -> Result<Asked, RequestError> {
    let call = Call::parse(text)?;
    if !call.rest.is_empty() {
        return Err(RequestError::NotFound);
    }
    let query = query.map(str::to_owned);
    if let Some((id, version)) = key(&call).filter(|_| !count) {
        let about = (known(&id)?, PackageVersion::parse(&version));
        let version = about.1.ok_or(RequestError::NotFound)?;
        let about = (Some(about.0), Some(version));
        let path = format!("Packages({})", &text[call.name.len() + 1..text.len() - 1]);
        return Ok(Asked::Document(Target::gallery(
            &V2_ENTRY, about, path, query,
        )));
    }
    let mut lists = LISTS.into_iter();
    let (name, rule) = lists
        .find(|(name, _)| call.name.eq_ignore_ascii_case(name))
        .ok_or(RequestError::NotFound)?;
    if name == "Packages" && !call.is_plain() {
        let text = "Packages() takes Id='…',Version='…', or nothing";
        return Err(RequestError::Bad(text.to_owned()));
    }
    let id = (name == "FindPackagesById").then(|| {
        let in_query = query.as_deref().and_then(|query| parameter(query, "id"));
        let id = call.argument("id").map(str::to_owned).or(in_query)?;
        PackageId::parse(&id)
    });
    let (rule, tail) = if count {
        (&V2_COUNT, "/$count")
    } else {
        (rule, "")
    };
    let path = format!("{name}{}{tail}", &text[call.name.len()..]);
    let about = (id.flatten(), None);
    Ok(Asked::Document(Target::gallery(rule, about, path, query)))
}

/// The value of a parameter without its quotes.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, value) = pairs.find(|(own, _)| own.eq_ignore_ascii_case(name))?;
    literal::parameter(&value)
}

/// The query as it goes on.
fn written(query: &str) -> Result<String, RequestError> {
    let plain = query.bytes().all(|byte| byte.is_ascii_graphic());
    if !plain || !route::is_encoded(query) || query.contains('#') {
        let text = "the query is not percent-encoded";
        return Err(RequestError::Bad(text.to_owned()));
    }
    if let Some(format) = parameter(query, "$format")
        && !matches!(
            &*format,
            "atom" | "xml" | "application/atom+xml" | "application/xml"
        )
    {
        let text = format!("$format={format} is not supported: answers are Atom");
        return Err(RequestError::Unsupported(text));
    }
    Ok(query.replace('\'', "%27"))
}

#[cfg(test)]
mod tests;
