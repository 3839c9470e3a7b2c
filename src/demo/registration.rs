//! Registration indexes, pages and leaves of the three hives.
//!
//! Paging is nuget.org's: up to 127 versions are inlined, more lie in pages of 64 of their own.
//! Invariant: a page named by an index answers, with the same items in every hive that has them.

use serde_json::{Map, Value, json};

use super::feed::{Document, ExampleFeed, Release};
use super::links::{Hive, Links, segment};

/// Most versions of an index that contains its pages.
const INLINED: usize = 127;
/// Most versions of a page.
const PAGE: usize = 64;
/// nuget.org's time of publication of unlisted versions.
const UNLISTED: &str = "1900-01-01T00:00:00+00:00";

/// The document `rest` of a package in a hive.
pub fn document(
    feed: &ExampleFeed,
    links: Links<'_>,
    hive: Hive,
    id: &str,
    rest: &str,
) -> Option<Document> {
    let releases: Vec<&Release> = feed
        .releases(id)
        .iter()
        .filter(|release| hive == Hive::Full || !release.version.is_semver2())
        .collect();
    let newest = releases.iter().map(|release| release.stamp).max()?;
    let view = Registration {
        links,
        hive,
        id,
        releases,
    };
    let value = if rest == "index.json" {
        view.index()
    } else if let Some(bounds) = rest.strip_prefix("page/") {
        view.external_page(bounds.strip_suffix(".json")?)?
    } else {
        view.leaf(rest.strip_suffix(".json")?)?
    };
    let document = Document::json(&value, "no-store", newest);
    Some(if hive == Hive::Plain {
        document
    } else {
        document.gzipped()
    })
}

struct Registration<'a> {
    links: Links<'a>,
    hive: Hive,
    id: &'a str,
    releases: Vec<&'a Release>,
}

impl Registration<'_> {
    fn url(&self) -> String {
        self.links.registration(self.hive, self.id)
    }

    fn index(&self) -> Value {
        let inlined = self.releases.len() <= INLINED;
        let pages: Vec<Value> = self
            .releases
            .chunks(PAGE)
            .map(|releases| {
                let [lower, upper] = bounds(releases);
                let url = if inlined {
                    format!("{}#page/{lower}/{upper}", self.url())
                } else {
                    self.links.page(self.hive, self.id, &lower, &upper)
                };
                let mut page = head(&url, json!("catalog:CatalogPage"), releases, releases.len());
                if inlined {
                    page.insert("items".into(), self.items(releases));
                    page.insert("parent".into(), json!(self.url()));
                }
                page.insert("lower".into(), json!(lower));
                page.insert("upper".into(), json!(upper));
                Value::Object(page)
            })
            .collect();
        let kind = json!([
            "catalog:CatalogRoot",
            "PackageRegistration",
            "catalog:Permalink"
        ]);
        let mut index = head(&self.url(), kind, &self.releases, pages.len());
        index.insert("items".into(), json!(pages));
        index.insert("@context".into(), context());
        Value::Object(index)
    }

    fn external_page(&self, wanted: &str) -> Option<Value> {
        if self.releases.len() <= INLINED {
            return None;
        }
        let releases = self
            .releases
            .chunks(PAGE)
            .find(|releases| bounds(releases).join("/") == wanted)?;
        let [lower, upper] = bounds(releases);
        let url = self.links.page(self.hive, self.id, &lower, &upper);
        let mut page = head(&url, json!("catalog:CatalogPage"), releases, releases.len());
        page.insert("items".into(), self.items(releases));
        page.insert("parent".into(), json!(self.url()));
        page.insert("lower".into(), json!(lower));
        page.insert("upper".into(), json!(upper));
        page.insert("@context".into(), context());
        Some(Value::Object(page))
    }

    fn leaf(&self, version: &str) -> Option<Value> {
        let release = self
            .releases
            .iter()
            .find(|release| release.version.lower() == version)?;
        Some(json!({
            "@id": self.links.leaf(self.hive, release),
            "@type": ["Package", "http://schema.nuget.org/catalog#Permalink"],
            "catalogEntry": self.links.catalog_leaf(release),
            "listed": release.package.listed,
            "packageContent": self.links.nupkg(release),
            "published": published(release),
            "registration": self.url(),
            "@context": {
                "@vocab": "http://schema.nuget.org/schema#",
                "xsd": "http://www.w3.org/2001/XMLSchema#",
                "catalogEntry": { "@type": "@id" },
                "registration": { "@type": "@id" },
                "packageContent": { "@type": "@id" },
                "published": { "@type": "xsd:dateTime" },
            },
        }))
    }

    fn items(&self, releases: &[&Release]) -> Value {
        releases.iter().map(|release| self.item(release)).collect()
    }

    fn item(&self, release: &Release) -> Value {
        json!({
            "@id": self.links.leaf(self.hive, release),
            "@type": "Package",
            "commitId": release.stamp.commit_id(),
            "commitTimeStamp": release.stamp.commit(),
            "catalogEntry": self.entry(release),
            "packageContent": self.links.nupkg(release),
            "registration": self.url(),
        })
    }

    fn entry(&self, release: &Release) -> Value {
        let package = &release.package;
        let texts = Texts::of(release, self.links);
        let mut entry = json!({
            "@id": self.links.catalog_leaf(release),
            "@type": "PackageDetails",
            "authors": "The example authors",
            "dependencyGroups": dependency_groups(release, self.links, Some(self.hive)),
            "description": texts.description,
            "iconUrl": texts.icon,
            "id": package.id,
            "language": "",
            "licenseExpression": "MIT",
            "licenseUrl": self.links.at(&format!("/packages/{}/license", package.id)),
            "listed": package.listed,
            "minClientVersion": "",
            "packageContent": self.links.nupkg(release),
            "projectUrl": texts.project,
            "published": published(release),
            "readmeUrl": self.links.at(&format!("/packages/{}#readme", package.id)),
            "requireLicenseAcceptance": false,
            "summary": "",
            "tags": texts.tags,
            "title": "",
            "version": release.version.full(),
        });
        if self.hive == Hive::Full
            && let Some(deprecation) = deprecation(release, self.links)
        {
            entry["deprecation"] = deprecation;
        }
        if self.hive == Hive::Full && !package.advisories.is_empty() {
            entry["vulnerabilities"] = package
                .advisories
                .iter()
                .map(|advisory| {
                    json!({
                        "advisoryUrl": advisory.url,
                        "severity": advisory.severity.to_string(),
                    })
                })
                .collect();
        }
        if package.dependencies.is_empty()
            && let Some(members) = entry.as_object_mut()
        {
            members.shift_remove("dependencyGroups");
        }
        entry
    }
}

