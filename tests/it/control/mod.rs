//! Commands on the cache, beside a running daemon and without one.
//!
//! - `stats` counts what is there and what was saved; `gc` removes what it said it would
//! - `verify` finds what is damaged and missing; with `--repair` the feed is asked for it again
//! - what was purged is asked of the feed; what is pinned stays
//! - the examples of `docs/commands.md` run as they stand there
//! - the store is never opened while another process has it

mod packages;
mod socket;
mod verify;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nugate::demo::{ExampleFeed, Package};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::Ended;
use crate::support::{Program, Response, ScriptedUpstream, get, until};

/// How long each package is, or a little more.
const SIZE: usize = 100_000;

/// A cache with the packages `P0`, `P1`, …, and maybe a daemon that serves from it.
struct Place {
    up: ScriptedUpstream,
    dir: PathBuf,
    _root: TempDir,
    daemon: Option<(Program, SocketAddr)>,
}

fn nupkg(number: usize) -> String {
    format!("/v3/flat/p{number}/1.0.0/p{number}.1.0.0.nupkg")
}

impl Place {
    /// A daemon over an empty cache.
    async fn new(packages: usize) -> Self {
        Self::below(packages, "cache").await
    }

    /// The same, in a directory of this name.
    async fn below(packages: usize, name: &str) -> Self {
        let packages = (0..packages).map(|n| Package::new(format!("P{n}"), "1.0.0").padded(SIZE));
        let root = TempDir::new().unwrap();
        let mut place = Self {
            up: ScriptedUpstream::new(ExampleFeed::new(packages).unwrap()).await,
            dir: root.path().join(name),
            _root: root,
            daemon: None,
        };
        place.start();
        place
    }

    fn start(&mut self) {
        let mut program = Program::start(&format!(
            "serve --listen 127.0.0.1:0 --cache-dir {} --upstream {}",
            self.dir.display(),
            self.up.index_url()
        ));
        let address = program.address();
        self.daemon = Some((program, address));
    }

    /// Ends the daemon as a supervisor would.
    fn stop(&mut self) {
        if let Some((program, _)) = self.daemon.take() {
            program.signal(Signal::TERM);
            let ended = program.end();
            assert_eq!(ended.code, Some(0), "{}", ended.err);
        }
    }

    async fn get(&self, path: &str) -> Response {
        let address = self.daemon.as_ref().unwrap().1;
        get(address, path, &[]).await
    }

    /// Asks for a document until it comes from the store.
    async fn stored(&self, path: &str) {
        assert_eq!(self.get(path).await.status, 200);
        let address = self.daemon.as_ref().unwrap().1;
        until("it is stored", async || {
            let only = [("cache-control", "only-if-cached")];
            get(address, path, &only).await.header("cache-status") == "nugate; hit"
        })
        .await;
    }

    /// Runs a command on the cache.
    fn run(&self, command: &str) -> Ended {
        Program::start(&format!("{command} --cache-dir {}", self.dir.display())).end()
    }

    /// Its result as JSON; it must end with this code.
    #[track_caller]
    fn json_of(&self, command: &str, code: i32) -> Value {
        let ended = self.run(&format!("{command} --json"));
        assert_eq!(ended.code, Some(code), "{command}: {ended:?}");
        let value: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(value["daemon"], self.daemon.is_some(), "{command}");
        value
    }

    #[track_caller]
    fn json(&self, command: &str) -> Value {
        self.json_of(command, 0)
    }

    fn path(&self) -> &Path {
        &self.dir
    }

