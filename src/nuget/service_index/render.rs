//! Our own service index: the upstream's, with every known resource pointing at us.
//!
//! Each type becomes an entry of its own, because some clients read `@type` only as a string and
//! each looks for another alias. No type is added that the upstream does not offer; types that no
//! row knows are dropped unless they are passed through, since a client would follow them past us. Invariant: no entry but a web
//! page leads anywhere but below our base.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{Entry, ServiceIndex, address, suffix_of};
use crate::nuget::link_map::LinkMap;
use crate::nuget::publish::Publish;
use crate::nuget::resource::{self, At, RESOURCES, Resource};

/// What becomes of URI templates of web pages for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebLinks {
    /// They lead to the upstream's web site.
    #[default]
    Keep,
    /// They are not offered: for networks that cannot reach it.
    Drop,
}

/// How to show a service index.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions<'a> {
    /// Our public base, ending in `/v3/`. Repository signatures are offered only if it is https:
    /// official clients up to 6.14 give up a source that has them over http.
    pub base: &'a str,
    /// What becomes of web pages.
    pub web_links: WebLinks,
    /// Whether V2 is spoken, and offered.
    pub v2: bool,
    /// What becomes of pushes: refused ones are not offered.
    pub publish: Publish,
}

/// Slug by name of the resource and upstream URL.
type Slugs = HashMap<(&'static str, String), &'static str>;

/// What an index says about its own URLs.
struct Known {
    slugs: Slugs,
    map: LinkMap,
}

impl ServiceIndex {
    /// Our service index as indented JSON: entries in the order of the upstream, members it has
    /// that nobody knows included. Entries equal in type, `@id` and `clientVersion` (two search
    /// hosts) appear once.
    pub fn render(&self, options: &RenderOptions<'_>) -> Vec<u8> {
        let known = Known {
            slugs: self.slugs(),
            map: self.link_map(),
        };
        let mut seen = HashSet::new();
        let mut resources = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.routable) {
            for name in &entry.types {
                let id = known
                    .our_id(&entry.id, name, options)
                    .or_else(|| self.passed_id(&entry.id, name, options.base));
                let Some(id) = id else {
                    continue;
                };
                let client = entry.members.get("clientVersion").map(Value::to_string);
                if seen.insert((name.as_str(), id.clone(), client)) {
                    resources.push(entry.shown(name, id));
                }
            }
        }
        for name in own_types(options) {
            let id = gallery(options.base);
            if seen.insert((name, id.clone(), None)) {
                resources.push(json!({ "@id": id, "@type": name, "comment": "The V2 protocol" }));
            }
        }
        let mut top = self.top.clone();
        top.insert("resources".to_owned(), Value::from(resources));
        format!("{:#}", Value::from(top)).into_bytes()
    }

    /// The slug under which each upstream URL is kept: that of the first row of the same resource
    /// that has it, so that a feed with one hive for all types has one cache of it.
    fn slugs(&self) -> Slugs {
        let mut slugs = Slugs::new();
        for row in RESOURCES {
            let entries = row.types.iter().flat_map(|name| self.with_type(name));
            for entry in entries {
                slugs
                    .entry((row.name, address(row.at, &entry.id)))
                    .or_insert(row.slug);
            }
        }
        slugs
    }
}

