//! `nugate warm`.
//!
//! - after it a restore, an audit and a search need no feed: every request of a client is answered, of
//!   each hive, also after a restart
//! - what is stored is not asked of the feed again
//! - `--closure` takes the lowest version of each range, on all frameworks, from pages too
//! - what cannot be resolved, is missing or has no daemon to fetch it is told, with an exit code

use std::net::SocketAddr;
use std::path::PathBuf;

use nugate::demo::{ExampleFeed, Package};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::Ended;
use crate::support::{Program, ScriptedUpstream, get};

/// A feed, a daemon before it, and a folder for files.
struct Place {
    up: ScriptedUpstream,
    root: TempDir,
    daemon: Option<(Program, SocketAddr)>,
}

/// `Top` needs `Mid`, and `Other` on one framework; both need versions of `Leaf`.
fn feed() -> ExampleFeed {
    let leaves = ["1.0.0", "1.5.0", "2.0.0", "3.0.0-beta"];
    let leaves = leaves.map(|version| Package::new("Leaf", version));
    let paged = (0..130).map(|minor| {
        let package = Package::new("Paged", format!("1.{minor}.0"));
        if minor == 100 {
            package.needs("Leaf", "2.0.0")
        } else {
            package
        }
    });
    let others = [
        Package::new("Mid", "1.0.0").needs("Leaf", "1.0.0"),
        Package::new("Mid", "1.1.0").needs("Leaf", "[1.2.0, 2.0.0)"),
        Package::new("Mid", "2.0.0"),
        Package::new("Top", "1.0.0")
            .needs_on("net8.0", "Mid", "(1.0.0, 2.0.0)")
            .needs_on("net48", "Other", "1.0.0"),
        Package::new("Other", "1.0.0").vulnerable(2, "https://advisories.example/1"),
    ];
    ExampleFeed::new(others.into_iter().chain(leaves).chain(paged)).unwrap()
}

impl Place {
    async fn new() -> Self {
        let up = ScriptedUpstream::new(feed()).await;
        let root = TempDir::new().unwrap();
        let mut place = Self {
            up,
            root,
            daemon: None,
        };
        place.start();
        place
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    fn start(&mut self) {
        let (cache, url) = (self.cache(), self.up.index_url());
        let mut program = Program::start(&format!(
            "serve --listen 127.0.0.1:0 --cache-dir {} --upstream {url}",
            cache.display()
        ));
        let address = program.address();
        self.daemon = Some((program, address));
    }

    fn stop(&mut self) {
        let (program, _) = self.daemon.take().unwrap();
        program.signal(Signal::TERM);
        let ended = program.end();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }

    /// Writes a file beside the cache.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn warm(&self, arguments: &str) -> Ended {
        let cache = self.cache();
        Program::start(&format!(
            "warm --cache-dir {} --json {arguments}",
            cache.display()
        ))
        .end()
    }

