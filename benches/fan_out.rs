//! Many clients want one package that nobody has yet, over a slow line.
//!
//! `cargo bench --bench fan_out` starts the program with an empty cache again and again, sends 200
//! clients after one cold 20 MB package that the upstream delivers over some seconds, and prints how
//! many requests the upstream saw, whether every byte was right, how long after the upstream's first
//! byte the clients got theirs, how long after its last byte they got theirs, and how much memory it
//! took. In further cases the client that asked first leaves, or reads very slowly. Arguments choose
//! cases by a part of their names: `cargo bench --bench fan_out -- "60 s"` is one that runs only so.
//! Figures are of this machine and this run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "measuring code"
)]

mod program;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nugate::demo::{ExampleFeed, Package};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use program::{mebibytes, memory, millis, start};

const CLIENTS: usize = 200;
const SIZE: usize = 20 << 20;
const SLICES: u32 = 400;
/// What a leader reads before it leaves.
const LEFT_AFTER: usize = 1 << 20;
/// Bytes a second of a slow leader.
const SLOW: usize = 200_000;
const LATENCY: Duration = Duration::from_millis(500);
const PATH: &str = "/big.load/1.0.0/big.load.1.0.0.nupkg";

/// An upstream that sends one package slowly.
struct Slow {
    base: String,
    feed: ExampleFeed,
    package: Bytes,
    fill: Duration,
    asked: AtomicUsize,
    first_byte: Mutex<Option<Instant>>,
    last_byte: Mutex<Option<Instant>>,
}

/// What the client that asks first does.
#[derive(Clone, Copy, PartialEq)]
enum Leader {
    Stays,
    Leaves,
    Slow,
}

/// One way to measure.
struct Case {
    name: &'static str,
    fill: Duration,
    leader: Leader,
    runs: usize,
    /// Whether it has to be asked for.
    long: bool,
}

const fn case(name: &'static str, seconds: u64, leader: Leader, runs: usize) -> Case {
    Case {
        name,
        fill: Duration::from_secs(seconds),
        leader,
        runs,
        long: seconds >= 60,
    }
}

const CASES: [Case; 5] = [
    case("4 s", 4, Leader::Stays, 5),
    case("12 s", 12, Leader::Stays, 3),
    case("60 s", 60, Leader::Stays, 1),
    case("leader leaves", 4, Leader::Leaves, 3),
    case("slow leader", 4, Leader::Slow, 3),
];

/// What one run showed of all clients but a leader that is not like them.
struct Run {
    upstream_requests: usize,
    wrong_bodies: usize,
    first: (Duration, Duration),
    last: (Duration, Duration),
    memory_peak: u64,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let is_chosen = |case: &&Case| {
        let named = |part: &String| case.name.contains(part.as_str());
        chosen.iter().any(named) || (chosen.is_empty() && !case.long)
    };
    println!("{CLIENTS} clients, one cold package of {SIZE} bytes; p50 / p99 after the upstream's");
    println!("case           run  requests  wrong     first byte ms       last byte ms   peak MiB");
    let mut sound = true;
    for case in CASES.iter().filter(is_chosen) {
        let mut runs: Vec<Run> = Vec::new();
        for number in 1..=case.runs {
            let run = runtime.block_on(measure(case));
            print(case.name, &number.to_string(), &run);
            sound &= run.upstream_requests == 1 && run.wrong_bodies == 0;
            runs.push(run);
        }
        let middle = |value: fn(&Run) -> Duration| {
            let mut values: Vec<Duration> = runs.iter().map(value).collect();
            values.sort();
            values[values.len() / 2]
        };
        let median = Run {
            upstream_requests: runs.iter().map(|run| run.upstream_requests).max().unwrap(),
            wrong_bodies: runs.iter().map(|run| run.wrong_bodies).sum(),
            first: (middle(|run| run.first.0), middle(|run| run.first.1)),
            last: (middle(|run| run.last.0), middle(|run| run.last.1)),
            memory_peak: runs.iter().map(|run| run.memory_peak).max().unwrap(),
        };
        print(case.name, "all", &median);
    }
    assert!(
        sound,
        "a body was wrong or the upstream was asked more than once"
    );
}

/// Of all runs: medians, and the most requests and memory.
fn print(case: &str, run: &str, of: &Run) {
    println!(
        "{case:<14} {run:>3}  {:>8}  {:>5}  {:>7.1} / {:>7.1}  {:>7.1} / {:>7.1}  {:>9.1}",
        of.upstream_requests,
        of.wrong_bodies,
        millis(of.first.0),
        millis(of.first.1),
        millis(of.last.0),
        millis(of.last.1),
        mebibytes(of.memory_peak),
    );
}

