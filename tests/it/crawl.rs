//! Whatever our service index leads to is the upstream's, but for its links.
//!
//! - every link of a document under a base of the upstream leads through nugate, and answers
//! - everything else of a document is the upstream's, byte for byte
//! - our service index names every resource of the upstream that is carried, and nothing else
//! - all that holds under http and under https
//!
//! What a link is and where it leads is written here a second time, apart from the table.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Read as _;

use nugate::demo::{ExampleFeed, Package};
use serde_json::{Map, Value};

use crate::support::client::Response;
use crate::support::{World, get};

/// Paths of the upstream and ours for them, below its origin and our base.
const PLACES: &[(&str, &str)] = &[
    ("/v3-flatcontainer/", "flat/"),
    ("/v3/registration5-semver1/", "registration/"),
    ("/v3/registration5-gz-semver1/", "registration-gz/"),
    ("/v3/registration5-gz-semver2/", "registration-gz-semver2/"),
    ("/v3/catalog0/", "catalog/"),
    ("/v3/vulnerabilities/", "vulnerabilities/"),
    ("/v3-index/repository-signatures/", "repository-signatures/"),
    ("/search-usnc/", ""),
    ("/search-ussc/", ""),
    ("/api/v2/package", "publish"),
    ("/api/v2/symbolpackage", "symbols"),
];

/// Types that are not carried.
const DROPPED: &[&str] = &["SearchGalleryQueryService", "LegacyGallery"];

/// What the documents below one of our paths may have changed.
struct Links {
    below: &'static str,
    members: &'static [&'static str],
    context_base: bool,
    pages: bool,
}

const REGISTRATION: &[&str] = &[
    "@id",
    "parent",
    "registration",
    "packageContent",
    "iconUrl",
    "catalogEntry",
];

const LINKS: &[Links] = &[
    links("registration", REGISTRATION),
    links("catalog/", &["@id", "parent"]),
    Links {
        context_base: true,
        ..links("query", REGISTRATION)
    },
    Links {
        pages: true,
        ..links("vulnerabilities/index.json", &["@id"])
    },
    Links {
        pages: true,
        ..links("repository-signatures/5.0.0/", &["contentUrl"])
    },
    Links {
        pages: true,
        ..links("repository-signatures/4.7.0/", &["contentUrl"])
    },
];

const fn links(below: &'static str, members: &'static [&'static str]) -> Links {
    Links {
        below,
        members,
        context_base: false,
        pages: false,
    }
}

fn feed() -> ExampleFeed {
    let mut feed = ExampleFeed::demo();
    for minor in 0..132 {
        let package = Package::new("Example.Many", format!("1.{minor}.0")).mentioning_feed();
        feed.add(package).unwrap();
    }
    feed
}

struct Crawl<'a> {
    world: &'a World,
    /// Our base, ending in `/v3/`.
    base: String,
    /// Our URL and the upstream's path for the same document.
    queue: VecDeque<(String, String)>,
    seen: HashSet<String>,
}

/// A link as we show it, and as the upstream does.
type Pair = (String, String);

