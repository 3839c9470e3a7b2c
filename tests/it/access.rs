//! Who may do what.
//!
//! - each kind of credentials and scope, by method and path; refusals before any upstream work
//! - the challenge that makes NuGet clients send credentials, and none after 403
//! - anonymous networks read, also behind trusted proxies, and only read
//! - failed log-ins end in 429, which what was verified before does not notice
//! - nothing a client says of itself is sent upstream, logged or counted
//! - users are read again when their file changes

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use nugate::config::{AccessConfig, AccessMode, Secret};
use nugate::demo::ExampleFeed;
use nugate::entry::Digest;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::client::{self, Response};
use crate::support::push::{FORM, form_of};
use crate::support::world::Settings;
use crate::support::{Program, World, get, until};

const INDEX: &str = "/v3/index.json";
const CORE: &str = "/v3/flat/example.core/1.0.0/example.core.1.0.0.nupkg";

const SECRETS: &[&str] = &[
    "reader-secret",
    "pusher-secret",
    "key-of-ci",
    "key-of-admin",
    "wrong-guess",
];

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Low cost: the tests are about who, not about how slowly.
fn users_file(dir: &Path, users: &[(&str, &str)]) -> PathBuf {
    let line = |(name, password): &(&str, &str)| {
        format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap())
    };
    let path = dir.join("users");
    std::fs::write(&path, users.iter().map(line).collect::<String>()).unwrap();
    path
}

fn key_line(name: &str, scopes: &str, key: &str) -> String {
    format!(
        "{name}:{scopes}:{}",
        hex::encode(Digest::of(key.as_bytes()).as_bytes())
    )
}

fn access(dir: &Path) -> AccessConfig {
    let users = [
        ("reader", "reader-secret"),
        ("pusher", "pusher-secret"),
        ("root", "root"),
    ];
    let keys = [
        key_line("ci", "push", "key-of-ci"),
        key_line("mirror", "read", "key-of-mirror"),
        key_line("ops", "admin", "key-of-admin"),
    ];
    AccessConfig {
        mode: AccessMode::Required,
        users_file: Some(users_file(dir, &users)),
        push_users: vec!["pusher".to_owned()],
        admin_users: vec!["root".to_owned()],
        keys: keys.iter().map(|line| line.parse().unwrap()).collect(),
        anonymous_networks: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_ours_pushes_with_that_of_the_feed() {
    let dir = TempDir::new().unwrap();
    let feed = ExampleFeed::demo().guarded_by("key-of-the-feed");
    let world = World::with(feed, |settings| {
        settings.access = access(dir.path());
        settings.options.push_key = Some(Secret::new("key-of-the-feed"));
    })
    .await;
    let pusher = basic("pusher", "pusher-secret");
    let reader = basic("reader", "reader-secret");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("x-nuget-apikey", "key-of-ci")], 201),
        (&[("authorization", &pusher)], 201),
        // A key of the feed's own is the client's affair.
        (
            &[("authorization", &pusher), ("x-nuget-apikey", "wrong")],
            403,
        ),
        (&[("authorization", &reader)], 403),
        (&[("x-nuget-apikey", "key-of-mirror")], 403),
        (&[("x-nuget-apikey", "key-of-the-feed")], 401),
    ];
    for (number, (headers, status)) in cases.iter().enumerate() {
        let form = form_of("New.Id", &format!("1.{number}.0"));
        let headers = [*headers, &[FORM]].concat();
        let answer = client::call(world.addr, Method::PUT, "/v3/publish", &headers, form).await;
        assert_eq!(
            answer.status.as_u16(),
            *status,
            "{headers:?} {}",
            answer.text()
        );
    }
    let seen = world
        .up
        .log()
        .into_iter()
        .filter(|seen| seen.method == Method::PUT);
    let keys: Vec<String> = seen
        .map(|seen| seen.header("x-nuget-apikey").to_owned())
        .collect();
    assert_eq!(keys, ["key-of-the-feed", "key-of-the-feed", "wrong"]);
}

