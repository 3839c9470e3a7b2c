//! The built program as a process of its own, with nothing of this machine's environment.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
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
    errors_seen: String,
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
        Self::spawn(Stdio::null(), by, arguments, environment)
    }

    /// The same with sockets that listen already, as a service manager passes them.
    pub fn start_on(listener: TcpListener, many: u32, arguments: &str) -> Self {
        let passing = format!(
            "exec 3<&0 4<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS={many}; exec \"$0\" \"$@\""
        );
        let by = ["/bin/sh", "-c", &passing];
        Self::spawn(OwnedFd::from(listener).into(), &by, arguments, &[])
    }

    fn spawn(input: Stdio, by: &[&str], arguments: &str, environment: &[(&str, &str)]) -> Self {
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
            .stdin(input)
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
        let err = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for text in err.lines() {
                let _ = error.send(text.unwrap() + "\n");
            }
        });
        Self {
            child,
            lines,
            errors,
            seen: String::new(),
            errors_seen: String::new(),
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

    /// Waits for a line on standard error with this in it, behind those that were waited for.
    #[track_caller]
    pub fn says(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.errors.recv_timeout(WAIT) else {
                panic!("no line with {part:?}, only\n{}", self.errors_seen);
            };
            self.errors_seen.push_str(&line);
            if line.contains(part) {
                return line;
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
        loop {
            match self.errors.recv_timeout(WAIT) {
                Ok(line) => self.errors_seen.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on:\n{}", self.errors_seen),
            }
        }
        let status = self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv_timeout(WAIT) {
            self.seen.push_str(&line);
        }
        Ended {
            code: status.code(),
            out: std::mem::take(&mut self.seen),
            err: std::mem::take(&mut self.errors_seen),
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
