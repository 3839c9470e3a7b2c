//! A source for clients, and a way to run one client in a fresh home.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nugate::demo::ExampleFeed;
use nugate::entry::Digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::airgap;
use crate::company::Company;
use crate::narrow::Narrow;
use crate::nugate::{Nugate, USER};
use crate::proxy;
use crate::publish::KEY;
use crate::upstream::{CREDENTIAL, Upstream};

/// Longest run of one client, in seconds.
const PATIENCE: &str = "300";

/// `USER` as Basic credentials.
const BASIC: &str = "Basic cmVzdG9yZXI6cGFzcyAmICJ3b3JkIg==";

/// What a failure says if the runtime of a client crashed, and not the client failed.
pub const CRASH: &str = "mono crashed";

/// What mono then reports.
const CRASH_REPORT: &str = "Native Crash Reporting";

/// Why a case failed.
pub type Failure = String;

/// Id and version of a package, in lower case.
pub type Identity = (String, String);

/// What the clients' source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The feed itself, without nugate.
    Direct,
    /// nugate over http, open to everyone.
    Plain,
    /// nugate over https, with a certificate of a private authority, open to everyone.
    Tls,
    /// The same for one user, whom the clients are.
    Guarded,
    /// The same with a feed over https that is reached through a proxy alone, which wants a password.
    Proxied,
    /// nugate over http, whose feed is another nugate in front of the feed: that one answers V2
    /// from V3 documents, this one passes it on.
    Chained,
    /// nugate over http, whose feed is a folder of the same packages.
    Folder,
    /// nugate over http with a narrow line that eight others use up.
    Narrow,
    /// nugate over http, after `nugate warm` by what a restore straight from the feed left; the feed
    /// is gone.
    Warmed,
    /// nugate over http and offline, after `nugate import` of what that one exported.
    Imported,
}

impl World {
    /// Whether nugate knows a user, whom the clients are.
    const fn has_user(self) -> bool {
        matches!(self, Self::Guarded | Self::Proxied)
    }

    /// As it is printed behind the name of a case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "no nugate",
            Self::Plain => "http",
            Self::Tls => "https",
            Self::Guarded => "https as a user",
            Self::Proxied => "https as a user, feed behind a proxy",
            Self::Chained => "http, through another",
            Self::Folder => "http, a folder",
            Self::Narrow => "http, on a narrow line",
            Self::Warmed => "http, warmed, no feed",
            Self::Imported => "http, imported, no feed",
        }
    }
}

/// Folders of installed clients and of their wrappers.
#[derive(Clone)]
pub struct Installed {
    /// The clients.
    pub tools: PathBuf,
    wrappers: PathBuf,
}

impl Installed {
    /// Where the environment says; `Err` says what is absent.
    pub fn find() -> Result<Self, String> {
        let tools = env::var_os("NGTEST_CLIENTS").ok_or("NGTEST_CLIENTS is not set")?;
        let tools = PathBuf::from(tools);
        let shared = env::var_os("NGTEST_SHARED").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
            PathBuf::from,
        );
        let wrappers = shared.join("clients");
        for folder in [&tools, &wrappers] {
            if !folder.is_dir() {
                return Err(format!("there is no {}", folder.display()));
            }
        }
        Ok(Self {
            tools: tools.canonicalize().unwrap(),
            wrappers: wrappers.canonicalize().unwrap(),
        })
    }
}

impl Installed {
    /// A wrapper, or `node`, to be run in `home` with these arguments.
    pub fn command(&self, home: &Path, wrapper: &str, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", PATIENCE]);
        if wrapper == "node" {
            command.arg("node");
        } else {
            command.arg("bash").arg(self.wrappers.join(wrapper));
        }
        command
            .args(args)
            .current_dir(home)
            .env("NG_TOOLS", &self.tools)
            .env("NG_HOME", home)
            .stdin(Stdio::null());
        command
    }
}

/// Everything a case needs.
pub struct Bench {
    /// What the source is.
    pub world: World,
    /// URL of the source the clients are given.
    pub source: String,
    /// The feed.
    pub upstream: Arc<Upstream>,
    /// The clients.
    pub installed: Installed,
    authority: Option<PathBuf>,
    nugate: Option<Nugate>,
    _folder: Option<TempDir>,
    company: Option<Company>,
    /// Who else uses the line.
    pub narrow: Option<Narrow>,
}

