//! `nugate demo`, as a person or a script runs it.
//!
//! - as JSON: nothing reaches the feed the second time, packages are the feed's, the advisory is named
//! - as text: the same facts, and what to do next
//! - what is configured for the daemon does not change what is shown
//! - it leaves nothing behind and says nothing on standard error
//! - with `--keep` it serves clients until SIGTERM

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Program, get};

#[test]
fn as_json_every_fact_can_be_read() {
    let ended = Program::start("demo --json").end();
    assert_eq!(
        (ended.code, ended.err.as_str(), ended.left),
        (Some(0), "", 0)
    );
    let facts: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (&facts["held"], &facts["broken"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(facts["warm"]["reached_feed"], 0);
    assert_eq!(facts["cold"]["reached_feed"], 12, "{facts:#}");
    for pass in ["cold", "warm"] {
        let packages = facts[pass]["packages"].as_array().unwrap();
        let versions: Vec<_> = packages
            .iter()
            .map(|package| {
                assert_eq!(package["equal"], true, "{package}");
                let part = |name: &str| package[name].as_str().unwrap().to_owned();
                format!("{} {}", part("id"), part("version"))
            })
            .collect();
        assert_eq!(
            versions,
            [
                "example.app 1.0.0",
                "example.http 1.0.0",
                "example.json 1.2.0",
                "example.core 1.0.0"
            ]
        );
        let documents = facts[pass]["documents"].as_array().unwrap();
        assert!(
            documents.iter().all(|line| line["status"] == 200),
            "{facts:#}"
        );
        assert_eq!(facts[pass]["requests"], documents.len());
    }
    let advisory = json!([{
        "id": "example.http",
        "versions": "[0.9.0, 0.9.0]",
        "severity": "high",
        "advisory": "https://example.test/advisories/1",
        "used": false,
    }]);
    assert_eq!(facts["vulnerable"], advisory);
}

#[test]
fn as_text_it_ends_with_what_to_do_next() {
    let ended = Program::start("demo").end();
    assert_eq!(
        (ended.code, ended.err.as_str(), ended.left),
        (Some(0), "", 0)
    );
    for part in [
        "Example.App 1.0.0 restored through nugate",
        "  package            example.core 1.0.0      200  miss ",
        "ms; 0 requests reached the feed\n",
        "packages: 8 of 8 downloads equal the feed's",
        "vulnerable: example.http [0.9.0, 0.9.0] (high), https://example.test/advisories/1",
        "README.md",
    ] {
        assert!(ended.out.contains(part), "{part} is not in\n{}", ended.out);
    }
}

#[test]
fn the_configuration_of_the_daemon_does_not_change_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let environment = [
        ("NUGATE_LISTEN", listen.as_str()),
        ("NUGATE_NETWORK", "offline"),
        ("NUGATE_PUBLIC_URL", "https://nuget.example"),
        ("NUGATE_UPSTREAM", "http://127.0.0.1:1/v3/index.json"),
    ];
    let program = Program::start_with("demo", &environment);
    let home = program.home().to_owned();
    let ended = program.end();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(!home.join(".cache").exists());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let ended = Program::start(&format!("demo --listen {listen}")).end();
    assert_eq!((ended.code, ended.left), (Some(1), 0));
    assert!(ended.err.contains(&listen.to_string()), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_it_serves_clients_until_the_signal() {
    let mut program = Program::start("demo --keep --listen 127.0.0.1:0");
    let address = program.address();
    let index = get(address, "/v3/index.json", &[]).await;
    assert_eq!(index.status.as_u16(), 200);
    let text = index.text();
    assert!(
        text.contains(&format!("http://{address}/v3/flat/")),
        "{text}"
    );
    let package = "/v3/flat/example.core/1.1.0/example.core.1.1.0.nupkg";
    assert_eq!(get(address, package, &[]).await.status.as_u16(), 200);
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(
        (ended.code, ended.err.as_str(), ended.left),
        (Some(0), "", 0)
    );
}
