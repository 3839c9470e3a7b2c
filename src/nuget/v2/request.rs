//! From a path below `/api/v2` and its query to what a client wants.
//!
//! Function names are taken in any case and with or without parentheses, parameters from the
//! parentheses or from the query. Options that change what is in a list are understood or refused;
//! parameters that are none of OData's are ignored, as OData servers do. Invariant: ids and versions
//! in a [`V2Request`] are parsed.

use percent_encoding::percent_decode_str;

use crate::nuget::id::PackageId;
use crate::nuget::range::VersionRange;
use crate::nuget::v2::RequestError;
use crate::nuget::v2::filter::Filter;
use crate::nuget::v2::literal;
use crate::nuget::v2::property::Property;
use crate::nuget::v2::rows::Order;
use crate::nuget::version::PackageVersion;

mod options;
mod updates;

use options::Options;
use updates::{switch, updates};

/// A name and its value.
type Pair = (String, String);

/// Most parameters of a query.
const PARAMETERS_MAX: usize = 32;

/// Most bytes of a search term.
const TERM_MAX: usize = 1024;

/// What a client wants.
#[derive(Debug)]
pub enum V2Request {
    /// The service document.
    Service,
    /// `$metadata`.
    Metadata,
    /// A list of packages.
    List(Box<List>),
    /// How many packages a list has (`/$count`).
    Count(Box<List>),
    /// One version.
    Entry(PackageId, PackageVersion, Option<Selection>),
    /// A package file; without version, that of the latest.
    Package(PackageId, Option<PackageVersion>),
}

/// Properties that are shown; `None` is all of them.
pub type Selection = Vec<&'static Property>;

/// A list of packages and how it is to be shown.
#[derive(Debug)]
pub struct List {
    /// Name of the set or function, as in `$metadata`.
    pub name: &'static str,
    /// Where candidates come from.
    pub source: Source,
    /// `$filter`.
    pub filter: Option<Filter>,
    /// `$orderby`.
    pub orders: Vec<Order>,
    /// `$skip`.
    pub skip: usize,
    /// `$top`.
    pub top: Option<usize>,
    /// `$select`.
    pub select: Option<Selection>,
    /// Whether the list says how long it is in all (`$inlinecount`).
    pub count: bool,
    /// Whether the client knows `SemVer` 2.0.0 (`semVerLevel`).
    pub semver2: bool,
    parameters: Vec<Pair>,
}

/// Where the candidates of a list come from.
#[derive(Debug)]
pub enum Source {
    /// All versions of these packages.
    Ids(Vec<PackageId>),
    /// Listed versions of what a search finds.
    Search {
        /// For what.
        term: String,
        /// Whether prereleases count.
        prerelease: bool,
    },
    /// Newer versions of installed packages.
    Updates(Vec<Installed>, Updates),
}

/// A package that is installed.
#[derive(Debug)]
pub struct Installed {
    /// Its id.
    pub id: PackageId,
    /// Its version.
    pub version: PackageVersion,
    /// What an update may be.
    pub allowed: Option<VersionRange>,
}

/// Which updates are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Updates {
    /// Prereleases too.
    pub prerelease: bool,
    /// All newer versions, not only the highest.
    pub all: bool,
}

fn bad(text: impl Into<String>) -> RequestError {
    RequestError::Bad(text.into())
}

fn unsupported(text: impl Into<String>) -> RequestError {
    RequestError::Unsupported(text.into())
}

/// Understands a path below `/api/v2` as it was sent, and its query.
///
/// # Errors
/// [`RequestError`] as described there.
pub fn parse(path: &str, query: Option<&str>) -> Result<V2Request, RequestError> {
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| bad("the path is not UTF-8"))?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    match path {
        "" => return Ok(V2Request::Service),
        "$metadata" => return Ok(V2Request::Metadata),
        _ => {}
    }
    if let Some(rest) = strip_word(path, "package/") {
        return package(rest);
    }
    let call = Call::parse(path)?;
    let parameters = parameters(query.unwrap_or_default())?;
    check_names(&parameters)?;
    call.request(parameters)
}

