//! The servers, one test each.
//!
//! - GitHub Packages: no trailing slashes, one URL for pushes and all registrations, types as
//!   arrays, downloads from another host
//! - Azure Artifacts: `@id`s that are no URLs, members of its own, a search URL that ends in `/`,
//!   signed downloads
//! - Artifactory: plain registrations under the types of compressed ones, a field of its own for
//!   keys, pages of its own
//! - `MyGet`: registrations of one version, external pages
//! - `BaGetter`: registrations without a slash, no compressed types
//! - Nexus: numbered resources, several searches, some resources left at another host
//! - a feed of four resources, one of version `3.0.0-beta.1`, vendors' types
//! - a package named under no known base is downloaded through us all the same

use serde_json::json;

use super::{Auth, Shape, text};

#[tokio::test(flavor = "multi_thread")]
async fn github_packages() {
    let shape = Shape {
        index: "/acme/index.json",
        flat: "/acme/download/",
        hive: "/acme/",
        search: "/acme/query",
        content: "UP/acme/download/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        page: "",
        download: Some("OTHER/packages/77?se=2026&sig=a%2Fb%3D"),
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
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("SearchQueryService", "query"),
            ("SearchQueryService/3.0.0-beta", "query"),
            ("SearchQueryService/3.0.0-rc", "query"),
            ("PackagePublish/2.0.0", "publish"),
            ("RegistrationsBaseUrl", "registration-gz-semver2/"),
            (
                "RegistrationsBaseUrl/3.0.0-beta",
                "registration-gz-semver2/",
            ),
            ("RegistrationsBaseUrl/3.6.0", "registration-gz-semver2/"),
        ],
        auth: Some(Auth::basic()),
    };
    let scene = shape.check().await;
    assert_eq!(scene.world.up.count("/acme/a.tool/index.json"), 1);
    let blob: Vec<_> = scene.other.log();
    assert_eq!(blob.len(), 1);
    assert_eq!(blob[0].path_and_query, "/packages/77?se=2026&sig=a%2Fb%3D");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_artifacts() {
    let shape = Shape {
        index: "/acme/_packaging/tools/nuget/v3/index.json",
        flat: "/acme/_packaging/7f/nuget/v3/flat2/",
        hive: "/acme/_packaging/7f/nuget/v3/registrations2-semver2/",
        search: "/acme/_packaging/7f/nuget/v3/query2/",
        content: "UP/acme/_packaging/7f/nuget/v3/flat2/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        page: "",
        download: Some("OTHER/b-1/4F.blob?sv=2019-07-07&sr=b&si=1&sig=x%2By%3D&P1=1"),
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
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("RegistrationsBaseUrl/3.6.0", "registration-gz-semver2/"),
            ("RegistrationsBaseUrl/Versioned", "registration-gz-semver2/"),
            ("SearchQueryService/3.0.0-beta", "query"),
        ],
        auth: Some(Auth::basic()),
    };
    let scene = shape.check().await;
    let index = scene.world.get("index.json").await.json();
    assert_eq!(index["resources"][0]["comment"], "packages");
    assert_eq!(index["resources"][2]["clientVersion"], "4.3.0-alpha");
    assert_eq!(scene.other.requests(), 1, "the signed URL is used once");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifactory() {
    let shape = Shape {
        index: "/artifactory/api/nuget/v3/tools/index.json",
        flat: "/artifactory/api/nuget/v3/tools/download/",
        hive: "/artifactory/api/nuget/v3/tools/registration/",
        search: "/artifactory/api/nuget/v3/tools/query",
        content: "UP/artifactory/api/nuget/v3/tools/download/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        page: "a.tool/pages/1.json",
        download: None,
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
            ("RegistrationsBaseUrl", "registration-gz-semver2/"),
            ("RegistrationsBaseUrl/3.4.0", "registration-gz-semver2/"),
            ("RegistrationsBaseUrl/3.6.0", "registration-gz-semver2/"),
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("SearchQueryService", "query"),
            ("SearchQueryService/3.0.0-beta", "query"),
        ],
        auth: Some(Auth::header("x-jfrog-art-api")),
    };
    let scene = shape.check().await;
    let index = "/artifactory/api/nuget/v3/tools/registration/a.tool/index.json";
    assert_eq!(scene.world.up.count(index), 1, "one hive is kept once");
}

