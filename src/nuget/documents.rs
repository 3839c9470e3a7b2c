//! The documents of each resource of the protocol table: where they lie, how they are kept, which of
//! their values are links, and what must hold of them.
//!
//! Data only; what the words mean is said in [`super::resource`]. Invariant: of the rules of a
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
