//! Feeds of other servers, whose service indexes and documents have other shapes.
//!
//! - GitHub Packages: no trailing slashes, one URL for pushes and all registrations, types as arrays
//! - Azure Artifacts: `@id`s that are no URLs, members of its own, a search URL that ends in `/`
//! - Artifactory: plain registrations under the types of compressed ones
//! - a feed of four resources, one of version `3.0.0-beta`, vendors' types
//! - whatever the shape: list, package, registration and search work, and lead past nugate nowhere
//! - one URL for all registration types is kept once
//! - a package named under no known base is downloaded through us all the same

use bytes::Bytes;
use nugate::demo::{ExampleFeed, Package};
use serde_json::{Value, json};

use crate::support::client::{Response, get};
use crate::support::{ScriptedUpstream, World};

/// A feed of one package, `A.Tool` 1.0.0.
struct Shape {
    /// Path of the service index.
    index: &'static str,
    /// Paths: of the flat container and the registrations with a slash, of the search without query.
    flat: &'static str,
    hive: &'static str,
    search: &'static str,
    /// `packageContent`; `UP` stands for the origin of the upstream.
    content: &'static str,
    /// `version` of the service index.
    version: &'static str,
    /// `@id` and `@type` of each resource.
    resources: Value,
    /// The types ours has, in order.
    shown: &'static [&'static str],
}

fn package() -> Bytes {
    Package::new("A.Tool", "1.0.0").nupkg().unwrap()
}

impl Shape {
    /// Scripts the documents and starts nugate before them.
    async fn start(&self) -> World {
        let up = ScriptedUpstream::new(ExampleFeed::default()).await;
        let (flat, hive) = (self.flat, self.hive);
        let index = json!({
            "version": self.version,
            "resources": self.resources,
            "@context": {"@vocab": "http://schema.nuget.org/services#"},
        });
        reply(&up, self.index, &index);
        let versions = json!({"versions": ["1.0.0"]});
        reply(&up, &format!("{flat}a.tool/index.json"), &versions);
        let path = format!("{flat}a.tool/1.0.0/a.tool.1.0.0.nupkg");
        up.on(&path).reply(200, package());
        let url = format!("UP{hive}a.tool/index.json");
        let leaf = json!({
            "@id": format!("UP{hive}a.tool/1.0.0.json"),
            "catalogEntry": {"@id": "urn:entry:1", "id": "A.Tool", "version": "1.0.0"},
            "packageContent": self.content,
            "registration": url,
        });
        let page = json!({"@id": format!("{url}#page"), "lower": "1.0.0", "upper": "1.0.0",
            "count": 1, "parent": url, "items": [leaf]});
        let registration = json!({"@id": url, "count": 1, "items": [page]});
        reply(&up, &format!("{hive}a.tool/index.json"), &registration);
        reply(&up, &format!("{hive}a.tool/1.0.0.json"), &leaf);
        let found = json!({"id": "A.Tool", "version": "1.0.0", "description": "see UP/prose",
            "registration": url, "versions": [{"version": "1.0.0", "@id": leaf["@id"]}]});
        let search = json!({"totalHits": 1, "data": [found]});
        reply(&up, self.search, &search);
        let url = format!("{}{}", up.base_url(), self.index);
        World::before(up, |settings| settings.feed.url = url.parse().unwrap()).await
    }

    async fn check(&self) -> World {
        let world = self.start().await;
        let index = world.get("index.json").await.json();
        let origin = world.up.base_url().to_owned();
        assert_eq!(index["version"], self.version);
        let entries = index["resources"].as_array().unwrap();
        let types: Vec<_> = entries.iter().map(|entry| text(&entry["@type"])).collect();
        assert_eq!(types, self.shown);
        for entry in entries {
            let id = text(&entry["@id"]);
            assert!(id.starts_with(&world.base()), "{id}");
        }
        let registrations = entries
            .iter()
            .filter(|entry| text(&entry["@type"]).starts_with("RegistrationsBaseUrl"));
        for entry in registrations {
            self.check_registration(&world, text(&entry["@id"])).await;
        }
        let list = world.get("flat/a.tool/index.json").await;
        assert_eq!(list.json(), json!({"versions": ["1.0.0"]}));
        let search = of_type(&index, "SearchQueryService");
        let answer = follow(&world, &format!("{search}?q=tool")).await;
        let found = &answer.json()["data"][0];
        assert_eq!(found["description"], format!("see {origin}/prose"));
        for link in [&found["registration"], &found["versions"][0]["@id"]] {
            follow(&world, text(link)).await;
        }
        assert_eq!(world.up.count(self.search), 1, "{:#?}", world.up.log());
        world
    }

