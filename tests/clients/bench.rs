//! The feed, nugate in front of it, and a way to run one client in a fresh home.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use nugate::demo::{ExampleFeed, server};
use nugate::entry::Digest;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Longest run of one client, in seconds.
const PATIENCE: &str = "300";

/// Why a case failed.
pub type Failure = String;

/// Id and version of a package, in lower case.
pub type Identity = (String, String);

/// Everything a case needs.
pub struct Bench {
    /// URL of the source the clients are given.
    pub source: String,
    /// Whether that is the feed itself.
    pub direct: bool,
    /// Whether nugate's feed is a folder, which knows no vulnerabilities.
    pub folder: bool,
    /// Whether nugate's feed is another nugate, which speaks V2.
    pub chained: bool,
    /// The feed's packages by the digest of their bytes: lower-case id and version.
    pub packages: BTreeMap<[u8; 32], Identity>,
    /// Folder of installed clients.
    pub tools: PathBuf,
    wrappers: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    feed: Arc<Mutex<ExampleFeed>>,
    /// A second nugate, which speaks https with a certificate of a private authority and serves
    /// one user; none when clients ask the feed itself.
    guarded: Option<Nugate>,
    nugate: Option<Nugate>,
    /// The feed of the one above, when that is another nugate.
    _inner: Option<Nugate>,
    _folder: Option<TempDir>,
    _runtime: Runtime,
}

/// The one user of the guarded nugate.
const USER: (&str, &str) = ("restorer", "pass & \"word\"");

/// Folder of installed clients and of their wrappers; `Err` says what is absent.
pub fn installed() -> Result<(PathBuf, PathBuf), String> {
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
    Ok((
        tools.canonicalize().unwrap(),
        wrappers.canonicalize().unwrap(),
    ))
}

impl Bench {
    /// Starts the feed and nugate, or the feed alone when `NGTEST_DIRECT` is set.
    pub fn start(feed: ExampleFeed, tools: PathBuf, wrappers: PathBuf) -> Self {
        let direct = env::var_os("NGTEST_DIRECT").is_some();
        // Clients refuse a plain-http source that lists the resource; nugate must leave it out.
        let feed = if direct {
            feed.without("RepositorySignatures")
        } else {
            feed
        };
        let packages = feed
            .by_commit()
            .into_iter()
            .map(|release| {
                let identity = (release.package.id.to_lowercase(), release.version.lower());
                (*Digest::of(&release.nupkg).as_bytes(), identity)
            })
            .collect();
        let runtime = Runtime::new().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let feed = Arc::new(Mutex::new(feed));
        let upstream = listen(&runtime, Arc::clone(&feed), Arc::clone(&log));
        let nugate = (!direct).then(|| Nugate::start(&upstream));
        let guarded = (!direct).then(|| Nugate::guarded(&upstream));
        Self {
            source: nugate.as_ref().map_or(upstream, |n| n.source.clone()),
            direct,
            folder: false,
            chained: false,
            packages,
            tools,
            wrappers,
            log,
            feed,
            guarded,
            nugate,
            _inner: None,
            _folder: None,
            _runtime: runtime,
        }
    }

    /// URL of the guarded source.
    pub fn guarded_source(&self) -> Result<String, Failure> {
        let guarded = self.guarded.as_ref().ok_or("there is none")?;
        // Old clients know no addresses in certificates.
        Ok(guarded.source.replace("127.0.0.1", "localhost"))
    }

