//! Where the links of documents lead.
//!
//! - to the host the client asked, if it is one of ours; other hosts are 421 and leave no trace
//! - `public_url` wins, with its path before the request's or not
//! - forwarded headers count only from trusted proxies
//! - repository signatures are offered over https alone
//! - two hosts at once never mix

use std::net::IpAddr;

use nugate::demo::ExampleFeed;
use nugate::server::BaseRules;
use serde_json::Value;

use crate::support::client::{Response, get, get_h2};
use crate::support::{World, client};

type Headers<'a> = &'a [(&'a str, &'a str)];

const INDEX: &str = "/v3/index.json";
const DOCUMENTS: &[&str] = &[
    INDEX,
    "/v3/registration-gz-semver2/example.core/index.json",
    "/v3/registration-gz/example.core/index.json",
    "/v3/registration/example.core/1.0.0.json",
    "/v3/query?q=example",
    "/v3/vulnerabilities/index.json",
    "/v3/catalog/index.json",
    "/v3/repository-signatures/5.0.0/index.json",
];

/// Members that lead somewhere.
const LINKS: &[&str] = &[
    "@id",
    "packageContent",
    "registration",
    "parent",
    "contentUrl",
];

fn rules() -> BaseRules {
    BaseRules {
        public_url: None,
        allowed_hosts: vec!["nuget.example.com".to_owned(), "other.example".to_owned()],
        trusted_proxies: Vec::new(),
    }
}

async fn world(rules: BaseRules) -> World {
    World::with(ExampleFeed::demo(), |settings| settings.bases = rules).await
}

fn trusting(mut rules: BaseRules) -> BaseRules {
    rules.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    rules
}

fn public(url: &str) -> BaseRules {
    BaseRules {
        public_url: Some(url.parse().unwrap()),
        ..rules()
    }
}

/// All links of a document to anything but web pages.
fn links(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(url) if LINKS.contains(&name.as_str()) => found.push(url.to_owned()),
                    _ => links(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| links(item, found)),
        _ => {}
    }
}

/// Checks that everything a document links to lies below `base`.
#[track_caller]
fn check_links(response: &Response, base: &str, what: &str) {
    assert_eq!(response.status, 200, "{what}: {}", response.text());
    let document = response.json();
    let mut found = Vec::new();
    links(&document, &mut found);
    found.retain(|url| url.starts_with("http") && !url.contains("/packages/"));
    found.retain(|url| !url.contains("/profiles/") && !url.contains("schema.nuget.org"));
    assert!(!found.is_empty(), "{what}: {document:#}");
    for url in found {
        assert!(url.starts_with(base), "{what}: {url} is not below {base}");
    }
}

