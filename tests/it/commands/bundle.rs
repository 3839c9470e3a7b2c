//! `nugate export` and `nugate import`.
//!
//! - what one site exports another one without a feed serves, beside a running daemon and without
//! - an incremental bundle has only what is new, and needs the earlier one
//! - a bundle of another key, a damaged, cut or padded one is refused with nothing changed

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nugate::demo::{ExampleFeed, Package};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

use crate::support::program::Ended;
use crate::support::{Program, ScriptedUpstream, get, until};

/// A daemon with a cache of its own.
struct Site {
    cache: PathBuf,
    url: String,
    network: &'static str,
    daemon: Option<(Program, SocketAddr)>,
}

impl Site {
    fn new(cache: PathBuf, up: &ScriptedUpstream, network: &'static str) -> Self {
        let mut site = Self {
            cache,
            url: up.index_url(),
            network,
            daemon: None,
        };
        site.start();
        site
    }

    fn start(&mut self) {
        let arguments = format!(
            "serve --listen 127.0.0.1:0 --cache-dir {} --upstream {}",
            self.cache.display(),
            self.url
        );
        let mut program = Program::start_with(&arguments, &[("NUGATE_NETWORK", self.network)]);
        let address = program.address();
        self.daemon = Some((program, address));
    }

    fn stop(&mut self) {
        let (program, _) = self.daemon.take().unwrap();
        program.signal(Signal::TERM);
        let ended = program.end();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }

    fn run(&self, command: &str) -> Ended {
        let cache = self.cache.display();
        Program::start(&format!("{command} --json --cache-dir {cache}")).end()
    }

    #[track_caller]
    fn json(&self, command: &str) -> Value {
        let ended = self.run(command);
        assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, bytes::Bytes) {
        let response = get(self.daemon.as_ref().unwrap().1, path, &[]).await;
        (response.status.as_u16(), response.body)
    }

    /// Has a document fetched and stored.
    async fn fetch(&self, path: &str) {
        assert_eq!(self.get(path).await.0, 200, "{path}");
        let address = self.daemon.as_ref().unwrap().1;
        until("it is stored", async || {
            let only = [("cache-control", "only-if-cached")];
            get(address, path, &only).await.header("cache-status") == "nugate; hit"
        })
        .await;
    }
}

fn nupkg(id: &str) -> String {
    format!("/v3/flat/{id}/1.0.0/{id}.1.0.0.nupkg")
}

fn paths(id: &str) -> [String; 3] {
    [
        format!("/v3/flat/{id}/index.json"),
        format!("/v3/registration-gz-semver2/{id}/index.json"),
        nupkg(id),
    ]
}

/// Two sites, and a key.
struct Sites {
    up: ScriptedUpstream,
    here: Site,
    there: Site,
    dir: TempDir,
}

