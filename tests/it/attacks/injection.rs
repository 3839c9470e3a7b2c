//! Bytes of a request in places where they mean something else.
//!
//! - whatever byte stands wherever in a path or query, the feed gets clean lines and clean paths
//! - no path leaves its place, in the feed's URL or on disk
//! - a path that only looks like a package is none

use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use nugate::demo::ExampleFeed;

use crate::support::World;
use crate::support::client::raw;

/// Places in paths and queries.
const PLACES: &[&str] = &[
    "/v3/flat/aXa/index.json",
    "/v3/flat/a/1.0.0X/a.1.0.0.nupkg",
    "/v3/flat/a/1.0.0/aX.1.0.0.nupkg",
    "/v3/registration-gz-semver2/aXa/index.json",
    "/v3/registration/a/page/1.0.0X/2.0.0.json",
    "/v3/catalog/dataX/a.json",
    "/v3/vulnerabilities/page/X",
    "/v3/query?q=aXa&take=3",
    "/v3/autocomplete?aX=b",
    "/v3/X/index.json",
    "/api/v2/FindPackagesById()?id='aXa'",
    "/api/v2/Packages(Id='aXa',Version='1.0.0')",
    "/api/v2/Search()?searchTerm='aXa'",
    "/api/v2/package/aXa/1.0.0",
];

async fn world() -> World {
    World::with(ExampleFeed::demo(), |settings| settings.options.v2 = true).await
}

