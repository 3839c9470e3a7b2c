//! `nugate health`.
//!
//! - it says that a daemon is well, over http and https, whatever name the certificate is for
//! - it fails when none answers, when another one does, and with `--ready` when it is stopping
//! - a daemon that wants client certificates counts as well

use nugate::demo::ExampleFeed;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::client;
use crate::support::program::Ended;
use crate::support::{Program, ScriptedUpstream};

const NOWHERE: &str = "--upstream http://127.0.0.1:9/v3/index.json";

fn health(arguments: &str) -> Ended {
    Program::start(&format!("health {arguments}")).end()
}

#[test]
fn a_daemon_is_well_as_long_as_it_answers() {
    let mut program = Program::start(&format!("--listen 127.0.0.1:0 {NOWHERE}"));
    let address = program.address();
    let well = health(&format!("--listen {address}"));
    assert_eq!(
        (well.code, well.out.as_str()),
        (Some(0), "alive\n"),
        "{}",
        well.err
    );
    let port = address.port();
    let well = health(&format!("--ready --listen 0.0.0.0:{port}"));
    assert_eq!(
        (well.code, well.out.as_str()),
        (Some(0), "ready\n"),
        "{}",
        well.err
    );
    program.signal(Signal::TERM);
    assert_eq!(program.end().code, Some(0));
    let gone = health(&format!("--listen {address}"));
    assert_eq!((gone.code, gone.out.as_str()), (Some(1), ""));
    assert!(gone.err.contains("refused"), "{}", gone.err);
    let unknown = health("--listen 127.0.0.1:0");
    assert!(unknown.err.contains("give --listen"), "{}", unknown.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stops_is_not_ready() {
    let large = nugate::demo::Package::new("Large", "1.0.0").padded(3_000_000);
    let up = ScriptedUpstream::new(ExampleFeed::new([large]).unwrap()).await;
    up.on("/v3-flatcontainer/large/1.0.0/large.1.0.0.nupkg")
        .stall_after(1_000_000);
    let arguments = format!("--listen 127.0.0.1:0 --upstream {}", up.index_url());
    let mut program = Program::start(&arguments);
    let address = program.address();
    let mut stream = client::open(address, "/v3/flat/large/1.0.0/large.1.0.0.nupkg", &[]).await;
    stream.next().await.unwrap().unwrap();
    program.signal(Signal::TERM);
    program.says("stopping");
    let ended = health(&format!("--ready --listen {address}"));
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    up.release();
    drop(stream);
}

#[test]
fn over_https_the_certificate_of_the_configuration_is_believed() {
    let (authority, dir) = (Authority::new("ours"), TempDir::new().unwrap());
    let file = dir.path().join("nugate.toml");
    let other = TempDir::new().unwrap();
    let pair = |dir: &TempDir, names: &[&str]| authority.issue(names).write(dir.path());
    let (certificate, key) = pair(&dir, &["nuget.corp.example"]);
    let text = |certificate: &std::path::Path, key: &std::path::Path, more: &str| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n{more}")
    };
    std::fs::write(&file, text(&certificate, &key, "")).unwrap();
    let config = format!("--config {}", file.display());
    let mut program = Program::start(&format!("{config} --listen 127.0.0.1:0 {NOWHERE}"));
    let address = program.address();
    let well = health(&format!("{config} --listen {address}"));
    assert_eq!(
        (well.code, well.out.as_str()),
        (Some(0), "alive\n"),
        "{}",
        well.err
    );

    let (foreign, foreign_key) = pair(&other, &["nuget.corp.example"]);
    let foreign_file = other.path().join("nugate.toml");
    std::fs::write(&foreign_file, text(&foreign, &foreign_key, "")).unwrap();
    let ended = health(&format!(
        "--config {} --listen {address}",
        foreign_file.display()
    ));
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    drop(program);

    let authorities = dir.path().join("authority.pem");
    std::fs::write(&authorities, &authority.pem).unwrap();
    let more = format!("client_authorities = '{}'\n", authorities.display());
    std::fs::write(&file, text(&certificate, &key, &more)).unwrap();
    let mut program = Program::start(&format!("{config} --listen 127.0.0.1:0 {NOWHERE}"));
    let address = program.address();
    let well = health(&format!("{config} --listen {address}"));
    assert_eq!(well.code, Some(0), "{}", well.err);
    assert!(
        well.out.contains("asks for a client certificate"),
        "{}",
        well.out
    );
}