impl Sites {
    async fn new() -> Self {
        let packages = ["a", "b"].map(|id| Package::new(id, "1.0.0").padded(300_000));
        let up = ScriptedUpstream::new(ExampleFeed::new(packages).unwrap()).await;
        let dir = TempDir::new().unwrap();
        let here = Site::new(dir.path().join("here"), &up, "online");
        let there = Site::new(dir.path().join("there"), &up, "offline");
        let sites = Self {
            up,
            here,
            there,
            dir,
        };
        let made = Program::start(&format!("bundle-key {}", sites.file("key"))).end();
        assert_eq!(made.code, Some(0), "{made:?}");
        sites.here.fetch("/v3/index.json").await;
        for path in paths("a") {
            sites.here.fetch(&path).await;
        }
        sites
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn export(&self, to: &str, more: &str) -> Value {
        let (to, key) = (self.file(to), self.file("key"));
        self.here.json(&format!("export {to} --key {key} {more}"))
    }

    fn import(&self, from: &str, more: &str) -> Ended {
        let (from, key) = (self.file(from), self.file("key.pub"));
        self.there
            .run(&format!("import {from} --trust {key} {more}"))
    }

    /// Whether the other site serves a package with its documents, as this one does.
    async fn is_there(&self, id: &str) -> bool {
        let mut all = true;
        for path in paths(id) {
            let (status, body) = self.there.get(&path).await;
            all &= status == 200;
            if status == 200 && path == nupkg(id) {
                let own = self.up.change(|feed| feed.nupkg(id, "1.0.0")).unwrap();
                assert!(body == own, "{path}");
            }
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_feed_serves_what_another_exported() {
    let mut sites = Sites::new().await;
    let planned = sites.export("one", "--dry-run");
    assert!(!sites.path("one").exists());
    let exported = sites.export("one", "");
    assert_eq!(exported["bodies"], planned["bodies"]);
    let again = format!("export {} --key {}", sites.file("one"), sites.file("key"));
    assert_eq!(sites.here.run(&again).code, Some(1));

    assert!(!sites.is_there("a").await);
    assert_eq!(sites.import("one", "--dry-run").code, Some(0));
    assert!(!sites.is_there("a").await);
    let kept = sites.import("one", "");
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert!(sites.is_there("a").await);
    assert_eq!(sites.there.get("/v3/index.json").await.0, 200);

    // Only what is new, and without daemons.
    for path in paths("b") {
        sites.here.fetch(&path).await;
    }
    sites.here.stop();
    sites.there.stop();
    let since = format!("--since {}", sites.file("one"));
    let second = sites.export("two", &since);
    // Both packages have the same list of versions, byte for byte.
    assert_eq!(second["entries"], 7, "{second}");
    assert_eq!(second["left_out"]["count"], 5, "{second}");
    assert_eq!(second["bodies"]["count"], 2, "{second}");
    let size = |name: &str| fs::metadata(sites.path(name)).unwrap().len();
    assert!(size("two") < size("one") + 10_000);
    let kept = sites.import("two", "");
    assert_eq!(kept.code, Some(0), "{kept:?}");
    sites.there.start();
    assert!(sites.is_there("a").await && sites.is_there("b").await);
    let repeated: Value = serde_json::from_str(&sites.import("two", "").out).unwrap();
    assert_eq!(repeated["entries"], 0, "{repeated}");

    // Who has not the earlier one is told so.
    fs::create_dir(sites.path("third")).unwrap();
    let (two, key) = (sites.file("two"), sites.file("key.pub"));
    let third = sites.file("third");
    let early = format!("import {two} --trust {key} --cache-dir {third}");
    let early = Program::start(&early).end();
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(early.err.contains("earlier bundle"), "{early:?}");
}

/// A copy of a bundle with one more member.
fn padded(from: &Path, to: &Path, name: &str) {
    fs::copy(from, to).unwrap();
    let file = File::options().read(true).write(true).open(to).unwrap();
    let mut zip = ZipWriter::new_append(file).unwrap();
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(b"evil").unwrap();
    zip.finish().unwrap();
}

/// A copy of a bundle whose largest body is another one of the same length, with a right checksum.
fn swapped(from: &Path, to: &Path) {
    let mut old = ZipArchive::new(File::open(from).unwrap()).unwrap();
    let mut new = ZipWriter::new(File::create(to).unwrap());
    let sizes = (0..old.len()).map(|at| (old.by_index(at).unwrap().size(), at));
    let (_, largest) = sizes.collect::<Vec<_>>().into_iter().max().unwrap();
    for at in 0..old.len() {
        let mut member = old.by_index(at).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        if at == largest {
            bytes.reverse();
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        new.start_file(member.name().unwrap(), stored).unwrap();
        new.write_all(&bytes).unwrap();
    }
    new.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_refused_with_nothing_changed() {
    let sites = Sites::new().await;
    sites.export("one", "");
    let whole = fs::read(sites.path("one")).unwrap();
    let own = sites.up.change(|feed| feed.nupkg("a", "1.0.0")).unwrap();
    let start = memchr::memmem::find(&whole, &own).unwrap();
    let mut flipped = whole.clone();
    flipped[start + own.len() / 2] ^= 1;
    fs::write(sites.path("flipped"), flipped).unwrap();
    fs::write(sites.path("cut"), &whole[..whole.len() - 100]).unwrap();
    let mut manifest = whole.clone();
    let at = memchr::memmem::find(&whole, b"\"made_at\"").unwrap();
    manifest[at + 13] ^= 1;
    fs::write(sites.path("changed"), manifest).unwrap();
    swapped(&sites.path("one"), &sites.path("swapped"));
    padded(&sites.path("one"), &sites.path("up"), "../../evil");
    let unnamed = format!("bodies/{}", "0".repeat(64));
    padded(&sites.path("one"), &sites.path("unnamed"), &unnamed);

    let before = sites.there.json("stats")["entries"].clone();
    assert_eq!(before, json!(0));
    for (name, expected) in [
        ("flipped", "damaged"),
        ("swapped", "damaged"),
        ("cut", "no bundle"),
        ("changed", "manifest.json"),
        ("up", "../../evil"),
        ("unnamed", "does not name"),
        ("absent", "cannot be read"),
    ] {
        let refused = sites.import(name, "");
        assert_eq!(refused.code, Some(1), "{name}: {refused:?}");
        assert!(refused.err.contains(expected), "{name}: {refused:?}");
        assert_eq!(sites.there.json("stats")["entries"], before, "{name}");
    }
    let other = Program::start(&format!("bundle-key {}", sites.file("other"))).end();
    assert_eq!(other.code, Some(0), "{other:?}");
    let stranger = format!(
        "import {} --trust {}",
        sites.file("one"),
        sites.file("other.pub")
    );
    let refused = sites.there.run(&stranger);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("not signed with the key"),
        "{refused:?}"
    );
    assert_eq!(sites.there.json("stats")["entries"], before);
    assert!(!sites.is_there("a").await);
    // The key is its owner's alone, and is not replaced.
    let mode = fs::metadata(sites.path("key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0);
    let again = Program::start(&format!("bundle-key {}", sites.file("key"))).end();
    assert_eq!(again.code, Some(1), "{again:?}");
}
