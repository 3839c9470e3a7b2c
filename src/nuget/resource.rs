//! THE table: which resources of the NuGet V3 API exist, where ours live, and how each document of
//! theirs is kept, checked and shown.
//!
//! Router, our service index, the link map, metric labels, `docs/protocol.md` and the completeness
//! tests are all derived from [`RESOURCES`]. Adding a resource is one row and one fixture.

use super::documents::{
    AUTOCOMPLETE_DOCS, CATALOG_DOCS, FLAT_DOCS, GALLERY_DOCS, REGISTRATION_DOCS, SEARCH_DOCS,
    SIGNATURE_DOCS, VULNERABILITY_DOCS,
};
use crate::policy::class::Class;

/// One resource of a service index.
#[derive(Debug)]
pub struct Resource {
    /// The name the NuGet documentation gives it.
    pub name: &'static str,
    /// Our path segment below `/v3/`, and the beginning of keys; empty for templates, which live
    /// below another resource. That of V2 is in keys only.
    pub slug: &'static str,
    /// All `@type` values of it, the one with the richest content first. Each is published as an
    /// entry of its own, because clients look for different ones.
    pub types: &'static [&'static str],
    /// What the upstream's `@id` is.
    pub at: At,
    /// Its documents; the first pattern that matches decides.
    pub docs: &'static [DocRule],
}

/// What an `@id` in a service index means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A base URL; documents lie below it. Published with a trailing slash, because some clients
    /// concatenate.
    Base,
    /// Answers itself, with a query string. Published without a query, because clients replace or
    /// append one.
    Endpoint,
    /// Is itself the first document of `docs`; further ones lie beside it. Published as it is.
    Document,
    /// One document per type: the suffix of the type (`5.0.0`) is part of our path.
    Versioned,
    /// A URI template below the base of another resource: only the text before the first brace is
    /// changed.
    Template,
    /// The V2 endpoint, beside `/v3/`: where the upstream has none, ours answers from V3 documents,
    /// so it is offered in any case. Its paths are understood by [`crate::nuget::v2`].
    V2,
    /// Takes pushes of these; nothing below it is a document, and no link leads there, because some
    /// feeds have other resources at the same URL. Published without a trailing slash.
    Publish(Pushed),
    /// A URI template of web pages for people: kept as it is, or dropped by `web_links`.
    WebPage,
}

/// What a publishing resource takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Packages; versions are deleted and listed again there too.
    Packages,
    /// Symbol packages.
    Symbols,
}

/// One kind of document of a resource.
#[derive(Debug)]
pub struct DocRule {
    /// Name of the kind: metric label and log field.
    pub name: &'static str,
    /// Path below the slug. `{id}`, `{version}`, `{lower}`, `{upper}`, `{type}`, `{token}` stand for
    /// one part of a segment each, `{*}` for one or more safe segments; an empty pattern is the
    /// slug itself.
    pub pattern: &'static str,
    /// How it is kept.
    pub class: Class,
    /// Whether a 404 is remembered for a short time.
    pub negative: bool,
    /// How it is shown.
    pub view: View,
    /// What must hold before it is kept.
    pub check: Check,
}

/// How a stored document becomes a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Byte for byte, any size, streamed.
    Raw,
    /// Byte for byte, read whole, compressed for clients that accept it.
    Document,
    /// With links that lie under a known upstream base pointing at us.
    Links(&'static LinkRule),
    /// An XML document of V2 with its links pointing at us.
    Atom,
    /// Our own service index.
    ServiceIndex,
}

impl View {
    /// Whether it depends on what is known of the feed.
    pub const fn has_links(self) -> bool {
        match self {
            Self::Links(_) | Self::Atom | Self::ServiceIndex => true,
            Self::Raw | Self::Document => false,
        }
    }
}

/// Which values of a document are links.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkRule {
    /// Names of the members whose string values are links, anywhere outside `@context`.
    pub members: &'static [&'static str],
    /// Whether `@context.@base` is one too (search only); the rest of `@context` never is.
    pub context_base: bool,
    /// What becomes of a link that is under no known base.
    pub orphans: Orphans,
}

