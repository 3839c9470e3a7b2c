//! The control socket, and what commands do when there is no daemon behind it.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Place, nupkg};
use crate::support::Program;

/// The status of the answer to these bytes, and its body.
async fn raw(place: &Place, request: &str) -> (String, String) {
    let socket = place.path().join("control.sock");
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    read.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

fn order(text: &str) -> String {
    let length = text.len();
    format!("POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{text}")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_for_its_owner_and_takes_orders_only() {
    let mut place = Place::new(1).await;
    let socket = place.path().join("control.sock");
    let metadata = socket.metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let long = format!("\"{}\"", "x".repeat(65_536));
    for (request, status) in [
        (
            "GET /v1/orders HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            "405",
        ),
        (
            order("\"stats\"").replace("/v1/orders", "/v2/orders"),
            "404",
        ),
        (order("\"dance\""), "400"),
        (order(&long), "400"),
        (order("\"stats\""), "200"),
    ] {
        let (found, body) = raw(&place, &request).await;
        assert_eq!(found, status, "{}: {body}", &request[..40]);
        let expected = if status == "200" {
            "\"done\""
        } else {
            "\"failed\""
        };
        assert!(body.contains(expected), "{body}");
    }
    place.stop();
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_left_is_in_nobodys_way() {
    let mut place = Place::new(1).await;
    place.stored(&nupkg(0)).await;
    let (program, _) = place.daemon.take().unwrap();
    program.signal(Signal::KILL);
    assert_eq!(program.end().code, None);
    assert!(place.path().join("control.sock").exists());
    assert_eq!(place.json("stats")["package_versions"], 1);
    place.start();
    assert_eq!(place.json("stats")["package_versions"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_path_is_no_hindrance() {
    let mut place = Place::below(1, &"long".repeat(50)).await;
    place.stored(&nupkg(0)).await;
    assert_eq!(place.json("stats")["package_versions"], 1);
    place.stop();
    assert_eq!(place.json("stats")["package_versions"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_process_has_is_left_alone() {
    let place = Place::new(1).await;
    std::fs::remove_file(place.path().join("control.sock")).unwrap();
    for command in ["stats", "gc", "verify", "purge a", "pin a", "unpin a"] {
        let ended = place.run(command);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{command}");
        assert!(
            ended.err.contains("is in use by another process"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn a_cache_that_is_not_there_is_not_made() {
    let dir = TempDir::new().unwrap();
    let cache = dir.path().join("cache");
    let ended = Program::start(&format!("stats --cache-dir {}", cache.display())).end();
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains("there is no cache at"), "{}", ended.err);
    assert!(!cache.exists());
}

#[test]
fn help_completions_and_manual_name_every_command() {
    let dir = TempDir::new().unwrap();
    let man = format!("man --out {}", dir.path().display());
    assert_eq!(Program::start(&man).end().code, Some(0));
    let bash = Program::start("completions bash").end().out;
    for command in ["stats", "gc", "verify", "purge", "pin", "unpin"] {
        let help = Program::start(&format!("{command} --help")).end();
        for part in [
            "--json",
            "--config",
            "--cache-dir",
            "64  wrong configuration",
        ] {
            assert!(help.out.contains(part), "{part} is not in\n{}", help.out);
        }
        assert!(bash.contains(command), "{command}");
        let page = dir.path().join(format!("nugate-{command}.1"));
        assert!(std::fs::read_to_string(page).unwrap().contains("config"));
    }
    assert!(Program::start("man").end().out.contains(".TH nugate 1"));
}