#[tokio::test(flavor = "multi_thread")]
async fn myget() {
    let shape = Shape {
        index: "/F/tools/api/v3/index.json",
        flat: "/F/tools/api/v3/flatcontainer/",
        hive: "/F/tools/api/v3/registration1/",
        search: "/F/tools/api/v3/query",
        content: "UP/F/tools/api/v3/flatcontainer/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        page: "a.tool/page/1.0.0/1.0.0.json",
        download: None,
        version: "3.0.0-beta.1",
        resources: json!([
            {"@id": "UP/F/tools/api/v3/query", "@type": "SearchQueryService"},
            {"@id": "UP/F/tools/api/v3/query", "@type": "SearchQueryService/3.0.0-beta"},
            {"@id": "UP/F/tools/api/v3/query", "@type": "SearchQueryService/3.0.0-rc"},
            {"@id": "UP/F/tools/api/v3/registration1/", "@type": "RegistrationsBaseUrl"},
            {"@id": "UP/F/tools/api/v3/registration1/", "@type": "RegistrationsBaseUrl/3.0.0-beta"},
            {"@id": "UP/F/tools/api/v3/registration1/", "@type": "RegistrationsBaseUrl/3.0.0-rc"},
            {"@id": "UP/F/tools/api/v3/flatcontainer/", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": "UP/F/tools/api/v2/package", "@type": "PackagePublish/2.0.0"},
            {"@id": "UP/F/tools/api/v2", "@type": "LegacyGallery/2.0.0"},
        ]),
        shown: &[
            ("SearchQueryService", "query"),
            ("SearchQueryService/3.0.0-beta", "query"),
            ("SearchQueryService/3.0.0-rc", "query"),
            ("RegistrationsBaseUrl", "registration/"),
            ("RegistrationsBaseUrl/3.0.0-beta", "registration/"),
            ("RegistrationsBaseUrl/3.0.0-rc", "registration/"),
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("PackagePublish/2.0.0", "publish"),
        ],
        auth: Some(Auth::header("x-nuget-apikey")),
    };
    shape.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bagetter() {
    let shape = Shape {
        index: "/v3/index.json",
        flat: "/v3/package/",
        hive: "/v3/registration/",
        search: "/v3/search",
        content: "UP/v3/package/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        page: "",
        download: None,
        version: "3.0.0",
        resources: json!([
            {"@id": "UP/api/v2/package", "@type": "PackagePublish/2.0.0", "comment": null},
            {"@id": "UP/api/v2/symbol", "@type": "SymbolPackagePublish/4.9.0", "comment": null},
            {"@id": "UP/v3/search", "@type": "SearchQueryService", "comment": null},
            {"@id": "UP/v3/search", "@type": "SearchQueryService/3.0.0-beta", "comment": null},
            {"@id": "UP/v3/search", "@type": "SearchQueryService/3.0.0-rc", "comment": null},
            {"@id": "UP/v3/registration", "@type": "RegistrationsBaseUrl", "comment": null},
            {"@id": "UP/v3/registration", "@type": "RegistrationsBaseUrl/3.0.0-rc", "comment": null},
            {"@id": "UP/v3/registration", "@type": "RegistrationsBaseUrl/3.0.0-beta", "comment": null},
            {"@id": "UP/v3/package", "@type": "PackageBaseAddress/3.0.0", "comment": null},
            {"@id": "UP/v3/autocomplete", "@type": "SearchAutocompleteService", "comment": null},
            {"@id": "UP/v3/autocomplete", "@type": "SearchAutocompleteService/3.0.0-rc", "comment": null},
            {"@id": "UP/v3/autocomplete", "@type": "SearchAutocompleteService/3.0.0-beta", "comment": null},
        ]),
        shown: &[
            ("PackagePublish/2.0.0", "publish"),
            ("SymbolPackagePublish/4.9.0", "symbols"),
            ("SearchQueryService", "query"),
            ("SearchQueryService/3.0.0-beta", "query"),
            ("SearchQueryService/3.0.0-rc", "query"),
            ("RegistrationsBaseUrl", "registration/"),
            ("RegistrationsBaseUrl/3.0.0-rc", "registration/"),
            ("RegistrationsBaseUrl/3.0.0-beta", "registration/"),
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("SearchAutocompleteService", "autocomplete"),
            ("SearchAutocompleteService/3.0.0-rc", "autocomplete"),
            ("SearchAutocompleteService/3.0.0-beta", "autocomplete"),
        ],
        auth: None,
    };
    let mut stage = shape.stage().await;
    let names = json!({"totalHits": 1, "data": ["A.Tool"], "@context": {"@vocab": "http://x/"}});
    stage.json("/v3/autocomplete", &names);
    let scene = shape.check_on(stage).await;
    let names = scene.world.get("autocomplete?q=to").await.json();
    assert_eq!(names["data"], json!(["A.Tool"]));
    scene.asked_for_nothing_else(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nexus() {
    let shape = Shape {
        index: "/repository/proxy/index.json",
        flat: "/repository/proxy/v3/content/0/",
        hive: "/repository/proxy/v3/registration/2/",
        search: "/repository/proxy/v3/query/1",
        content: "UP/repository/proxy/v3/content/0/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        page: "a.tool/page/1.0.0/1.0.0.json",
        download: None,
        version: "3.0.0",
        resources: json!([
            {"@id": "UP/repository/proxy/v3/query/0", "@type": "SearchQueryService/3.0.0-beta",
             "comment": "primary", "@nxrmRemote": "https://search.example/query"},
            {"@id": "UP/repository/proxy/v3/query/1", "@type": "SearchQueryService/3.0.0-beta",
             "comment": "secondary", "@nxrmRemote": "https://search2.example/query"},
            {"@id": "OTHER/autocomplete", "@type": "SearchAutocompleteService/3.0.0-beta"},
            {"@id": "UP/repository/proxy/v3/registration/2", "@type": "RegistrationsBaseUrl/3.6.0"},
            {"@id": "UP/repository/proxy/v3/content/0", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": "OTHER/vulnerabilities/index.json", "@type": "VulnerabilityInfo/6.7.0"},
            {"@id": "OTHER/catalog0/index.json", "@type": "Catalog/3.0.0"},
        ]),
        shown: &[
            ("SearchQueryService/3.0.0-beta", "query"),
            ("SearchAutocompleteService/3.0.0-beta", "autocomplete"),
            ("RegistrationsBaseUrl/3.6.0", "registration-gz-semver2/"),
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("VulnerabilityInfo/6.7.0", "vulnerabilities/index.json"),
            ("Catalog/3.0.0", "catalog/index.json"),
        ],
        auth: Some(Auth::basic()),
    };
    let mut stage = shape.stage().await;
    let broken = "/repository/proxy/v3/query/0";
    stage.up.on(broken).reply(500, "the remote is gone");
    stage.known.insert(broken.to_owned());
    let origin = stage.other.base_url().to_owned();
    let names = json!({"totalHits": 1, "data": ["A.Tool"]});
    let page = format!("{origin}/vulnerabilities/1/base.json");
    let known = json!([{"@name": "base", "@id": page, "@updated": "2026-01-01T00:00:00Z"}]);
    let catalog = json!({"@id": format!("{origin}/catalog0/index.json"), "count": 1,
        "items": [{"@id": format!("{origin}/catalog0/page0.json"), "count": 0}]});
    for (path, document) in [
        ("/autocomplete", &names),
        ("/vulnerabilities/index.json", &known),
        ("/vulnerabilities/1/base.json", &json!({"a.tool": []})),
        ("/catalog0/index.json", &catalog),
        ("/catalog0/page0.json", &json!({"count": 0, "items": []})),
    ] {
        stage.other.on(path).reply(200, document.to_string());
    }
    let scene = shape.check_on(stage).await;
    let names = scene.world.get("autocomplete?q=to").await.json();
    assert_eq!(names["data"], json!(["A.Tool"]));
    let known = scene.world.get("vulnerabilities/index.json").await;
    scene.stays(&known.text());
    scene.follow(text(&known.json()[0]["@id"])).await;
    let catalog = scene.world.get("catalog/index.json").await;
    scene.stays(&catalog.text());
    scene.follow(text(&catalog.json()["items"][0]["@id"])).await;
    assert_eq!(scene.other.requests(), 5, "{:#?}", scene.other.log());
    scene.asked_for_nothing_else(shape.auth.as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_four_resources_that_names_packages_elsewhere() {
    let shape = Shape {
        index: "/nuget",
        flat: "/p/",
        hive: "/r/",
        search: "/s",
        content: "https://cdn.example.test/a.tool.nupkg",
        page: "",
        download: None,
        version: "3.0.0-beta.1",
        resources: json!([
            {"@id": "UP/p/", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": "UP/r/", "@type": "RegistrationsBaseUrl"},
            {"@id": "UP/s", "@type": "SearchQueryService"},
            {"@id": "UP/push", "@type": "PackagePublish/2.0.0"},
        ]),
        shown: &[
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("RegistrationsBaseUrl", "registration/"),
            ("SearchQueryService", "query"),
            ("PackagePublish/2.0.0", "publish"),
        ],
        auth: None,
    };
    let scene = shape.check().await;
    let absent = scene.world.get("catalog/index.json").await;
    assert_eq!(absent.status, 404, "{}", absent.text());
    scene.asked_for_nothing_else(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_vendors_are_not_shown() {
    let shape = Shape {
        index: "/v3/index.json",
        flat: "/f/",
        hive: "/r/",
        search: "/search",
        content: "UP/elsewhere/a.tool.nupkg",
        page: "",
        download: None,
        version: "3.1.0",
        resources: json!([
            {"@id": "UP/x/", "@type": "ExampleVendor/1.0.0"},
            {"@id": "UP/f/", "@type": ["ExampleVendor/2.0.0", "PackageBaseAddress/3.0.0"]},
            {"@id": "UP/symbols", "@type": "SymbolPackageBaseAddress/4.9.0"},
            {"@id": "UP/r/", "@type": ["RegistrationsBaseUrl/3.4.0", "registrationsbaseurl"]},
            {"@id": "UP/staging", "@type": "PackageStaging/1.0.0"},
            {"@id": "UP/search", "@type": "SearchQueryService/3.5.0"},
            {"@type": "SearchQueryService/3.9.0"},
            "nonsense",
        ]),
        shown: &[
            ("PackageBaseAddress/3.0.0", "flat/"),
            ("RegistrationsBaseUrl/3.4.0", "registration-gz/"),
            ("SearchQueryService/3.5.0", "query"),
        ],
        auth: None,
    };
    shape.check().await;
}