    async fn check_registration(&self, world: &World, hive: &str) {
        let shown = follow(world, &format!("{hive}a.tool/index.json")).await;
        let origin = world.up.base_url();
        assert!(!shown.text().contains(origin), "{}", shown.text());
        let page = &shown.json()["items"][0];
        let leaf = &page["items"][0];
        assert_eq!(leaf["catalogEntry"]["@id"], "urn:entry:1");
        let content = text(&leaf["packageContent"]);
        let flat = "flat/a.tool/1.0.0/a.tool.1.0.0.nupkg";
        assert_eq!(content, format!("{}{flat}", world.base()));
        assert_eq!(follow(world, content).await.body, package());
        for link in [&leaf["@id"], &leaf["registration"], &page["parent"]] {
            follow(world, text(link)).await;
        }
    }
}

fn reply(up: &ScriptedUpstream, path: &str, document: &Value) {
    let body = document.to_string().replace("UP/", &slashed(up));
    up.on(path)
        .reply(200, body)
        .header("content-type", "application/json");
}

fn slashed(up: &ScriptedUpstream) -> String {
    format!("{}/", up.base_url())
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

fn of_type<'a>(index: &'a Value, name: &str) -> &'a str {
    let mut entries = index["resources"].as_array().unwrap().iter();
    let found = entries.find(|entry| text(&entry["@type"]).split('/').next() == Some(name));
    text(&found.unwrap()["@id"])
}