/// `text` behind `word`, in whatever case it is written.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn package(rest: &str) -> Result<V2Request, RequestError> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (id, version) = match rest.split_once('/') {
        Some((id, version)) => (id, Some(version)),
        None => (rest, None),
    };
    let id = PackageId::parse(id).ok_or(RequestError::NotFound)?;
    let version =
        version.map(|version| PackageVersion::parse(version).ok_or(RequestError::NotFound));
    Ok(V2Request::Package(id, version.transpose()?))
}

fn parameters(query: &str) -> Result<Vec<Pair>, RequestError> {
    let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
    let found: Vec<Pair> = pairs.take(PARAMETERS_MAX + 1).collect();
    if found.len() > PARAMETERS_MAX {
        return Err(bad(format!(
            "the query has more than {PARAMETERS_MAX} parameters"
        )));
    }
    Ok(found)
}

/// Of two parameters with one name, nobody can say which is meant.
fn check_names(parameters: &[Pair]) -> Result<(), RequestError> {
    for (at, (name, _)) in parameters.iter().enumerate() {
        let mut before = parameters[..at].iter();
        if before.any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(bad(format!("{name} is given twice")));
        }
    }
    Ok(())
}

/// `Name`, `Name(a='b',c=d)`, and what follows after a slash.
pub(super) struct Call<'a> {
    /// The name.
    pub(super) name: &'a str,
    arguments: Vec<Pair>,
    /// What follows, without the slash before it.
    pub(super) rest: &'a str,
}

impl<'a> Call<'a> {
    /// Understands a decoded path.
    pub(super) fn parse(path: &'a str) -> Result<Self, RequestError> {
        let end = path.find(['(', '/']).unwrap_or(path.len());
        let (name, mut rest) = path.split_at(end);
        let mut arguments = Vec::new();
        if let Some(inside) = rest.strip_prefix('(') {
            (arguments, rest) = Self::arguments(inside)?;
        }
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        Ok(Self {
            name,
            arguments,
            rest,
        })
    }

