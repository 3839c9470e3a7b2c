//! Feeds of other servers, whose service indexes and documents have other shapes.
//!
//! A [`Shape`] is a feed of one package as one server shows it. For each of them:
//! - our service index has an entry for each type that is carried, and each leads below our base
//! - each kind of client finds there the resource it would find at the feed
//! - list, registration with pages inside or outside, leaf, package and search work
//! - no answer leads past nugate, and the feed is asked for nothing but what its documents name
//! - what needs a credential gets it, and the feed's other hosts do not

mod captured;
mod members;
mod moving;
mod rows;
mod servers;
mod unknown;

use std::collections::HashSet;

use bytes::Bytes;
use nugate::config::{Credential, Scheme, Secret};
use nugate::demo::{ExampleFeed, Package};
use serde_json::{Value, json};

use crate::support::client::{Response, get};
use crate::support::upstream::Seen;
use crate::support::{ScriptedUpstream, World};

/// A feed of one package, `A.Tool` 1.0.0. In all texts `UP` stands for the feed's own origin and
/// `OTHER` for that of a second host.
struct Shape {
    /// Path of the service index.
    index: &'static str,
    /// Paths: of the flat container and the registrations with a slash, of the search without query.
    flat: &'static str,
    hive: &'static str,
    search: &'static str,
    /// `packageContent`.
    content: &'static str,
    /// Path of the one page of the registration below the hive; empty when it is inside the index.
    page: &'static str,
    /// Where the feed redirects downloads to.
    download: Option<&'static str>,
    /// `version` of the service index.
    version: &'static str,
    /// `@id` and `@type` of each resource.
    resources: Value,
    /// The types ours has, in order, and where they lie below our base.
    shown: &'static [(&'static str, &'static str)],
    /// What the feed wants to see.
    auth: Option<Auth>,
}

/// A credential, and the field in which the feed sees it.
struct Auth {
    scheme: Scheme,
    field: &'static str,
    value: &'static str,
}

impl Auth {
    fn basic() -> Self {
        Self {
            scheme: Scheme::Basic {
                username: "any".to_owned(),
            },
            field: "authorization",
            value: "Basic YW55OnBhdA==",
        }
    }

    fn header(field: &'static str) -> Self {
        Self {
            scheme: Scheme::Header(field.parse().unwrap()),
            field,
            value: "pat",
        }
    }
}

/// What each kind of client looks for, in the order of its preference.
const LOOKED_FOR: &[(&str, &[&str])] = &[
    (
        "official, packages",
        &["PackageBaseAddress/Versioned", "PackageBaseAddress/3.0.0"],
    ),
    (
        "official, registrations",
        &[
            "RegistrationsBaseUrl/Versioned",
            "RegistrationsBaseUrl/3.6.0",
            "RegistrationsBaseUrl/3.4.0",
            "RegistrationsBaseUrl/3.0.0-rc",
            "RegistrationsBaseUrl/3.0.0-beta",
            "RegistrationsBaseUrl",
        ],
    ),
    (
        "official, search",
        &[
            "SearchQueryService/Versioned",
            "SearchQueryService/3.4.0",
            "SearchQueryService/3.0.0-beta",
        ],
    ),
    (
        "official, completion",
        &[
            "SearchAutocompleteService/Versioned",
            "SearchAutocompleteService/3.0.0-beta",
        ],
    ),
    (
        "Paket, registrations",
        &[
            "RegistrationsBaseUrl/3.6.0",
            "RegistrationsBaseUrl/3.4.0",
            "RegistrationsBaseUrl/3.0.0-rc",
            "RegistrationsBaseUrl/3.0.0-beta",
            "RegistrationsBaseUrl",
        ],
    ),
    (
        "Dependabot, registrations",
        &["RegistrationsBaseUrl/3.0.0-beta", "RegistrationsBaseUrl"],
    ),
    (
        "Dependabot, search",
        &[
            "SearchQueryService/3.5.0",
            "SearchQueryService/3.0.0-rc",
            "SearchQueryService/3.0.0-beta",
            "SearchQueryService",
        ],
    ),
];

fn package() -> Bytes {
    Package::new("A.Tool", "1.0.0").nupkg().unwrap()
}

/// A scripted feed, a second host, and the paths each of them was told to answer.
struct Stage {
    up: ScriptedUpstream,
    other: ScriptedUpstream,
    known: HashSet<String>,
}

impl Stage {
    async fn new() -> Self {
        Self {
            up: ScriptedUpstream::new(ExampleFeed::default()).await,
            other: ScriptedUpstream::at([127, 0, 0, 2], ExampleFeed::default()).await,
            known: HashSet::new(),
        }
    }

    /// A text with the origins in it.
    fn filled(&self, text: &str) -> String {
        text.replace("UP/", &format!("{}/", self.up.base_url()))
            .replace("OTHER/", &format!("{}/", self.other.base_url()))
    }

    /// The feed answers this path with this document.
    fn json(&mut self, path: &str, document: &Value) {
        self.known.insert(path.to_owned());
        self.up
            .on(path)
            .reply(200, self.filled(&document.to_string()))
            .header("content-type", "application/json; charset=utf-8");
    }