impl Bench {
    /// Starts what the world has besides the feed.
    pub fn start(
        world: World,
        upstream: &Arc<Upstream>,
        installed: &Installed,
        feed: &ExampleFeed,
    ) -> Self {
        let folder = (world == World::Folder).then(|| folder_of(feed));
        let company = (world == World::Proxied).then(|| Company::start(feed));
        let narrow = (world == World::Narrow).then(|| Narrow::start(feed));
        let upstream = match (&company, &narrow) {
            (Some(company), _) => &company.upstream,
            (_, Some(narrow)) => &narrow.upstream,
            (None, None) => upstream,
        };
        let nugate = match (world, &folder) {
            (World::Direct, _) => None,
            (_, Some(dir)) => Some(Nugate::over(dir.path())),
            (World::Tls, _) => Some(Nugate::tls(&upstream.index)),
            (World::Guarded | World::Proxied, None) => {
                let more = company.as_ref().map_or_else(Vec::new, Company::settings);
                Some(Nugate::guarded(&upstream.index, more))
            }
            (World::Narrow, _) => Some(Nugate::with(&upstream.index, Narrow::settings())),
            (World::Chained, _) => Some(Nugate::behind(Nugate::open(&upstream.index))),
            (World::Warmed, _) => Some(airgap::warmed(installed, feed)),
            (World::Imported, _) => Some(airgap::imported(installed, feed)),
            (World::Plain | World::Folder, None) => Some(Nugate::open(&upstream.index)),
        };
        let source = nugate.as_ref().map_or(&upstream.index, |n| &n.source);
        if let Some(narrow) = &narrow {
            narrow.crowd(source);
        }
        Self {
            world,
            source: source.clone(),
            upstream: Arc::clone(upstream),
            installed: installed.clone(),
            authority: nugate.as_ref().and_then(|n| n.authority.clone()),
            nugate,
            _folder: folder,
            company,
            narrow,
        }
    }

    /// Runs a wrapper in `home` as who the world's clients are; what it printed, or why it failed.
    pub fn run(&self, home: &Path, client: &[&str], args: &[&str]) -> Result<String, Failure> {
        self.run_as(home, client, args, self.world.has_user())
    }

    /// The same as the user, or as nobody.
    pub fn run_as(
        &self,
        home: &Path,
        client: &[&str],
        args: &[&str],
        is_user: bool,
    ) -> Result<String, Failure> {
        let (wrapper, exe) = (client[0], client.get(1));
        let mut command = self.installed.command(home, wrapper, args);
        if let Some(authority) = &self.authority {
            if wrapper == "nuget28.sh" {
                trust(home, authority)?;
            }
            command
                .env("NG_CA", authority)
                .env("NODE_EXTRA_CA_CERTS", authority)
                .env("NG_INSECURE", "0");
        }
        if is_user {
            self.write_config(home)?;
            command.env("NG_USER", USER.0).env("NG_PASS", USER.1);
        }
        if let Some(exe) = exe {
            command.env("NG_EXE", self.installed.tools.join(exe));
        }
        said(&mut command)
    }