/// GET of one of our own URLs.
async fn follow(world: &World, url: &str) -> Response {
    let path = url.strip_prefix(&format!("http://{}", world.addr));
    let path = path.unwrap_or_else(|| panic!("{url} leads past nugate"));
    let response = get(world.addr, path, &[]).await;
    assert_eq!(response.status, 200, "{url}: {response:?}");
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn github_packages() {
    let shape = Shape {
        index: "/acme/index.json",
        flat: "/acme/download/",
        hive: "/acme/",
        search: "/acme/query",
        content: "UP/acme/download/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        version: "3.0.0-beta",
        resources: json!([
            {"@id": "UP/acme/download", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": "UP/acme/query", "@type": ["SearchQueryService", "SearchQueryService/3.0.0-beta"]},
            {"@id": "UP/acme/query", "@type": "SearchQueryService/3.0.0-rc"},
            {"@id": "UP/acme", "@type": "PackagePublish/2.0.0"},
            {"@id": "UP/acme", "@type": ["RegistrationsBaseUrl", "RegistrationsBaseUrl/3.0.0-beta"]},
            {"@id": "UP/acme", "@type": "RegistrationsBaseUrl/3.0.0-beta"},
            {"@id": "UP/acme", "@type": "RegistrationsBaseUrl/3.6.0"},
        ]),
        shown: &[
            "PackageBaseAddress/3.0.0",
            "SearchQueryService",
            "SearchQueryService/3.0.0-beta",
            "SearchQueryService/3.0.0-rc",
            "PackagePublish/2.0.0",
            "RegistrationsBaseUrl",
            "RegistrationsBaseUrl/3.0.0-beta",
            "RegistrationsBaseUrl/3.6.0",
        ],
    };
    let world = shape.check().await;
    assert_eq!(world.up.count("/acme/a.tool/index.json"), 1);
    let package = "/acme/download/a.tool/1.0.0/a.tool.1.0.0.nupkg";
    assert_eq!(world.up.count(package), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_artifacts() {
    let shape = Shape {
        index: "/acme/_packaging/tools/nuget/v3/index.json",
        flat: "/acme/_packaging/7f/nuget/v3/flat2/",
        hive: "/acme/_packaging/7f/nuget/v3/registrations2-semver2/",
        search: "/acme/_packaging/7f/nuget/v3/query2/",
        content: "UP/acme/_packaging/7f/nuget/v3/flat2/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        version: "3.0.0",
        resources: json!([
            {"@id": "UP/acme/_packaging/7f/nuget/v3/flat2/", "@type": "PackageBaseAddress/3.0.0",
             "comment": "packages"},
            {"@id": "UP/acme/_packaging/7f/nuget/v3/registrations2-semver2/",
             "@type": "RegistrationsBaseUrl/3.6.0", "comment": "registrations"},
            {"@id": "UP/acme/_packaging/7f/nuget/v3/registrations2-semver2/",
             "@type": "RegistrationsBaseUrl/Versioned", "clientVersion": "4.3.0-alpha"},
            {"@id": "UP/acme/_packaging/7f/nuget/v3/query2/", "@type": "SearchQueryService/3.0.0-beta"},
            {"@id": "UP/acme/_packaging/7f/nuget/v2/", "@type": "LegacyGallery/2.0.0"},
            {"@id": "urn:uuid:00000000-0000-4000-8000-000000000001", "@type": "VssFeedId", "label": "tools"},
            {"@id": "UP/acme/", "@type": "VssBaseUrl"},
            {"@id": "com.example.project", "@type": "AzureDevOpsProjectId", "label": ""},
            {"@id": "urn:uuid:00000000-0000-4000-8000-000000000002", "@type": "PackageBaseAddress/3.0.0"},
        ]),
        shown: &[
            "PackageBaseAddress/3.0.0",
            "RegistrationsBaseUrl/3.6.0",
            "RegistrationsBaseUrl/Versioned",
            "SearchQueryService/3.0.0-beta",
        ],
    };
    let world = shape.check().await;
    let index = world.get("index.json").await.json();
    assert_eq!(index["resources"][0]["comment"], "packages");
    assert_eq!(index["resources"][2]["clientVersion"], "4.3.0-alpha");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifactory() {
    let shape = Shape {
        index: "/artifactory/api/nuget/v3/tools/index.json",
        flat: "/artifactory/api/nuget/v3/tools/download/",
        hive: "/artifactory/api/nuget/v3/tools/registration/",
        search: "/artifactory/api/nuget/v3/tools/query",
        content: "UP/artifactory/api/nuget/v3/tools/download/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        version: "3.0.0",
        resources: json!([
            {"@id": "UP/artifactory/api/nuget/v3/tools/registration", "@type": "RegistrationsBaseUrl"},
            {"@id": "UP/artifactory/api/nuget/v3/tools/registration", "@type": "RegistrationsBaseUrl/3.4.0"},
            {"@id": "UP/artifactory/api/nuget/v3/tools/registration", "@type": "RegistrationsBaseUrl/3.6.0"},
            {"@id": "UP/artifactory/api/nuget/v3/tools/download", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": "UP/artifactory/api/nuget/v3/tools/query", "@type": "SearchQueryService"},
            {"@id": "UP/artifactory/api/nuget/v3/tools/query", "@type": "SearchQueryService/3.0.0-beta"},
            {"@id": "UP/artifactory/api/nuget/tools", "@type": "LegacyGallery"},
        ]),
        shown: &[
            "RegistrationsBaseUrl",
            "RegistrationsBaseUrl/3.4.0",
            "RegistrationsBaseUrl/3.6.0",
            "PackageBaseAddress/3.0.0",
            "SearchQueryService",
            "SearchQueryService/3.0.0-beta",
        ],
    };
    let world = shape.check().await;
    let index = "/artifactory/api/nuget/v3/tools/registration/a.tool/index.json";
    assert_eq!(world.up.count(index), 1, "one hive is kept once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_four_resources_that_names_packages_elsewhere() {
    let shape = Shape {
        index: "/nuget",
        flat: "/p/",
        hive: "/r/",
        search: "/s",
        content: "https://cdn.example.test/a.tool.nupkg",
        version: "3.0.0-beta",
        resources: json!([
            {"@id": "UP/p/", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": "UP/r/", "@type": "RegistrationsBaseUrl"},
            {"@id": "UP/s", "@type": "SearchQueryService"},
            {"@id": "UP/push", "@type": "PackagePublish/2.0.0"},
        ]),
        shown: &[
            "PackageBaseAddress/3.0.0",
            "RegistrationsBaseUrl",
            "SearchQueryService",
            "PackagePublish/2.0.0",
        ],
    };
    let world = shape.check().await;
    let absent = world.get("catalog/index.json").await;
    assert_eq!(absent.status, 404, "{}", absent.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_vendors_are_not_shown() {
    let shape = Shape {
        index: "/v3/index.json",
        flat: "/f/",
        hive: "/r/",
        search: "/search",
        content: "UP/elsewhere/a.tool.nupkg",
        version: "3.1.0",
        resources: json!([
            {"@id": "UP/x/", "@type": "ExampleVendor/1.0.0"},
            {"@id": "UP/f/", "@type": ["ExampleVendor/2.0.0", "PackageBaseAddress/3.0.0"]},
            {"@id": "UP/symbols", "@type": "SymbolPackageBaseAddress/4.9.0"},
            {"@id": "UP/r/", "@type": ["RegistrationsBaseUrl/3.4.0", "registrationsbaseurl"]},
            {"@id": "UP/staging", "@type": "PackageStaging/1.0.0"},
            {"@id": "UP/search", "@type": "SearchQueryService/3.5.0"},
            {"@type": "SearchQueryService"},
            "nonsense",
        ]),
        shown: &[
            "PackageBaseAddress/3.0.0",
            "RegistrationsBaseUrl/3.4.0",
            "SearchQueryService/3.5.0",
        ],
    };
    shape.check().await;
}
