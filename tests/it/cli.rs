//! The program as a process: exit codes, messages, signals.
//!
//! - wrong settings: 64, every mistake named, nothing opened
//! - wrong usage: 2; `--help` tells flags and exit codes
//! - a feed that cannot be reached does not delay the start
//! - a cache in use, an address in use: 1, and which
//! - SIGTERM and SIGINT: 0

use std::net::TcpListener;
use std::time::Duration;

use nugate::clock::Stopwatch;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Program, get};

/// Nothing listens there.
const NOWHERE: &str = "--upstream http://127.0.0.1:1/v3/index.json";

#[test]
fn wrong_settings_are_all_named_and_nothing_is_opened() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let dir = TempDir::new().unwrap();
    let cache = dir.path().join("cache");
    let arguments = format!(
        "serve --listen {listen} --cache-dir {} --upstream ftp://feed.example/ --public-url nonsense",
        cache.display()
    );
    let environment = [
        ("NUGATE_CACHE__MEMORY", "lots"),
        ("NUGATE_LISEN", "127.0.0.1:80"),
    ];
    let ended = Program::start_with(&arguments, &environment).end();
    // An attempt to listen would have ended with 1: the address is taken.
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(64), ""),
        "{}",
        ended.err
    );
    for part in [
        "flag --upstream: feeds.nuget.url = \"ftp://feed.example/\": ",
        "flag --public-url: public_url = \"nonsense\": ",
        "environment NUGATE_CACHE__MEMORY: cache.memory = \"lots\": ",
        "did you mean NUGATE_LISTEN",
    ] {
        assert!(ended.err.contains(part), "{part} is not in\n{}", ended.err);
    }
    // A line that says so, and one for each mistake.
    assert_eq!(ended.err.lines().count(), 5, "{}", ended.err);
    assert!(!cache.exists());
}

#[test]
fn help_tells_flags_and_exit_codes() {
    for (arguments, flags) in [
        (
            "--help",
            &[
                "--config",
                "--upstream",
                "--listen",
                "--cache-dir",
                "--public-url",
                "serve",
                "demo",
            ][..],
        ),
        (
            "serve --help",
            &[
                "--config",
                "--upstream",
                "--listen",
                "--cache-dir",
                "--public-url",
            ],
        ),
        ("demo --help", &["--keep", "--json", "--listen"]),
    ] {
        let ended = Program::start(arguments).end();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let codes = [
            "0   success",
            "1   failure at run time",
            "2   wrong usage",
            "64  wrong configuration",
        ];
        for part in flags.iter().chain(&codes) {
            assert!(ended.out.contains(part), "{part} is not in\n{}", ended.out);
        }
    }
}

#[test]
fn wrong_usage_is_told_from_wrong_configuration() {
    for arguments in ["--lisen 127.0.0.1:0", "serve --keep", "mirror", "--listen"] {
        let ended = Program::start(arguments).end();
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (Some(2), ""),
            "{arguments}"
        );
        assert!(ended.err.contains("--help"), "{}", ended.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_cannot_be_reached_does_not_delay_the_start() {
    let watch = Stopwatch::start();
    let mut program = Program::start(&format!("serve --listen 127.0.0.1:0 {NOWHERE}"));
    let address = program.address();
    let ready = get(address, "/-/ready", &[]).await;
    let taken = watch.elapsed();
    println!("ready {taken:?} after the start of the process");
    assert_eq!(ready.status.as_u16(), 200);
    assert!(taken < Duration::from_secs(2), "{taken:?}");
    assert!(program.home().join(".cache/nugate/lock").exists());
}

#[test]
fn a_cache_in_use_is_named() {
    let dir = TempDir::new().unwrap();
    let arguments = format!(
        "--listen 127.0.0.1:0 --cache-dir {} {NOWHERE}",
        dir.path().display()
    );
    let mut first = Program::start(&arguments);
    first.address();
    let second = Program::start(&arguments).end();
    assert_eq!((second.code, second.out.as_str()), (Some(1), ""));
    let name = dir.path().display().to_string();
    assert!(second.err.contains(&name), "{}", second.err);
    assert!(second.err.contains("in use"), "{}", second.err);
    first.signal(Signal::TERM);
    assert_eq!(first.end().code, Some(0));
    let mut third = Program::start(&arguments);
    third.address();
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let ended = Program::start(&format!("serve --listen {listen} {NOWHERE}")).end();
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains(&listen.to_string()), "{}", ended.err);
}

#[test]
fn signals_end_it_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Program::start(&format!("serve --listen 127.0.0.1:0 {NOWHERE}"));
        program.address();
        program.signal(signal);
        let ended = program.end();
        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.err);
    }
}
