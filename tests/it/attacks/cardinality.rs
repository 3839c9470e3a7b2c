//! Requests without number: what they may cost.
//!
//! - the number of series does not grow with what is asked
//! - nothing of a request ends a line of the log or moves the cursor of who reads it
//! - searches for anything keep no package from anyone

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::iter;
use nugate::demo::ExampleFeed;
use rustix::process::Signal;

use crate::support::client::{get, raw};
use crate::support::{Program, ScriptedUpstream, World};

async fn series(world: &World) -> usize {
    let text = get(world.addr, "/metrics", &[]).await.text();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_ids_make_no_series() {
    let world = World::with(ExampleFeed::demo(), |settings| settings.options.v2 = true).await;
    let world = &world;
    let ask = async |numbers: std::ops::Range<u32>| {
        let asked = iter(numbers).map(async |number| {
            let path = match number % 5 {
                0 => format!("/v3/flat/id-{number}/index.json"),
                1 => format!("/v3/id-{number}/index.json"),
                2 => format!("/v3/query?q=id-{number}"),
                3 => format!("/id-{number}"),
                _ => format!("/v3/flat/a/1.0.{number}/a.1.0.{number}.nupkg"),
            };
            let agent = format!("agent-{number}/{number}");
            get(
                world.addr,
                &path,
                &[("user-agent", &agent), ("x-request-id", &agent)],
            )
            .await;
        });
        asked.buffer_unordered(32).collect::<Vec<()>>().await;
    };
    ask(0..500).await;
    series(world).await;
    let before = series(world).await;
    ask(500..10_500).await;
    let after = series(world).await;
    // How an answer came about depends on who was faster.
    assert!(after <= before + 5, "{before} series became {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_stays_one() {
    let up = ScriptedUpstream::demo().await;
    for format in ["text", "json"] {
        let arguments = format!("serve --listen 127.0.0.1:0 --upstream {}", up.index_url());
        let environment = [
            ("NUGATE_LOG__LEVEL", "trace"),
            ("NUGATE_LOG__FORMAT", format),
        ];
        let mut program = Program::start_with(&arguments, &environment);
        let addr = program.address();
        let evil = "%0a2026-01-01T00:00:00Z%20ERROR%20forged%0d%1b%5b31mred%1b%5d0;title%07%c2%9b31m%e2%80%ae";
        let plain = "\u{9b}31mred\u{202e}";
        for target in [
            format!("/v3/flat/{evil}/index.json"),
            format!("/v3/query?q={evil}"),
            format!("/{evil}"),
            format!("/api/v2/Search()?searchTerm='{evil}'"),
            format!("/api/v2/Packages?$filter={evil}"),
        ] {
            for header in [
                "user-agent",
                "x-request-id",
                "host",
                "x-forwarded-for",
                "x-nuget-session-id",
            ] {
                let request = format!(
                    "GET {target} HTTP/1.1\r\nhost: localhost\r\n{header}: {plain}\r\nconnection: close\r\n\r\n"
                );
                raw(addr, request.as_bytes()).await;
            }
        }
        program.signal(Signal::TERM);
        let ended = program.end();
        let log = ended.out + &ended.err;
        assert!(log.contains("forged"), "the requests are in the log: {log}");
        for line in log.lines() {
            assert!(
                !line.starts_with("2026-01-01T00:00:00Z ERROR forged"),
                "{line}"
            );
            let hostile = |char: char| char.is_control() && char != '\t' || char == '\u{202e}';
            assert!(!line.contains(hostile), "{format}: {line:?}");
            if format == "json" && line.starts_with('{') {
                serde_json::from_str::<serde_json::Value>(line).expect(line);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_for_anything_keep_no_package_from_anyone() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.feed.connections_max = 8;
        settings.limits.connections_per_client_max = 1000;
    })
    .await;
    let warm = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
    world.hit(warm).await;
    drop(world.up.on("/search-usnc/query").hang());
    drop(world.up.on("/search-ussc/query").hang());
    let paths: Vec<_> = (0..100)
        .map(|number| format!("/v3/query?q={number}"))
        .collect();
    let attack = join_all(paths.iter().map(|path| get(world.addr, path, &[])));
    let victim = async {
        world
            .up
            .wait_for(|log| {
                log.iter()
                    .filter(|seen| seen.path().contains("query"))
                    .count()
                    >= 4
            })
            .await;
        let asked = async {
            for path in [
                warm,
                "flat/example.json/index.json",
                "flat/example.json/1.2.0/example.json.1.2.0.nupkg",
            ] {
                assert_eq!(world.get(path).await.status, 200, "{path}");
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), asked).await;
        world.up.behave();
        world.up.release();
        in_time.expect("searches keep packages waiting");
    };
    let (answers, ()) = tokio::join!(attack, victim);
    assert_eq!(answers.len(), 100);
}