async fn world(change: impl FnOnce(&mut Settings)) -> (World, TempDir) {
    let dir = TempDir::new().unwrap();
    let access = access(dir.path());
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.access = access;
        change(settings);
    })
    .await;
    (world, dir)
}

fn metrics(world: &World) -> String {
    world.app().proxy().metrics().render()
}

/// The answer to each of these requests of one client: GET of a document, GET of metrics, PUT, and
/// something of the administration's.
async fn four(world: &World, headers: &[(&str, &str)]) -> [u16; 4] {
    let ask = async |method, path| {
        let answer = client::call(world.addr, method, path, headers, "body").await;
        check_challenge(&answer);
        answer.status.as_u16()
    };
    [
        get(world.addr, INDEX, headers).await.status.as_u16(),
        get(world.addr, "/metrics", headers).await.status.as_u16(),
        ask(Method::PUT, INDEX).await,
        ask(Method::GET, "/-/nothing").await,
    ]
}

fn check_challenge(answer: &Response) {
    let expected = if answer.status == 401 {
        "Basic realm=\"nugate\""
    } else {
        ""
    };
    assert_eq!(answer.header("www-authenticate"), expected, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_by_credentials() {
    let (world, _dir) = world(|settings| {
        settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let (reader, pusher) = (
        basic("reader", "reader-secret"),
        basic("pusher", "pusher-secret"),
    );
    let (root, wrong) = (basic("root", "root"), basic("reader", "wrong-guess"));
    let (nobody, by_key) = (
        basic("nobody", "reader-secret"),
        basic("any", "key-of-mirror"),
    );
    let (auth, key) = ("authorization", "x-nuget-apikey");
    let none = [401; 4];
    // Nothing that is refused costs the upstream anything. Each is from elsewhere: guesses are counted.
    for (number, headers) in [
        &[][..],
        &[(auth, wrong.as_str())],
        &[(auth, &nobody)],
        &[(auth, "Basic nonsense")],
        &[(auth, "Digest username=\"reader\"")],
        &[(auth, "Bearer wrong-guess")],
        &[(key, "wrong-guess")],
        &[(key, "")],
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("192.0.2.{number}");
        let headers = [headers, &[("x-forwarded-for", &address)]].concat();
        assert_eq!(four(&world, &headers).await, none, "{headers:?}");
    }
    assert_eq!(world.up.requests(), 0);
    // Nobody offers to take a push here, so those who may push get 405.
    for (headers, expected) in [
        (&[(auth, reader.as_str())][..], [200, 200, 403, 403]),
        (&[(auth, &pusher)], [200, 200, 405, 403]),
        (&[(auth, &root)], [200, 200, 405, 404]),
        (&[(auth, &by_key)], [200, 200, 403, 403]),
        (&[(auth, "Bearer key-of-mirror")], [200, 200, 403, 403]),
        (&[(key, "key-of-mirror")], [200, 200, 403, 403]),
        (&[(key, "key-of-ci")], [403, 403, 405, 403]),
        (&[(key, "key-of-admin")], [200, 200, 405, 404]),
        // Two that complete each other, and a key of the feed beside a user of ours.
        (&[(auth, &reader), (key, "key-of-ci")], [200, 200, 405, 403]),
        (
            &[(auth, &reader), (key, "key-of-the-feed")],
            [200, 200, 403, 403],
        ),
        (
            &[(auth, &pusher), (key, "key-of-the-feed")],
            [200, 200, 405, 403],
        ),
    ] {
        assert_eq!(four(&world, headers).await, expected, "{headers:?}");
    }
    for path in ["/-/health", "/-/ready"] {
        assert_eq!(get(world.addr, path, &[]).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_repeats_its_request_on_the_same_connection() {
    let (world, _dir) = world(|_| {}).await;
    let headers = [("authorization", &*basic("reader", "reader-secret"))];
    let package = world.nupkg("example.core", "1.0.0");
    assert_eq!(get(world.addr, CORE, &[]).await.status, 401);
    let got = get(world.addr, CORE, &headers).await;
    assert_eq!(got.body, package);
    world.quiet().await;
    // Stored or not, it is not for strangers: neither whole, nor its head, nor that it is the same.
    let tag = [("if-none-match", got.header("etag"))];
    assert_eq!(get(world.addr, CORE, &tag).await.status, 401);
    assert_eq!(client::head(world.addr, CORE, &[]).await.status, 401);
    assert_eq!(client::get_h2(world.addr, CORE, &[]).await.status, 401);
    assert_eq!(
        client::get_h2(world.addr, CORE, &headers).await.body,
        package
    );
    for seen in world.up.log() {
        for name in [
            "authorization",
            "x-nuget-apikey",
            "x-forwarded-for",
            "cookie",
        ] {
            assert_eq!(seen.header(name), "", "{seen:?}");
        }
    }
    // A large upload without credentials reads why it was refused.
    let upload = vec![0; 8 << 20];
    let refused = client::call(world.addr, Method::PUT, INDEX, &[], upload).await;
    assert_eq!(refused.status, 401);
    check_challenge(&refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_networks_read_only() {
    let (world, _dir) = world(|settings| {
        let networks = ["127.0.0.0/8", "10.1.0.0/16"];
        settings.access.anonymous_networks = networks.map(|it| it.parse().unwrap()).to_vec();
    })
    .await;
    assert_eq!(four(&world, &[]).await, [200, 200, 401, 401]);
    // Nobody here may say that he is someone else's proxy.
    let forwarded = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(four(&world, &forwarded).await, [200, 200, 401, 401]);
    let wrong = [("authorization", &*basic("reader", "wrong-guess"))];
    assert_eq!(get(world.addr, INDEX, &wrong).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_its_word_counts() {
    let (world, _dir) = world(|settings| {
        settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.access.anonymous_networks = vec!["10.1.0.0/16".parse().unwrap()];
    })
    .await;
    for (forwarded, expected) in [
        ("10.1.2.3", 200),
        ("192.0.2.1", 401),
        ("10.1.2.3, 192.0.2.1", 401),
        ("192.0.2.1, 10.1.2.3", 200),
        ("192.0.2.1, 10.1.2.3, 127.0.0.9", 200),
        ("10.1.2.3, unknown", 401),
        ("10.2.2.3", 401),
    ] {
        let headers = [("x-forwarded-for", forwarded)];
        let answer = get(world.addr, INDEX, &headers).await;
        assert_eq!(answer.status, expected, "{forwarded}");
    }
    assert_eq!(get(world.addr, INDEX, &[]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_ends_and_does_not_disturb_others() {
    let (world, _dir) = world(|settings| {
        settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let from = |address| ("x-forwarded-for", address);
    let reader = basic("reader", "reader-secret");
    let good = ("authorization", reader.as_str());
    let first = get(world.addr, INDEX, &[from("192.0.2.1"), good]).await;
    assert_eq!(first.status, 200);
    for number in 0..20 {
        let guess = basic("pusher", &format!("wrong-guess-{number}"));
        let headers = [from("192.0.2.1"), ("authorization", guess.as_str())];
        assert_eq!(
            get(world.addr, INDEX, &headers).await.status,
            401,
            "{number}"
        );
    }
    let pusher = basic("pusher", "pusher-secret");
    let unverified = ("authorization", pusher.as_str());
    let limited = get(world.addr, INDEX, &[from("192.0.2.1"), unverified]).await;
    assert_eq!(
        (limited.status.as_u16(), limited.header("retry-after")),
        (429, "60")
    );
    // What was verified a moment ago is not verified again, and other addresses are others.
    let verified = get(world.addr, INDEX, &[from("192.0.2.1"), good]).await;
    assert_eq!(verified.status, 200);
    let elsewhere = get(world.addr, INDEX, &[from("192.0.2.2"), unverified]).await;
    assert_eq!(elsewhere.status, 200);
    let text = metrics(&world);
    for line in [
        "nugate_access_total{outcome=\"failed\"} 20\n",
        "nugate_access_total{outcome=\"limited\"} 1\n",
        "nugate_access_total{outcome=\"known\"} 3\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_keeps_secrets_and_reads_users_again() {
    let dir = TempDir::new().unwrap();
    let users = users_file(dir.path(), &[("reader", "reader-secret")]);
    let users = users.display().to_string();
    let made = Program::start("key --name ci --scope read --scope push --json").end();
    let made: serde_json::Value = serde_json::from_str(&made.out).unwrap();
    let (key, line) = (
        made["key"].as_str().unwrap(),
        made["line"].as_str().unwrap(),
    );
    assert!(
        line.starts_with("ci:read+push:") && !line.contains(key),
        "{line}"
    );
    let mut program = Program::start_with(
        "serve --listen 127.0.0.1:0 --upstream http://127.0.0.1:1/v3/index.json",
        &[
            ("NUGATE_ACCESS__MODE", "required"),
            ("NUGATE_ACCESS__USERS_FILE", &users),
            ("NUGATE_ACCESS__KEYS", line),
            ("NUGATE_LOG__LEVEL", "trace"),
        ],
    );
    let addr = program.address();
    let status = async |name: &str, value: &str| {
        let answer = get(addr, "/metrics", &[(name, value)]).await;
        let text = answer.text();
        for secret in SECRETS.iter().chain(&[key]) {
            assert!(!text.contains(secret), "{text}");
        }
        answer.status.as_u16()
    };
    let reader = basic("reader", "reader-secret");
    let late = basic("late", "pusher-secret");
    assert_eq!(status("authorization", &reader).await, 200);
    assert_eq!(
        status("authorization", &basic("reader", "wrong-guess")).await,
        401
    );
    assert_eq!(status("authorization", &basic("any", key)).await, 200);
    assert_eq!(status("x-nuget-apikey", key).await, 200);
    assert_eq!(status("x-nuget-apikey", "wrong-guess").await, 401);
    assert_eq!(status("authorization", &late).await, 401);

    users_file(dir.path(), &[("late", "pusher-secret")]);
    program.signal(Signal::HUP);
    until("the new user is known", async || {
        status("authorization", &late).await == 200
    })
    .await;
    // What was verified of the old file counts no more.
    assert_eq!(status("authorization", &reader).await, 401);
    std::fs::write(&users, "late:no-hash\n").unwrap();
    program.signal(Signal::HUP);
    let refused = async || {
        let text = get(addr, "/metrics", &[("x-nuget-apikey", key)])
            .await
            .text();
        text.contains("nugate_reloads_total{outcome=\"refused\"} 1\n")
    };
    until("the bad file is refused", refused).await;
    assert_eq!(status("authorization", &late).await, 200);

    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.contains("path=\"/metrics\""), "{}", ended.err);
    assert!(ended.err.contains("neither bcrypt"), "{}", ended.err);
    let basics = [&reader, &late].map(|it| it.trim_start_matches("Basic "));
    for secret in SECRETS.iter().chain(&[key, "no-hash"]).chain(&basics) {
        assert!(!ended.err.contains(secret), "{secret} is in\n{}", ended.err);
    }
}

#[test]
fn a_file_of_users_that_cannot_be_used_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let users = dir.path().join("users");
    std::fs::write(&users, "# ours\nreader:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    let users = users.display().to_string();
    let environment = [
        ("NUGATE_ACCESS__MODE", "required"),
        ("NUGATE_ACCESS__USERS_FILE", users.as_str()),
    ];
    let ended = Program::start_with("serve --listen 127.0.0.1:0", &environment).end();
    assert_eq!(ended.code, Some(1));
    let expected = format!("access: {users}:2: has a hash that is neither bcrypt");
    assert!(ended.err.contains(&expected), "{}", ended.err);
    let ended = Program::start_with("serve", &environment[..1]).end();
    assert_eq!(ended.code, Some(64));
    assert!(ended.err.contains("nobody is known"), "{}", ended.err);
}