impl Crawl<'_> {
    /// The documents that only a client's own knowledge leads to: versions, queries, templates.
    async fn start(&mut self) {
        self.service_index().await;
        let ids = self.ids();
        for (theirs, ours) in PLACES {
            for (id, versions) in &ids {
                let below = |rest: &str| format!("{id}/{rest}");
                if ours.starts_with("registration") {
                    self.enqueue(theirs, ours, &below("index.json"));
                }
                if *ours == "flat/" {
                    self.enqueue(theirs, ours, &below("index.json"));
                    for version in versions {
                        let nuspec = format!("{version}/{id}.nuspec");
                        self.enqueue(theirs, ours, &below(&nuspec));
                    }
                }
            }
        }
        for query in [
            "query?q=example&take=100&prerelease=true&semVerLevel=2.0.0",
            "query?take=100",
            "query?q=packageid:example.many",
            "autocomplete?q=example&take=100",
            "autocomplete?id=example.core&prerelease=true",
        ] {
            self.enqueue("/search-usnc/", "", query);
        }
        for file in ["icon", "readme"] {
            self.enqueue(PLACES[0].0, "flat/", &format!("example.json/1.2.0/{file}"));
        }
    }

    /// Ids and versions in lower case, as paths have them.
    fn ids(&self) -> Vec<(String, Vec<String>)> {
        let ids = |feed: &mut ExampleFeed| {
            let of = |releases: &[nugate::demo::feed::Release]| {
                let versions = releases.iter().map(|one| one.version.lower()).collect();
                (releases[0].package.id.to_lowercase(), versions)
            };
            feed.by_id().map(of).collect()
        };
        self.world.up.change(ids)
    }

    fn enqueue(&mut self, theirs: &str, ours: &str, rest: &str) {
        let pair = (
            format!("{}{ours}{rest}", self.base),
            format!("{theirs}{rest}"),
        );
        self.queue.push_back(pair);
    }

    /// Compares the service indexes and queues the documents ours names.
    async fn service_index(&mut self) {
        let url = format!("{}index.json", self.base);
        let shown = self.ours(&url).await.json();
        let given = get(self.world.up.addr(), "/v3/index.json", &[])
            .await
            .json();
        let mut expected: Vec<Value> = Vec::new();
        for entry in given["resources"].as_array().unwrap() {
            let kind = entry["@type"].as_str().unwrap();
            let name = kind.split('/').next().unwrap();
            let plain = name == "RepositorySignatures" && self.base.starts_with("http:");
            if DROPPED.contains(&name) || plain {
                continue;
            }
            let mut entry = entry.clone();
            let theirs = entry["@id"].as_str().unwrap().to_owned();
            entry["@id"] = self.mapped(&theirs).unwrap_or(theirs).into();
            let same = |other: &Value| other["@id"] == entry["@id"] && other["@type"] == kind;
            if !expected.iter().any(same) {
                expected.push(entry);
            }
        }
        let expected = Map::from_iter([
            ("version".to_owned(), given["version"].clone()),
            ("resources".to_owned(), Value::from(expected)),
            ("@context".to_owned(), given["@context"].clone()),
        ]);
        assert_eq!(shown, Value::from(expected));
        for entry in shown["resources"].as_array().unwrap() {
            let ours = entry["@id"].as_str().unwrap();
            if ours.ends_with(".json") && !ours.contains('{') {
                let theirs = given["resources"].as_array().unwrap().iter();
                let mut same = theirs.filter(|other| other["@type"] == entry["@type"]);
                let theirs = same.next().unwrap()["@id"].as_str().unwrap();
                let path = theirs.strip_prefix(self.world.up.base_url()).unwrap();
                self.queue.push_back((ours.to_owned(), path.to_owned()));
            }
        }
    }

    /// Our URL for one of the upstream's; `None` if it lies under no base of a carried resource.
    fn mapped(&self, theirs: &str) -> Option<String> {
        let path = theirs.strip_prefix(self.world.up.base_url())?;
        PLACES.iter().find_map(|(from, to)| {
            let rest = path.strip_prefix(from)?;
            Some(format!("{}{to}{rest}", self.base))
        })
    }

    async fn ours(&self, url: &str) -> Response {
        let (_, rest) = url.split_once("://").unwrap();
        let path = &rest[rest.find('/').unwrap()..];
        get(self.world.addr, path, &[]).await
    }

    async fn run(&mut self) {
        self.start().await;
        while let Some((ours, theirs)) = self.queue.pop_front() {
            let ours = ours.split('#').next().unwrap().to_owned();
            let theirs = theirs.split('#').next().unwrap();
            if !self.seen.insert(ours.clone()) {
                continue;
            }
            let shown = self.ours(&ours).await;
            let given = get(self.world.up.addr(), theirs, &[]).await;
            let (shown_status, given_status) = (shown.status.as_u16(), given.status.as_u16());
            assert_eq!((shown_status, given_status), (200, 200), "{ours} {theirs}");
            self.compare(&ours, (&shown.body, &decoded(&given)));
        }
    }

    fn compare(&mut self, url: &str, (shown, given): (&[u8], &[u8])) {
        let below = url.strip_prefix(&self.base).unwrap();
        let page = below.contains("/page/") && !below.starts_with("registration");
        let Some(links) = LINKS
            .iter()
            .find(|links| below.starts_with(links.below) && !page)
        else {
            assert!(shown == given, "{url} is not what the upstream has");
            return;
        };
        let parse = |bytes| serde_json::from_slice::<Value>(bytes).unwrap();
        let mut pairs = Vec::new();
        self.walk((&parse(shown), &parse(given)), links, &mut pairs);
        assert_eq!(
            restored(std::str::from_utf8(shown).unwrap(), &pairs),
            String::from_utf8_lossy(given),
            "{url}"
        );
        for (ours, theirs) in pairs.into_iter().filter(|(ours, _)| !ours.ends_with('/')) {
            let path = theirs.strip_prefix(self.world.up.base_url()).unwrap();
            self.queue.push_back((ours, path.to_owned()));
        }
    }

    /// Compares two values and gathers the links that differ, in the order of the document.
    fn walk(&self, (shown, given): (&Value, &Value), links: &Links, pairs: &mut Vec<Pair>) {
        match (shown, given) {
            (Value::Object(shown), Value::Object(given)) => {
                assert!(shown.keys().eq(given.keys()), "{shown:?}\n{given:?}");
                for (name, theirs) in given {
                    self.member(name, (&shown[name], theirs), links, pairs);
                }
            }
            (Value::Array(shown), Value::Array(given)) => {
                assert_eq!(shown.len(), given.len());
                for both in shown.iter().zip(given) {
                    self.walk(both, links, pairs);
                }
            }
            _ => assert_eq!(shown, given),
        }
    }

    fn member(
        &self,
        name: &str,
        (shown, given): (&Value, &Value),
        links: &Links,
        pairs: &mut Vec<Pair>,
    ) {
        if name == "@context" {
            let mut shown = shown.clone();
            if links.context_base && given.get("@base").is_some() {
                let ours = std::mem::replace(&mut shown["@base"], given["@base"].clone());
                pairs.extend(self.link(&ours, &given["@base"], links));
            }
            assert_eq!(&shown, given);
        } else if links.members.contains(&name) && given.is_string() {
            pairs.extend(self.link(shown, given, links));
        } else {
            self.walk((shown, given), links, pairs);
        }
    }

    fn link(&self, shown: &Value, given: &Value, links: &Links) -> Option<Pair> {
        let (ours, theirs) = (shown.as_str().unwrap(), given.as_str().unwrap());
        if !theirs.starts_with(self.world.up.base_url()) {
            assert_eq!(ours, theirs);
            return None;
        }
        if links.pages {
            let slug = links.below.split('/').next().unwrap();
            let token = ours.strip_prefix(&format!("{}{slug}/page/", self.base));
            let token = token.unwrap_or_else(|| panic!("{theirs} became {ours}"));
            assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()));
        } else {
            assert_eq!(Some(ours), self.mapped(theirs).as_deref());
        }
        Some((ours.to_owned(), theirs.to_owned()))
    }
}

