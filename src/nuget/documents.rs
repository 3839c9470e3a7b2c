//! The documents of each resource of the protocol table: where they lie, how they are kept, which of
//! their values are links, and what must hold of them.
//!
//! Data only; those of V2 have names, because their paths are understood elsewhere. What the words mean is said in [`super::resource`]. Invariant: of the rules of a
//! resource the first that matches decides, so that the most specific pattern stands first.

use super::resource::{Check, DocRule, LinkRule, Orphans, Root, View};
use crate::policy::class::Class;

const REGISTRATION_LINKS: LinkRule = LinkRule {
    members: &[
        "@id",
        "parent",
        "registration",
        "packageContent",
        "iconUrl",
        "catalogEntry",
    ],
    context_base: false,
    orphans: Orphans::PackageContent,
};
const SEARCH_LINKS: LinkRule = LinkRule {
    members: &["@id", "registration", "iconUrl"],
    context_base: true,
    orphans: Orphans::Leave,
};
const CATALOG_LINKS: LinkRule = LinkRule {
    members: &["@id", "parent"],
    context_base: false,
    orphans: Orphans::Leave,
};
const VULNERABILITY_LINKS: LinkRule = LinkRule {
    members: &["@id"],
    context_base: false,
    orphans: Orphans::Page,
};
const SIGNATURE_LINKS: LinkRule = LinkRule {
    members: &["contentUrl"],
    context_base: false,
    orphans: Orphans::Page,
};

const OBJECT: Check = Check::Json(Root::Object, &[]);

/// Registration indexes, pages and leaves.
pub(super) const REGISTRATION_DOCS: &[DocRule] = &[
    DocRule {
        name: "registration_index",
        pattern: "{id}/index.json",
        class: Class::Metadata,
        negative: true,
        view: View::Links(&REGISTRATION_LINKS),
        check: Check::Json(Root::Object, &["items"]),
    },
    DocRule {
        name: "registration_page",
        pattern: "{id}/page/{lower}/{upper}.json",
        class: Class::Metadata,
        negative: true,
        view: View::Links(&REGISTRATION_LINKS),
        check: Check::Json(Root::Object, &["items"]),
    },
    DocRule {
        name: "registration_leaf",
        pattern: "{id}/{version}.json",
        class: Class::Metadata,
        negative: true,
        view: View::Links(&REGISTRATION_LINKS),
        check: OBJECT,
    },
    DocRule {
        name: "registration_other",
        pattern: "{id}/{*}",
        class: Class::Metadata,
        negative: true,
        view: View::Links(&REGISTRATION_LINKS),
        check: OBJECT,
    },
];

/// Version lists, packages and what lies beside them.
pub(super) const FLAT_DOCS: &[DocRule] = &[
    DocRule {
        name: "versions",
        pattern: "{id}/index.json",
        class: Class::Versions,
        negative: true,
        view: View::Document,
        check: Check::Json(Root::Object, &["versions"]),
    },
    DocRule {
        name: "nupkg",
        pattern: "{id}/{version}/{id}.{version}.nupkg",
        class: Class::Immutable,
        negative: false,
        view: View::Raw,
        check: Check::Nupkg,
    },
    DocRule {
        name: "nuspec",
        pattern: "{id}/{version}/{id}.nuspec",
        class: Class::Immutable,
        negative: false,
        view: View::Raw,
        check: Check::Xml,
    },
    DocRule {
        name: "readme",
        pattern: "{id}/{version}/readme",
        class: Class::Metadata,
        negative: true,
        view: View::Raw,
        check: Check::Any,
    },
    DocRule {
        name: "icon",
        pattern: "{id}/{version}/icon",
        class: Class::Metadata,
        negative: true,
        view: View::Raw,
        check: Check::Any,
    },
    DocRule {
        name: "license",
        pattern: "{id}/{version}/license",
        class: Class::Metadata,
        negative: true,
        view: View::Raw,
        check: Check::Any,
    },
];

/// Answers of the search.
pub(super) const SEARCH_DOCS: &[DocRule] = &[DocRule {
    name: "search",
    pattern: "",
    class: Class::Query,
    negative: false,
    view: View::Links(&SEARCH_LINKS),
    check: Check::Json(Root::Object, &["data"]),
}];

/// Answers of autocompletion.
pub(super) const AUTOCOMPLETE_DOCS: &[DocRule] = &[DocRule {
    name: "autocomplete",
    pattern: "",
    class: Class::Query,
    negative: false,
    view: View::Document,
    check: Check::Json(Root::Either, &[]),
}];

/// The vulnerability index and its pages.
pub(super) const VULNERABILITY_DOCS: &[DocRule] = &[
    DocRule {
        name: "vulnerability_index",
        pattern: "index.json",
        class: Class::Index,
        negative: false,
        view: View::Links(&VULNERABILITY_LINKS),
        check: Check::Json(Root::Array, &[]),
    },
    DocRule {
        name: "vulnerability_page",
        pattern: "page/{token}",
        class: Class::Immutable,
        negative: false,
        view: View::Document,
        check: Check::Json(Root::Either, &[]),
    },
];