    /// The package as the feed has it.
    fn package(&self, number: usize) -> bytes::Bytes {
        let id = format!("p{number}");
        self.up.change(|feed| feed.nupkg(&id, "1.0.0")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_tell_what_is_there_and_what_was_saved() {
    let mut place = Place::new(3).await;
    for number in 0..3 {
        place.stored(&nupkg(number)).await;
    }
    let again = place.get(&nupkg(0)).await;
    let beside = place.json("stats");
    let since = &beside["since_start"];
    assert!(since["hits"].as_u64().unwrap() >= 4, "{since}");
    assert!(since["misses"].as_u64().unwrap() >= 3, "{since}");
    let saved = since["saved_bytes"].as_u64().unwrap();
    assert!(saved >= 4 * again.body.len() as u64, "{since}");
    assert_eq!(beside["feeds"][0]["up"], true, "{beside}");
    let human = place.run("stats");
    for part in [
        "3 versions of 3 ids",
        "daemon running",
        "feed          nuget answers",
        "nupkg",
    ] {
        assert!(human.out.contains(part), "{part} is not in\n{}", human.out);
    }

    place.stop();
    let alone = place.json("stats");
    for stats in [&beside, &alone] {
        assert_eq!(stats["kinds"]["nupkg"]["count"], 3, "{stats}");
        assert_eq!(stats["package_ids"], 3, "{stats}");
        assert_eq!(stats["package_versions"], 3, "{stats}");
        assert_eq!(stats["bytes_max"], 20_u64 << 30, "{stats}");
        assert!(stats["oldest_use"].as_str().unwrap().ends_with('Z'));
        let bytes: u64 = (0..3).map(|n| place.package(n).len() as u64).sum();
        assert_eq!(stats["kinds"]["nupkg"]["bytes"], bytes, "{stats}");
    }
    assert!(alone["since_start"].is_null());
    assert_eq!(
        (&beside["bytes"], &beside["entries"]),
        (&alone["bytes"], &alone["entries"])
    );
    assert!(place.run("stats").out.contains("daemon not running"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_removes_what_it_said_it_would_and_nothing_pinned() {
    for beside in [true, false] {
        let mut place = Place::new(6).await;
        for number in 0..6 {
            place.stored(&nupkg(number)).await;
        }
        place.json("pin P0");
        if !beside {
            place.stop();
        }
        assert_eq!(place.json("gc")["wanted"], 0);
        let plan = place.json("gc --size-max 400kB --dry-run");
        assert_eq!(plan["kinds"]["nupkg"]["count"], 3, "{plan}");
        assert_eq!(place.json("stats")["package_versions"], 6);
        let went = place.json("gc --size-max 400kB");
        for member in ["wanted", "bytes", "kinds", "responses"] {
            assert_eq!(went[member], plan[member], "{member}: {plan} {went}");
        }
        let stats = place.json("stats");
        assert_eq!(stats["package_versions"], 3, "{stats}");
        assert!(stats["bytes"].as_u64().unwrap() <= 400_000, "{stats}");
        assert_eq!(stats["pinned"]["count"], 1, "{stats}");
        if !beside {
            place.start();
        }
        for (number, expected) in [(0, "nugate; hit"), (1, "nugate; fwd=uri-miss; stored")] {
            let response = place.get(&nupkg(number)).await;
            assert_eq!(response.header("cache-status"), expected, "{number}");
            assert!(response.body == place.package(number));
        }
        // All that is left can go but what is pinned.
        place.stored(&nupkg(1)).await;
        let human = place.run("gc --size-max 1kB");
        assert!(
            human.out.contains("all that is left is pinned"),
            "{}",
            human.out
        );
        assert_eq!(place.json("stats")["package_versions"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_documentation_run() {
    let place = Place::new(1).await;
    place.stored(&nupkg(0)).await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let page = std::fs::read_to_string(page).unwrap();
    let file = place.path().with_file_name("packages.config");
    let text = "<packages><package id=\"P0\" version=\"1.0.0\" /></packages>";
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let mut examples = 0;
    for line in page.lines() {
        let Some(command) = line.strip_prefix("nugate ") else {
            continue;
        };
        let command = command.replace('\'', "");
        let command = command
            .replace("https://api.nuget.org/v3/index.json", &place.up.index_url())
            .replace("obj/project.assets.json", &file)
            .replace("packages.lock.json", &file)
            .replace("Newtonsoft.Json@13.0.3", "P0@1.0.0");
        let alone = ["completions", "man", "config init"];
        let ended = if alone.iter().any(|it| command.starts_with(it)) {
            Program::start(&command).end()
        } else {
            place.run(&command)
        };
        // The feeds of these are not of this machine.
        let looked = command.starts_with("doctor") && ended.code == Some(3);
        assert!(looked || ended.code == Some(0), "{command}: {ended:?}");
        assert!(!ended.out.is_empty(), "{command}");
        examples += 1;
    }
    assert!(examples >= 15, "{examples}");
}
