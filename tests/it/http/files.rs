//! Bodies that come from files, on connections that are used for more than one thing.
//!
//! - requests in one go are answered in order, whole and in part, from files and from memory
//! - one who reads slowly and one who leaves do not disturb others

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{CORE, LARGE, answer, world};
use crate::support::World;

fn request(method: &str, path: &str, field: &str) -> String {
    format!("{method} /v3/{path} HTTP/1.1\r\nhost: localhost\r\n{field}\r\n")
}

async fn connected(world: &World) -> TcpStream {
    TcpStream::connect(world.addr).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_one_go_are_answered_in_order() {
    let world = world().await;
    let large = world.hit(LARGE).await;
    let core = world.hit(CORE).await;
    let tag = format!("if-none-match: {}\r\n", large.header("etag"));
    let (large, core) = (large.body, core.body);
    let end = large.len();
    let cases = [
        ("GET", LARGE, "", &large[..]),
        ("GET", CORE, "", &core[..]),
        (
            "GET",
            LARGE,
            "range: bytes=-70000\r\n",
            &large[end - 70_000..],
        ),
        ("HEAD", LARGE, "", &[]),
        ("GET", LARGE, &*tag, &[]),
        (
            "GET",
            LARGE,
            "range: bytes=1-600000\r\n",
            &large[1..=600_000],
        ),
        ("GET", LARGE, "range: bytes=5-9\r\n", &large[5..10]),
        ("GET", LARGE, "", &large[..]),
    ];
    let mut stream = connected(&world).await;
    for _ in 0..3 {
        let all: String = cases
            .iter()
            .map(|(method, path, field, _)| request(method, path, field))
            .collect();
        stream.write_all(all.as_bytes()).await.unwrap();
        for (method, path, field, expected) in &cases {
            let (head, body) = answer(&mut stream, *method == "HEAD").await;
            assert!(body == *expected, "{method} {path} {field}: {head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_or_leaves_disturbs_nobody() {
    let world = world().await;
    let large = world.hit(LARGE).await.body;
    let mut slow = connected(&world).await;
    let ask = request("GET", LARGE, "");
    slow.write_all(ask.as_bytes()).await.unwrap();
    for round in 0..8 {
        let mut leaving = connected(&world).await;
        leaving.write_all(ask.as_bytes()).await.unwrap();
        let mut some = vec![0; 100_000 * round + 1];
        leaving.read_exact(&mut some).await.unwrap();
        drop(leaving);
        assert!(world.hit(LARGE).await.body == large);
    }
    let (_, body) = answer(&mut slow, false).await;
    assert!(body == large);
}