    /// Writes the configuration that clients find in the folder they run in: it names the source
    /// and the user.
    fn write_config(&self, home: &Path) -> Result<(), Failure> {
        let source = &self.source;
        let (user, password) = USER;
        let password = password.replace('&', "&amp;").replace('"', "&quot;");
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<configuration><packageSources><clear />\
             <add key=\"guarded\" value=\"{source}\" protocolVersion=\"3\" /></packageSources>\
             <packageSourceCredentials><guarded><add key=\"Username\" value=\"{user}\" />\
             <add key=\"ClearTextPassword\" value=\"{password}\" /></guarded>\
             </packageSourceCredentials></configuration>"
        );
        fs::write(home.join("nuget.config"), text).map_err(|error| error.to_string())
    }

    /// The packages below `folder`, each of which must be byte for byte one of the feed's.
    pub fn packages_in(&self, folder: &Path) -> Result<Vec<Identity>, Failure> {
        let mut found = Vec::new();
        for file in files(folder) {
            if file
                .extension()
                .is_some_and(|extension| extension == "nupkg")
            {
                let bytes = fs::read(&file).map_err(|error| error.to_string())?;
                let identity = self.upstream.packages.get(Digest::of(&bytes).as_bytes());
                let wrong = || format!("{} is no package of the feed", file.display());
                found.push(identity.cloned().ok_or_else(wrong)?);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Whether the source's version list has the version, asked by the test itself.
    pub fn lists(&self, id: &str, version: &str) -> Result<bool, Failure> {
        let folder = if self.world == World::Direct {
            "v3-flatcontainer"
        } else {
            "v3/flat"
        };
        let answer = self.get(&format!("/{folder}/{id}/index.json"))?;
        Ok(answer.contains(&format!("\"{version}\"")))
    }

    /// What is wrong with any request to the proxy so far, if there is one, and with what nugate
    /// wrote of itself: no secret is in it, of whomever.
    pub fn audit_proxy(&self) -> Result<(), Failure> {
        self.company.as_ref().map_or(Ok(()), Company::audit)?;
        let Some(nugate) = &self.nugate else {
            return Ok(());
        };
        let log = fs::read_to_string(&nugate.log).map_err(|error| error.to_string())?;
        if log.is_empty() {
            return Err("nugate wrote no log".to_owned());
        }
        let (_, password, basic) = CREDENTIAL;
        let of_proxy = proxy::basic(proxy::USER);
        let secrets = [
            password,
            basic,
            USER.1,
            BASIC,
            KEY,
            proxy::USER.1,
            &of_proxy,
        ];
        // Without the word `Basic`, which is no secret.
        let bare = |secret: &&str| log.contains(secret.trim_start_matches("Basic "));
        match secrets.iter().find(|secret| bare(secret)) {
            Some(secret) => Err(format!("{secret} is in the log of nugate")),
            None => Ok(()),
        }
    }

    /// Fails unless nugate has asked its feed for V2 documents of each kind that the clients ask for.
    pub fn has_passed_v2_on(&self) -> Result<(), Failure> {
        let metrics = self.get("/metrics")?;
        let is_asked = |kind: &&&str| {
            let label = format!("resource=\"{kind}\"");
            metrics.lines().any(|line| {
                line.starts_with("nugate_upstream_requests_total{")
                    && line.contains(&label)
                    && !line.ends_with(" 0")
            })
        };
        let kinds = ["v2_search", "v2_versions"];
        match kinds.iter().find(|kind| !is_asked(kind)) {
            Some(kind) => Err(format!("no {kind} was asked of the other nugate")),
            None => Ok(()),
        }
    }

    /// How often nugate was asked for a resource, by the name that its metrics have for it.
    pub fn asked(&self, resource: &str) -> Result<u64, Failure> {
        let label = format!("resource=\"{resource}\"");
        let metrics = self.get("/metrics")?;
        let counts = metrics
            .lines()
            .filter(|line| line.starts_with("nugate_requests_total{") && line.contains(&label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(counts.sum())
    }

    /// The source's answer, asked by the test itself.
    pub fn get(&self, path: &str) -> Result<String, Failure> {
        let told = |error: std::io::Error| error.to_string();
        let host = self.source.split('/').nth(2).unwrap_or_default();
        let user = if self.world.has_user() {
            format!("Authorization: {BASIC}\r\n")
        } else {
            String::new()
        };
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{user}Connection: close\r\n\r\n");
        let stream = TcpStream::connect(host).map_err(told)?;
        let answer = match &self.authority {
            Some(authority) => exchange(over_tls(stream, authority)?, &head),
            None => exchange(stream, &head),
        };
        answer.map_err(told)
    }
}

fn over_tls(
    stream: TcpStream,
    authority: &Path,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Failure> {
    let certificate = CertificateDer::from_pem_file(authority).map_err(|e| e.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|e| e.to_string())?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
    Ok(StreamOwned::new(connection, stream))
}

fn exchange(mut stream: impl Read + Write, head: &str) -> std::io::Result<String> {
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Makes mono trust the authority; the wrappers of newer clients do it themselves.
fn trust(home: &Path, authority: &Path) -> Result<(), Failure> {
    let home = home.join("home");
    fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let mut command = Command::new("cert-sync");
    command.arg("--user").arg(authority).env("HOME", home);
    said(&mut command).map(drop)
}

/// Runs it: what it printed, or why it failed.
pub fn said(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| error.to_string())?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(said)
    } else if said.contains(CRASH_REPORT) {
        Err(format!("{CRASH}: {}: {}", output.status, tail(&said)))
    } else {
        Err(format!("{}: {}", output.status, tail(&said)))
    }
}

/// The packages of the feed as files.
fn folder_of(feed: &ExampleFeed) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (number, release) in feed.by_commit().into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.nupkg"));
        fs::write(path, &release.nupkg).unwrap();
    }
    folder
}

/// The last lines, on one line.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
