//! Documents captured from nuget.org, if there is a folder of them.
//!
//! - shown by nugate, they are theirs byte for byte but for links below known bases
//! - none of the members that clients follow leads to a known base of the feed any more

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Stage;
use crate::support::World;

/// Captured file, our path, theirs.
const CAPTURED: &[(&str, &str, &str)] = &[
    (
        "client.vs.nugetCoreIndex.json",
        "registration-gz/nuget.core/index.json",
        "/v3/registration3-gz-semver2/nuget.core/index.json",
    ),
    (
        "client.vs.loggingAbstractions.json",
        "registration-gz-semver2/microsoft.extensions.logging.abstractions/index.json",
        "/v3/registration5-gz-semver2/microsoft.extensions.logging.abstractions/index.json",
    ),
    (
        "catalogtests.RegistrationIndexInlinedItems.json",
        "registration-gz/microbuild.core/index.json",
        "/v3/registration3-gz-semver2/microbuild.core/index.json",
    ),
    (
        "catalogtests.RegistrationIndexWithoutInlinedItems.json",
        "registration-gz/ravendb.database/index.json",
        "/v3/registration3-gz-semver2/ravendb.database/index.json",
    ),
    (
        "catalogtests.RegistrationPage.json",
        "registration-gz/ravendb.database/page/3.5.35078-unstable/3.5.35142-unstable.json",
        "/v3/registration3-gz-semver2/ravendb.database/page/3.5.35078-unstable/3.5.35142-unstable.json",
    ),
    (
        "catalogtests.RegistrationLeafListed.json",
        "registration-gz/newtonsoft.json/12.0.1.json",
        "/v3/registration3-gz-semver2/newtonsoft.json/12.0.1.json",
    ),
    (
        "catalogtests.CatalogIndex.json",
        "catalog/index.json",
        "/v3/catalog0/index.json",
    ),
    (
        "catalogtests.CatalogPage.json",
        "catalog/page2944.json",
        "/v3/catalog0/page2944.json",
    ),
    (
        "catalogtests.PackageDetailsCatalogLeaf.json",
        "catalog/data/2017.11.06.22.07.49/dotnettency.container.1.3.2.json",
        "/v3/catalog0/data/2017.11.06.22.07.49/dotnettency.container.1.3.2.json",
    ),
    (
        "client.vs.EntityFrameworkSearch.json",
        "query?q=a",
        "/query",
    ),
    ("client.proto.V3Search.json", "query?q=b", "/query"),
    ("client.vs.nugetSearchPage1.json", "query?q=c", "/query"),
];

/// Type, path of the base, ours for it.
const BASES: &[(&str, &str, &str)] = &[
    ("PackageBaseAddress/3.0.0", "/v3-flatcontainer/", "flat/"),
    (
        "RegistrationsBaseUrl/3.6.0",
        "/v3/registration5-gz-semver2/",
        "registration-gz-semver2/",
    ),
    (
        "RegistrationsBaseUrl/3.4.0",
        "/v3/registration3-gz-semver2/",
        "registration-gz/",
    ),
    (
        "RegistrationsBaseUrl",
        "/v3/registration1/",
        "registration/",
    ),
];

async fn world() -> World {
    let mut stage = Stage::new().await;
    let mut resources = vec![
        json!({"@id": "UP/query", "@type": "SearchQueryService"}),
        json!({"@id": "UP/v3/catalog0/index.json", "@type": "Catalog/3.0.0"}),
    ];
    for (name, path, _) in BASES {
        resources.push(json!({"@id": format!("UP{path}"), "@type": name}));
    }
    stage.json(
        "/v3/index.json",
        &json!({"version": "3.0.0", "resources": resources}),
    );
    stage.world("/v3/index.json", None).await.world
}

/// No member that clients follow leads to a base of the feed.
fn leads_home(value: &Value, origin: &str) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| leads_home(item, origin)),
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| *name != "@context") {
                let followed = ["@id", "parent", "registration", "packageContent"];
                if let (Some(text), true) = (value.as_str(), followed.contains(&name.as_str())) {
                    for (_, base, _) in BASES {
                        assert!(
                            !text.starts_with(&format!("{origin}{base}")),
                            "{name}: {text}"
                        );
                    }
                }
                leads_home(value, origin);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_documents_are_theirs_but_for_their_links() {
    let shared = std::env::var_os("NGTEST_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("fixtures/nuget-documents");
    if !folder.is_dir() {
        println!("skipped: there is no {}", folder.display());
        return;
    }
    let world = world().await;
    let origin = world.up.base_url().to_owned();
    for (file, ours, theirs) in CAPTURED {
        let document = std::fs::read_to_string(folder.join(file)).unwrap();
        let document = document.replace("https://api.nuget.org/", &format!("{origin}/"));
        let theirs = match ours.split_once('?') {
            Some((_, query)) => format!("{theirs}?{query}"),
            None => (*theirs).to_owned(),
        };
        world.up.on(&theirs).reply(200, document.clone());
        let shown = world.get(ours).await;
        assert_eq!(shown.status, 200, "{file}: {shown:?}");
        let shown = shown.text();
        // JSON has none in an exchange (RFC 8259 section 8.1).
        let document = document.trim_start_matches('\u{feff}');
        let mut back = shown.clone();
        for (_, base, path) in BASES {
            back = back.replace(
                &format!("{}{path}", world.base()),
                &format!("{origin}{base}"),
            );
        }
        let catalog = format!("{}catalog/", world.base());
        back = back.replace(&catalog, &format!("{origin}/v3/catalog0/"));
        // The searches name hives of their time, which this feed does not have.
        assert!(
            shown != document || file.contains("earch"),
            "{file}: nothing was replaced"
        );
        // Compared at the first difference: the documents are long.
        let at = back
            .bytes()
            .zip(document.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let near = |text: &str| {
            text.chars()
                .skip(at.saturating_sub(80))
                .take(200)
                .collect::<String>()
        };
        assert!(
            back == document,
            "{file}: {} is not {}",
            near(&back),
            near(document)
        );
        leads_home(&serde_json::from_str(&shown).unwrap(), &origin);
    }
}
