//! The configuration is read again on SIGHUP.
//!
//! - hosts, users and keys, lifetimes, credentials, limits and the log change while it runs
//! - what needs a restart is named, and stays as it was; the rest of the file counts all the same
//! - a file with mistakes changes nothing, and all of them are told
//! - what cannot be used changes nothing either, and neither does a file without a change

use std::fs;
use std::net::SocketAddr;

use nugate::demo::{ExampleFeed, Package};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Program, ScriptedUpstream, get, until};

const INDEX: &str = "/v3/index.json";
const LIST: &str = "/v3/flat/a.tool/index.json";
const UPSTREAM_LIST: &str = "/v3-flatcontainer/a.tool/index.json";

/// `secret`.
const KEY: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

/// A program before an upstream, with a file of its own.
struct Running {
    up: ScriptedUpstream,
    dir: TempDir,
    program: Program,
    address: SocketAddr,
}

impl Running {
    async fn start(settings: &str) -> Self {
        let feed = ExampleFeed::new([Package::new("A.Tool", "1.0.0")]).unwrap();
        let up = ScriptedUpstream::new(feed).await;
        let dir = TempDir::new().unwrap();
        write(&dir, &up, settings);
        let file = dir.path().join("nugate.toml");
        let mut program = Program::start(&format!("--config {}", file.display()));
        let address = program.address();
        Self {
            up,
            dir,
            program,
            address,
        }
    }

    /// Has another file read, and waits for what is said of it.
    fn reload(&mut self, settings: &str, said: &str) {
        write(&self.dir, &self.up, settings);
        self.program.signal(Signal::HUP);
        self.program.says(said);
    }

    async fn status(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        get(self.address, path, headers).await.status.as_u16()
    }