fn offers_signatures(response: &Response) -> bool {
    response.text().contains("RepositorySignatures")
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_the_host_that_was_asked() {
    let world = world(rules()).await;
    let port = world.addr.port();
    for (host, base) in [
        (
            format!("localhost:{port}"),
            format!("http://localhost:{port}/v3/"),
        ),
        (
            format!("127.0.0.1:{port}"),
            format!("http://127.0.0.1:{port}/v3/"),
        ),
        ("localhost".into(), "http://localhost/v3/".into()),
        ("[::1]:80".into(), "http://[::1]:80/v3/".into()),
        (
            "NuGet.Example.Com".into(),
            "http://nuget.example.com/v3/".into(),
        ),
        (
            "other.example:99".into(),
            "http://other.example:99/v3/".into(),
        ),
    ] {
        for path in DOCUMENTS {
            let answer = get(world.addr, path, &[("host", &host)]).await;
            check_links(&answer, &base, &format!("{host} {path}"));
            assert!(*path != INDEX || !offers_signatures(&answer), "{host}");
        }
    }
    let over_h2 = get_h2(world.addr, INDEX, &[]).await;
    check_links(&over_h2, &world.base(), "HTTP/2");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_misdirected() {
    let world = world(rules()).await;
    for host in ["evil.example", "localhost.evil.example", "192.0.2.1:80"] {
        for path in [INDEX, "/v3/flat/example.core/index.json"] {
            let answer = get(world.addr, path, &[("host", host)]).await;
            assert_eq!(answer.status, 421, "{host} {path}");
            let text = answer.text();
            for word in [host, "allowed_hosts", "public_url"] {
                assert!(text.contains(word), "{text}");
            }
        }
    }
    for request in [
        "GET /v3/index.json HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /v3/index.json HTTP/1.1\r\nhost: a@localhost\r\nconnection: close\r\n\r\n",
    ] {
        let answer = client::raw(world.addr, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{request}");
    }
    assert_eq!(world.up.requests(), 0);
    // Health is nobody's secret and no link.
    let health = get(world.addr, "/-/health", &[("host", "evil.example")]).await;
    assert_eq!(health.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn public_url_wins() {
    for (url, base, https) in [
        (
            "https://nuget.corp.example/feed/",
            "https://nuget.corp.example/feed/v3/",
            true,
        ),
        (
            "https://nuget.corp.example:8443",
            "https://nuget.corp.example:8443/v3/",
            true,
        ),
        (
            "http://nuget.corp.example/a/b",
            "http://nuget.corp.example/a/b/v3/",
            false,
        ),
    ] {
        let world = world(trusting(public(url))).await;
        let prefix = base.split('/').skip(3).collect::<Vec<_>>().join("/");
        let prefix = prefix.strip_suffix("v3/").unwrap().trim_end_matches('/');
        for path in DOCUMENTS {
            for target in [
                format!("/{prefix}{path}").replace("//", "/"),
                (*path).to_owned(),
            ] {
                let headers: Headers<'_> = &[
                    ("host", "evil.example"),
                    ("x-forwarded-host", "other.example"),
                    ("x-forwarded-proto", "http"),
                    ("x-forwarded-prefix", "/x"),
                ];
                let answer = get(world.addr, &target, headers).await;
                check_links(&answer, base, &format!("{url} {target}"));
                assert!(
                    *path != INDEX || offers_signatures(&answer) == https,
                    "{url}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_a_whole_segment() {
    let world = world(public("https://nuget.corp.example/feed")).await;
    for (target, expected) in [
        ("/feed/v3/index.json", 200),
        ("/feed/-/health", 200),
        ("/feed/", 302),
        ("/v3/index.json", 200),
        ("/feedv3/index.json", 404),
        ("/feeds/v3/index.json", 404),
        ("/feed/feed/v3/index.json", 404),
    ] {
        assert_eq!(
            get(world.addr, target, &[]).await.status,
            expected,
            "{target}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_headers_count_from_trusted_proxies() {
    let forwarded: Headers<'_> = &[
        ("host", "localhost"),
        ("x-forwarded-host", "nuget.example.com"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/a"),
    ];
    let evil: Headers<'_> = &[("host", "localhost"), ("x-forwarded-host", "evil.example")];
    let https: Headers<'_> = &[("host", "localhost"), ("x-forwarded-proto", "https")];
    for (trusted, headers, expected) in [
        (true, forwarded, "https://nuget.example.com/a/v3/"),
        (false, forwarded, "http://localhost/v3/"),
        (true, https, "https://localhost/v3/"),
        (false, https, "http://localhost/v3/"),
        (true, evil, ""),
        (false, evil, "http://localhost/v3/"),
    ] {
        let world = world(if trusted { trusting(rules()) } else { rules() }).await;
        let loopback: IpAddr = [127, 0, 0, 1].into();
        assert_eq!(world.addr.ip(), loopback);
        for path in DOCUMENTS {
            let answer = get(world.addr, path, headers).await;
            if expected.is_empty() {
                assert_eq!(answer.status, 421, "{path}");
                continue;
            }
            check_links(&answer, expected, &format!("{trusted} {path}"));
            let offered = *path == INDEX && offers_signatures(&answer);
            assert_eq!(
                offered,
                *path == INDEX && expected.starts_with("https"),
                "{path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_linked_over_https() {
    let world = world(public("https://nuget.corp.example")).await;
    let index = get(world.addr, INDEX, &[]).await.json();
    let offered = index["resources"].as_array().unwrap().iter();
    let mut offered = offered.filter(|entry| {
        entry["@type"]
            .as_str()
            .unwrap()
            .starts_with("RepositorySignatures")
    });
    let id = offered.next().unwrap()["@id"].as_str().unwrap().to_owned();
    let target = id.strip_prefix("https://nuget.corp.example").unwrap();
    let signatures = get(world.addr, target, &[]).await.json();
    let content = signatures["signingCertificates"][0]["contentUrl"].as_str();
    let content = content.unwrap().strip_prefix("https://nuget.corp.example");
    let certificate = get(world.addr, content.unwrap(), &[]).await;
    assert_eq!(certificate.status, 200);
    assert!(
        certificate
            .text()
            .starts_with("-----BEGIN CERTIFICATE-----")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_hosts_leave_no_trace() {
    for rules in [
        rules(),
        trusting(rules()),
        public("https://nuget.corp.example"),
    ] {
        let mut world = world(rules).await;
        let evil: &[Headers<'_>] = &[
            &[("host", "evil.example")],
            &[("host", "localhost"), ("x-forwarded-host", "evil.example")],
            &[
                ("host", "localhost"),
                ("forwarded", "host=evil.example;proto=https"),
            ],
            &[
                ("host", "localhost"),
                ("x-forwarded-server", "evil.example"),
            ],
            &[("host", "localhost"), ("x-original-host", "evil.example")],
            &[
                ("host", "localhost"),
                ("x-forwarded-prefix", "//evil.example"),
            ],
            &[("host", "localhost"), ("x-forwarded-proto", "evil.example")],
        ];
        for path in DOCUMENTS {
            for headers in evil {
                let answer = get(world.addr, path, headers).await;
                assert!(
                    answer.status == 421 || !answer.text().contains("//evil"),
                    "{path}"
                );
            }
        }
        let absolute = "GET http://evil.example/v3/index.json HTTP/1.1\r\nhost: localhost\r\n\
                        connection: close\r\n\r\n";
        let answer = client::raw(world.addr, absolute.as_bytes()).await;
        assert!(!answer.windows(4).any(|four| four == b"evil"));
        for _ in 0..2 {
            for path in DOCUMENTS {
                let clean = get(world.addr, path, &[("accept-encoding", "identity")]).await;
                assert_eq!(clean.status, 200, "{path}");
                let head = format!("{:?}", clean.headers);
                assert!(
                    !head.contains("evil") && !clean.text().contains("evil"),
                    "{path}"
                );
            }
            world.restart().await;
        }
        let asked = format!("{:?}", world.up.log());
        assert!(!asked.contains("evil"), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_never_mix() {
    let world = world(rules()).await;
    let ask = async |host: &str| {
        let base = format!("http://{host}/v3/");
        for _ in 0..10 {
            for path in DOCUMENTS {
                let answer = get(world.addr, path, &[("host", host)]).await;
                check_links(&answer, &base, &format!("{host} {path}"));
            }
        }
    };
    tokio::join!(
        ask("localhost"),
        ask("nuget.example.com"),
        ask("other.example")
    );
    for path in DOCUMENTS {
        let mut tags = std::collections::HashSet::new();
        for host in ["localhost", "nuget.example.com", "other.example"] {
            let answer = get(world.addr, path, &[("host", host)]).await;
            assert!(
                tags.insert(answer.header("etag").to_owned()),
                "{host} {path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_hosts_than_are_remembered() {
    let world = world(rules()).await;
    for round in 0..2 {
        for port in 1..=40 {
            let host = format!("localhost:{port}");
            for path in [INDEX, DOCUMENTS[1]] {
                let answer = get(world.addr, path, &[("host", &host)]).await;
                check_links(
                    &answer,
                    &format!("http://{host}/v3/"),
                    &format!("{round} {path}"),
                );
            }
        }
    }
}
