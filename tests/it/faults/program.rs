//! The program as a whole, on a machine that fails it.
//!
//! - errors of every write reach nobody; when they end, everything is kept again
//! - a body that cannot be opened is fetched anew within the request
//! - with few file descriptors a thousand connections are all served
//! - when none are left, connections wait and are served once there are some
//! - a directory that cannot be used is no reason not to start, unless it is required

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use nugate::demo::{ExampleFeed, Package};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

use crate::lost::body_files;
use crate::support::until;
use crate::support::{Program, Response, ScriptedUpstream, client};

const PACKAGE: &str = "/v3/flat/large/1.0.0/large.1.0.0.nupkg";
const PATHS: &[&str] = &[
    "/v3/index.json",
    "/v3/flat/large/index.json",
    "/v3/registration-gz-semver2/large/index.json",
    "/v3/query?q=large",
    PACKAGE,
    "/v3/flat/small/1.0.0/small.1.0.0.nupkg",
];

async fn upstream() -> ScriptedUpstream {
    let large = Package::new("Large", "1.0.0").padded(3_000_000);
    let small = Package::new("Small", "1.0.0").padded(10_000);
    ScriptedUpstream::new(ExampleFeed::new([large, small]).unwrap()).await
}

fn arguments(up: &ScriptedUpstream, cache: &std::path::Path) -> String {
    format!(
        "serve --listen 127.0.0.1:0 --upstream {} --cache-dir {}",
        up.index_url(),
        cache.display()
    )
}

/// Faults of system calls of a running program, until it is dropped.
struct Injected(Child);

impl Injected {
    /// `None`, and the reason on standard error, where `strace` is not there or not allowed.
    fn into(program: &Program, options: &[&str]) -> Option<Self> {
        let id = program.id().to_string();
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &id])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut injected = match strace {
            Ok(child) => Self(child),
            Err(error) => {
                eprintln!("SKIPPED: strace cannot be started: {error}");
                return None;
            }
        };
        while !traced(&id) {
            if let Some(status) = injected.0.try_wait().unwrap() {
                eprintln!("SKIPPED: strace is not allowed here: {status}");
                return None;
            }
            std::thread::yield_now();
        }
        Some(injected)
    }
}

/// Whether all threads of a process are traced.
fn traced(id: &str) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

