//! A running nugate with a cache of its own, over http or https, open or for one user, or behind
//! another.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::bench::said;
use crate::upstream::CREDENTIAL;

/// The one user of a guarded nugate, who may also push.
pub const USER: (&str, &str) = ("restorer", "pass & \"word\"");

/// The process, and what it needs.
pub struct Nugate {
    process: Child,
    /// URL of its service index.
    pub source: String,
    /// Certificate of the private authority that its own certificate is of, if it speaks https.
    pub authority: Option<PathBuf>,
    /// What it says of itself, more than it does by default.
    pub log: PathBuf,
    dir: TempDir,
    /// The one that is its feed.
    behind: Option<Box<Self>>,
}

/// Settings as variables.
pub type Settings = Vec<(&'static str, PathBuf)>;

impl Nugate {
    /// Over http, open to everyone.
    pub fn open(upstream: &str) -> Self {
        Self::start(TempDir::new().unwrap(), upstream, None, credential())
    }

    /// The same with a folder of packages as its feed.
    pub fn over(folder: &Path) -> Self {
        let upstream = format!("folder:{}", folder.display());
        Self::start(TempDir::new().unwrap(), &upstream, None, Vec::new())
    }

    /// The same with another one as its feed, which is shown no credential.
    pub fn behind(inner: Self) -> Self {
        let dir = TempDir::new().unwrap();
        let source = inner.source.clone();
        let mut outer = Self::start(dir, &source, None, Vec::new());
        outer.behind = Some(Box::new(inner));
        outer
    }

    /// Over http, open to everyone, with these settings besides; shows its feed the credential.
    pub fn with(upstream: &str, more: Settings) -> Self {
        let mut settings = credential();
        settings.extend(more);
        Self::start(TempDir::new().unwrap(), upstream, None, settings)
    }

    /// Runs a command on its cache.
    pub fn command(&self, arguments: &[&str]) {
        let cache = self.dir.path().join("cache");
        let cache = ["--cache-dir", cache.to_str().unwrap()];
        command(&[arguments, &cache].concat());
    }

    /// Over https, with a certificate of its own making.
    pub fn tls(upstream: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let (authority, mut settings) = certificate(dir.path());
        settings.extend(credential());
        Self::start(dir, upstream, Some(authority), settings)
    }

    /// Over https, for one user, with these settings besides.
    pub fn guarded(upstream: &str, more: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let (authority, mut settings) = certificate(dir.path());
        let users = dir.path().join("users");
        let hash = bcrypt::hash(USER.1, bcrypt::DEFAULT_COST).unwrap();
        fs::write(&users, format!("{}:{hash}\n", USER.0)).unwrap();
        settings.extend(credential());
        settings.extend(more);
        settings.extend([
            ("NUGATE_ACCESS__MODE", PathBuf::from("required")),
            ("NUGATE_ACCESS__PUSH_USERS", PathBuf::from(USER.0)),
            ("NUGATE_ACCESS__USERS_FILE", users),
        ]);
        Self::start(dir, upstream, Some(authority), settings)
    }

    fn start(dir: TempDir, upstream: &str, authority: Option<PathBuf>, settings: Settings) -> Self {
        let program = program();
        let log = dir.path().join("log");
        let mut process = without_proxies(&program)
            .args(["serve", "--upstream", upstream, "--listen", "127.0.0.1:0"])
            .arg("--cache-dir")
            .arg(dir.path().join("cache"))
            .env("NUGATE_LOG__LEVEL", "debug")
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (send, receive) = mpsc::channel();
        // Goes on reading, so that the program never waits for its output to be read.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = send.send(address(&line));
            }
        });
        let source = std::iter::from_fn(|| receive.recv_timeout(Duration::from_secs(30)).ok())
            .flatten()
            .next();
        let Some(source) = source else {
            let _ = process.kill();
            panic!("{program} did not say where it listens");
        };
        let source = match &authority {
            // Old clients know no addresses in certificates.
            Some(_) => source.replace("127.0.0.1", "localhost"),
            None => source,
        };
        Self {
            process,
            source,
            authority,
            log,
            dir,
            behind: None,
        }
    }
}

impl Drop for Nugate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The one behind ends after this one, which still may ask it.
        drop(self.behind.take());
    }
}

/// Runs a command that must succeed.
pub fn command(arguments: &[&str]) {
    let mut command = without_proxies(&program());
    let said = said(command.args(arguments).stdin(Stdio::null()));
    said.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
}

/// Starts from an environment in which the machine's own proxies are not named.
fn without_proxies(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

fn program() -> String {
    env::var("NGTEST_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_nugate").to_owned())
}

/// What the feed wants to be shown.
fn credential() -> Settings {
    vec![
        ("NUGATE_FEEDS__NUGET__AUTH", PathBuf::from("basic")),
        ("NUGATE_FEEDS__NUGET__USERNAME", PathBuf::from(CREDENTIAL.0)),
        ("NUGATE_FEEDS__NUGET__PASSWORD", PathBuf::from(CREDENTIAL.1)),
    ]
}

/// Makes an authority and a certificate below `dir`: the authority, and the settings.
fn certificate(dir: &Path) -> (PathBuf, Settings) {
    let certs = dir.join("certs");
    let made = Command::new(program())
        .args(["cert", "localhost", "127.0.0.1", "--out"])
        .arg(&certs)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let settings = vec![
        ("NUGATE_TLS__CERTIFICATE", certs.join("server.crt")),
        ("NUGATE_TLS__KEY", certs.join("server.key")),
    ];
    (certs.join("ca.crt"), settings)
}

/// The URL that the line `  at     URL` of the program's output names.
fn address(line: &str) -> Option<String> {
    let url = line.trim_start().strip_prefix("at ")?.trim();
    Some(url.to_owned())
}
