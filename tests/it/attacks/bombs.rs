//! Small things that become large ones.
//!
//! - a document that inflates to more than it may is refused when it gets there, and costs no memory
//! - a package that inflates to much, or has entries without number, costs no memory
//! - nesting, numbers and lists without end are refused
//! - clients that do not read cost no memory

use std::io::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use nugate::demo::{ExampleFeed, Package};
use rustix::process::Signal;
use zip::write::SimpleFileOptions;

use crate::support::client::{open, try_get};
use crate::support::{Program, ScriptedUpstream, World};

const MIB: usize = 1 << 20;

fn zeros(gibibytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for _ in 0..256 {
        encoder.write_all(&vec![b' '; MIB]).unwrap();
    }
    // A stream of several members is one document (RFC 1952 section 2.2).
    encoder.finish().unwrap().repeat(4 * gibibytes)
}

/// A running program and the most memory it has had.
struct Daemon {
    program: Program,
    addr: SocketAddr,
}

impl Daemon {
    fn start(up: &ScriptedUpstream) -> Self {
        let arguments = format!("serve --listen 127.0.0.1:0 --upstream {}", up.index_url());
        let mut program = Program::start(&arguments);
        let addr = program.address();
        Self { program, addr }
    }

    /// Most memory so far, in MiB.
    fn peak(&self) -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            / 1024
    }

    fn end(self) {
        self.program.signal(Signal::TERM);
        assert_eq!(self.program.end().code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_inflates_without_end_costs_no_memory() {
    let up = ScriptedUpstream::demo().await;
    let bomb = Bytes::from(zeros(4));
    assert!(bomb.len() < 8 * MIB, "it is small: {}", bomb.len());
    let daemon = Daemon::start(&up);
    try_get(daemon.addr, "/v3/index.json", &[]).await.unwrap();
    let before = daemon.peak();
    let asked = (0..8).map(async |number| {
        let above = format!("/v3/registration5-gz-semver2/a.{number}/index.json");
        drop(
            up.on(&above)
                .reply(200, bomb.clone())
                .header("content-encoding", "gzip"),
        );
        let path = format!("/v3/registration-gz-semver2/a.{number}/index.json");
        try_get(daemon.addr, &path, &[])
            .await
            .unwrap()
            .status
            .as_u16()
    });
    assert_eq!(join_all(asked).await, vec![502; 8]);
    let peak = daemon.peak();
    assert!(peak < before + 64, "{before} MiB became {peak}");
    daemon.end();
}

/// A package with a manifest, and what `more` adds.
fn package(more: impl FnOnce(&mut zip::ZipWriter<std::io::Cursor<Vec<u8>>>)) -> Bytes {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file("a.nuspec", SimpleFileOptions::default())
        .unwrap();
    writer.write_all(b"<package/>").unwrap();
    more(&mut writer);
    writer.finish().unwrap().into_inner().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_inflates_to_much_costs_no_memory() {
    let large = package(|writer| {
        writer
            .start_file("lib/a.dll", SimpleFileOptions::default())
            .unwrap();
        for _ in 0..300 {
            writer.write_all(&vec![0; MIB]).unwrap();
        }
    });
    let many = package(|writer| {
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for number in 0..60_000 {
            writer.start_file(format!("{number}"), stored).unwrap();
        }
    });
    let up = ScriptedUpstream::demo().await;
    let daemon = Daemon::start(&up);
    try_get(daemon.addr, "/v3/index.json", &[]).await.unwrap();
    let before = daemon.peak();
    for (id, body) in [("large", large), ("many", many)] {
        drop(
            up.on(&format!("/v3-flatcontainer/{id}/1.0.0/{id}.1.0.0.nupkg"))
                .reply(200, body.clone()),
        );
        let path = format!("/v3/flat/{id}/1.0.0/{id}.1.0.0.nupkg");
        let response = try_get(daemon.addr, &path, &[]).await.unwrap();
        assert!(response.status == 200 && response.body == body, "{id}");
    }
    let peak = daemon.peak();
    assert!(peak < before + 96, "{before} MiB became {peak}");
    daemon.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_and_lists_without_end_are_refused() {
    let deep =
        |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    let registration = "/v3/registration5-gz-semver2/example.core/index.json";
    for document in [
        deep("[", "]"),
        deep(r#"{"items":"#, "}").replace(":}", ":1}"),
        format!(r#"{{"items":{}}}"#, deep("[", "]")),
        "[".repeat(1_000_000),
        format!(r#"{{"items":[],"a":{}"#, "1".repeat(1_000_000)),
    ] {
        let world = World::with(ExampleFeed::demo(), |settings| settings.options.v2 = true).await;
        drop(world.up.on(registration).reply(200, document.clone()));
        let start = document.chars().take(20).collect::<String>();
        let response = world
            .get("registration-gz-semver2/example.core/index.json")
            .await;
        assert_eq!(response.status, 502, "{start}");
        let v2 = crate::support::get(
            world.addr,
            "/api/v2/FindPackagesById()?id='Example.Core'",
            &[],
        )
        .await;
        assert_eq!(v2.status, 502, "{start}");
    }
    let entry = r#"{"@id":"http://127.0.0.1:1/a/","@type":"PackageBaseAddress/3.0.0"}"#;
    for index in [
        format!(
            r#"{{"version":"3.0.0","resources":[{}]}}"#,
            vec![entry; 5000].join(",")
        ),
        format!(
            r#"{{"version":"3.0.0","resources":[{}]}}"#,
            vec![entry; 1_000_000].join(",")
        ),
        format!(
            r#"{{"version":"3.0.0","resources":[{entry}],"a":{}}}"#,
            deep("[", "]")
        ),
        format!(
            r#"{{"version":"3.0.0","resources":[{entry}],"a":"{}"}}"#,
            "a".repeat(2 * MIB)
        ),
    ] {
        let world = World::demo().await;
        drop(world.up.on("/v3/index.json").reply(200, index.clone()));
        let response = world.get("index.json").await;
        assert_eq!(response.status, 502, "{} bytes", index.len());
    }
    // V2 filters and paths of clients.
    let world = World::with(ExampleFeed::demo(), |settings| settings.options.v2 = true).await;
    for filter in [
        "(".repeat(3000),
        "not%20".repeat(1000),
        "tolower(".repeat(900),
    ] {
        let path = format!("/api/v2/Packages?$filter={filter}");
        let response = crate::support::get(world.addr, &path, &[]).await;
        assert!(
            matches!(response.status.as_u16(), 400 | 501),
            "{response:?}"
        );
    }
    let log = world.up.log();
    let passed = |seen: &crate::support::upstream::Seen| seen.path_and_query.contains("filter");
    assert!(!log.iter().any(passed), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_cost_no_memory() {
    let large = Package::new("Example.Large", "1.0.0").padded(20 * MIB);
    let up = ScriptedUpstream::new(ExampleFeed::new([large]).unwrap()).await;
    let daemon = Daemon::start(&up);
    let path = "/v3/flat/example.large/1.0.0/example.large.1.0.0.nupkg";
    let whole = try_get(daemon.addr, path, &[]).await.unwrap().body;
    let before = daemon.peak();
    // Cold ones join a flight, warm ones read what is stored.
    let readers = join_all((0..200).map(|_| open(daemon.addr, path, &[]))).await;
    assert!(readers.iter().all(|reader| reader.status == 200));
    for reader in readers.into_iter().take(20) {
        assert!(reader.rest().await.unwrap().body == whole);
    }
    let peak = daemon.peak();
    assert!(
        peak < before + 200,
        "{before} MiB became {peak} for 4 GB of answers"
    );
    daemon.end();
}