impl Drop for Injected {
    fn drop(&mut self) {
        // It lets go of the program at this signal; killed, it would leave it stopped.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

async fn get(program: std::net::SocketAddr, path: &str) -> Response {
    client::get(program, path, &[]).await
}

/// Everything at once, ten times, whole.
async fn restore(address: std::net::SocketAddr, up: &ScriptedUpstream) {
    let paths = PATHS.iter().cycle().take(10 * PATHS.len());
    for (path, answer) in join_all(paths.map(async |path| (path, get(address, path).await))).await {
        assert_eq!(answer.status.as_u16(), 200, "{path} {answer:?}");
        if *path == PACKAGE {
            let sent = up.change(|feed| feed.nupkg("large", "1.0.0")).unwrap();
            assert!(answer.body == sent, "{path}");
        }
    }
}

async fn ready_says(address: std::net::SocketAddr, expected: &str) {
    until(expected, async || {
        get(address, "/-/ready").await.text() == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_every_write_reach_nobody() {
    let (up, cache) = (upstream().await, TempDir::new().unwrap());
    let mut program = Program::start(&arguments(&up, cache.path()));
    let address = program.address();
    let calls = "pwrite64,fsync,fdatasync,ftruncate,fallocate";
    let options = [
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={calls}:error=EIO"),
    ];
    let Some(injected) = Injected::into(&program, &options) else {
        return;
    };
    restore(address, &up).await;
    ready_says(address, "degraded: the cache's disk reports errors\n").await;
    restore(address, &up).await;
    drop(injected);
    ready_says(address, "ready\n").await;
    restore(address, &up).await;
    let hit =
        async { while get(address, PACKAGE).await.header("cache-status") != "nugate; hit" {} };
    tokio::time::timeout(Duration::from_secs(30), hit)
        .await
        .unwrap();
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let told = ended.err.matches("the cache is degraded").count();
    assert_eq!(told, 1, "{}", ended.err);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_opened_is_fetched_within_the_request() {
    let (up, cache) = (upstream().await, TempDir::new().unwrap());
    let mut program = Program::start(&arguments(&up, cache.path()));
    let address = program.address();
    restore(address, &up).await;
    program.signal(Signal::TERM);
    assert_eq!(program.end().code, Some(0));
    // Now nothing is in memory.
    let mut program = Program::start(&arguments(&up, cache.path()));
    let address = program.address();
    get(address, "/v3/index.json").await;
    let files = body_files(cache.path());
    let large = files
        .iter()
        .find(|it| it.metadata().unwrap().len() > 3_000_000);
    let path = large.unwrap().to_str().unwrap();
    let options = [
        "-P",
        path,
        "-e",
        "trace=open,openat",
        "-e",
        "inject=open,openat:error=EIO",
    ];
    let Some(injected) = Injected::into(&program, &options) else {
        return;
    };
    let answer = get(address, PACKAGE).await;
    drop(injected);
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    let sent = up.change(|feed| feed.nupkg("large", "1.0.0")).unwrap();
    assert!(answer.body == sent);
    let above = "/v3-flatcontainer/large/1.0.0/large.1.0.0.nupkg";
    assert_eq!(up.count(above), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_are_served_with_few_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let (up, cache) = (upstream().await, TempDir::new().unwrap());
    let by = ["prlimit", "--nofile=256"];
    let mut program = Program::start_under(&by, &arguments(&up, cache.path()), &[]);
    let address = program.address();
    let asking = (0..1000).map(|number| client::try_get(address, PATHS[number % PATHS.len()], &[]));
    let failed: Vec<_> = join_all(asking)
        .await
        .into_iter()
        .filter(|answer| !answer.as_ref().is_ok_and(|answer| answer.status == 200))
        .collect();
    assert!(failed.is_empty(), "{} {:?}", failed.len(), failed.first());
    ready_says(address, "ready\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_connections_wait() {
    let (up, cache) = (upstream().await, TempDir::new().unwrap());
    let mut program = Program::start(&arguments(&up, cache.path()));
    let address = program.address();
    restore(address, &up).await;
    let limit = |most: &str| {
        let id = program.id().to_string();
        let status = Command::new("prlimit")
            .args(["--pid", &id, &format!("--nofile={most}:")])
            .status();
        assert!(status.unwrap().success());
    };
    limit("5");
    let late = tokio::spawn(async move { get(address, PACKAGE).await });
    let spent = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.id())).unwrap();
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split(' ')
            .filter_map(|it| it.parse().ok())
            .collect();
        // User and system time in hundredths of a second.
        fields[10] + fields[11]
    };
    let before = spent();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!late.is_finished());
    assert!(spent() - before < 50, "it spins");
    limit("1024");
    assert_eq!(late.await.unwrap().status.as_u16(), 200);
    ready_says(address, "ready\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_used_is_no_reason_not_to_start() {
    let up = upstream().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    // A folder below a file can be made by nobody, not even by root.
    let cache = file.path().join("cache");
    let mut program = Program::start(&arguments(&up, &cache));
    let address = program.address();
    restore(address, &up).await;
    ready_says(
        address,
        "degraded: the cache's folder could not be opened at start\n",
    )
    .await;
    let passed = get(address, PACKAGE).await;
    assert_eq!(passed.header("cache-status"), "nugate; fwd=uri-miss");
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("CANNOT BE OPENED"), "{}", ended.err);
    let required = [("NUGATE_CACHE__REQUIRED", "true")];
    let refused = Program::start_with(&arguments(&up, &cache), &required).end();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("cannot be opened"), "{}", refused.err);
}
