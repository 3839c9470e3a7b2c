//! What the program says of its doors.

use std::net::{SocketAddr, TcpListener};

use nugate::demo::ExampleFeed;
use rustix::process::Signal;

use crate::support::{Program, ScriptedUpstream, get};

const NOWHERE: &str = "--upstream http://127.0.0.1:9/v3/index.json";

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_where_it_is() {
    let up = ScriptedUpstream::new(ExampleFeed::demo()).await;
    let arguments = format!("serve --listen 127.0.0.1:0 --upstream {}", up.index_url());
    let own = [("NUGATE_ADMIN_LISTEN", "127.0.0.1:0")];
    let mut program = Program::start_with(&arguments, &own);
    let address = program.address();
    let line = program.says("metrics and pages are served at admin_listen alone");
    let admin = line.split("address=").nth(1).unwrap().trim();
    let admin: SocketAddr = admin.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(get(admin, "/metrics", &[]).await.status, 200);
    assert_eq!(get(address, "/metrics", &[]).await.status, 404);
    assert_eq!(get(address, "/v3/index.json", &[]).await.status, 200);
    let health = Program::start(&format!("health --listen {address}")).end();
    assert_eq!(health.code, Some(0), "{}", health.err);
    program.signal(Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let banner = format!("\n  admin  http://{admin}/\n");
    assert!(ended.out.contains(&banner), "{}", ended.out);
}

#[test]
fn one_port_for_both_is_told() {
    for (listen, admin) in [
        ("127.0.0.1:7001", "127.0.0.1:7001"),
        ("127.0.0.1:7001", "[::]:7001"),
        ("0.0.0.0:7001", "127.0.0.1:7001"),
    ] {
        let own = [("NUGATE_ADMIN_LISTEN", admin)];
        let arguments = format!("serve --listen {listen} {NOWHERE}");
        let ended = Program::start_with(&arguments, &own).end();
        assert_eq!(ended.code, Some(64), "{}", ended.err);
        for part in ["admin_listen", admin, listen] {
            assert!(ended.err.contains(part), "{part}: {}", ended.err);
        }
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    let own = [("NUGATE_ADMIN_LISTEN", admin.as_str())];
    let ended = Program::start_with(&format!("serve --listen 127.0.0.1:0 {NOWHERE}"), &own).end();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let said = format!("admin_listen: cannot listen on {admin}");
    assert!(ended.err.contains(&said), "{}", ended.err);
}
