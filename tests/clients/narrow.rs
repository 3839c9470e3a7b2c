//! A line that eight others use up while a client restores.
//!
//! Everything from the feed and everything to clients goes through 2 Mbit/s. Eight clients, each of
//! an address of its own, download packages that never end; the restore has its share beside them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nugate::clock::Stopwatch;
use nugate::demo::{ExampleFeed, Package};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::bench::{Bench, Failure, Identity};
use crate::install::{NUGET7, restore_project};
use crate::nugate::Settings;
use crate::upstream::Upstream;

/// The rate, as it is set and in bytes a second.
const RATE: (&str, u64) = ("2 Mbit/s", 250_000);

/// What a line lets through beyond its rate: a tenth of a second and what is in the buffers of
/// sockets, for each client.
const SLACK: u64 = 1 << 20;

const GREEDY: u8 = 8;

/// A download that takes longer than all restores together.
const ENDLESS: usize = 16 << 20;

/// What is restored: an application and its parts. With a ninth of the line it takes half a minute.
const PARTS: usize = 6;
const PART: usize = 120_000;

/// The feed, and who else asks for its packages.
pub struct Narrow {
    /// The feed.
    pub upstream: Arc<Upstream>,
    /// Bytes that each of them got so far.
    taken: Arc<[AtomicU64; GREEDY as usize]>,
}

impl Narrow {
    /// Starts the feed.
    pub fn start(feed: &ExampleFeed) -> Self {
        let mut feed = feed.clone();
        let mut app = Package::new("Narrow.App", "1.0.0");
        for number in 0..PARTS {
            let id = format!("Narrow.Part{number}");
            app = app.needs(&id, "1.0.0");
            feed.add(Package::new(id, "1.0.0").padded(PART)).unwrap();
        }
        feed.add(app).unwrap();
        for number in 0..GREEDY {
            let endless = Package::new(format!("Narrow.Endless{number}"), "1.0.0");
            feed.add(endless.padded(ENDLESS)).unwrap();
        }
        Self {
            upstream: Arc::new(Upstream::start(feed, false, None)),
            taken: Arc::default(),
        }
    }

    /// What nugate has to be told.
    pub fn settings() -> Settings {
        vec![
            ("NUGATE_BANDWIDTH__1__RATE", PathBuf::from(RATE.0)),
            ("NUGATE_BANDWIDTH__2__RATE", PathBuf::from(RATE.0)),
            ("NUGATE_BANDWIDTH__2__DIRECTION", PathBuf::from("clients")),
        ]
    }

    /// Lets the others begin at the source.
    pub fn crowd(&self, source: &str) {
        let host = source.split('/').nth(2).unwrap_or_default();
        let addr: SocketAddr = host.parse().unwrap();
        for number in 0..GREEDY {
            let taken = Arc::clone(&self.taken);
            self.upstream.runtime.spawn(async move {
                // One that is cut begins again, and what it has shows no less.
                while download(addr, number, &taken[usize::from(number)])
                    .await
                    .is_ok()
                {}
            });
        }
    }

    fn taken(&self) -> Vec<u64> {
        let each = self.taken.iter();
        each.map(|bytes| bytes.load(Ordering::Relaxed)).collect()
    }

    /// Fails unless all of them went on meanwhile, together no faster than the line is.
    fn audit(&self, before: &[u64], seconds: f64) -> Result<(), Failure> {
        let more: Vec<u64> = before
            .iter()
            .zip(self.taken())
            .map(|(before, now)| now - before)
            .collect();
        if more.contains(&0) {
            return Err(format!("not all of the others went on: {more:?}"));
        }
        let all: u64 = more.iter().sum();
        #[allow(clippy::cast_precision_loss, reason = "some megabytes")]
        let rate = all.saturating_sub(SLACK) as f64 / seconds;
        #[allow(clippy::cast_precision_loss, reason = "some megabytes")]
        let most = RATE.1 as f64;
        if rate > most {
            return Err(format!(
                "the others had {rate:.0} of {most:.0} bytes a second"
            ));
        }
        Ok(())
    }
}

/// Downloads a package as a client of its own.
async fn download(addr: SocketAddr, number: u8, taken: &AtomicU64) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 10 + number), 0).into())?;
    let mut stream = socket.connect(addr).await?;
    let id = format!("narrow.endless{number}");
    let request = format!(
        "GET /v3/flat/{id}/1.0.0/{id}.1.0.0.nupkg HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut block = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut block).await? {
            0 => return Ok(()),
            read => taken.fetch_add(read as u64, Ordering::Relaxed),
        };
    }
}

/// What a restore leaves.
pub fn parts() -> Vec<Identity> {
    let part = |number| format!("narrow.part{number}");
    let ids = (0..PARTS).map(part).chain(["narrow.app".to_owned()]);
    let mut all: Vec<Identity> = ids.map(|id| (id, "1.0.0".to_owned())).collect();
    all.sort();
    all
}

pub fn restore(bench: &Bench, home: &Path) -> Result<(), Failure> {
    beside_others(bench, || {
        let args = ["restore2", &bench.source, "Narrow.App=[1.0.0, )"];
        bench.run(home, NUGET7, &args)
    })
}

pub fn dotnet(bench: &Bench, home: &Path) -> Result<(), Failure> {
    beside_others(bench, || {
        restore_project(bench, home, "narrow.app", "[1.0.0]")
    })
}

/// Fails unless the client was content with every answer, however long it took, and the others went
/// on.
fn beside_others(
    bench: &Bench,
    restore: impl FnOnce() -> Result<String, Failure>,
) -> Result<(), Failure> {
    let narrow = bench.narrow.as_ref().ok_or("nobody else is there")?;
    let (before, watch) = (narrow.taken(), Stopwatch::start());
    let said = restore()?;
    let seconds = watch.elapsed().as_secs_f64();
    println!("restored in {seconds:.0} s beside the others");
    // As NuGet says it of requests that it gave up and made again.
    let given_up = ["Retrying", "timed out", "canceled"];
    if let Some(word) = given_up.iter().find(|word| said.contains(**word)) {
        return Err(format!("{word:?} is in {said:?}"));
    }
    narrow.audit(&before, seconds)
}