    /// How the version list came about.
    async fn list(&self) -> String {
        let answer = get(self.address, LIST, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("cache-status").to_owned()
    }

    async fn reloads(&self, outcome: &str) -> bool {
        let series = get(self.address, "/metrics", &[]).await.text();
        series.contains(&format!(
            "nugate_reloads_total{{outcome=\"{outcome}\"}} 1\n"
        ))
    }

    fn end(self) -> String {
        self.program.signal(Signal::TERM);
        let ended = self.program.end();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.err
    }
}

/// `settings` begin with those outside of tables; `FEED` is where those of the feed go.
fn write(dir: &TempDir, up: &ScriptedUpstream, settings: &str) {
    let feed = format!("[feeds.nuget]\nurl = '{}'\n", up.index_url());
    let text = if settings.contains("FEED\n") {
        settings.replace("FEED\n", &feed)
    } else {
        format!("{settings}\n{feed}")
    };
    let text = format!(
        "listen = '127.0.0.1:0'\ncache.dir = '{}'\n{text}",
        dir.path().join("cache").display()
    );
    fs::write(dir.path().join("nugate.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_keys_change_while_it_runs() {
    let mut running = Running::start("").await;
    let host = [("host", "cache.test")];
    assert_eq!(running.status(INDEX, &host).await, 421);
    running.reload(
        "allowed_hosts = ['cache.test']\n",
        "settings in use now: allowed_hosts",
    );
    let index = get(running.address, INDEX, &host).await.text();
    assert!(index.contains("\"http://cache.test/v3/flat/\""), "{index}");
    running.reload(
        "public_url = 'https://other.test/nuget'\n",
        "in use now: allowed_hosts, public_url",
    );
    let index = get(running.address, INDEX, &host).await.text();
    assert!(
        index.contains("\"https://other.test/nuget/v3/flat/\""),
        "{index}"
    );
    assert_eq!(running.status("/nuget/v3/index.json", &[]).await, 200);

    let restricted = format!("access.mode = 'required'\naccess.keys = ['ci:read:{KEY}']\n");
    running.reload(
        &restricted,
        "in use now: access.keys, access.mode, public_url",
    );
    let header = [("authorization", "Bearer secret")];
    let with_key = running.status(INDEX, &header).await;
    assert_eq!((with_key, running.status(INDEX, &[]).await), (200, 401));
    let other = restricted.replace("2bb8", "2bb9");
    running.reload(&other, "in use now: access.keys");
    assert_eq!(running.status(INDEX, &header).await, 401);
    running.reload("", "in use now: access.keys, access.mode");
    assert_eq!(running.status(INDEX, &[]).await, 200);
    running.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_change_while_it_runs() {
    let kept = "freshness.versions.fresh = '1d'\n";
    let brief =
        "freshness.versions.fresh = '0s'\nfreshness.versions.stale_while_revalidate = '0s'\n";
    let mut running = Running::start(kept).await;
    assert!(running.list().await.contains("fwd=uri-miss"));
    assert_eq!(running.list().await, "nugate; hit");
    running.reload(
        brief,
        "in use now: freshness.versions.fresh, freshness.versions.stale_while",
    );
    // Until the first one is stored, it is given to whoever asks.
    until("it is asked for again", async || {
        running.list().await.contains("fwd=stale")
    })
    .await;
    running.reload(kept, "in use now: ");
    assert_eq!(running.list().await, "nugate; hit");
    running.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_sent_from_then_on() {
    let dir = TempDir::new().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "one\n").unwrap();
    let with = format!(
        "freshness.versions.fresh = '0s'\nfreshness.versions.stale_while_revalidate = '0s'\n\
         FEED\nauth = 'bearer'\npassword_file = '{}'\n",
        secret.display()
    );
    let mut running = Running::start(&with).await;
    let sent = |running: &Running| {
        let log = running.up.log();
        let last = log.iter().rfind(|seen| seen.path() == UPSTREAM_LIST);
        last.unwrap().header("authorization").to_owned()
    };
    running.list().await;
    assert_eq!(sent(&running), "Bearer one");
    fs::write(&secret, "two\n").unwrap();
    running.reload(&with, "in use now: feeds.nuget.password_file");
    until("the new password is sent", async || {
        running.list().await;
        sent(&running) == "Bearer two"
    })
    .await;
    // The wrong one would be worse than the old one.
    fs::write(&secret, "").unwrap();
    running.reload(&with, "feeds.nuget.password_file: names");
    running.program.says("nothing was changed");
    running.up.clear_log();
    until("the list is asked for", async || {
        running.list().await;
        running.up.count(UPSTREAM_LIST) > 0
    })
    .await;
    assert_eq!(sent(&running), "Bearer two");
    let log = running.end();
    assert!(!log.contains("Bearer") && !log.contains("two"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_the_log_change_while_it_runs() {
    let mut running = Running::start("log.level = 'warn'\n").await;
    running.list().await;
    let new = "cache.size_max = '32 MiB'\nlog.format = 'json'\n";
    running.reload(new, "in use now: cache.size_max, log.format, log.level");
    running.list().await;
    let line = running.program.says("\"message\":\"request\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["path"], LIST);
    running.reload(&new.replace("json", "text"), "in use now: log.format");
    running.list().await;
    running.program.says(" INFO request request_id=");
    let stats = format!(
        "stats --json --config {}",
        running.dir.path().join("nugate.toml").display()
    );
    let stats: Value = serde_json::from_str(&Program::start(&stats).end().out).unwrap();
    assert_eq!(stats["bytes_max"], 32 << 20, "{stats}");
    let log = running.end();
    assert_eq!(log.matches(LIST).count(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_named_and_stays() {
    let mut running = Running::start("").await;
    running.list().await;
    let file = "network = 'offline'\nconnections_max = 7\nallowed_hosts = ['cache.test']\n\
                raw.dist.url = 'https://dist.test/'\nFEED\nattempts = 9\nurl";
    let text = file.replace("FEED\nattempts = 9\nurl", "FEED\nattempts = 9\n");
    running.reload(
        &text,
        "connections_max: needs a restart; until then it stays as it was",
    );
    for key in ["feeds.nuget.attempts", "network", "raw.dist"] {
        running.program.says(&format!("{key}: needs a restart"));
    }
    running.program.says("settings in use now: allowed_hosts");
    assert_eq!(running.status(INDEX, &[("host", "cache.test")]).await, 200);
    let missing = get(running.address, "/v3/flat/none/index.json", &[]).await;
    assert_eq!(missing.status, 404, "{missing:?}");
    assert!(running.up.count("/v3-flatcontainer/none/index.json") > 0);
    assert_eq!(running.status("/raw/dist/a", &[]).await, 404);
    // It is told each time, until it is true.
    running.reload(&text, "connections_max: needs a restart");
    running.reload("", "in use now: allowed_hosts");
    let log = running.end();
    assert_eq!(log.matches("needs a restart").count(), 8, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_every_mistake_is_told() {
    let mut running = Running::start("allowed_hosts = ['cache.test']\n").await;
    running.reload(
        "allowed_hosts = ['other.test', 'a b']\nnetwrok = 'offline'\nconnections_max = 0\n",
        "netwrok: is not a known key, did you mean `network`",
    );
    running.program.says("allowed_hosts = \"a b\"");
    running.program.says("connections_max = 0: is too small");
    running.program.says("nothing was changed");
    let status = async |host| running.status(INDEX, &[("host", host)]).await;
    assert_eq!(
        (status("cache.test").await, status("other.test").await),
        (200, 421)
    );
    assert!(running.reloads("refused").await);
    fs::remove_file(running.dir.path().join("nugate.toml")).unwrap();
    running.program.signal(Signal::HUP);
    running.program.says("nugate.toml\": cannot be read");
    running.program.says("nothing was changed");
    running.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_changes_nothing() {
    let mut running = Running::start("").await;
    let text = "allowed_hosts = ['cache.test']\naccess.mode = 'required'\naccess.users_file = '/nowhere/users'\n";
    running.reload(text, "access: /nowhere/users cannot be read");
    running.program.says("nothing was changed");
    assert_eq!(running.status(INDEX, &[]).await, 200);
    assert_eq!(running.status(INDEX, &[("host", "cache.test")]).await, 421);
    running.reload("", "the configuration is as it was");
    assert!(running.reloads("refused").await && !running.reloads("used").await);
    running.end();
}