/// What a release says about itself in prose, for one base URL.
pub struct Texts {
    /// Description; may contain the feed's URL.
    pub description: String,
    /// Project page; may lie under the feed's URL without being a document of it.
    pub project: String,
    /// Icon below the flat container, or on a foreign host.
    pub icon: String,
    /// Tags; one may be the feed's URL.
    pub tags: Vec<String>,
}

impl Texts {
    /// The texts of a release.
    pub fn of(release: &Release, links: Links<'_>) -> Self {
        let package = &release.package;
        let mut tags = package.tags.clone();
        let mut description = package.description.clone();
        let mut project = format!("https://example.test/{}", segment(&package.id));
        if package.mentions_feed {
            tags.push(links.at("/v3/index.json"));
            description = format!("{description} See {}/v3-flatcontainer/ for more.", links.0);
            project = links.at("/v3/registration5-semver1/the-project/index.json");
        }
        let icon = if package.extras {
            links.icon(release)
        } else {
            "https://example.test/icon.png".to_owned()
        };
        Self {
            description,
            project,
            icon,
            tags,
        }
    }
}

/// Dependency groups as registrations and catalog leaves have them; only the former link to
/// registrations.
pub fn dependency_groups(release: &Release, links: Links<'_>, hive: Option<Hive>) -> Value {
    let leaf = links.catalog_leaf(release);
    let group = |(framework, members): (Option<&str>, Vec<&super::package::Dependency>)| {
        let node = match framework {
            Some(name) => format!("{leaf}#dependencygroup/{name}"),
            None => format!("{leaf}#dependencygroup"),
        };
        let dependencies: Vec<Value> = members
            .iter()
            .map(|dependency| {
                let mut value = json!({
                    "@id": format!("{node}/{}", segment(&dependency.id)),
                    "@type": "PackageDependency",
                    "id": dependency.id,
                    "range": range(&dependency.range),
                });
                if let Some(hive) = hive {
                    value["registration"] = json!(links.registration(hive, &dependency.id));
                }
                value
            })
            .collect();
        let mut value = json!({
            "@id": node,
            "@type": "PackageDependencyGroup",
            "dependencies": dependencies,
        });
        if let Some(name) = framework {
            value["targetFramework"] = json!(name);
        }
        value
    };
    release.package.groups().into_iter().map(group).collect()
}

/// Why a release is deprecated, as registrations and catalog leaves have it.
pub fn deprecation(release: &Release, links: Links<'_>) -> Option<Value> {
    let (reason, instead) = release.package.deprecation.as_ref()?;
    let leaf = links.catalog_leaf(release);
    Some(json!({
        "@id": format!("{leaf}#deprecation"),
        "@type": "deprecation",
        "alternatePackage": {
            "@id": format!("{leaf}#deprecation/alternatePackage"),
            "@type": "alternatePackage",
            "id": instead,
            "range": "*",
        },
        "message": format!("Use {instead} instead."),
        "reasons": [reason],
    }))
}

/// A bare version is a lower bound, and documents write it out.
fn range(text: &str) -> String {
    if text.starts_with(['[', '(']) {
        text.to_owned()
    } else {
        format!("[{text}, )")
    }
}

fn published(release: &Release) -> String {
    if release.package.listed {
        release.stamp.published()
    } else {
        UNLISTED.to_owned()
    }
}

fn bounds(releases: &[&Release]) -> [String; 2] {
    let at = |release: Option<&&Release>| release.map_or_else(String::new, |r| r.version.lower());
    [at(releases.first()), at(releases.last())]
}

/// The members that index and pages begin with.
fn head(url: &str, kind: Value, releases: &[&Release], count: usize) -> Map<String, Value> {
    let stamp = releases.iter().map(|release| release.stamp).max();
    let mut map = Map::new();
    map.insert("@id".into(), json!(url));
    map.insert("@type".into(), kind);
    map.insert(
        "commitId".into(),
        json!(stamp.map(super::stamp::Stamp::commit_id)),
    );
    map.insert(
        "commitTimeStamp".into(),
        json!(stamp.map(super::stamp::Stamp::commit)),
    );
    map.insert("count".into(), json!(count));
    map
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
        "reasons": { "@container": "@set" },
        "packageTargetFrameworks": { "@id": "packageTargetFramework", "@container": "@set" },
        "dependencyGroups": { "@id": "dependencyGroup", "@container": "@set" },
        "dependencies": { "@id": "dependency", "@container": "@set" },
        "packageContent": { "@type": "@id" },
        "published": { "@type": "xsd:dateTime" },
        "registration": { "@type": "@id" },
    })
}
