//! Packages that nobody has yet: how many bytes a core verifies and stores, and how long after the
//! upstream's last byte a client gets its own.
//!
//! `cargo bench --bench misses` starts the program with an empty cache before an upstream in this
//! process. Throughput is package bytes by the processor time that the program took to fetch, verify,
//! store and serve them; the tail is measured over a line that takes a second for a package. Figures
//! are of this machine and this run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "measuring code"
)]

mod program;

use std::io::{Cursor, Write as _};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use futures_util::future::join_all;
use nugate::demo::ExampleFeed;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zip::write::{SimpleFileOptions, ZipWriter};

use program::{millis, request, start};

const CLIENTS: usize = 8;
const TAILS: usize = 7;
const SLICES: u32 = 200;
const LINE: Duration = Duration::from_secs(1);
/// Clock ticks of `/proc/PID/stat` in a second.
const TICKS: f64 = 100.0;
/// The end of each package, which makes it another one.
const STAMP: usize = 16;
const INFLATED: usize = 256 << 10;

/// Bytes of a package, how many are fetched, and the longest tail allowed.
const CASES: [(usize, usize, Duration); 2] = [
    (700_000, 400, Duration::from_millis(20)),
    (60_000_000, 8, Duration::from_secs(1)),
];

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("inflates     size MB   MB/s a core   tail p50 / max ms   allowed ms");
    for copied in [0, 12, 120] {
        for (size, count, allowed) in CASES {
            let (package, inflated) = package(size, copied);
            let ratio = inflated as f64 / package.len() as f64;
            let (rate, tails) = runtime.block_on(measure(package, count));
            println!(
                "{ratio:>5.1} : 1   {:>8.1}   {rate:>11.1}   {:>8.1} / {:<8.1}   {:>10.0}",
                size as f64 / 1e6,
                millis(tails[TAILS / 2]),
                millis(tails[TAILS - 1]),
                millis(allowed),
            );
        }
    }
}

/// A package of about `size` bytes, and how many it inflates to. Between four bytes of noise each,
/// `copied` bytes are copied from before: the more, the smaller it deflates.
fn package(size: usize, copied: usize) -> (Bytes, usize) {
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut file = Vec::with_capacity(INFLATED + copied + 4);
    while file.len() < INFLATED {
        file.extend_from_slice(&noise().to_le_bytes()[..4]);
        let back = usize::try_from(noise()).unwrap() % file.len();
        let copied = copied.min(file.len() - back);
        file.extend_from_within(back..back + copied);
    }
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(&file).unwrap();
    let entries = size / deflated.finish().unwrap().len();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..entries.max(1) {
        let options = SimpleFileOptions::default();
        writer
            .start_file(format!("lib/{number}.dll"), options)
            .unwrap();
        file[..8].copy_from_slice(&number.to_le_bytes());
        writer.write_all(&file).unwrap();
    }
    writer.set_comment("0".repeat(STAMP)).unwrap();
    let archive = writer.finish().unwrap().into_inner();
    (archive.into(), entries.max(1) * file.len())
}

/// Megabytes a second of processor time, and the sorted delays of the last byte.
async fn measure(package: Bytes, count: usize) -> (f64, Vec<Duration>) {
    let upstream = Upstream::start(package.clone()).await;
    let cache = TempDir::new().unwrap();
    let (mut nugate, address) = start(&format!("{}/v3/index.json", upstream.base), cache.path());
    fetch(&address, "/v3/index.json").await;
    let before = processor_time(&nugate);
    for first in (0..count).step_by(CLIENTS) {
        let batch = (first..(first + CLIENTS).min(count)).map(|number| {
            let (address, package) = (address.clone(), package.clone());
            tokio::spawn(async move {
                let (size, _) = fetch(&address, &path("fast", number)).await;
                assert_eq!(size, package.len());
            })
        });
        for client in join_all(batch).await {
            client.unwrap();
        }
    }
    // Storing goes on behind the last byte.
    stored(&address, count + 1).await;
    let spent = processor_time(&nugate) - before;
    let rate = (package.len() * count) as f64 / 1e6 / spent;
    let mut tails = Vec::new();
    for number in 0..TAILS {
        let (size, ended) = fetch(&address, &path("slow", number)).await;
        assert_eq!(size, package.len());
        let last = upstream.sent.lock().unwrap().unwrap();
        tails.push(ended.saturating_duration_since(last));
    }
    tails.sort();
    nugate.kill().unwrap();
    nugate.wait().unwrap();
    (rate, tails)
}

fn path(kind: &str, number: usize) -> String {
    let id = format!("{kind}.p{number}");
    format!("/v3/flat/{id}/1.0.0/{id}.1.0.0.nupkg")
}

async fn stored(address: &str, entries: usize) {
    let line = format!("nugate_store_entries {entries}\n");
    loop {
        let text = body(address, "/metrics").await.0;
        if String::from_utf8_lossy(&text).contains(&line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How many bytes a document has, and when the last of them came.
async fn fetch(address: &str, path: &str) -> (usize, Instant) {
    let (body, ended) = body(address, path).await;
    (body.len(), ended)
}

async fn body(address: &str, path: &str) -> (Vec<u8>, Instant) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = request(address, path);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reader = tokio::io::BufReader::with_capacity(256 << 10, stream);
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    assert!(line.contains(" 200 "), "{path}: {line}");
    let mut length = None;
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = Some(value.trim().parse::<usize>().unwrap());
        }
    }
    let mut body = vec![0; length.unwrap()];
    reader.read_exact(&mut body).await.unwrap();
    (body, Instant::now())
}

/// An upstream with any number of packages that differ only in their last bytes.
struct Upstream {
    base: String,
    feed: ExampleFeed,
    package: Bytes,
    sent: Mutex<Option<Instant>>,
}

impl Upstream {
    async fn start(package: Bytes) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            feed: ExampleFeed::demo(),
            package,
            sent: Mutex::new(None),
        });
        let serving = Arc::clone(&upstream);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).answer(stream));
            }
        });
        upstream
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
        if !path.ends_with(".nupkg") {
            let body = self.feed.document(&self.base, &path, "").unwrap().body;
            send_head(&mut stream, body.len()).await;
            stream.write_all(&body).await.unwrap();
            return;
        }
        let id = path.rsplit('/').nth(2).unwrap();
        let (start, _) = self.package.split_at(self.package.len() - STAMP);
        let stamp = format!("{id:>STAMP$}");
        send_head(&mut stream, self.package.len()).await;
        if id.starts_with("fast") {
            stream.write_all(start).await.unwrap();
        } else {
            let mut pace = tokio::time::interval(LINE / SLICES);
            for slice in start.chunks(start.len().div_ceil(SLICES as usize)) {
                pace.tick().await;
                stream.write_all(slice).await.unwrap();
            }
        }
        stream.write_all(stamp.as_bytes()).await.unwrap();
        *self.sent.lock().unwrap() = Some(Instant::now());
    }
}

async fn send_head(stream: &mut tokio::io::BufReader<TcpStream>, length: usize) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// Seconds of processor time that a program has taken.
fn processor_time(child: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}