/// What becomes of a link under no known upstream base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Left and counted: icons, foreign pages.
    Leave,
    /// `packageContent` is built from the id and version of its package; others are left.
    PackageContent,
    /// Served under `<slug>/page/<token>`: the token names the URL, whose only source is the
    /// upstream's own document.
    Page,
}

/// What must hold of a body before it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A complete zip archive whose entries have the right CRC.
    Nupkg,
    /// XML: begins with `<` and is not an HTML page.
    Xml,
    /// A well-formed XML document within the limits of [`crate::nuget::v2::markup`], whose root
    /// element has one of these names.
    Markup(&'static [&'static str]),
    /// A whole number in text.
    Number,
    /// JSON with a root of this kind that has these members.
    Json(Root, &'static [&'static str]),
    /// Anything of the right length that is not an HTML page.
    Any,
}

/// Kind of the outermost JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// Either; old servers answer autocomplete with a bare array.
    Either,
}

/// The service index itself: `/v3/index.json`, at the URL of the feed.
pub const SERVICE_INDEX: DocRule = DocRule {
    name: "service_index",
    pattern: "index.json",
    class: Class::Index,
    negative: false,
    view: View::ServiceIndex,
    check: Check::Json(Root::Object, &["version", "resources"]),
};

/// Every resource nugate knows, in the order of the documentation. Of rows whose types share one
/// upstream URL, the first gives the URL its slug: a feed that has one hive for all types is kept
/// once.
pub const RESOURCES: &[Resource] = &[
    Resource {
        name: "PackageBaseAddress",
        slug: "flat",
        types: &["PackageBaseAddress/3.0.0", "PackageBaseAddress/Versioned"],
        at: At::Base,
        docs: FLAT_DOCS,
    },
    Resource {
        name: "RegistrationsBaseUrl",
        slug: "registration-gz-semver2",
        types: &[
            "RegistrationsBaseUrl/3.6.0",
            "RegistrationsBaseUrl/Versioned",
        ],
        at: At::Base,
        docs: REGISTRATION_DOCS,
    },
    Resource {
        name: "RegistrationsBaseUrl",
        slug: "registration-gz",
        types: &["RegistrationsBaseUrl/3.4.0"],
        at: At::Base,
        docs: REGISTRATION_DOCS,
    },
    Resource {
        name: "RegistrationsBaseUrl",
        slug: "registration",
        types: &[
            "RegistrationsBaseUrl/3.0.0-rc",
            "RegistrationsBaseUrl/3.0.0-beta",
            "RegistrationsBaseUrl",
        ],
        at: At::Base,
        docs: REGISTRATION_DOCS,
    },
    Resource {
        name: "SearchQueryService",
        slug: "query",
        types: &[
            "SearchQueryService/3.5.0",
            "SearchQueryService/Versioned",
            "SearchQueryService/3.4.0",
            "SearchQueryService/3.0.0-rc",
            "SearchQueryService/3.0.0-beta",
            "SearchQueryService",
        ],
        at: At::Endpoint,
        docs: SEARCH_DOCS,
    },
    Resource {
        name: "SearchAutocompleteService",
        slug: "autocomplete",
        types: &[
            "SearchAutocompleteService/3.5.0",
            "SearchAutocompleteService/Versioned",
            "SearchAutocompleteService/3.0.0-rc",
            "SearchAutocompleteService/3.0.0-beta",
            "SearchAutocompleteService",
        ],
        at: At::Endpoint,
        docs: AUTOCOMPLETE_DOCS,
    },
    Resource {
        name: "VulnerabilityInfo",
        slug: "vulnerabilities",
        types: &["VulnerabilityInfo/6.7.0"],
        at: At::Document,
        docs: VULNERABILITY_DOCS,
    },
    Resource {
        name: "RepositorySignatures",
        slug: "repository-signatures",
        types: &[
            "RepositorySignatures/5.0.0",
            "RepositorySignatures/4.9.0",
            "RepositorySignatures/4.7.0",
        ],
        at: At::Versioned,
        docs: SIGNATURE_DOCS,
    },
    Resource {
        name: "Catalog",
        slug: "catalog",
        types: &["Catalog/3.0.0"],
        at: At::Document,
        docs: CATALOG_DOCS,
    },
    Resource {
        name: "PackagePublish",
        slug: "publish",
        types: &["PackagePublish/2.0.0", "PackagePublish/Versioned"],
        at: At::Publish(Pushed::Packages),
        docs: &[],
    },
    Resource {
        name: "SymbolPackagePublish",
        slug: "symbols",
        types: &["SymbolPackagePublish/4.9.0"],
        at: At::Publish(Pushed::Symbols),
        docs: &[],
    },
    Resource {
        name: "LegacyGallery",
        slug: "api-v2",
        types: &["LegacyGallery/2.0.0", "LegacyGallery"],
        at: At::V2,
        docs: GALLERY_DOCS,
    },
    Resource {
        name: "ReadmeUriTemplate",
        slug: "",
        types: &["ReadmeUriTemplate/6.13.0", "ReadmeUriTemplate/Versioned"],
        at: At::Template,
        docs: &[],
    },
    Resource {
        name: "PackageDisplayMetadataUriTemplate",
        slug: "",
        types: &["PackageDisplayMetadataUriTemplate/3.0.0-rc"],
        at: At::Template,
        docs: &[],
    },
    Resource {
        name: "PackageVersionDisplayMetadataUriTemplate",
        slug: "",
        types: &["PackageVersionDisplayMetadataUriTemplate/3.0.0-rc"],
        at: At::Template,
        docs: &[],
    },
    Resource {
        name: "PackageDetailsUriTemplate",
        slug: "",
        types: &["PackageDetailsUriTemplate/5.1.0"],
        at: At::WebPage,
        docs: &[],
    },
    Resource {
        name: "OwnerDetailsUriTemplate",
        slug: "",
        types: &["OwnerDetailsUriTemplate/6.11.0"],
        at: At::WebPage,
        docs: &[],
    },
    Resource {
        name: "ReportAbuseUriTemplate",
        slug: "",
        types: &[
            "ReportAbuseUriTemplate/3.0.0",
            "ReportAbuseUriTemplate/Versioned",
            "ReportAbuseUriTemplate/3.0.0-rc",
            "ReportAbuseUriTemplate/3.0.0-beta",
        ],
        at: At::WebPage,
        docs: &[],
    },
];

