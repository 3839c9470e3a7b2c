//! From the start of the program to its first answers: with an empty cache, with one of 100,000
//! entries, and with the same after the last run was cut off.
//!
//! `cargo bench --bench start` fetches one package through the program, adds entries to its index
//! through the store, and starts the program on it again and again. Entries that were added have no
//! files: nothing at start may look at them. Figures are of this machine and this run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "measuring code"
)]

mod program;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nugate::clock::{Clock, Time};
use nugate::demo::{ExampleFeed, server};
use nugate::entry::{Digest, Entry, Key, Stored, Validators};
use nugate::store::{Quota, Store, StoreOptions};
use prometheus::IntCounter;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpListener;

use program::{mebibytes, memory, millis, request};

const ENTRIES: usize = 100_000;
/// Entries that are written at a time.
const BATCH: usize = 1000;
const ROUNDS: usize = 9;
/// Hits asked for one after the other at once after the first.
const HITS: usize = 300;
const HIT: &str = "/v3/flat/example.core/1.0.0/example.core.1.0.0.nupkg";
/// How often a port that nobody listens on yet is tried.
const TRY: Duration = Duration::from_micros(200);

/// What one start showed.
#[derive(Clone, Copy)]
struct Started {
    ready: Duration,
    first_hit: Duration,
    /// The slowest of those that follow, for as long as an index is looked through.
    slowest: Duration,
    idle: u64,
}

/// How a run ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Clean,
    CutOff,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = runtime.block_on(feed());
    println!("median (worst) of {ROUNDS} starts");
    println!("store                        ready ms      first hit ms   slowest hit ms   idle MiB");
    let empty = || {
        let cache = TempDir::new().unwrap();
        run(&upstream, cache.path(), End::Clean)
    };
    print("empty", &(0..ROUNDS).map(|_| empty()).collect::<Vec<_>>());
    let cache = TempDir::new().unwrap();
    run(&upstream, cache.path(), End::Clean);
    runtime.block_on(fill(cache.path()));
    for end in [End::Clean, End::CutOff] {
        // The run before the first that is measured ends as those that are.
        run(&upstream, cache.path(), end);
        let runs: Vec<Started> = (0..ROUNDS)
            .map(|_| run(&upstream, cache.path(), end))
            .collect();
        let name = match end {
            End::Clean => format!("{ENTRIES} entries"),
            End::CutOff => format!("{ENTRIES}, killed before"),
        };
        print(&name, &runs);
    }
}

fn print(name: &str, runs: &[Started]) {
    let column = |value: fn(&Started) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        format!(
            "{:.1} ({:.1})",
            values[values.len() / 2],
            values[values.len() - 1]
        )
    };
    println!(
        "{name:<25} {:>14} {:>16} {:>16} {:>14}",
        column(|run| millis(run.ready)),
        column(|run| millis(run.first_hit)),
        column(|run| millis(run.slowest)),
        column(|run| mebibytes(run.idle)),
    );
}

/// Starts the program on a cache, looks, and ends it.
fn run(upstream: &str, cache: &Path, end: End) -> Started {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let started = Instant::now();
    let mut child = program::command(upstream, cache, &address)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while get(&address, "/-/ready").is_none() {
        assert!(started.elapsed() < Duration::from_secs(30), "never ready");
        std::thread::sleep(TRY);
    }
    let ready = started.elapsed();
    let first_hit = get(&address, HIT).unwrap();
    let slowest = (0..HITS)
        .map(|_| get(&address, HIT).unwrap())
        .max()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let idle = memory(&child, "VmRSS:");
    finish(&mut child, end);
    Started {
        ready,
        first_hit,
        slowest,
        idle,
    }
}

fn finish(child: &mut Child, end: End) {
    if end == End::CutOff {
        child.kill().unwrap();
    } else {
        kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    }
    child.wait().unwrap();
}

/// How long an answer took from the connection on; nothing where nobody listens.
fn get(address: &str, path: &str) -> Option<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).ok()?;
    let request = request(address, path);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}");
    Some(began.elapsed())
}

/// The URL of the example feed, served as long as the runtime lives.
async fn feed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v3/index.json", listener.local_addr().unwrap());
    let feed = Arc::new(ExampleFeed::demo());
    tokio::spawn(server::serve(feed, listener, std::future::pending()));
    url
}

/// Adds entries, as many as there are to be.
async fn fill(cache: &Path) {
    let counter = |name: &str| IntCounter::new(name, name).unwrap();
    let options = StoreOptions {
        dir: cache.to_owned(),
        memory: 0,
        open_files: 0,
        quota: Quota::NONE,
        clock: Clock::System,
        evictions: counter("evictions"),
        damaged: counter("damaged"),
        unsynced: counter("unsynced"),
    };
    let store = Store::open(options).await.unwrap();
    let held = store.counted().await.unwrap().entries;
    let missing = ENTRIES - usize::try_from(held).unwrap();
    let now = Clock::System.now();
    for first in (0..missing).step_by(BATCH) {
        let numbers = first..(first + BATCH).min(missing);
        let written = numbers.map(|number| {
            let (store, (key, entry)) = (store.clone(), entry(number, now));
            async move { store.put(&key, entry).await.unwrap() }
        });
        join_all(written).await;
    }
    let held = store.counted().await.unwrap().entries;
    assert_eq!(held, ENTRIES as u64);
    store.close().await;
}

/// Of a small package, so that all of them are within the default limit.
fn entry(number: usize, now: Time) -> (Key, Entry) {
    let id = format!("some.publisher.library.p{number}");
    let path = format!("{id}/1.2.3/{id}.1.2.3.nupkg");
    let body = Stored {
        digest: Digest::of(id.as_bytes()),
        size: 20_000,
    };
    let etag = format!("\"0x8D{number:016X}\"");
    let entry = Entry {
        body: Some(body),
        url: format!("https://api.nuget.org/v3-flatcontainer/{path}"),
        validators: Validators {
            etag: Some(etag.parse().unwrap()),
            last_modified: Some("Tue, 10 Jun 2025 09:31:07 GMT".parse().unwrap()),
        },
        content_type: Some("application/octet-stream".to_owned()),
        fetched_at: now,
        checked_at: now,
        missing_since: None,
    };
    (Key::new(format!("nuget/flat/{path}")), entry)
}
