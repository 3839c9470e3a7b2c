//! Many clients want one package that nobody has yet, over a slow line.
//!
//! `cargo bench --bench fan_out` starts the program five times with an empty cache, sends 200
//! clients after one cold 20 MB package that the upstream delivers over four seconds, and prints
//! how many requests the upstream saw, whether every byte was right, how long after the upstream's
//! first byte the clients got theirs, and how much memory it took; and the time from start to
//! `/-/ready` with an upstream that cannot be reached. Figures are of this machine and this run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "measuring code"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nugate::demo::{ExampleFeed, Package};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CLIENTS: usize = 200;
const RUNS: usize = 5;
const SIZE: usize = 20 << 20;
const FILL: Duration = Duration::from_secs(4);
const SLICES: u32 = 400;
const LATENCY: Duration = Duration::from_millis(500);
const PATH: &str = "/big.load/1.0.0/big.load.1.0.0.nupkg";

/// An upstream that sends one package slowly.
struct Slow {
    base: String,
    feed: ExampleFeed,
    package: Bytes,
    asked: AtomicUsize,
    first_byte: Mutex<Option<Instant>>,
}

/// What one run showed.
struct Run {
    upstream_requests: usize,
    wrong_bodies: usize,
    median: Duration,
    p99: Duration,
    memory_peak: u64,
    memory_idle: u64,
    ready: Duration,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{CLIENTS} clients, one cold package of {SIZE} bytes over {FILL:?}");
    println!("run  requests  wrong  first byte p50 / p99 ms  peak MiB  idle MiB  ready ms");
    let mut runs = Vec::new();
    for number in 1..=RUNS {
        let run = runtime.block_on(measure());
        println!(
            "{number:>3}  {:>8}  {:>5}  {:>10.1} / {:>10.1}  {:>8.1}  {:>8.1}  {:>8.1}",
            run.upstream_requests,
            run.wrong_bodies,
            millis(run.median),
            millis(run.p99),
            mebibytes(run.memory_peak),
            mebibytes(run.memory_idle),
            millis(run.ready),
        );
        runs.push(run);
    }
    let middle = |value: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "median: first byte p50 {:.1} ms, p99 {:.1} ms; peak {:.1} MiB, idle {:.1} MiB; ready after {:.1} ms",
        middle(|run| millis(run.median)),
        middle(|run| millis(run.p99)),
        middle(|run| mebibytes(run.memory_peak)),
        middle(|run| mebibytes(run.memory_idle)),
        middle(|run| millis(run.ready)),
    );
    let sound = runs
        .iter()
        .all(|run| run.upstream_requests == 1 && run.wrong_bodies == 0);
    assert!(
        sound,
        "a body was wrong or the upstream was asked more than once"
    );
}

async fn measure() -> Run {
    let (ready, memory_idle) = start_without_upstream();
    let slow = Slow::start().await;
    let cache = TempDir::new().unwrap();
    let (mut nugate, address) = start(&format!("{}/v3/index.json", slow.base), &cache);
    // The service index is known before the rush, as it is in a daemon that runs.
    let index = fetch(&address, "/v3/index.json").await;
    assert!(index.body.starts_with(b"{"));
    // All are connected before the first asks, so that their delay is the proxy's and not their own.
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        streams.push(TcpStream::connect(&address).await.unwrap());
    }
    let clients: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            let address = address.clone();
            tokio::spawn(async move { ask(stream, &address, &format!("/v3/flat{PATH}")).await })
        })
        .collect();
    let mut delays = Vec::new();
    let mut wrong_bodies = 0;
    for client in clients {
        let got = client.await.unwrap();
        wrong_bodies += usize::from(got.body != slow.package);
        let upstream = slow.first_byte.lock().unwrap().unwrap();
        delays.push(got.first_byte.saturating_duration_since(upstream));
    }
    delays.sort();
    let memory_peak = memory(&nugate, "VmHWM:");
    nugate.kill().unwrap();
    nugate.wait().unwrap();
    Run {
        upstream_requests: slow.asked.load(Ordering::SeqCst),
        wrong_bodies,
        median: delays[delays.len() / 2],
        p99: delays[delays.len() * 99 / 100],
        memory_peak,
        memory_idle,
        ready,
    }
}

/// Time from start to ready with an empty cache and nothing listening upstream, and the memory a
/// second later.
fn start_without_upstream() -> (Duration, u64) {
    let cache = TempDir::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let started = Instant::now();
    let mut child = spawn("http://127.0.0.1:1/v3/index.json", &cache, port);
    let ready = loop {
        let url = format!("127.0.0.1:{port}");
        if let Ok(mut stream) = std::net::TcpStream::connect(&url) {
            use std::io::{Read, Write};
            stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.contains(" 200 "), "{text}");
            break started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_secs(10), "never ready");
        std::thread::sleep(Duration::from_micros(200));
    };
    std::thread::sleep(Duration::from_secs(1));
    let idle = memory(&child, "VmRSS:");
    child.kill().unwrap();
    child.wait().unwrap();
    (ready, idle)
}

fn spawn(upstream: &str, cache: &TempDir, port: u16) -> Child {
    Command::new(env!("CARGO_BIN_EXE_nugate"))
        .args(["serve", "--upstream", upstream, "--listen"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("--cache-dir")
        .arg(cache.path())
        .env("NUGATE_LOG__LEVEL", "error")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A running program and where it listens.
fn start(upstream: &str, cache: &TempDir) -> (Child, String) {
    let mut child = spawn(upstream, cache, 0);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).find_map(|line| {
        let url = line.trim_start().strip_prefix("at ")?.trim().to_owned();
        Some(url.strip_prefix("http://")?.split('/').next()?.to_owned())
    });
    (child, found.unwrap())
}

struct Got {
    body: Vec<u8>,
    first_byte: Instant,
}

async fn fetch(address: &str, path: &str) -> Got {
    ask(TcpStream::connect(address).await.unwrap(), address, path).await
}

async fn ask(mut stream: TcpStream, address: &str, path: &str) -> Got {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reader = tokio::io::BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    assert!(line.contains(" 200 "), "{line}");
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
    }
    let mut body = vec![0];
    reader.read_exact(&mut body).await.unwrap();
    let first_byte = Instant::now();
    // One piece a turn: a client must not wait for its neighbours in this process.
    while reader.read_buf(&mut body).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    Got { body, first_byte }
}

impl Slow {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let package = Package::new("Big.Load", "1.0.0").padded(SIZE);
        let feed = ExampleFeed::new([package]).unwrap();
        let slow = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            package: feed.nupkg("big.load", "1.0.0").unwrap(),
            feed,
            asked: AtomicUsize::new(0),
            first_byte: Mutex::new(None),
        });
        let serving = Arc::clone(&slow);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).answer(stream));
            }
        });
        slow
    }

    async fn answer(self: Arc<Self>, stream: TcpStream) {
        let mut stream = tokio::io::BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let big = path.ends_with(PATH);
        let body = if big {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.package.clone()
        } else {
            self.feed.document(&self.base, &path, "").unwrap().body
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        if !big {
            stream.write_all(&body).await.unwrap();
            return;
        }
        // The latency of a distant upstream: all have asked by then.
        tokio::time::sleep(LATENCY).await;
        *self.first_byte.lock().unwrap() = Some(Instant::now());
        let mut pace = tokio::time::interval(FILL / SLICES);
        for slice in body.chunks(body.len().div_ceil(SLICES as usize)) {
            pace.tick().await;
            stream.write_all(slice).await.unwrap();
        }
    }
}

/// A line of `/proc/PID/status`, in bytes.
fn memory(child: &Child, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