    /// The feed answers this path with the package, by way of `download` if there is one.
    fn package(&mut self, path: &str, download: Option<&str>) {
        self.known.insert(path.to_owned());
        let Some(download) = download else {
            self.up.on(path).reply(200, package());
            return;
        };
        let target = self.filled(download);
        let signed = target.strip_prefix(self.other.base_url()).unwrap();
        self.other.on(signed).reply(200, package());
        self.up.on(path).reply(302, "").header("location", &target);
    }

    /// nugate in front of it.
    async fn world(self, index: &str, auth: Option<&Auth>) -> Scene {
        let Self { up, other, known } = self;
        let url = format!("{}{index}", up.base_url());
        let host = other.addr().to_string();
        let world = World::before(up, |settings| {
            settings.feed.url = url.parse().unwrap();
            settings.feed.redirect_hosts = vec![host];
            settings.feed.credential = auth.map(|auth| Credential {
                scheme: auth.scheme.clone(),
                secret: Secret::new("pat"),
                hosts: Vec::new(),
            });
        });
        Scene {
            world: world.await,
            other,
            known,
        }
    }
}

/// nugate in front of a stage.
struct Scene {
    world: World,
    other: ScriptedUpstream,
    known: HashSet<String>,
}

impl Scene {
    /// GET of one of our own URLs.
    async fn follow(&self, url: &str) -> Response {
        follow(&self.world, url).await
    }

    /// No link of an answer leads to the feed or its other host.
    #[track_caller]
    fn stays(&self, text: &str) {
        for origin in [self.world.up.base_url(), self.other.base_url()] {
            assert!(!text.contains(origin), "{text} leads to {origin}");
        }
    }

    /// The feed was asked for nothing that its documents do not name, with its credential; the
    /// other host without.
    fn asked_for_nothing_else(&self, auth: Option<&Auth>) {
        for seen in self.world.up.log() {
            assert!(self.known.contains(seen.path()), "guessed: {seen:?}");
            if let Some(Auth { field, value, .. }) = auth {
                assert_eq!(seen.header(field), *value, "{seen:?}");
            }
        }
        for seen in self.other.log() {
            assert_eq!(seen.headers.get("authorization"), None, "{seen:?}");
            assert!(!format!("{seen:?}").contains("pat\""), "{seen:?}");
        }
    }
}

impl Shape {
    /// The documents of the feed.
    async fn stage(&self) -> Stage {
        let mut stage = Stage::new().await;
        let (flat, hive) = (self.flat, self.hive);
        let index = json!({
            "version": self.version,
            "resources": self.resources,
            "@context": {"@vocab": "http://schema.nuget.org/services#"},
        });
        stage.json(self.index, &index);
        let versions = json!({"versions": ["1.0.0"]});
        stage.json(&format!("{flat}a.tool/index.json"), &versions);
        let path = format!("{flat}a.tool/1.0.0/a.tool.1.0.0.nupkg");
        stage.package(&path, self.download);
        self.registrations(&mut stage);
        let url = format!("UP{hive}a.tool/index.json");
        let leaf = format!("UP{hive}a.tool/1.0.0.json");
        let found = json!({"id": "A.Tool", "version": "1.0.0", "description": "see UP/prose",
            "registration": url, "versions": [{"version": "1.0.0", "@id": leaf}]});
        let context =
            json!({"@vocab": "http://schema.nuget.org/schema#", "@base": format!("UP{hive}")});
        let search = json!({"@context": context, "totalHits": 0, "data": [found]});
        stage.json(self.search, &search);
        stage
    }

    fn registrations(&self, stage: &mut Stage) {
        let hive = self.hive;
        let url = format!("UP{hive}a.tool/index.json");
        let entry = json!({"@id": "urn:entry:1", "id": "A.Tool", "version": "1.0.0",
            "published": "2024-02-29T23:59:59.9999999+00:00"});
        let leaf = json!({
            "@id": format!("UP{hive}a.tool/1.0.0.json"),
            "catalogEntry": entry,
            "packageContent": self.content,
            "registration": url,
        });
        let (id, inside) = match self.page {
            "" => (format!("{url}#page/1.0.0/1.0.0"), true),
            path => (format!("UP{hive}{path}"), false),
        };
        let mut page = json!({"@id": id, "lower": "1.0.0", "upper": "1.0.0", "count": 1,
            "parent": url, "items": [leaf]});
        if !inside {
            stage.json(&format!("{hive}{}", self.page), &page);
            page.as_object_mut().unwrap().remove("items");
        }
        let registration = json!({"@id": url, "count": 1, "items": [page]});
        stage.json(&format!("{hive}a.tool/index.json"), &registration);
        stage.json(&format!("{hive}a.tool/1.0.0.json"), &leaf);
    }

    async fn check(&self) -> Scene {
        self.check_on(self.stage().await).await
    }

