//! Publishing: which path and method is which operation, and where the upstream takes it.
//!
//! Clients build these URLs from the `@id` of our service index: a push goes to the `@id` itself,
//! with or without a slash at its end, a deletion to `{@id}/{id}/{version}` (NuGet documentation,
//! "Package publish resource"). Ids and versions are checked but go upstream as they were typed,
//! because servers of the V2 time compare them so.

use http::Method;
use url::Url;

use super::id::PackageId;
use super::resource::{At, Pushed, Resource, of_slug};
use super::route::{RouteError, decode};
use super::service_index::ServiceIndex;
use super::version::PackageVersion;

/// Where the official client pushes to when an `@id` has no path (`PackageUpdateResource`).
const DEFAULT_PATH: &str = "/api/v2/package/";

/// What becomes of pushes and deletions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// They are passed on to the feed with the client's key.
    #[default]
    Relay,
    /// They are refused, and the resources are not offered.
    Refuse,
}

/// What a client wants to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A package is added.
    Push,
    /// A symbol package is added.
    PushSymbols,
    /// A version is deleted, or unlisted, as the feed has it.
    Delete,
    /// An unlisted version is listed again.
    Relist,
}

impl Operation {
    /// The metric label and log field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PushSymbols => "symbol_push",
            Self::Delete => "delete",
            Self::Relist => "relist",
        }
    }
}

/// A version of a package, as it was typed and as it is meant.
#[derive(Clone, Debug)]
pub struct Named {
    /// The id.
    pub id: PackageId,
    /// The version.
    pub version: PackageVersion,
    typed: [String; 2],
}

/// A path of a publishing resource.
#[derive(Clone, Debug)]
pub struct Place {
    /// The row of the table.
    pub resource: &'static Resource,
    /// The version it names; `None` for the resource itself.
    pub named: Option<Named>,
}

/// Understands a path below `/v3/` as it was sent; `None` when it lies below no publishing
/// resource.
pub fn parse(path: &str) -> Option<Result<Place, RouteError>> {
    let slug = path.split('/').next()?;
    let resource = of_slug(slug).filter(|row| matches!(row.at, At::Publish(_)))?;
    Some(place(resource, path.strip_suffix('/').unwrap_or(path)))
}

fn place(resource: &'static Resource, path: &str) -> Result<Place, RouteError> {
    let named = match &decode(path)?[1..] {
        [] => None,
        [id, version] if resource.at == At::Publish(Pushed::Packages) => {
            let parsed = PackageId::parse(id).zip(PackageVersion::parse(version));
            let (parsed, number) = parsed.ok_or(RouteError::NotFound)?;
            Some(Named {
                id: parsed,
                version: number,
                typed: [id.clone(), version.clone()],
            })
        }
        _ => return Err(RouteError::NotFound),
    };
    Ok(Place { resource, named })
}

impl Place {
    /// What `method` means here; `None` when it means nothing.
    pub fn operation(&self, method: &Method) -> Option<Operation> {
        match (self.resource.at, &self.named, method) {
            (At::Publish(Pushed::Symbols), None, &Method::PUT) => Some(Operation::PushSymbols),
            (_, None, &Method::PUT) => Some(Operation::Push),
            (_, Some(_), &Method::DELETE) => Some(Operation::Delete),
            (_, Some(_), &Method::POST) => Some(Operation::Relist),
            _ => None,
        }
    }

    /// The methods that mean something here, as in `Allow`.
    pub const fn methods(&self) -> &'static str {
        match self.named {
            Some(_) => "DELETE, POST",
            None => "PUT",
        }
    }

    /// Where the upstream takes it: with a slash at the end of a push, as the official client
    /// sends it; `None` when the upstream does not offer the resource.
    pub fn upstream_url(&self, index: &ServiceIndex) -> Option<Url> {
        let base = index.bases(self.resource.slug).into_iter().next()?;
        let mut url = Url::parse(&base).ok()?;
        url.set_fragment(None);
        if url.path() == "/" {
            url.set_path(DEFAULT_PATH);
        }
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty();
        match &self.named {
            Some(named) => path.extend(&named.typed),
            None => path.push(""),
        };
        drop(path);
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str, base: &str) -> Option<String> {
        let document = serde_json::json!({"version": "3.0.0", "resources": [
            {"@id": base, "@type": "PackagePublish/2.0.0"},
            {"@id": "https://h/flat/", "@type": "PackageBaseAddress/3.0.0"},
        ]});
        let feed = Url::parse("https://h/index.json").unwrap();
        let index = ServiceIndex::parse(document.to_string().as_bytes(), &feed).unwrap();
        parse(path)?.ok()?.upstream_url(&index).map(String::from)
    }

    #[test]
    fn urls_are_those_the_official_client_builds() {
        let nuget = "https://www.nuget.org/api/v2/package";
        for (path, base, expected) in [
            ("publish", nuget, "https://www.nuget.org/api/v2/package/"),
            ("publish/", nuget, "https://www.nuget.org/api/v2/package/"),
            ("publish/", "https://h/p/", "https://h/p/"),
            ("publish", "https://h", "https://h/api/v2/package/"),
            ("publish", "https://h/p?x=1#y", "https://h/p/?x=1"),
            (
                "publish/Some.Id/1.0.0.0-Beta%2Bx",
                nuget,
                "https://www.nuget.org/api/v2/package/Some.Id/1.0.0.0-Beta+x",
            ),
            (
                "publish/%C3%84.b/1.0/",
                "https://h/p/",
                "https://h/p/%C3%84.b/1.0",
            ),
        ] {
            assert_eq!(url(path, base).as_deref(), Some(expected), "{path} {base}");
        }
        assert_eq!(url("symbols", nuget), None, "not offered");
    }

    #[test]
    fn each_path_has_its_methods() {
        for (path, methods) in [
            ("publish", Some("PUT")),
            ("publish/", Some("PUT")),
            ("publish/a/1.0", Some("DELETE, POST")),
            ("symbols/", Some("PUT")),
            ("symbols/a/1.0", None),
            ("publish/a", None),
            ("publish/a/1.0/x", None),
            ("publish/a/one", None),
            ("publish/../1.0", None),
            ("publish//", None),
            ("publish/a%2Fb/1.0", None),
        ] {
            let place = parse(path).unwrap();
            assert_eq!(place.ok().map(|it| it.methods()), methods, "{path}");
        }
        assert!(parse("flat/a/index.json").is_none());
        assert!(parse("publishing").is_none());
    }

    #[test]
    fn methods_are_operations() {
        let of = |path, method| parse(path).unwrap().unwrap().operation(&method);
        assert_eq!(of("publish", Method::PUT), Some(Operation::Push));
        assert_eq!(of("symbols", Method::PUT), Some(Operation::PushSymbols));
        assert_eq!(of("publish/a/1", Method::DELETE), Some(Operation::Delete));
        assert_eq!(of("publish/a/1", Method::POST), Some(Operation::Relist));
        for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
            assert_eq!(of("publish", method), None);
        }
        assert_eq!(of("publish/a/1", Method::PUT), None);
    }
}
