//! The program under measurement, and figures of it.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The program, told to listen at `listen`, with a cache of its own and a quiet log.
pub fn command(upstream: &str, cache: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nugate"));
    command
        .args(["serve", "--upstream", upstream, "--listen", listen])
        .arg("--cache-dir")
        .arg(cache)
        .env("NUGATE_LOG__LEVEL", "error")
        // The upstream is on this machine, whatever its environment says.
        .env("NUGATE_PROXY", "none");
    command
}

/// A running program and where it listens.
pub fn start(upstream: &str, cache: &Path) -> (Child, String) {
    spawn(command(upstream, cache, "127.0.0.1:0"))
}

/// Starts what [`command`] made, and reads where it listens.
pub fn spawn(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).find_map(|line| {
        let url = line.trim_start().strip_prefix("at ")?.trim().to_owned();
        Some(url.strip_prefix("http://")?.split('/').next()?.to_owned())
    });
    (child, found.unwrap())
}

/// A GET that closes its connection.
pub fn request(address: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
}

/// Asks on a connection, and reads the head of the answer: its status line, and the rest to come.
pub async fn ask(
    mut stream: TcpStream,
    address: &str,
    path: &str,
) -> (String, tokio::io::BufReader<TcpStream>) {
    let request = request(address, path);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reader = tokio::io::BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).await.unwrap();
    let mut line = status.clone();
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
    }
    (status, reader)
}

/// A line of `/proc/PID/status`, in bytes.
pub fn memory(child: &Child, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