/// The text with each link, in order, as the upstream wrote it.
fn restored(shown: &str, pairs: &[Pair]) -> String {
    let (mut text, mut rest) = (String::with_capacity(shown.len()), shown);
    for (ours, theirs) in pairs {
        let (before, after) = rest.split_once(&format!("\"{ours}\"")).unwrap();
        text.push_str(before);
        text.extend(["\"", theirs, "\""]);
        rest = after;
    }
    text + rest
}

fn decoded(response: &Response) -> Vec<u8> {
    let mut body = Vec::new();
    if response.header("content-encoding") == "gzip" {
        let mut decoder = flate2::read::GzDecoder::new(&response.body[..]);
        decoder.read_to_end(&mut body).unwrap();
    } else {
        body.extend_from_slice(&response.body);
    }
    body
}

/// Crawls, and counts what was compared by the first segment below our base.
async fn crawl(world: &World, base: &str) -> HashMap<String, usize> {
    let mut crawl = Crawl {
        world,
        base: base.to_owned(),
        queue: VecDeque::new(),
        seen: HashSet::new(),
    };
    crawl.run().await;
    let mut counts = HashMap::new();
    for url in &crawl.seen {
        let below = url.strip_prefix(base).unwrap();
        let slug = below.split(['/', '?']).next().unwrap();
        *counts.entry(slug.to_owned()).or_default() += 1;
    }
    for page in [
        "registration-gz-semver2/example.many/page/1.64.0/1.127.0.json",
        "registration/example.many/page/1.128.0/1.131.0.json",
        "flat/example.many/1.131.0/example.many.1.131.0.nupkg",
        "catalog/page1.json",
    ] {
        assert!(crawl.seen.contains(&format!("{base}{page}")), "{page}");
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_our_index_leads_to_is_the_upstreams_under_http() {
    let world = World::new(feed()).await;
    let counts = crawl(&world, &world.base()).await;
    assert!(counts["registration"] > 132, "{counts:?}");
    assert!(counts["flat"] > 2 * 132, "{counts:?}");
    assert_eq!(counts["vulnerabilities"], 3, "{counts:?}");
    assert!(!counts.contains_key("repository-signatures"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_our_index_leads_to_is_the_upstreams_under_https() {
    let base = "https://cache.example/n";
    let world = World::with(feed(), |settings| {
        settings.bases.public_url = Some(base.parse().unwrap());
    })
    .await;
    let counts = crawl(&world, &format!("{base}/v3/")).await;
    assert!(counts["registration-gz-semver2"] > 132, "{counts:?}");
    assert_eq!(counts["repository-signatures"], 3, "{counts:?}");
}
