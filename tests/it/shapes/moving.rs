//! A feed that moves its bases while nugate runs.
//!
//! - what was stored under the old bases is still shown, and leads through nugate to the new ones
//! - what is asked for from then on is asked for at the new bases, without the old validators
//! - after a restart, and after a second move, old documents lead through nugate all the same
//! - a base that begins to answer 404 makes the service index be looked at again

use serde_json::{Value, json};

use super::{Scene, Stage, text};
use crate::support::until;

const INDEX: &str = "/v3/index.json";
const REGISTRATION: &str = "registration-gz-semver2/a.tool/index.json";

/// Folders of the flat container and the registrations.
const FIRST: (&str, &str) = ("/flat1/", "/registration5/");
const SECOND: (&str, &str) = ("/flat2/", "/registration6/");
const THIRD: (&str, &str) = ("/flat3/", "/registration7/");

fn index((flat, hive): (&str, &str)) -> Value {
    json!({"version": "3.0.0", "resources": [
        {"@id": format!("UP{flat}"), "@type": "PackageBaseAddress/3.0.0"},
        {"@id": format!("UP{hive}"), "@type": "RegistrationsBaseUrl/3.6.0"},
    ]})
}

/// The documents below these bases; `note` tells them from those of others.
fn documents(stage: &mut Stage, (flat, hive): (&str, &str), note: &str) {
    let url = format!("UP{hive}a.tool/index.json");
    let leaf = json!({
        "@id": format!("UP{hive}a.tool/1.0.0.json"),
        "packageContent": format!("UP{flat}a.tool/1.0.0/a.tool.1.0.0.nupkg"),
        "registration": url,
        "catalogEntry": {"id": "A.Tool", "version": "1.0.0", "description": note},
    });
    let page = format!("{hive}a.tool/page/1.0.0/1.0.0.json");
    let bounds =
        json!({"@id": format!("UP{page}"), "lower": "1.0.0", "upper": "1.0.0", "count": 1});
    let mut whole = bounds.clone();
    whole["items"] = json!([leaf]);
    whole["parent"] = json!(url);
    let shown = json!({"@id": url, "count": 1, "items": [bounds], "note": note});
    stage.json(&format!("{hive}a.tool/index.json"), &shown);
    stage.json(&page, &whole);
    stage.json(&format!("{hive}a.tool/1.0.0.json"), &leaf);
    let versions = json!({"versions": ["1.0.0"]});
    stage.json(&format!("{flat}a.tool/index.json"), &versions);
    stage.package(&format!("{flat}a.tool/1.0.0/a.tool.1.0.0.nupkg"), None);
}

/// The feed is at the first bases.
async fn settled() -> Scene {
    let mut stage = Stage::new().await;
    stage.json(INDEX, &index(FIRST));
    for (bases, note) in [(FIRST, "first"), (SECOND, "second"), (THIRD, "third")] {
        documents(&mut stage, bases, note);
    }
    stage.world(INDEX, None).await
}

impl Scene {
    /// The feed moves away from the bases `from`, where it answers 404 from now on.
    fn moves(&self, from: (&str, &str), to: (&str, &str)) {
        let up = &self.world.up;
        let document = index(to).to_string();
        let document = document.replace("UP/", &format!("{}/", up.base_url()));
        up.on(INDEX).reply(200, document);
        let (flat, hive) = from;
        for path in &self.known {
            if path.starts_with(flat) || path.starts_with(hive) {
                up.on(path).reply(404, "");
            }
        }
    }

    /// nugate looks at the service index again.
    async fn looks(&self) {
        let again = [("cache-control", "no-cache")];
        let index = self.world.get_with("index.json", &again).await;
        assert_eq!(index.status, 200);
        self.world.quiet().await;
    }

    /// Every link from the stored registration on leads through nugate; the paths asked upstream.
    async fn walk(&self, note: &str) -> Vec<String> {
        self.world.up.clear_log();
        let shown = self.world.get(REGISTRATION).await;
        self.stays(&shown.text());
        let shown = shown.json();
        assert_eq!(shown["note"], note);
        self.follow(text(&shown["@id"])).await;
        let page = self.follow(text(&shown["items"][0]["@id"])).await;
        self.stays(&page.text());
        let leaf = &page.json()["items"][0];
        for link in ["@id", "packageContent", "registration"] {
            self.follow(text(&leaf[link])).await;
        }
        let log = self.world.up.log();
        log.iter().map(|seen| seen.path().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_documents_lead_to_the_new_bases() {
    let mut scene = settled().await;
    scene.world.get(REGISTRATION).await;
    scene.world.quiet().await;
    scene.moves(FIRST, SECOND);
    scene.looks().await;
    // The registration is still fresh; what it leads to was never asked for.
    let asked = scene.walk("first").await;
    assert_eq!(
        asked,
        [
            "/registration6/a.tool/page/1.0.0/1.0.0.json",
            "/registration6/a.tool/1.0.0.json",
            "/flat2/a.tool/1.0.0/a.tool.1.0.0.nupkg",
        ]
    );
    scene.world.quiet().await;
    scene.moves(SECOND, THIRD);
    scene.looks().await;
    assert_eq!(scene.walk("first").await, [""; 0]);
    scene.world.restart().await;
    assert_eq!(scene.walk("first").await, [""; 0]);
    // Older than any lifetime: asked for anew, at the third place, as if it were not stored.
    scene.world.later(30 * 86_400);
    let asked = scene.walk("third").await;
    assert!(!asked.is_empty());
    for path in &asked {
        assert!(
            path == INDEX || path.starts_with(THIRD.0) || path.starts_with(THIRD.1),
            "{asked:?}"
        );
    }
    for seen in scene.world.up.log() {
        if seen.path() != INDEX {
            assert_eq!(seen.header("if-none-match"), "", "{seen:?}");
            assert_eq!(seen.header("if-modified-since"), "", "{seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_gone_makes_the_index_be_looked_at() {
    let scene = settled().await;
    let list = "flat/a.tool/index.json";
    assert_eq!(scene.world.get("index.json").await.status, 200);
    scene.world.quiet().await;
    scene.moves(FIRST, SECOND);
    // Neither the service index nor its lifetime says so: it is fresh for a quarter of an hour.
    scene.world.later(120);
    assert_eq!(scene.world.get(list).await.status, 404);
    until("the service index is asked for again", async || {
        scene.world.up.count(INDEX) == 2
    })
    .await;
    scene.world.quiet().await;
    scene.world.later(60);
    assert_eq!(scene.world.get(list).await.status, 200);
    assert_eq!(scene.world.up.count("/flat2/a.tool/index.json"), 1);
}
