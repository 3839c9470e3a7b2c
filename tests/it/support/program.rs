//! The built program as a process of its own, with nothing of this machine's environment.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest wait for a line or for the end.
const WAIT: Duration = Duration::from_secs(60);

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    seen: String,
    /// Its `HOME`.
    home: TempDir,
    /// Its `TMPDIR`.
    temporary: TempDir,
}

/// What is left of a program.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// What it left in its temporary directory.
    pub left: usize,
}

impl Program {
    /// Starts `nugate` with these arguments, separated by spaces.
    pub fn start(arguments: &str) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts `nugate` with these arguments and environment variables.
    pub fn start_with(arguments: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_under(&[], arguments, environment)
    }

    /// The same, by a program that turns into it, such as `prlimit`.
    pub fn start_under(by: &[&str], arguments: &str, environment: &[(&str, &str)]) -> Self {
        let (home, temporary) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut words = by.to_vec();
        words.push(env!("CARGO_BIN_EXE_nugate"));
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(arguments.split(' ').filter(|argument| !argument.is_empty()))
            .env_clear()
            .env("HOME", home.path())
            .env("TMPDIR", temporary.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for text in out.lines() {
                // The test may have stopped listening.
                let _ = line.send(text.unwrap() + "\n");
            }
        });
        let (error, errors) = channel();
        let mut err = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            let _ = error.send(text);
        });
        Self {
            child,
            lines,
            errors,
            seen: String::new(),
            home,
            temporary,
        }
    }

    /// Waits for the banner: where it listens.
    pub fn address(&mut self) -> SocketAddr {
        loop {
            let Ok(line) = self.lines.recv_timeout(WAIT) else {
                panic!("no banner, only {:?}", self.seen);
            };
            self.seen.push_str(&line);
            let url = line.trim().strip_prefix("at ").map(str::trim);
            let host = url
                .and_then(|url| url.strip_suffix("/v3/index.json"))
                .and_then(|url| url.split_once("://"))
                .map(|(_, host)| host)
                .map(|host| host.parse().unwrap());
            if let Some(host) = host {
                return host;
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its home directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let err = self.errors.recv_timeout(WAIT).expect("it goes on");
        let status = self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv_timeout(WAIT) {
            self.seen.push_str(&line);
        }
        Ended {
            code: status.code(),
            out: std::mem::take(&mut self.seen),
            err,
            left: self.temporary.path().read_dir().unwrap().count(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