    /// Writes a configuration that names the guarded source and the user; its path.
    pub fn guarded_config(&self, home: &Path) -> Result<PathBuf, Failure> {
        let source = self.guarded_source()?;
        let (user, password) = USER;
        let password = password.replace('&', "&amp;").replace('"', "&quot;");
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<configuration><packageSources><clear />\
             <add key=\"guarded\" value=\"{source}\" protocolVersion=\"3\" /></packageSources>\
             <packageSourceCredentials><guarded><add key=\"Username\" value=\"{user}\" />\
             <add key=\"ClearTextPassword\" value=\"{password}\" /></guarded>\
             </packageSourceCredentials></configuration>"
        );
        let path = home.join("guarded.config");
        fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(path)
    }

    /// The same feed, with another nugate in front of the one there is: its feed speaks V2.
    pub fn behind_another(self) -> Self {
        let nugate = Nugate::start(&self.source);
        Self {
            source: nugate.source.clone(),
            chained: true,
            _inner: self.nugate,
            nugate: Some(nugate),
            ..self
        }
    }

    /// Whether nugate has asked its feed for V2 documents of this kind.
    pub fn has_passed_on(&self, resource: &str) -> Result<bool, Failure> {
        let address = self.source.trim_start_matches("http://");
        let address = address.split('/').next().unwrap_or_default();
        let ask = || {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok::<_, std::io::Error>(text)
        };
        let text = ask().map_err(|error| error.to_string())?;
        let label = format!("resource=\"{resource}\"");
        let mut lines = text.lines();
        Ok(
            lines
                .any(|it| it.starts_with("nugate_upstream_requests_total{") && it.contains(&label)),
        )
    }

    /// The same packages, with nugate in front of a folder that they lie in.
    pub fn over_a_folder(self, feed: &ExampleFeed) -> Self {
        let folder = TempDir::new().unwrap();
        for (number, release) in feed.by_commit().into_iter().enumerate() {
            let path = folder.path().join(format!("{number}.nupkg"));
            fs::write(path, &release.nupkg).unwrap();
        }
        let nugate = Nugate::start(&format!("folder:{}", folder.path().display()));
        Self {
            source: nugate.source.clone(),
            direct: false,
            folder: true,
            chained: false,
            nugate: Some(nugate),
            _folder: Some(folder),
            ..self
        }
    }

    /// Runs a wrapper in `home`; what it printed, or why it failed.
    pub fn run(&self, home: &Path, client: &[&str], args: &[&str]) -> Result<String, Failure> {
        self.run_with(home, client, args, &[])
    }

    /// The same as a client that trusts the private authority; with `user`, the wrapper is told who
    /// it is.
    pub fn run_guarded(
        &self,
        home: &Path,
        client: &[&str],
        args: &[&str],
        user: bool,
    ) -> Result<String, Failure> {
        let guarded = self.guarded.as_ref().ok_or("there is none")?;
        let authority = guarded.dir.path().join("certs/ca.crt");
        let authority = authority.to_str().unwrap_or_default();
        let all = [
            ("NG_CA", authority),
            ("NG_INSECURE", "0"),
            ("NG_USER", USER.0),
            ("NG_PASS", USER.1),
        ];
        let told = if user { &all[..] } else { &all[..2] };
        self.run_with(home, client, args, told)
    }

    fn run_with(
        &self,
        home: &Path,
        client: &[&str],
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let (wrapper, exe) = (client[0], client.get(1));
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
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        if let Some(exe) = exe {
            command.env("NG_EXE", self.tools.join(exe));
        }
        let output = command.output().map_err(|error| error.to_string())?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if output.status.success() {
            Ok(said)
        } else {
            Err(format!("{}: {}", output.status, tail(&said)))
        }
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
                let identity = self.packages.get(Digest::of(&bytes).as_bytes());
                let wrong = || format!("{} is no package of the feed", file.display());
                found.push(identity.cloned().ok_or_else(wrong)?);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Forgets the requests the feed has had.
    pub fn clear_log(&self) {
        self.log.lock().unwrap().clear();
    }

    /// The versions the feed has of an id in lower case.
    pub fn versions_of(&self, id: &str) -> Vec<String> {
        let feed = self.feed.lock().unwrap();
        let releases = feed.releases(id).iter();
        releases.map(|release| release.version.lower()).collect()
    }

    /// How many of them it lists.
    pub fn listed_of(&self, id: &str) -> usize {
        let feed = self.feed.lock().unwrap();
        let releases = feed.releases(id).iter();
        releases.filter(|release| release.package.listed).count()
    }

    /// Whether the feed has symbols of a version.
    pub fn has_symbols(&self, id: &str, version: &str) -> bool {
        self.feed.lock().unwrap().has_symbols(id, version)
    }

    /// Paths the feed has been asked for since.
    pub fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
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

/// Serves the feed; the URL of its service index.
fn listen(
    runtime: &Runtime,
    feed: Arc<Mutex<ExampleFeed>>,
    log: Arc<Mutex<Vec<String>>>,
) -> String {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let index = format!("{base}/v3/index.json");
    let answer = Arc::new(move |head: &http::request::Parts, body: Bytes| {
        log.lock().unwrap().push(head.uri.path().to_owned());
        feed.lock().unwrap().answer(&base, head, &body)
    });
    runtime.spawn(server::serve_with(listener, answer, std::future::pending()));
    index
}

/// A running nugate with a cache of its own.
struct Nugate {
    process: Child,
    source: String,
    /// The cache, and for a guarded one its certificates and users.
    dir: TempDir,
}

fn program() -> String {
    env::var("NGTEST_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_nugate").to_owned())
}

impl Nugate {
    /// With a certificate of its own making and one user.
    fn guarded(upstream: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let certs = dir.path().join("certs");
        let made = Command::new(program())
            .args(["cert", "localhost", "127.0.0.1", "--out"])
            .arg(&certs)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let users = dir.path().join("users");
        let hash = bcrypt::hash(USER.1, bcrypt::DEFAULT_COST).unwrap();
        fs::write(&users, format!("{}:{hash}\n", USER.0)).unwrap();
        let environment = [
            ("NUGATE_TLS__CERTIFICATE", certs.join("server.crt")),
            ("NUGATE_TLS__KEY", certs.join("server.key")),
            ("NUGATE_ACCESS__MODE", PathBuf::from("required")),
            ("NUGATE_ACCESS__USERS_FILE", users),
        ];
        Self::start_in(dir, upstream, &environment)
    }

    fn start(upstream: &str) -> Self {
        Self::start_in(TempDir::new().unwrap(), upstream, &[])
    }

    fn start_in(dir: TempDir, upstream: &str, environment: &[(&str, PathBuf)]) -> Self {
        let program = program();
        let mut process = Command::new(&program)
            .args(["serve", "--upstream", upstream, "--listen", "127.0.0.1:0"])
            .arg("--cache-dir")
            .arg(dir.path().join("cache"))
            .env("NUGATE_LOG__LEVEL", "warn")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
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
        Self {
            process,
            source,
            dir,
        }
    }
}

impl Drop for Nugate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The URL that the line `  at     URL` of the program's output names.
fn address(line: &str) -> Option<String> {
    let url = line.trim_start().strip_prefix("at ")?.trim();
    Some(url.to_owned())
}