async fn measure(case: &Case) -> Run {
    let slow = Slow::start(case.fill).await;
    let cache = TempDir::new().unwrap();
    let (mut nugate, address) = start(&format!("{}/v3/index.json", slow.base), cache.path());
    // The service index is known before the rush, as it is in a daemon that runs.
    let index = ask(&address, "/v3/index.json").await;
    assert!(index.status.contains(" 200 "));
    let path = format!("/v3/flat{PATH}");
    let mut leader = None;
    if case.leader != Leader::Stays {
        let (address, path) = (address.clone(), path.clone());
        let (package, kind) = (slow.package.clone(), case.leader);
        leader = Some(tokio::spawn(lead(address, path, package, kind)));
        while slow.asked.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    // All are connected before the first asks, so that their delay is the proxy's and not their own.
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        streams.push(TcpStream::connect(&address).await.unwrap());
    }
    let clients: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            let (address, path, package) = (address.clone(), path.clone(), slow.package.clone());
            tokio::spawn(async move {
                let answer = ask_on(stream, &address, &path).await;
                read(answer, &package).await
            })
        })
        .collect();
    let (mut first, mut last, mut wrong_bodies) = (Vec::new(), Vec::new(), 0);
    for client in clients {
        let got = client.await.unwrap();
        wrong_bodies += usize::from(!got.whole);
        let sent = |at: &Mutex<Option<Instant>>| at.lock().unwrap().unwrap();
        first.push(
            got.first_byte
                .saturating_duration_since(sent(&slow.first_byte)),
        );
        last.push(
            got.last_byte
                .saturating_duration_since(sent(&slow.last_byte)),
        );
    }
    let memory_peak = memory(&nugate, "VmHWM:");
    if let Some(leader) = leader {
        leader.abort();
        // One that got a wrong byte has ended with an error.
        assert!(
            leader
                .await
                .map_or_else(|end| end.is_cancelled(), |()| true)
        );
    }
    nugate.kill().unwrap();
    nugate.wait().unwrap();
    Run {
        upstream_requests: slow.asked.load(Ordering::SeqCst),
        wrong_bodies,
        first: spread(first),
        last: spread(last),
        memory_peak,
    }
}

/// Median and 99th percentile.
fn spread(mut delays: Vec<Duration>) -> (Duration, Duration) {
    delays.sort();
    (delays[delays.len() / 2], delays[delays.len() * 99 / 100])
}

/// The client that asks first, and leaves or is slow.
async fn lead(address: String, path: String, package: Bytes, kind: Leader) {
    let mut answer = ask(&address, &path).await;
    let mut block = vec![0; SLOW / 20];
    let mut position = 0;
    while kind == Leader::Slow || position < LEFT_AFTER {
        let read = answer.reader.read(&mut block).await.unwrap();
        assert_eq!(block[..read], package[position..position + read]);
        position += read;
        if kind == Leader::Slow {
            tokio::time::sleep(Duration::from_secs_f64(read as f64 / SLOW as f64)).await;
        }
    }
}

/// The head of an answer, and where its body comes from.
struct Answered {
    status: String,
    reader: tokio::io::BufReader<TcpStream>,
}

/// When a body came, and whether it was the whole and right one.
struct Got {
    first_byte: Instant,
    last_byte: Instant,
    whole: bool,
}

async fn ask(address: &str, path: &str) -> Answered {
    ask_on(TcpStream::connect(address).await.unwrap(), address, path).await
}

async fn ask_on(stream: TcpStream, address: &str, path: &str) -> Answered {
    let (status, reader) = program::ask(stream, address, path).await;
    Answered { status, reader }
}

async fn read(mut answer: Answered, package: &[u8]) -> Got {
    let mut block = vec![0; 64 << 10];
    let mut position = 0;
    let mut whole = answer.status.contains(" 200 ");
    let mut first_byte = None;
    loop {
        let read = answer.reader.read(&mut block).await.unwrap_or(0);
        let last_byte = Instant::now();
        let first_byte = *first_byte.get_or_insert(last_byte);
        if read == 0 {
            whole &= position == package.len();
            return Got {
                first_byte,
                last_byte,
                whole,
            };
        }
        let right = package.get(position..position + read);
        whole &= right.is_some_and(|right| right == &block[..read]);
        position += read;
        // One piece a turn: a client must not wait for its neighbours in this process.
        tokio::task::yield_now().await;
    }
}

impl Slow {
    async fn start(fill: Duration) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let package = Package::new("Big.Load", "1.0.0").padded(SIZE);
        let feed = ExampleFeed::new([package]).unwrap();
        let slow = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            package: feed.nupkg("big.load", "1.0.0").unwrap(),
            feed,
            fill,
            asked: AtomicUsize::new(0),
            first_byte: Mutex::new(None),
            last_byte: Mutex::new(None),
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
        let mut pace = tokio::time::interval(self.fill / SLICES);
        for slice in body.chunks(body.len().div_ceil(SLICES as usize)) {
            pace.tick().await;
            stream.write_all(slice).await.unwrap();
        }
        *self.last_byte.lock().unwrap() = Some(Instant::now());
    }
}