/// The types of what we offer whether or not the upstream does.
fn own_types(options: &RenderOptions<'_>) -> impl Iterator<Item = &'static str> {
    let rows = RESOURCES.iter().filter(|row| row.at == At::V2);
    let rows = rows.filter(move |_| options.v2);
    rows.flat_map(|row| row.types).copied()
}

/// Where V2 is spoken, below our root.
pub const GALLERY: &str = "api/v2";

/// Where V2 is spoken, for a base that ends in `/v3/`; without a slash, as nuget.org's.
pub fn gallery(base: &str) -> String {
    format!("{}{GALLERY}", base.strip_suffix("v3/").unwrap_or(base))
}

impl Known {
    /// The `@id` under which a type of the upstream's `id` is offered; `None` when it is not.
    fn our_id(&self, id: &str, name: &str, options: &RenderOptions<'_>) -> Option<String> {
        let row = resource::of_type(name)?;
        let base = options.base;
        match row.at {
            At::Base => Some(format!("{base}{}/", self.slug_of(row, id))),
            At::Endpoint => Some(format!("{base}{}", self.slug_of(row, id))),
            At::Document => Some(format!("{base}{}/index.json", row.slug)),
            At::Versioned => base
                .starts_with("https://")
                .then(|| format!("{base}{}/{}/index.json", row.slug, suffix_of(name))),
            At::Template => {
                let (prefix, template) = id.split_at(id.find('{')?);
                self.map
                    .resolve(prefix)
                    .map(|ours| format!("{base}{ours}{template}"))
            }
            At::V2 => options.v2.then(|| gallery(base)),
            At::Publish(_) => {
                (options.publish == Publish::Relay).then(|| format!("{base}{}", row.slug))
            }
            At::WebPage => (options.web_links == WebLinks::Keep).then(|| id.to_owned()),
        }
    }

    fn slug_of(&self, row: &Resource, id: &str) -> &'static str {
        let key = (row.name, address(row.at, id));
        self.slugs.get(&key).copied().unwrap_or(row.slug)
    }
}

