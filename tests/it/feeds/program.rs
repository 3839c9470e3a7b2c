//! The program with several feeds in its configuration.

use nugate::demo::{ExampleFeed, Package};
use tempfile::TempDir;

use super::texts;
use crate::support::{Program, ScriptedUpstream, get};

async fn upstream(id: &str) -> ScriptedUpstream {
    let packages = [Package::new(id, "1.0.0"), Package::new("Corp.Own", "1.0.0")];
    ScriptedUpstream::new(ExampleFeed::new(packages).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_feed_of_the_file_is_discovered_and_served() {
    let (public, corp) = (upstream("Public").await, upstream("Private").await);
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("nugate.toml");
    let text = format!(
        "listen = '127.0.0.1:0'\n[[feed]]\nname = 'public'\nurl = '{}'\n\
         [[feed]]\nname = 'corp'\nurl = '{}'\nowns = ['corp.*']\n",
        public.index_url(),
        corp.index_url()
    );
    std::fs::write(&file, text).unwrap();
    let mut program = Program::start(&format!("serve --config {}", file.display()));
    let address = program.address();
    // Before any client has asked for anything.
    for up in [&public, &corp] {
        up.wait_for(|seen| seen.iter().any(|it| it.path() == "/v3/index.json"))
            .await;
    }
    for id in ["public", "private", "corp.own"] {
        let list = get(address, &format!("/v3/flat/{id}/index.json"), &[]).await;
        assert_eq!(texts(&list, "versions"), ["1.0.0"], "{id}");
    }
    assert_eq!(public.count("/v3-flatcontainer/corp.own/index.json"), 0);
    let alone = "/feeds/corp/v3/flat/public/index.json";
    assert_eq!(get(address, alone, &[]).await.status, 404);
    program.signal(rustix::process::Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let serves = format!("serves {}, {}", public.index_url(), corp.index_url());
    assert!(ended.out.contains(&serves), "{}", ended.out);
}

#[test]
fn feeds_that_cannot_be_are_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("nugate.toml");
    let text = "[[feed]]\nname = 'a'\nurl = 'http://a.test/'\nowns = ['A.*.B']\n\
                [[feed]]\nname = 'a'\nurl = 'http://b.test/'\n";
    std::fs::write(&file, text).unwrap();
    let ended = Program::start(&format!("serve --config {}", file.display())).end();
    assert_eq!(ended.code, Some(64), "{}", ended.err);
    for part in [
        ":5:1: feed = \"a\": is the name of two feeds",
        ":4:9: feeds.a.owns = \"A.*.B\": has a `*` that is not at its end; allowed: ",
    ] {
        assert!(ended.err.contains(part), "{part} is not in\n{}", ended.err);
    }
}
