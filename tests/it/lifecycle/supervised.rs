//! Under a service manager.
//!
//! - it is told when clients are served, when the configuration is read again and what is left at
//!   the end, with enough time for it
//! - signs of life come as often as they are wanted
//! - a socket that it passes is listened on; several, or one that is none, are refused
//! - a second SIGTERM ends at once what the first one lets go on

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nugate::demo::{ExampleFeed, Package};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::client::{self, Stream};
use crate::support::{Program, ScriptedUpstream, get};

const LARGE: &str = "/v3/flat/large/1.0.0/large.1.0.0.nupkg";
const UPSTREAM_LARGE: &str = "/v3-flatcontainer/large/1.0.0/large.1.0.0.nupkg";
const WAIT: Duration = Duration::from_secs(60);

/// What a service manager hears.
struct Manager {
    dir: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        Self { dir, socket }
    }

    fn path(&self) -> String {
        self.dir.path().join("notify").to_str().unwrap().to_owned()
    }

    fn start(&self, arguments: &str, more: &[(&str, &str)]) -> Program {
        let path = self.path();
        let environment = [&[("NOTIFY_SOCKET", path.as_str())], more].concat();
        Program::start_with(arguments, &environment)
    }

    /// The next message.
    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("no message");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The first message that begins so; others may come before.
    fn hears_of(&self, beginning: &str) -> String {
        loop {
            let message = self.hears();
            if message.starts_with(beginning) {
                return message;
            }
        }
    }
}

async fn upstream() -> ScriptedUpstream {
    let large = Package::new("Large", "1.0.0").padded(3_000_000);
    ScriptedUpstream::new(ExampleFeed::new([large]).unwrap()).await
}

fn arguments(up: &ScriptedUpstream) -> String {
    format!("--listen 127.0.0.1:0 --upstream {}", up.index_url())
}

/// A download that stays under way until the upstream is released.
async fn under_way(up: &ScriptedUpstream, address: std::net::SocketAddr) -> Stream {
    up.on(UPSTREAM_LARGE).stall_after(1_000_000);
    let mut stream = client::open(address, LARGE, &[]).await;
    assert!(!stream.next().await.unwrap().unwrap().is_empty());
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_is_told_of_start_reload_and_end() {
    let (manager, up) = (Manager::new(), upstream().await);
    let mut program = manager.start(&arguments(&up), &[("NUGATE_SHUTDOWN_TIMEOUT", "50s")]);
    let address = program.address();
    assert_eq!(
        manager.hears(),
        format!("READY=1\nSTATUS=serving at {address}\n")
    );
    assert_eq!(get(address, "/-/ready", &[]).await.status, 200);

    program.signal(Signal::HUP);
    let reloading = manager.hears();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        since.unwrap().trim().parse::<u64>().unwrap() > 0,
        "{reloading}"
    );
    assert_eq!(
        manager.hears(),
        format!("READY=1\nSTATUS=serving at {address}\n")
    );

    let stream = under_way(&up, address).await;
    program.signal(Signal::TERM);
    let stopping = manager.hears();
    assert!(
        stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=65000000\n"),
        "{stopping}"
    );
    manager.hears_of("STATUS=stopping: 1 connection has a response under way");
    up.release();
    assert!(stream.rest().await.is_ok());
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_come_as_long_as_it_lives() {
    let (manager, up) = (Manager::new(), upstream().await);
    let mut program = manager.start(&arguments(&up), &[("WATCHDOG_USEC", "30000")]);
    program.address();
    for _ in 0..5 {
        manager.hears_of("WATCHDOG=1\n");
    }
    drop(program);
    // Those of another process are none of ours.
    let foreign = [("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")];
    let mut program = manager.start(&arguments(&up), &foreign);
    program.address();
    manager.hears_of("READY=1\n");
    program.signal(Signal::TERM);
    assert!(manager.hears().starts_with("STOPPING=1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_at_once() {
    let (manager, up) = (Manager::new(), upstream().await);
    let mut program = manager.start(&arguments(&up), &[("NUGATE_SHUTDOWN_TIMEOUT", "1h")]);
    let address = program.address();
    let stream = under_way(&up, address).await;
    program.signal(Signal::TERM);
    manager.hears_of("STOPPING=1\n");
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(stream.rest().await.is_err());
    up.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_the_limit_is_cut_and_told() {
    let (manager, up) = (Manager::new(), upstream().await);
    let mut program = manager.start(&arguments(&up), &[("NUGATE_SHUTDOWN_TIMEOUT", "100ms")]);
    let stream = under_way(&up, program.address()).await;
    program.signal(Signal::TERM);
    assert!(stream.rest().await.is_err());
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.err.contains("responses were cut off"),
        "{}",
        ended.err
    );
    up.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_passed_is_listened_on() {
    let up = upstream().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let kept = socket.try_clone().unwrap();
    // An address that cannot be listened on.
    let arguments = format!("--listen 192.0.2.1:1 --upstream {}", up.index_url());
    let mut program = Program::start_on(socket, 1, &arguments);
    assert_eq!(program.address(), address);
    program.says("the socket of the service manager is used, not `listen`");
    assert_eq!(get(address, "/-/ready", &[]).await.status, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.end().code, Some(0));
    // Clients that come between two runs wait for the second.
    let early = tokio::spawn(async move { get(address, "/-/ready", &[]).await.status });
    let mut program = Program::start_on(kept, 1, &arguments);
    program.address();
    assert_eq!(early.await.unwrap(), 200);
}

#[test]
fn sockets_that_cannot_be_used_are_refused() {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = Program::start_on(bind(), 2, "").end();
    assert_eq!(ended.code, Some(1));
    let expected = "the service manager passes 2 sockets; allowed: one, for clients";
    assert!(ended.err.contains(expected), "{}", ended.err);
    let file = File::open(Path::new("/dev/null")).unwrap();
    let socket = TcpListener::from(std::os::fd::OwnedFd::from(file));
    let ended = Program::start_on(socket, 1, "").end();
    assert_eq!(ended.code, Some(1));
    let expected = "the socket of the service manager cannot be used";
    assert!(ended.err.contains(expected), "{}", ended.err);
}