impl Entry {
    /// The entry with one type and our `@id`, all other members as they are.
    fn shown(&self, name: &str, id: String) -> Value {
        let mut members: Map<String, Value> = self.members.clone();
        members.insert("@id".to_owned(), Value::from(id));
        members.insert("@type".to_owned(), Value::from(name));
        Value::from(members)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{index, nuget_org, parse_value};
    use super::*;

    const BASE: &str = "https://cache.example/n/v3/";

    fn render(index: &ServiceIndex, base: &str, web_links: WebLinks) -> Value {
        let options = RenderOptions {
            base,
            web_links,
            v2: false,
            publish: Publish::Relay,
        };
        serde_json::from_slice(&index.render(&options)).unwrap()
    }

    /// Pairs of type and `@id` below `BASE` (or whole, if elsewhere).
    fn pairs(shown: &Value) -> Vec<(&str, &str)> {
        let resources = shown["resources"].as_array().unwrap();
        let pair = |entry| -> (&str, &str) {
            let entry: &Value = entry;
            let id = entry["@id"].as_str().unwrap();
            (
                entry["@type"].as_str().unwrap(),
                id.strip_prefix(BASE).unwrap_or(id),
            )
        };
        resources.iter().map(pair).collect()
    }

    fn check(resources: &Value, expected: &[(&str, &str)]) {
        let shown = render(&index(resources), BASE, WebLinks::Keep);
        assert_eq!(pairs(&shown), expected);
    }

    /// Type and `@id` below our base of everything nuget.org's index is shown with.
    const SHOWN: &[(&str, &str)] = &[
        ("SearchQueryService", "query"),
        ("SearchQueryService/3.0.0-rc", "query"),
        ("SearchQueryService/3.5.0", "query"),
        ("SearchQueryService/3.0.0-beta", "query"),
        ("SearchAutocompleteService", "autocomplete"),
        ("SearchAutocompleteService/3.0.0-rc", "autocomplete"),
        ("SearchAutocompleteService/3.5.0", "autocomplete"),
        ("SearchAutocompleteService/3.0.0-beta", "autocomplete"),
        ("RegistrationsBaseUrl", "registration/"),
        ("RegistrationsBaseUrl/3.0.0-rc", "registration/"),
        ("RegistrationsBaseUrl/3.0.0-beta", "registration/"),
        ("RegistrationsBaseUrl/3.4.0", "registration-gz/"),
        ("RegistrationsBaseUrl/3.6.0", "registration-gz-semver2/"),
        ("RegistrationsBaseUrl/Versioned", "registration-gz-semver2/"),
        ("PackageBaseAddress/3.0.0", "flat/"),
        (
            "ReadmeUriTemplate/6.13.0",
            "flat/{lower_id}/{lower_version}/readme",
        ),
        (
            "PackageDisplayMetadataUriTemplate/3.0.0-rc",
            "registration/{id-lower}/index.json",
        ),
        (
            "PackageVersionDisplayMetadataUriTemplate/3.0.0-rc",
            "registration/{id-lower}/{version-lower}.json",
        ),
        (
            "RepositorySignatures/4.7.0",
            "repository-signatures/4.7.0/index.json",
        ),
        (
            "RepositorySignatures/5.0.0",
            "repository-signatures/5.0.0/index.json",
        ),
        ("VulnerabilityInfo/6.7.0", "vulnerabilities/index.json"),
        ("Catalog/3.0.0", "catalog/index.json"),
        ("PackagePublish/2.0.0", "publish"),
        ("SymbolPackagePublish/4.9.0", "symbols"),
        (
            "ReportAbuseUriTemplate/3.0.0-rc",
            "https://www.nuget.org/packages/{id}/{version}/ReportAbuse",
        ),
        (
            "ReportAbuseUriTemplate/3.0.0-beta",
            "https://www.nuget.org/packages/{id}/{version}/ReportAbuse",
        ),
        (
            "PackageDetailsUriTemplate/5.1.0",
            "https://www.nuget.org/packages/{id}/{version}?_src=template",
        ),
        (
            "OwnerDetailsUriTemplate/6.11.0",
            "https://www.nuget.org/profiles/{owner}?_src=template",
        ),
    ];

    #[test]
    fn nuget_org_is_shown_with_our_links_in_its_order() {
        let shown = render(&parse_value(&nuget_org()).unwrap(), BASE, WebLinks::Keep);
        assert_eq!(pairs(&shown), SHOWN);
        assert_eq!(shown["version"], "3.0.0");
        assert_eq!(shown["@context"], nuget_org()["@context"]);
        let by_type = |name: &str| {
            let mut entries = shown["resources"].as_array().unwrap().iter();
            entries
                .find(|entry| entry["@type"] == name)
                .unwrap()
                .clone()
        };
        assert_eq!(
            by_type("RegistrationsBaseUrl/Versioned")["clientVersion"],
            "4.3.0-alpha"
        );
        assert_eq!(
            by_type("PackageBaseAddress/3.0.0")["comment"],
            "PackageBaseAddress/3.0.0 of https://api.nuget.org/v3/"
        );
    }

    #[test]
    fn signatures_need_https_and_web_pages_can_be_dropped() {
        let index = parse_value(&nuget_org()).unwrap();
        let has =
            |shown: &Value, name: &str| pairs(shown).iter().any(|(own, _)| own.starts_with(name));
        let plain = render(&index, "http://localhost:5000/v3/", WebLinks::Keep);
        assert!(!has(&plain, "RepositorySignatures") && has(&plain, "VulnerabilityInfo"));
        let sealed = render(&index, BASE, WebLinks::Drop);
        assert!(has(&sealed, "ReadmeUriTemplate") && !has(&sealed, "PackageDetails"));
        assert!(pairs(&sealed).iter().all(|(_, id)| !id.contains("://")));
    }

    #[test]
    fn artifactory_has_plain_hives_under_richer_types() {
        let hive = "https://art.example/api/nuget/v3/repo/registration";
        check(
            &json!([
                {"@id": hive, "@type": "RegistrationsBaseUrl"},
                {"@id": hive, "@type": "RegistrationsBaseUrl/3.4.0"},
                {"@id": format!("{hive}-semver2"), "@type": "RegistrationsBaseUrl/3.6.0"},
                {"@id": "https://art.example/query", "@type": "SearchQueryService"},
            ]),
            &[
                ("RegistrationsBaseUrl", "registration-gz/"),
                ("RegistrationsBaseUrl/3.4.0", "registration-gz/"),
                ("RegistrationsBaseUrl/3.6.0", "registration-gz-semver2/"),
                ("SearchQueryService", "query"),
            ],
        );
    }

    #[test]
    fn azure_has_ids_that_are_no_urls_and_members_of_its_own() {
        let azure = "https://pkgs.dev.azure.com/o/_packaging/1/nuget/v3";
        let document = json!({
            "@context": {"@vocab": "http://schema.nuget.org/services#", "label": "x"},
            "resources": [
                {"@id": format!("{azure}/flat2/"), "@type": "PackageBaseAddress/3.0.0", "comment": "c", "label": "l"},
                {"@id": format!("{azure}/query2/"), "@type": "SearchQueryService/3.0.0-beta"},
                {"@id": "urn:uuid:6a1f", "@type": "VssFeedId", "label": "feed"},
                {"@id": "com.visualstudio.feeds", "@type": "AzureDevOpsProjectId"},
                {"@id": "https://pkgs.dev.azure.com/o/", "@type": "VssBaseUrl"},
            ],
            "version": "3.0.0-beta", "extra": [1],
        });
        let index = parse_value(&document).unwrap();
        let shown = render(&index, BASE, WebLinks::Keep);
        let expected = json!({
            "@context": {"@vocab": "http://schema.nuget.org/services#", "label": "x"},
            "resources": [
                {"@id": format!("{BASE}flat/"), "@type": "PackageBaseAddress/3.0.0", "comment": "c", "label": "l"},
                {"@id": format!("{BASE}query"), "@type": "SearchQueryService/3.0.0-beta"},
            ],
            "version": "3.0.0-beta", "extra": [1],
        });
        assert_eq!(shown.to_string(), expected.to_string());
        assert_eq!(index.bases("query"), [format!("{azure}/query2/")]);
        assert_eq!(
            index.unknown(),
            ["VssFeedId", "AzureDevOpsProjectId", "VssBaseUrl"]
        );
    }

    #[test]
    fn each_type_is_an_entry_and_duplicates_are_one() {
        check(
            &json!([
                {"@id": "https://h/f", "@type": ["PackageBaseAddress/3.0.0", "Vendor/1", "PackageBaseAddress/3.0.0"]},
                {"@id": "https://mirror/f", "@type": "PackageBaseAddress/3.0.0"},
                {"@id": "https://h/r", "@type": ["RegistrationsBaseUrl", "RegistrationsBaseUrl/Versioned"], "clientVersion": "4.3.0"},
                {"@id": "https://h/r", "@type": "RegistrationsBaseUrl/Versioned", "clientVersion": ["5.0.0"]},
                {"@id": "/relative", "@type": "SearchQueryService"},
            ]),
            &[
                ("PackageBaseAddress/3.0.0", "flat/"),
                ("RegistrationsBaseUrl", "registration-gz-semver2/"),
                ("RegistrationsBaseUrl/Versioned", "registration-gz-semver2/"),
                ("RegistrationsBaseUrl/Versioned", "registration-gz-semver2/"),
            ],
        );
    }

    #[test]
    fn v2_is_offered_whether_or_not_the_upstream_does() {
        for resources in [
            json!([{"@id": "https://h/f", "@type": "PackageBaseAddress/3.0.0"}]),
            json!([
                {"@id": "https://h/f", "@type": "PackageBaseAddress/3.0.0"},
                {"@id": "https://h/api/v2/", "@type": ["LegacyGallery/2.0.0", "LegacyGallery"]},
            ]),
        ] {
            let options = RenderOptions {
                base: BASE,
                web_links: WebLinks::Keep,
                v2: true,
                publish: Publish::Relay,
            };
            let shown = index(&resources).render(&options);
            let shown: Value = serde_json::from_slice(&shown).unwrap();
            let ours = "https://cache.example/n/api/v2";
            let expected = [
                ("PackageBaseAddress/3.0.0", "flat/"),
                ("LegacyGallery/2.0.0", ours),
                ("LegacyGallery", ours),
            ];
            assert_eq!(pairs(&shown), expected);
            check(&resources, &expected[..1]);
        }
    }

    #[test]
    fn a_template_elsewhere_is_dropped() {
        check(
            &json!([
                {"@id": "https://h/f/", "@type": "PackageBaseAddress/3.0.0"},
                {"@id": "https://elsewhere/{lower_id}/readme", "@type": "ReadmeUriTemplate/6.13.0"},
                {"@id": "https://h/fx/{lower_id}", "@type": "ReadmeUriTemplate/6.13.0"},
                {"@id": "https://h/f/readme", "@type": "ReadmeUriTemplate/6.13.0"},
            ]),
            &[("PackageBaseAddress/3.0.0", "flat/")],
        );
    }
}
