//! Rates asked for and rates measured, and the shares of 200 clients.
//!
//! `cargo bench --bench pacing` starts the program with limits of 1 Mbit/s to 1 Gbit/s and more and
//! reads a stored package for ten seconds behind the burst, by HTTP/1, where the kernel sends it; then
//! a package that is not stored through a rate of its feed; then 200 clients, of which every tenth has
//! ten downloads, through one line. Arguments choose cases by a part of their names. Figures are of
//! this machine and this run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "measuring code"
)]

mod program;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nugate::demo::server::serve;
use nugate::demo::{ExampleFeed, Package};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use program::{command, spawn};

const SIZE: usize = 64 << 20;
const TIME: Duration = Duration::from_secs(10);
/// What is not measured: the burst, and the beginning.
const LEAD: Duration = Duration::from_secs(2);
const CLIENTS: usize = 200;
const PATH: &str = "/v3/flat/big.load/1.0.0/big.load.1.0.0.nupkg";

/// Serves the example feed and one large package.
async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut feed = ExampleFeed::demo();
    let package = Package::new("Big.Load", "1.0.0").padded(SIZE);
    feed.add(package).unwrap();
    tokio::spawn(serve(Arc::new(feed), listener, std::future::pending()));
    base
}

/// One client's downloads, again and again until told to end.
struct Reader {
    taken: Arc<AtomicU64>,
    /// The longest time without a byte, in milliseconds.
    longest: Arc<AtomicU64>,
}

fn reader(address: &str, client: usize, downloads: usize, over: &Arc<AtomicBool>) -> Reader {
    let reader = Reader {
        taken: Arc::default(),
        longest: Arc::default(),
    };
    for _ in 0..downloads {
        let (taken, longest) = (Arc::clone(&reader.taken), Arc::clone(&reader.longest));
        let (address, over) = (address.to_owned(), Arc::clone(over));
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nHost: {address}\r\nX-Forwarded-For: 10.0.{}.{}\r\n\
             Connection: close\r\n\r\n",
            client / 250,
            client % 250 + 1
        );
        tokio::spawn(async move {
            let mut buffer = vec![0; 256 * 1024];
            while !over.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut last = Instant::now();
                while let Ok(count) = stream.read(&mut buffer).await {
                    if count == 0 || over.load(Ordering::Relaxed) {
                        break;
                    }
                    taken.fetch_add(count as u64, Ordering::Relaxed);
                    let gap = u64::try_from(last.elapsed().as_millis()).unwrap();
                    longest.fetch_max(gap, Ordering::Relaxed);
                    last = Instant::now();
                }
            }
        });
    }
    reader
}

/// Bytes a second of each reader.
async fn measure(readers: &[Reader], time: Duration) -> Vec<f64> {
    tokio::time::sleep(LEAD).await;
    let read = || -> Vec<u64> {
        let taken = readers.iter();
        taken
            .map(|reader| reader.taken.load(Ordering::Relaxed))
            .collect()
    };
    let (before, started) = (read(), Instant::now());
    tokio::time::sleep(time).await;
    let (after, seconds) = (read(), started.elapsed().as_secs_f64());
    let grown = after.iter().zip(before);
    grown
        .map(|(after, before)| (after - before) as f64 / seconds)
        .collect()
}

/// The program with these settings, and its address.
fn program(base: &str, cache: &Path, settings: &[(&str, &str)]) -> (std::process::Child, String) {
    let index = format!("{base}/v3/index.json");
    let mut command = command(&index, cache, "127.0.0.1:0");
    command.env("NUGATE_TRUSTED_PROXIES", "127.0.0.0/8");
    command.envs(settings.iter().copied());
    spawn(command)
}

async fn one(name: &str, base: &str, cache: &Path, (settings, asked): (&[(&str, &str)], f64)) {
    let (mut child, address) = program(base, cache, settings);
    let over = Arc::new(AtomicBool::new(false));
    let readers = [reader(&address, 1, 1, &over)];
    let rate = measure(&readers, TIME).await[0] * 8.0 / 1e6;
    over.store(true, Ordering::Relaxed);
    child.kill().unwrap();
    child.wait().unwrap();
    if asked > 0.0 {
        let error = (rate / asked - 1.0) * 100.0;
        println!("{name:32} asked {asked:8.0} Mbit/s, measured {rate:9.2} ({error:+.2} %)");
    } else {
        println!("{name:32} no limit, measured {rate:9.0} Mbit/s");
    }
}

async fn many(name: &str, base: &str, cache: &Path, limit: &str) {
    let settings = [
        ("NUGATE_BANDWIDTH__1__RATE", limit),
        ("NUGATE_BANDWIDTH__1__DIRECTION", "clients"),
    ];
    let (mut child, address) = program(base, cache, &settings);
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..CLIENTS)
        .map(|client| {
            reader(
                &address,
                client,
                if client % 10 == 0 { 10 } else { 1 },
                &over,
            )
        })
        .collect();
    let mut rates = measure(&readers, 3 * TIME).await;
    over.store(true, Ordering::Relaxed);
    child.kill().unwrap();
    child.wait().unwrap();
    rates.sort_by(f64::total_cmp);
    let all: f64 = rates.iter().sum();
    let gaps = readers
        .iter()
        .enumerate()
        .filter(|(client, _)| client % 10 != 0);
    let gap = gaps
        .map(|(_, reader)| reader.longest.load(Ordering::Relaxed))
        .max();
    println!(
        "{name:32} {:8.2} Mbit/s in all; least {:.0}, middle {:.0}, most {:.0} kB/s; longest gap {} ms",
        all * 8.0 / 1e6,
        rates[0] / 1e3,
        rates[CLIENTS / 2] / 1e3,
        rates[CLIENTS - 1] / 1e3,
        gap.unwrap()
    );
}

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let base = upstream().await;
    let cache = TempDir::new().unwrap();
    // Stored once for all cases.
    let (mut child, address) = program(&base, cache.path(), &[]);
    let over = Arc::new(AtomicBool::new(false));
    let first = reader(&address, 1, 1, &over);
    while first.taken.load(Ordering::Relaxed) < 2 * SIZE as u64 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    over.store(true, Ordering::Relaxed);
    child.kill().unwrap();
    child.wait().unwrap();
    for (text, asked) in [
        ("1 Mbit/s", 1.0),
        ("10 Mbit/s", 10.0),
        ("100 Mbit/s", 100.0),
        ("1 Gbit/s", 1000.0),
        ("100 Gbit/s", 0.0),
        ("none", 0.0),
    ] {
        let name = format!("to a client, {text}");
        if wants(&name) {
            let settings = [("NUGATE_CLIENTS__RATE", text)];
            one(&name, &base, cache.path(), (&settings, asked)).await;
        }
    }
    for (text, asked) in [("1 Mbit/s", 1.0), ("10 Mbit/s", 10.0), ("40 Mbit/s", 40.0)] {
        let name = format!("from a feed, {text}");
        if wants(&name) {
            let cold = TempDir::new().unwrap();
            let settings = [("NUGATE_FEEDS__NUGET__RATE", text)];
            one(&name, &base, cold.path(), (&settings, asked)).await;
        }
    }
    for text in ["10 Mbit/s", "1 Gbit/s"] {
        let name = format!("200 clients, {text}");
        if wants(&name) {
            many(&name, &base, cache.path(), text).await;
        }
    }
}