/// The row that a type of a service index belongs to; types are compared case-sensitively, as the
/// official client does.
pub fn of_type(name: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|resource| resource.types.contains(&name))
}

/// The row with this slug.
pub fn of_slug(slug: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|resource| !resource.slug.is_empty() && resource.slug == slug)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_type_belongs_to_one_row() {
        let mut seen = HashSet::new();
        for resource in RESOURCES {
            assert!(!resource.types.is_empty(), "{} has no type", resource.name);
            for name in resource.types {
                assert!(seen.insert(name), "{name} is in two rows");
                assert_eq!(of_type(name).map(|row| row.slug), Some(resource.slug));
            }
        }
    }

    #[test]
    fn each_slug_is_a_plain_path_segment_of_its_own() {
        let mut seen = HashSet::new();
        for resource in RESOURCES
            .iter()
            .filter(|resource| !resource.slug.is_empty())
        {
            assert!(seen.insert(resource.slug), "{} twice", resource.slug);
            assert!(
                resource
                    .slug
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            );
            let publishing = matches!(resource.at, At::Publish(_));
            assert_eq!(publishing, resource.docs.is_empty(), "{}", resource.slug);
        }
    }

    #[test]
    fn templates_have_no_documents_of_their_own() {
        for resource in RESOURCES {
            let template = matches!(resource.at, At::Template | At::WebPage);
            assert_eq!(template, resource.slug.is_empty(), "{}", resource.name);
            assert!(!template || resource.docs.is_empty(), "{}", resource.name);
        }
    }
}