    async fn check_on(&self, stage: Stage) -> Scene {
        let scene = stage.world(self.index, self.auth.as_ref()).await;
        let index = scene.world.get("index.json").await.json();
        self.check_index(&index, &scene);
        let registrations = self
            .shown
            .iter()
            .filter(|(name, _)| name.starts_with("RegistrationsBaseUrl"));
        for (_, path) in registrations {
            let hive = format!("{}{path}", scene.world.base());
            self.check_registration(&scene, &hive).await;
        }
        for id in ["a.tool", "A.Tool"] {
            let list = scene.world.get(&format!("flat/{id}/index.json")).await;
            assert_eq!(list.json(), json!({"versions": ["1.0.0"]}));
        }
        self.check_search(&scene, &index).await;
        let list = format!("{}a.tool/index.json", self.flat);
        let nupkg = format!("{}a.tool/1.0.0/a.tool.1.0.0.nupkg", self.flat);
        for path in [self.index, self.search, &list, &nupkg] {
            let times = scene.world.up.count(path);
            assert_eq!(times, 1, "{path}: {:#?}", scene.world.up.log());
        }
        scene.asked_for_nothing_else(self.auth.as_ref());
        scene
    }

    fn check_index(&self, index: &Value, scene: &Scene) {
        assert_eq!(index["version"], self.version);
        let base = scene.world.base();
        let entries = index["resources"].as_array().unwrap();
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| {
                let id = text(&entry["@id"]);
                let path = id.strip_prefix(&base);
                (text(&entry["@type"]), path.unwrap_or(id))
            })
            .collect();
        assert_eq!(shown, self.shown);
        for (client, names) in LOOKED_FOR {
            let theirs = chosen(&self.resources, names);
            assert_eq!(chosen(&index["resources"], names), theirs, "{client}");
        }
    }

    async fn check_registration(&self, scene: &Scene, hive: &str) {
        let shown = scene.follow(&format!("{hive}a.tool/index.json")).await;
        scene.stays(&shown.text());
        let mut page = shown.json()["items"][0].clone();
        if !self.page.is_empty() {
            assert_eq!(page.get("items"), None);
            let fetched = scene.follow(text(&page["@id"])).await;
            scene.stays(&fetched.text());
            page = fetched.json();
        }
        let leaf = &page["items"][0];
        let entry = &leaf["catalogEntry"];
        assert_eq!(entry["@id"], "urn:entry:1");
        assert_eq!(entry["published"], "2024-02-29T23:59:59.9999999+00:00");
        let content = text(&leaf["packageContent"]);
        let flat = "flat/a.tool/1.0.0/a.tool.1.0.0.nupkg";
        assert_eq!(content, format!("{}{flat}", scene.world.base()));
        assert_eq!(scene.follow(content).await.body, package());
        for link in [&leaf["@id"], &leaf["registration"], &page["parent"]] {
            let linked = scene.follow(text(link)).await;
            scene.stays(&linked.text());
        }
    }

    async fn check_search(&self, scene: &Scene, index: &Value) {
        let origin = scene.world.up.base_url();
        let entries = index["resources"].as_array().unwrap();
        let urls = entries.iter().filter(|entry| {
            let name = text(&entry["@type"]);
            name.split('/').next() == Some("SearchQueryService")
        });
        for url in urls.map(|entry| text(&entry["@id"])) {
            let answer = scene.follow(&format!("{url}?take=20&q=tool")).await.json();
            let found = &answer["data"][0];
            assert_eq!(found["description"], format!("see {origin}/prose"));
            assert_eq!(
                answer["@context"]["@vocab"],
                "http://schema.nuget.org/schema#"
            );
            let base = text(&answer["@context"]["@base"]);
            assert!(base.starts_with(&scene.world.base()), "{base}");
            for link in [&found["registration"], &found["versions"][0]["@id"]] {
                scene.follow(text(link)).await;
            }
        }
        let asked: Vec<Seen> = scene.world.up.log();
        let asked = asked
            .iter()
            .find(|seen| seen.path() == self.search)
            .unwrap();
        let query = format!("{}?q=tool&take=20", self.search);
        assert_eq!(asked.path_and_query, query);
    }
}

/// The type a client with this preference would use.
fn chosen<'a>(resources: &Value, names: &[&'a str]) -> Option<&'a str> {
    let entries = resources.as_array().unwrap();
    let has = |entry: &Value, name: &str| match &entry["@type"] {
        Value::Array(types) => types.iter().any(|own| own == name),
        own => own == name,
    };
    let offers = |name: &&&str| entries.iter().any(|entry| has(entry, name));
    names.iter().find(offers).copied()
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// GET of one of our own URLs.
async fn follow(world: &World, url: &str) -> Response {
    let path = url.strip_prefix(&format!("http://{}", world.addr));
    let path = path.unwrap_or_else(|| panic!("{url} leads past nugate"));
    let response = get(world.addr, path, &[]).await;
    assert_eq!(response.status, 200, "{url}: {response:?}");
    response
}

/// A text without the tokens of pages, which are made of URLs.
fn without_tokens(text: &str) -> String {
    let mut parts = text.split("/page/");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let token = part.bytes().take(32).filter(u8::is_ascii_hexdigit).count();
        out.push_str("/page/");
        out.push_str(if token == 32 { &part[32..] } else { part });
    }
    out
}
