//! What was meant for one reaches nobody else.
//!
//! - on a route that relays credentials, an answer to Alice's is never Bob's and never anonymous:
//!   not by GET, HEAD, range or condition, not stale, not from a flight under way, not after a restart
//! - what a client says of itself is not sent to the feed, by whatever name

use futures_util::future::join_all;
use nugate::demo::ExampleFeed;
use nugate::policy::http::Lifetimes;
use nugate::proxy::generic::RouteOptions;

use crate::support::client::{self, Response, get};
use crate::support::{ScriptedUpstream, World};

const PATH: &str = "/raw/private/a.txt";
const ABOVE: &str = "/files/a.txt";
const STORED: (&str, &str) = ("cache-control", "only-if-cached, max-stale");

async fn world() -> World {
    let up = ScriptedUpstream::demo().await;
    let url = format!("{}/files/", up.base_url()).parse().unwrap();
    World::before(up, |settings| {
        settings.routes = vec![RouteOptions {
            name: "private".to_owned(),
            url,
            unsafe_methods: false,
            relay_credentials: true,
            lifetimes: Lifetimes {
                default: std::time::Duration::from_secs(600),
                ..Lifetimes::default()
            },
            size_max: 1 << 20,
            rewrite: Vec::new(),
        }];
    })
    .await
}

fn is_of_alice(response: &Response) -> bool {
    let all = format!("{:?} {}", response.headers, response.text());
    all.contains("alice")
}

/// All ways of asking that may be answered from what is stored or under way.
fn ways() -> Vec<Vec<(&'static str, &'static str)>> {
    let credentials = [
        vec![],
        vec![("authorization", "Bearer bob")],
        vec![("cookie", "user=bob")],
    ];
    let how = [
        vec![],
        vec![STORED],
        vec![("range", "bytes=0-3")],
        vec![("if-none-match", "\"alice-tag\"")],
        vec![("if-modified-since", "Sun, 06 Nov 2044 08:49:37 GMT")],
        vec![("cache-control", "no-cache")],
    ];
    let pairs = credentials.iter().flat_map(|who| {
        how.iter()
            .map(move |how| [who.clone(), how.clone()].concat())
    });
    pairs.collect()
}

fn answers_alice(world: &World, cache_control: &str) {
    let on = world.up.on(ABOVE).reply(200, "for alice alone").times(1);
    let on = on
        .header("etag", "\"alice-tag\"")
        .header("set-cookie", "alice=1");
    let on = on.header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    drop(if cache_control.is_empty() {
        on
    } else {
        on.header("cache-control", cache_control)
    });
    drop(world.up.on(ABOVE).reply(401, "who are you?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_alice_got_is_not_for_bob() {
    for cache_control in [
        "",
        "max-age=600",
        "private, max-age=600",
        "max-age=0, stale-if-error=600",
    ] {
        let mut world = world().await;
        answers_alice(&world, cache_control);
        let own = get(world.addr, PATH, &[("authorization", "Bearer alice")]).await;
        assert_eq!(own.text(), "for alice alone", "{cache_control}");
        world.quiet().await;
        for round in 0..3 {
            for way in ways() {
                let response = get(world.addr, PATH, &way).await;
                assert!(
                    !is_of_alice(&response),
                    "{round} {cache_control} {way:?}: {response:?}"
                );
                assert!(
                    matches!(response.status.as_u16(), 401 | 502 | 504),
                    "{way:?}: {response:?}"
                );
                let head = client::head(world.addr, PATH, &way).await;
                assert!(
                    !is_of_alice(&head),
                    "{round} {cache_control} {way:?}: {head:?}"
                );
            }
            if round == 0 {
                world.restart().await;
            } else {
                // Stale answers of an outage.
                world.later(700);
                world.up.down().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bob_does_not_board_the_flight_of_alice() {
    let world = world().await;
    let on = world
        .up
        .on(ABOVE)
        .reply(200, "for alice alone")
        .hang()
        .times(1);
    drop(on.header("cache-control", "max-age=600"));
    drop(world.up.on(ABOVE).reply(200, "for anyone else"));
    let alice = get(world.addr, PATH, &[("authorization", "Bearer alice")]);
    let others = async {
        world.up.wait_for(|log| log.len() == 1).await;
        let asked = ways().into_iter().filter(|way| !way.contains(&STORED));
        let asked = asked.map(async |way| get(world.addr, PATH, &way).await);
        let all = join_all(asked).await;
        world.up.release();
        all
    };
    let (alice, others) = tokio::join!(alice, others);
    assert_eq!(alice.text(), "for alice alone");
    assert!(others.len() > 10);
    for response in others {
        assert!(!is_of_alice(&response), "{response:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_client_reaches_the_feed_that_is_not_meant_for_it() {
    let world = World::with(ExampleFeed::demo(), |settings| settings.options.v2 = true).await;
    let secrets = [
        ("authorization", "Bearer secret"),
        ("proxy-authorization", "Basic secret"),
        ("cookie", "secret=1"),
        ("x-nuget-apikey", "secret"),
        ("x-api-key", "secret"),
        ("private-token", "secret"),
        ("forwarded", "for=secret"),
        ("x-forwarded-for", "secret"),
        ("referer", "http://secret/"),
        ("x-secret", "1"),
        ("if-none-match", "\"secret\""),
        ("range", "bytes=secret"),
        // Fields that shall be taken for those of one connection.
        (
            "connection",
            "via, user-agent, accept-encoding, host, x-secret",
        ),
        ("te", "trailers"),
        ("upgrade", "h2c"),
    ];
    for path in [
        "/v3/index.json",
        "/v3/flat/example.core/index.json",
        "/v3/flat/example.core/1.0.0/example.core.1.0.0.nupkg",
        "/v3/registration/example.core/index.json",
        "/v3/query?q=a",
        "/api/v2/FindPackagesById()?id='Example.Core'",
    ] {
        get(world.addr, path, &secrets).await;
    }
    let log = world.up.log();
    assert!(log.len() > 4);
    for seen in log {
        let all = format!("{seen:?}");
        assert!(!all.contains("secret"), "{all}");
        for name in ["host", "via", "user-agent", "accept-encoding"] {
            assert_ne!(seen.header(name), "", "{all}");
        }
        for name in ["connection", "te", "upgrade"] {
            assert_eq!(seen.header(name), "", "{all}");
        }
    }
}