    fn arguments(inside: &'a str) -> Result<(Vec<Pair>, &'a str), RequestError> {
        let mut found = Vec::new();
        let mut left = inside.trim_start();
        loop {
            if let Some(rest) = left.strip_prefix(')') {
                return Ok((found, rest));
            }
            let wrong = || bad("the parentheses of the path are not NAME='VALUE',…");
            let (name, value) = left.split_once('=').ok_or_else(wrong)?;
            let value = value.trim_start();
            let (text, rest) = if value.starts_with('\'') {
                literal::quoted(value).ok_or_else(wrong)?
            } else {
                let end = value.find([',', ')']).ok_or_else(wrong)?;
                (value[..end].to_owned(), &value[end..])
            };
            found.push((name.trim().to_owned(), text));
            if found.len() > PARAMETERS_MAX {
                return Err(wrong());
            }
            let rest = rest.trim_start();
            left = match rest.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if rest.starts_with(')') => rest,
                None => return Err(wrong()),
            };
        }
    }

    /// The value in the parentheses, without its quotes.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        let mut found = self.arguments.iter();
        let found = found.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether there is nothing in the parentheses.
    pub(super) const fn is_plain(&self) -> bool {
        self.arguments.is_empty()
    }

    fn request(&self, mut parameters: Vec<Pair>) -> Result<V2Request, RequestError> {
        let is = |name: &str| self.name.eq_ignore_ascii_case(name);
        if is("Packages") && !self.arguments.is_empty() {
            return self.entry(&parameters);
        }
        // As if they stood in the query, where the link to the next page has them.
        parameters.extend(self.arguments.iter().map(|(name, value)| {
            let quoted = format!("'{}'", value.replace('\'', "''"));
            (name.clone(), quoted)
        }));
        check_names(&parameters)?;
        let get = |name: &str| parameter(name, &parameters);
        let list = if is("Packages") {
            list("Packages", None, parameters)
        } else if is("FindPackagesById") {
            let id = get("id")?.ok_or_else(|| bad("id is missing"))?;
            // What is no id is the id of no package.
            let ids = PackageId::parse(&id).into_iter().collect();
            list("FindPackagesById", Some(Source::Ids(ids)), parameters)
        } else if is("Search") {
            let term = get("searchTerm")?.unwrap_or_default();
            if term.len() > TERM_MAX {
                return Err(bad(format!("searchTerm is longer than {TERM_MAX} bytes")));
            }
            let prerelease = switch("includePrerelease", get("includePrerelease")?.as_deref())?;
            let source = Source::Search { term, prerelease };
            list("Search", Some(source), parameters)
        } else if is("GetUpdates") {
            let source = updates(&get)?;
            list("GetUpdates", Some(source), parameters)
        } else {
            return Err(RequestError::NotFound);
        }?;
        match self.rest {
            "" => Ok(V2Request::List(Box::new(list))),
            "$count" => Ok(V2Request::Count(Box::new(list))),
            _ => Err(RequestError::NotFound),
        }
    }

    fn entry(&self, parameters: &[Pair]) -> Result<V2Request, RequestError> {
        let (Some(id), Some(version)) = (self.argument("Id"), self.argument("Version")) else {
            return Err(bad("Packages() takes Id='…',Version='…', or nothing"));
        };
        let id = PackageId::parse(id).ok_or(RequestError::NotFound)?;
        let version = PackageVersion::parse(version).ok_or(RequestError::NotFound)?;
        match self.rest {
            "" => Ok(V2Request::Entry(
                id,
                version,
                Options::parse(parameters)?.select,
            )),
            "$value" => Ok(V2Request::Package(id, Some(version))),
            _ => Err(RequestError::NotFound),
        }
    }
}

fn parameter(name: &str, parameters: &[Pair]) -> Result<Option<String>, RequestError> {
    let mut found = parameters.iter();
    let found = found.find(|(own, _)| own.eq_ignore_ascii_case(name));
    let wrong = || bad(format!("{name} is not 'TEXT' with quotes doubled within"));
    found
        .map(|(_, value)| literal::parameter(value).ok_or_else(wrong))
        .transpose()
}

/// A list; without a source of its own, of what its filter names or of everything.
fn list(
    name: &'static str,
    source: Option<Source>,
    parameters: Vec<Pair>,
) -> Result<List, RequestError> {
    let options = Options::parse(&parameters)?;
    let source = match (source, &options.filter) {
        (Some(source), _) => source,
        (None, filter) => {
            let ids = filter.as_ref().map(Filter::ids).transpose()?.flatten();
            let stable = filter.as_ref().is_some_and(Filter::is_stable);
            ids.map_or_else(
                || Source::Search {
                    term: String::new(),
                    prerelease: !stable,
                },
                Source::Ids,
            )
        }
    };
    Ok(List {
        name,
        source,
        filter: options.filter,
        orders: options.orders,
        skip: options.skip,
        top: options.top,
        select: options.select,
        count: options.count,
        semver2: options.semver2,
        parameters,
    })
}

impl List {
    /// The list that goes on after `shown` more entries, as path and query below `/api/v2/`.
    pub fn next(&self, shown: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.parameters {
            if !name.eq_ignore_ascii_case("$skip") && !name.eq_ignore_ascii_case("$top") {
                query.append_pair(name, value);
            }
        }
        query.append_pair("$skip", &self.skip.saturating_add(shown).to_string());
        if let Some(top) = self.top {
            query.append_pair("$top", &top.saturating_sub(shown).to_string());
        }
        format!("{}?{}", self.name, query.finish())
    }
}

#[cfg(test)]
mod tests;