    #[track_caller]
    fn report(&self, arguments: &str, code: i32) -> Value {
        let ended = self.warm(arguments);
        assert_eq!(ended.code, Some(code), "{arguments}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, bytes::Bytes) {
        let (_, address) = self.daemon.as_ref().unwrap();
        let response = get(*address, path, &[]).await;
        (response.status.as_u16(), response.body)
    }

    /// Asks for all that a restore of these packages with an audit asks for, as a client would.
    async fn restore(&self, packages: &[(&str, &[&str])]) {
        let root = format!("http://{}", self.daemon.as_ref().unwrap().1);
        let ask = async |path: &str| {
            let (status, body) = self.get(path).await;
            assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
            body
        };
        let index = parsed("index", &ask("/v3/index.json").await);
        assert_eq!(index["version"], "3.0.0");
        for (id, versions) in packages {
            ask(&format!("/v3/flat/{id}/index.json")).await;
            for version in *versions {
                let body = ask(&format!("/v3/flat/{id}/{version}/{id}.{version}.nupkg")).await;
                let own = self.up.change(|feed| feed.nupkg(id, version)).unwrap();
                assert!(body == own, "{id} {version}");
            }
            // Which hive a client reads depends on its age.
            for hive in ["registration", "registration-gz", "registration-gz-semver2"] {
                let path = format!("/v3/{hive}/{id}/index.json");
                let registration = parsed(&path, &ask(&path).await);
                for version in *versions {
                    ask(&format!("/v3/{hive}/{id}/{version}.json")).await;
                }
                for page in registration["items"].as_array().unwrap() {
                    if page["items"].is_null() {
                        ask(page["@id"].as_str().unwrap().strip_prefix(&root).unwrap()).await;
                    }
                }
            }
            let found = parsed("search", &ask(&format!("/v3/query?q=packageid:{id}")).await);
            assert_eq!(found["totalHits"], 1, "{found}");
        }
        let path = "/v3/vulnerabilities/index.json";
        let pages = parsed(path, &ask(path).await);
        assert_eq!(pages.as_array().unwrap().len(), 2);
        for page in pages.as_array().unwrap() {
            ask(page["@id"].as_str().unwrap().strip_prefix(&root).unwrap()).await;
        }
    }

    fn packages_asked(&self) -> Vec<String> {
        let log = self.up.log();
        let paths = log.iter().map(|seen| seen.path().to_owned());
        let mut paths: Vec<_> = paths.filter(|path| path.ends_with(".nupkg")).collect();
        paths.sort();
        paths
    }
}

#[track_caller]
fn parsed(path: &str, body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a restore of a project with `Top` leaves in `obj`.
fn assets() -> String {
    let value = json!({
        "version": 3,
        "targets": { "net8.0": {
            "Leaf/2.0.0": { "type": "package" },
            "Library/1.0.0": { "type": "project", "dependencies": { "Leaf": "2.0.0" } },
            "Mid/1.1.0": { "type": "package", "dependencies": { "Leaf": "[1.2.0, 2.0.0)" } },
            "Top/1.0.0": { "type": "package", "dependencies": { "Mid": "(1.0.0, 2.0.0)" } },
        } },
        "libraries": { "Leaf/2.0.0": { "type": "package", "sha512": "x", "path": "leaf/2.0.0" } },
        "project": { "frameworks": { "net8.0": {
            "dependencies": { "Top": { "target": "Package", "version": "[1.0.0, )" } },
            "downloadDependencies": [ { "name": "Other", "version": "[1.0.0, 1.0.0]" } ],
        } } },
    });
    value.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_it_a_restore_needs_no_feed() {
    let mut place = Place::new().await;
    let file = place.write("obj/project.assets.json", &assets());
    let report = place.report(&file, 0);
    assert_eq!(
        (&report["ids"], &report["packages"]),
        (&json!(4), &json!(5)),
        "{report}"
    );
    assert_eq!(
        (&report["missing"], &report["daemon"]),
        (&json!(0), &json!(true)),
        "{report}"
    );
    place.up.down().await;
    // `Leaf` 1.5.0 lost against 2.0.0; whoever resolves anew asks for it all the same.
    let packages: &[(&str, &[&str])] = &[
        ("top", &["1.0.0"]),
        ("mid", &["1.1.0"]),
        ("leaf", &["1.5.0", "2.0.0"]),
        ("other", &["1.0.0"]),
    ];
    place.restore(packages).await;
    place.stop();
    place.start();
    place.restore(packages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_not_asked_for_again() {
    let place = Place::new().await;
    let lock = json!({ "version": 1, "dependencies": { "net8.0": {
        "Mid": { "type": "Direct", "resolved": "1.1.0", "dependencies": { "Leaf": "[1.2.0, 2.0.0)" } },
        "Leaf": { "type": "Transitive", "resolved": "1.5.0" },
    } } });
    let lock = place.write("packages.lock.json", &lock.to_string());
    let config = "<packages><package id=\"Other\" version=\"1.0.0\" /></packages>";
    let config = place.write("packages.config", config);
    let first = place.report(&format!("{lock} --parallel 1"), 0);
    assert_eq!(place.packages_asked().len(), 2, "{first}");
    place.up.clear_log();
    // One that was broken off, or that has more to do, goes on where the first was.
    let second = place.report(&format!("{lock} {config}"), 0);
    let other = "/v3-flatcontainer/other/1.0.0/other.1.0.0.nupkg";
    assert_eq!(place.packages_asked(), [other]);
    assert_eq!(second["packages"], 3, "{second}");
    assert!(second["stored"]["count"].as_u64().unwrap() >= 2, "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closure_takes_the_lowest_version_that_will_do() {
    let mut place = Place::new().await;
    let report = place.report("--closure Top@1.0.0 Paged@1.100.0", 0);
    let flat =
        |id: &str, version: &str| format!("/v3-flatcontainer/{id}/{version}/{id}.{version}.nupkg");
    let expected = [
        flat("leaf", "1.5.0"),
        flat("leaf", "2.0.0"),
        flat("mid", "1.1.0"),
        flat("other", "1.0.0"),
        flat("paged", "1.100.0"),
        flat("top", "1.0.0"),
    ];
    assert_eq!(place.packages_asked(), expected, "{report}");
    assert_eq!(report["packages"], expected.len(), "{report}");
    // Without a version it is the newest release.
    let newest = place.report("Leaf", 0);
    assert_eq!(newest["packages"], 1, "{newest}");
    place.up.down().await;
    place
        .restore(&[("paged", &["1.100.0"]), ("leaf", &["2.0.0"])])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_read_with_its_central_file() {
    let place = Place::new().await;
    let central = "<Project><ItemGroup><PackageVersion Include=\"Mid\" Version=\"1.0.1\" />\
                   </ItemGroup></Project>";
    place.write("src/Directory.Packages.props", central);
    let project = "<Project Sdk=\"Microsoft.NET.Sdk\"><ItemGroup><PackageReference Include=\"Mid\" />\
                   <PackageReference Include=\"Leaf\" Version=\"1.*\" /></ItemGroup></Project>";
    let project = place.write("src/App/App.csproj", project);
    let report = place.report(&project, 3);
    let mid = "/v3-flatcontainer/mid/1.1.0/mid.1.1.0.nupkg";
    assert_eq!(place.packages_asked(), [mid]);
    let unresolved = report["unresolved"].as_array().unwrap();
    assert_eq!(unresolved.len(), 1, "{report}");
    assert!(
        unresolved[0].as_str().unwrap().contains("floats"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told() {
    let mut place = Place::new().await;
    let report = place.report("Absent@1.0.0 Mid@9.0.0 Leaf@[1.6.0,1.9.0] Top@1.0.0", 3);
    assert_eq!(
        (&report["missing"], &report["packages"]),
        (&json!(3), &json!(1)),
        "{report}"
    );
    let whats: Vec<_> = report["failures"].as_array().unwrap().iter().collect();
    for expected in ["absent", "mid@9.0.0", "leaf@[1.6.0,1.9.0]"] {
        assert!(
            whats.iter().any(|it| it["what"] == expected),
            "{expected}: {report}"
        );
    }
    place.up.down().await;
    let report = place.report("Other@1.0.0", 3);
    assert_eq!(report["packages"], 0, "{report}");

    let missing = place.warm("no/such/file.json");
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.contains("is no file"), "{missing:?}");
    let page = place.write("page.html", "<html></html>");
    assert_eq!(place.warm(&page).code, Some(2));
    place.stop();
    let alone = place.warm("Top@1.0.0");
    assert_eq!(alone.code, Some(1), "{alone:?}");
    assert!(alone.err.contains("no daemon runs"), "{alone:?}");
}