/// Repository signatures and their certificates.
pub(super) const SIGNATURE_DOCS: &[DocRule] = &[
    DocRule {
        name: "repository_signatures",
        pattern: "{type}/index.json",
        class: Class::Index,
        negative: false,
        view: View::Links(&SIGNATURE_LINKS),
        check: Check::Json(
            Root::Object,
            &["allRepositorySigned", "signingCertificates"],
        ),
    },
    DocRule {
        name: "repository_certificate",
        pattern: "page/{token}",
        class: Class::Immutable,
        negative: false,
        view: View::Raw,
        check: Check::Any,
    },
];

/// The catalog.
pub(super) const CATALOG_DOCS: &[DocRule] = &[
    DocRule {
        name: "catalog_index",
        pattern: "index.json",
        class: Class::Versions,
        negative: false,
        view: View::Links(&CATALOG_LINKS),
        check: Check::Json(Root::Object, &["items"]),
    },
    DocRule {
        name: "catalog_leaf",
        pattern: "data/{*}",
        class: Class::Immutable,
        negative: false,
        view: View::Links(&CATALOG_LINKS),
        check: OBJECT,
    },
    DocRule {
        name: "catalog_page",
        pattern: "{*}",
        class: Class::Versions,
        negative: false,
        view: View::Links(&CATALOG_LINKS),
        check: OBJECT,
    },
];

/// The roots of an answer with packages.
const FEED: Check = Check::Markup(&["feed"]);

/// A document of V2 with links.
const fn atom(name: &'static str, pattern: &'static str, class: Class, check: Check) -> DocRule {
    DocRule {
        name,
        pattern,
        class,
        // What is about one package or about the service itself; of a search there is always one.
        negative: matches!(class, Class::Metadata),
        view: View::Atom,
        check,
    }
}

/// The service document. It says whether the feed speaks V2 at all, so that a feed that ceases to
/// is believed after a while: an index would be kept for ever.
pub const V2_SERVICE: DocRule = atom(
    "v2_service",
    "",
    Class::Metadata,
    Check::Markup(&["service"]),
);
/// What entities and functions there are.
pub const V2_METADATA: DocRule = DocRule {
    name: "v2_metadata",
    pattern: "$metadata",
    class: Class::Index,
    negative: false,
    view: View::Document,
    check: Check::Markup(&["Edmx"]),
};
/// One version.
pub const V2_ENTRY: DocRule = atom(
    "v2_entry",
    "Packages(Id='{id}',Version='{version}')",
    Class::Metadata,
    Check::Markup(&["entry"]),
);
/// The versions of an id.
pub const V2_VERSIONS: DocRule = atom("v2_versions", "FindPackagesById()", Class::Metadata, FEED);
/// The set of all versions of all packages.
pub const V2_PACKAGES: DocRule = atom("v2_packages", "Packages()", Class::Query, FEED);
/// What a search finds.
pub const V2_SEARCH: DocRule = atom("v2_search", "Search()", Class::Query, FEED);
/// Newer versions of what is installed.
pub const V2_UPDATES: DocRule = atom("v2_updates", "GetUpdates()", Class::Query, FEED);
/// How many entries a list has.
pub const V2_COUNT: DocRule = DocRule {
    name: "v2_count",
    pattern: "{*}/$count",
    class: Class::Query,
    negative: false,
    view: View::Document,
    check: Check::Number,
};
/// Ids that begin with something.
pub const V2_IDS: DocRule = DocRule {
    name: "v2_ids",
    pattern: "package-ids",
    class: Class::Query,
    negative: false,
    view: View::Document,
    check: Check::Json(Root::Array, &[]),
};
/// The versions of an id, as bare texts.
pub const V2_ID_VERSIONS: DocRule = DocRule {
    name: "v2_id_versions",
    pattern: "package-versions/{id}",
    class: Class::Query,
    negative: false,
    view: View::Document,
    check: Check::Json(Root::Array, &[]),
};
/// A package of a feed that has it nowhere else.
pub const V2_PACKAGE: DocRule = DocRule {
    name: "v2_package",
    pattern: "package/{id}/{version}",
    class: Class::Immutable,
    negative: false,
    view: View::Raw,
    check: Check::Nupkg,
};

/// Documents of V2.
pub(super) const GALLERY_DOCS: &[DocRule] = &[
    V2_SERVICE,
    V2_METADATA,
    V2_ENTRY,
    V2_VERSIONS,
    V2_PACKAGES,
    V2_SEARCH,
    V2_UPDATES,
    V2_COUNT,
    V2_IDS,
    V2_ID_VERSIONS,
    V2_PACKAGE,
];
