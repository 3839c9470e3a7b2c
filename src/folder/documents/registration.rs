//! Registration index, pages and leaves (NuGet documentation, "Package metadata").
//!
//! Paged as nuget.org pages: up to 127 versions inlined, beyond that in pages of 64 of their own.
//! There is no catalog; where nuget.org names a catalog leaf, the registration leaf stands.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::inventory::{Package, Release};
use super::super::manifest::Group;
use super::super::stamp::rfc3339;
use super::{Hive, Links, segment};
use crate::nuget::id::PackageId;

/// Versions of one page.
const PAGE: usize = 64;

/// Most versions of an index that has its pages in it.
const INLINED: usize = 127;

/// The versions of an id that a hive has; at least one.
pub(super) struct Registration<'a> {
    hive: Hive,
    id: &'a PackageId,
    links: Links<'a>,
    releases: Vec<&'a Arc<Release>>,
    tag: &'a str,
}

impl<'a> Registration<'a> {
    /// `None` when the hive has no version of it.
    pub(super) fn new(
        (hive, id): (Hive, &'a PackageId),
        package: &'a Package,
        links: Links<'a>,
    ) -> Option<Self> {
        let all = package.releases.iter();
        let releases: Vec<_> = all.filter(|release| hive.has(release)).collect();
        let tag = package.tag.as_str();
        (!releases.is_empty()).then_some(Self {
            hive,
            id,
            links,
            releases,
            tag,
        })
    }

    /// The index.
    pub(super) fn index(&self) -> Value {
        let inlined = self.releases.len() <= INLINED;
        let page = |releases: &[&Arc<Release>]| {
            let [lower, upper] = bounds(releases);
            let url = if inlined {
                format!("{}#page/{lower}/{upper}", self.url())
            } else {
                self.links.page(self.hive, self.id, &bounds(releases))
            };
            let mut page = self.head(&url, json!("catalog:CatalogPage"), releases);
            if inlined {
                page.insert("items".into(), self.items(releases));
                page.insert("parent".into(), json!(self.url()));
            }
            page.insert("lower".into(), json!(lower));
            page.insert("upper".into(), json!(upper));
            Value::Object(page)
        };
        let pages: Vec<Value> = self.releases.chunks(PAGE).map(page).collect();
        let kind = json!([
            "catalog:CatalogRoot",
            "PackageRegistration",
            "catalog:Permalink"
        ]);
        let mut index = self.head(&self.url(), kind, &self.releases);
        index.insert("count".into(), json!(pages.len()));
        index.insert("items".into(), json!(pages));
        index.insert("@context".into(), context());
        Value::Object(index)
    }

    /// A page that is not inlined, by its bounds.
    pub(super) fn page(&self, wanted: [&String; 2]) -> Option<Value> {
        if self.releases.len() <= INLINED {
            return None;
        }
        let mut pages = self.releases.chunks(PAGE);
        let releases = pages.find(|releases| bounds(releases).each_ref() == wanted)?;
        let [lower, upper] = bounds(releases);
        let url = self.links.page(self.hive, self.id, &bounds(releases));
        let mut page = self.head(&url, json!("catalog:CatalogPage"), releases);
        page.insert("items".into(), self.items(releases));
        page.insert("parent".into(), json!(self.url()));
        page.insert("lower".into(), json!(lower));
        page.insert("upper".into(), json!(upper));
        page.insert("@context".into(), context());
        Some(Value::Object(page))
    }

    fn url(&self) -> String {
        self.links.registration(self.hive, self.id)
    }

    /// The members that index and pages begin with.
    fn head(&self, url: &str, kind: Value, releases: &[&Arc<Release>]) -> Map<String, Value> {
        let times = releases.iter().map(|release| release.stamp.modified());
        let mut map = Map::new();
        map.insert("@id".into(), json!(url));
        map.insert("@type".into(), kind);
        map.insert("commitId".into(), json!(guid(self.tag)));
        map.insert(
            "commitTimeStamp".into(),
            json!(rfc3339(times.max().unwrap_or(0))),
        );
        map.insert("count".into(), json!(releases.len()));
        map
    }

    fn items(&self, releases: &[&Arc<Release>]) -> Value {
        let item = |release: &&Arc<Release>| {
            json!({
                "@id": self.links.leaf(self.hive, release),
                "@type": "Package",
                "commitId": guid(self.tag),
                "commitTimeStamp": rfc3339(release.stamp.modified()),
                "catalogEntry": entry(self.hive, release, self.links),
                "packageContent": self.links.package(release),
                "registration": self.url(),
            })
        };
        releases.iter().map(item).collect()
    }
}

/// The leaf of one version; `None` when the hive does not have it.
pub(super) fn leaf(hive: Hive, release: &Release, links: Links<'_>) -> Option<Value> {
    let url = links.leaf(hive, release);
    hive.has(release).then(|| {
        json!({
            "@id": url,
            "@type": ["Package", "http://schema.nuget.org/catalog#Permalink"],
            "catalogEntry": url,
            "listed": true,
            "packageContent": links.package(release),
            "published": rfc3339(release.stamp.modified()),
            "registration": links.registration(hive, &release.manifest.key),
            "@context": {
                "@vocab": "http://schema.nuget.org/schema#",
                "xsd": "http://www.w3.org/2001/XMLSchema#",
                "catalogEntry": { "@type": "@id" },
                "registration": { "@type": "@id" },
                "packageContent": { "@type": "@id" },
                "published": { "@type": "xsd:dateTime" },
            },
        })
    })
}

fn entry(hive: Hive, release: &Release, links: Links<'_>) -> Value {
    let manifest = &release.manifest;
    let mut entry = json!({
        "@id": links.leaf(hive, release),
        "@type": "PackageDetails",
        "authors": manifest.authors,
        "dependencyGroups": groups(hive, release, links),
        "description": manifest.description,
        "iconUrl": links.icon(release),
        "id": manifest.id,
        "language": manifest.language,
        "licenseExpression": manifest.license_expression,
        "licenseUrl": manifest.license_url,
        "listed": true,
        "minClientVersion": manifest.min_client_version,
        "packageContent": links.package(release),
        "projectUrl": manifest.project_url,
        "published": rfc3339(release.stamp.modified()),
        "requireLicenseAcceptance": manifest.require_license_acceptance,
        "summary": manifest.summary,
        "tags": manifest.tags,
        "title": manifest.title,
        "version": manifest.full,
    });
    if manifest.groups.is_empty()
        && let Some(members) = entry.as_object_mut()
    {
        members.shift_remove("dependencyGroups");
    }
    entry
}

fn groups(hive: Hive, release: &Release, links: Links<'_>) -> Value {
    let leaf = links.leaf(hive, release);
    let group = |group: &Group| {
        let node = match &group.framework {
            Some(name) => format!("{leaf}#dependencygroup/{}", segment(&name.to_lowercase())),
            None => format!("{leaf}#dependencygroup"),
        };
        let needed = |id: &str| {
            let id = PackageId::parse(id)?;
            Some(links.registration(hive, &id))
        };
        let dependencies: Vec<Value> = group
            .dependencies
            .iter()
            .map(|own| {
                json!({
                    "@id": format!("{node}/{}", segment(&own.id.to_lowercase())),
                    "@type": "PackageDependency",
                    "id": own.id,
                    "range": own.range,
                    "registration": needed(&own.id),
                })
            })
            .collect();
        let mut value = json!({ "@id": node, "@type": "PackageDependencyGroup" });
        if !dependencies.is_empty() {
            value["dependencies"] = json!(dependencies);
        }
        if let Some(name) = &group.framework {
            value["targetFramework"] = json!(name);
        }
        value
    };
    release.manifest.groups.iter().map(group).collect()
}

fn bounds(releases: &[&Arc<Release>]) -> [String; 2] {
    let at = |release: Option<&&Arc<Release>>| {
        release.map_or_else(String::new, |release| {
            release.manifest.version.as_str().to_owned()
        })
    };
    [at(releases.first()), at(releases.last())]
}

/// A tag of 32 hexadecimal digits in the form of a GUID.
fn guid(tag: &str) -> String {
    let part = |from: usize, to: usize| tag.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

fn context() -> Value {
    json!({
        "@vocab": "http://schema.nuget.org/schema#",
        "catalog": "http://schema.nuget.org/catalog#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
        "items": { "@id": "catalog:item", "@container": "@set" },
        "commitTimeStamp": { "@id": "catalog:commitTimeStamp", "@type": "xsd:dateTime" },
        "commitId": { "@id": "catalog:commitId" },
        "count": { "@id": "catalog:count" },
        "parent": { "@id": "catalog:parent", "@type": "@id" },
        "tags": { "@id": "tag", "@container": "@set" },
        "dependencyGroups": { "@id": "dependencyGroup", "@container": "@set" },
        "dependencies": { "@id": "dependency", "@container": "@set" },
        "packageContent": { "@type": "@id" },
        "published": { "@type": "xsd:dateTime" },
        "registration": { "@type": "@id" },
    })
}
