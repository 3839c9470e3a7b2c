//! A feed that is dead: how long clients wait for what is stored, and whether they get all of it.
//!
//! `cargo bench --bench outage` has the program fetch what a restore asks for, with lifetimes of zero,
//! so that each later request for a document would ask the feed again. Then the feed refuses
//! connections, or takes them and says nothing. Requests go on, some each second, while the breaker
//! opens and while single requests find out whether the feed is back. Figures are of this machine and
//! this run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "measuring code"
)]

mod program;

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nugate::demo::ExampleFeed;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use program::millis;

const OPENED: &str = "nugate_upstream_breaker_hosts{feed=\"nuget\",state=\"open\"} 1";
/// Between two requests.
const PACE: Duration = Duration::from_millis(10);
/// How long is measured with the breaker open: two requests find out meanwhile.
const OPEN: Duration = Duration::from_secs(13);
/// The longest time for the breaker to open.
const OPENING: Duration = Duration::from_secs(180);

/// What a restore asks for.
const DOCUMENTS: [&str; 4] = [
    "/v3/index.json",
    "/v3/flat/example.core/index.json",
    "/v3/flat/example.core/1.0.0/example.core.1.0.0.nupkg",
    "/v3/registration/example.core/index.json",
];

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("feed       breaker    requests  failed   p50 ms   p99 ms   max ms   after s");
    for silent in [false, true] {
        runtime.block_on(measure(silent));
    }
}

async fn measure(silent: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mute = Arc::new(AtomicBool::new(false));
    let feed = tokio::spawn(serve(listener, base.clone(), Arc::clone(&mute)));
    let cache = TempDir::new().unwrap();
    let (mut nugate, address) = forgetful(&format!("{base}/v3/index.json"), &cache);
    let mut bodies = Vec::new();
    for path in DOCUMENTS {
        let (status, body, _) = get(&address, path).await;
        assert!(status.contains(" 200 "), "{path}: {status}");
        bodies.push(body);
    }
    if silent {
        mute.store(true, Ordering::SeqCst);
    } else {
        feed.abort();
        assert!(feed.await.unwrap_err().is_cancelled());
    }
    let name = if silent { "silent" } else { "refuses" };
    let began = Instant::now();
    let mut closed = Answers::default();
    while !opened(&address).await && began.elapsed() < OPENING {
        closed.ask(&address, &bodies).await;
    }
    closed.print(name, "closed", began.elapsed());
    let (began, mut open) = (Instant::now(), Answers::default());
    while began.elapsed() < OPEN {
        open.ask(&address, &bodies).await;
    }
    open.print(name, "open", began.elapsed());
    nugate.kill().unwrap();
    nugate.wait().unwrap();
}

async fn opened(address: &str) -> bool {
    let (_, text, _) = get(address, "/metrics").await;
    String::from_utf8_lossy(&text).contains(OPENED)
}

#[derive(Default)]
struct Answers {
    times: Vec<Duration>,
    failed: usize,
}

impl Answers {
    /// Asks for each document once.
    async fn ask(&mut self, address: &str, bodies: &[Vec<u8>]) {
        for (path, right) in DOCUMENTS.iter().zip(bodies) {
            let (status, body, time) = get(address, path).await;
            self.failed += usize::from(!status.contains(" 200 ") || body != *right);
            self.times.push(time);
            tokio::time::sleep(PACE).await;
        }
    }

    fn print(mut self, feed: &str, breaker: &str, after: Duration) {
        self.times.sort();
        let at = |hundredth: usize| {
            let last = self.times.len().saturating_sub(1);
            let time = self.times.get(last * hundredth / 100);
            time.map_or(0.0, |time| millis(*time))
        };
        println!(
            "{feed:<10} {breaker:<10} {:>8}  {:>6}  {:>7.2}  {:>7.2}  {:>7.2}  {:>8.1}",
            self.times.len(),
            self.failed,
            at(50),
            at(99),
            at(100),
            after.as_secs_f64(),
        );
    }
}

/// The example feed, which says nothing any more once it is mute.
async fn serve(listener: TcpListener, base: String, mute: Arc<AtomicBool>) {
    let feed = ExampleFeed::demo();
    let mut held = Vec::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if mute.load(Ordering::SeqCst) {
            held.push(stream);
            continue;
        }
        let mut stream = tokio::io::BufReader::new(stream);
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n")
            && stream.read_line(&mut request).await.unwrap_or(0) > 0
        {}
        let path = request.split(' ').nth(1).unwrap();
        let body = feed.document(&base, path, "").unwrap().body;
        let length = body.len();
        let start =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(start.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
    }
}

/// A program whose documents are out of date at once.
fn forgetful(upstream: &str, cache: &TempDir) -> (Child, String) {
    let mut command = program::command(upstream, cache.path(), "127.0.0.1:0");
    for class in ["VERSIONS", "METADATA", "INDEX"] {
        for time in ["FRESH", "STALE_WHILE_REVALIDATE"] {
            command.env(format!("NUGATE_FRESHNESS__{class}__{time}"), "0s");
        }
    }
    program::spawn(command)
}

/// Status line and body of an answer, and how long it took from the connection on.
async fn get(address: &str, path: &str) -> (String, Vec<u8>, Duration) {
    let began = Instant::now();
    let stream = TcpStream::connect(address).await.unwrap();
    let (status, mut reader) = program::ask(stream, address, path).await;
    let mut body = Vec::new();
    reader.read_to_end(&mut body).await.unwrap();
    (status, body, began.elapsed())
}