/// The status line of the answer to GET.
async fn ask(world: &World, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8_lossy(&raw(world.addr, request.as_bytes()).await).into_owned();
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    assert!(!head.to_lowercase().contains("\nevil"), "{target}: {head}");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// What the feed was asked is what its documents can be.
fn check_asked(world: &World) {
    // Where V2 is spoken is asked once, whatever a client asks for.
    let asked = world.up.log().into_iter();
    for seen in asked.filter(|seen| seen.path_and_query != "/api/v2/") {
        let target = &seen.path_and_query;
        assert!(target.starts_with('/'), "{target}");
        assert!(
            target.bytes().all(|byte| byte.is_ascii_graphic()),
            "{target:?}"
        );
        for segment in seen.path().split('/').skip(1) {
            let bytes: Vec<u8> = percent_encoding::percent_decode_str(segment).collect();
            let hostile = |byte: &u8| byte.is_ascii_control() || b"/\\".contains(byte);
            assert!(!bytes.iter().any(hostile), "{target}");
            assert!(!matches!(&bytes[..], b"" | b"." | b".."), "{target}");
        }
        for name in seen.headers.keys() {
            let known = ["host", "user-agent", "accept-encoding", "via"];
            assert!(known.contains(&name.as_str()), "{target}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_path_or_query_breaks_out() {
    let world = world().await;
    let world = &world;
    let each = PLACES
        .iter()
        .flat_map(|place| (0..=255_u8).map(move |byte| (place, byte)));
    let asked = iter(each).map(async |(place, byte)| {
        let escaped = place.replace('X', &format!("%{byte:02x}evil:%20x"));
        let line = ask(world, &escaped).await;
        assert!(line.starts_with("HTTP/1.1 "), "{escaped}: {line}");
        assert!(!line.contains(" 500 "), "{escaped}: {line}");
    });
    asked.buffer_unordered(16).collect::<Vec<()>>().await;
    check_asked(world);
    assert!(world.up.requests() > 100, "searches for anything are asked");
    for payload in [
        "%0d%0aevil:%20x",
        "%0d%0a%0d%0aGET%20/evil",
        "%e5%98%8a%e5%98%8devil:x",
        "%250d%250aevil:x",
    ] {
        for place in PLACES {
            ask(world, &place.replace('X', payload)).await;
        }
    }
    check_asked(world);
}

/// Ways up, as many have tried them.
fn ways_up() -> Vec<String> {
    let dots = [
        "..",
        ".",
        "...",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "%252e%252e",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%uff0e%uff0e",
        "..%00",
        "..%01",
        "..;",
        "..%3b",
        "%2e%2e%3bx",
        "．．",
        "%ef%bc%8e%ef%bc%8e",
        "..%20",
        "..%0a",
    ];
    let slashes = [
        "/",
        "%2f",
        "%2F",
        "\\",
        "%5c",
        "%252f",
        "%c0%af",
        "%e2%88%95",
        "%ef%bc%8f",
        "//",
    ];
    let mut ways: Vec<_> = dots
        .iter()
        .flat_map(|dots| slashes.map(|slash| format!("{dots}{slash}{dots}{slash}etc{slash}passwd")))
        .collect();
    let names = [
        "CON",
        "nul.nupkg",
        "%00",
        "a%00.nupkg",
        "~",
        "~root",
        "file:%2f%2f%2fetc%2fpasswd",
        "C:%5cwindows",
        "%2fetc%2fpasswd",
        "|id",
        "$(id)",
        "%60id%60",
        "-rf",
        "--config",
        "*",
        "a'--",
        "a%27%3bdrop%20table%20entries",
        "%ff%fe",
        "lock",
        "index-v2.sqlite3",
    ];
    ways.extend(names.map(str::to_owned));
    ways
}

/// Paths of all files below a folder, relative to it.
fn files(folder: &Path, found: &mut Vec<String>) {
    for file in folder.read_dir().unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leaves_its_place() {
    let mut world = world().await;
    // A neighbour of the cache that nobody may touch.
    let neighbour = tempfile::tempdir_in(world.path().parent().unwrap()).unwrap();
    std::fs::write(neighbour.path().join("secret"), "secret").unwrap();
    for way in ways_up() {
        for place in PLACES {
            let target = place.replace('X', &way);
            let request = [
                b"GET ",
                target.as_bytes(),
                b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            ];
            let answer = raw(world.addr, &request.concat()).await;
            let answer = String::from_utf8_lossy(&answer);
            let status: u16 = answer
                .split(' ')
                .nth(1)
                .and_then(|it| it.parse().ok())
                .unwrap_or(0);
            let is_question = place.contains('?');
            assert!(
                matches!(status, 400 | 404) || (is_question && matches!(status, 200 | 501)),
                "{target}: {answer}"
            );
            assert!(
                !answer.contains("root:") && !answer.contains("secret"),
                "{target}: {answer}"
            );
        }
    }
    check_asked(&world);
    world.stop().await;
    let mut found = Vec::new();
    files(world.path(), &mut found);
    let root = world.path().to_str().unwrap();
    for file in &found {
        let name = file.strip_prefix(root).unwrap();
        let hashed = name.strip_prefix("/bodies-v1/content-v2/sha256/");
        let hashed = hashed.is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'/')
        });
        assert!(
            hashed || name.starts_with("/index-v2.sqlite3") || name == "/lock",
            "{name}"
        );
    }
    assert!(found.len() > 3, "something is stored");
    assert_eq!(neighbour.path().read_dir().unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_package_is_none() {
    let world = world().await;
    for end in [
        "/x.nupkg",
        "/x.1.0.0.nupkg",
        ";x.nupkg",
        "%3bx.nupkg",
        "%3fx.nupkg",
        "%23x.nupkg",
        "%00.nupkg",
        ".nupkg",
        ".",
        "%20",
        "%09",
        "/",
        "//",
        "/.",
        "%2f",
        "%2fx.css",
        "/..%2fx.png",
        "~",
        "%0a",
    ] {
        for document in [
            "/v3/index.json",
            "/v3/flat/example.core/index.json",
            "/v3/flat/example.core/1.0.0/example.core.1.0.0.nupkg",
            "/v3/query",
            "/v3/vulnerabilities/index.json",
        ] {
            let target = format!("{document}{end}");
            let line = ask(&world, &target).await;
            assert!(
                line.contains(" 404 ") || line.contains(" 400 "),
                "{target}: {line}"
            );
        }
    }
    assert_eq!(world.up.requests(), 0, "{:?}", world.up.log());
}
