//! `purge`, `pin` and `unpin`.

use serde_json::{Value, json};

use super::{Place, nupkg};
use crate::support::until;

const LIST: &str = "/v3/flat/p0/index.json";
const REGISTRATION: &str = "/v3/registration-gz-semver2/p0/index.json";
const SEARCH: &str = "/v3/query?q=p0";

async fn place() -> Place {
    let place = Place::new(2).await;
    for path in [LIST, REGISTRATION, SEARCH, &nupkg(0), &nupkg(1)] {
        place.stored(path).await;
    }
    place
}

async fn status(place: &Place, path: &str) -> String {
    place.get(path).await.header("cache-status").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_is_asked_of_the_feed() {
    const MISS: &str = "nugate; fwd=uri-miss; stored";
    for beside in [true, false] {
        let mut place = place().await;
        if !beside {
            place.stop();
        }
        let plan = place.json("purge P0 --dry-run");
        assert_eq!(plan["entries"], 3, "{plan}");
        assert_eq!(plan["kinds"]["nupkg"]["count"], 1, "{plan}");
        let mut purged = place.json("purge P0");
        assert_eq!(purged["dry_run"], false);
        purged["dry_run"] = Value::Bool(true);
        assert_eq!(purged, plan);
        assert_eq!(place.json("purge p0")["entries"], 0);
        assert_eq!(place.json("verify")["entry_less"]["count"], 0);
        if !beside {
            place.start();
        }
        for path in [LIST, REGISTRATION, &nupkg(0)] {
            assert_eq!(status(&place, path).await, MISS, "{path}");
        }
        assert_eq!(status(&place, &nupkg(1)).await, "nugate; hit");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_purged_alone() {
    let place = place().await;
    let purged = place.json("purge P0 1.0");
    assert_eq!(
        (&purged["subject"], &purged["entries"]),
        (&json!("p0@1.0.0"), &json!(1))
    );
    assert_eq!(
        status(&place, &nupkg(0)).await,
        "nugate; fwd=uri-miss; stored"
    );
    assert_eq!(status(&place, LIST).await, "nugate; hit");
    // It is written down behind the client's last byte.
    let both = async || place.json("purge P* --dry-run")["kinds"]["nupkg"]["count"] == 2;
    until("both are stored", both).await;
    assert_eq!(place.json("purge P*")["kinds"]["nupkg"]["count"], 2);
    let human = place.run("purge p0");
    assert!(
        human.out.contains("p0: 0 entries forgotten"),
        "{}",
        human.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_are_kept_until_they_are_removed() {
    let mut place = place().await;
    assert_eq!(place.run("pin --list").out, "nothing is pinned\n");
    let pins = place.json("pin P0@1 Other.*");
    let bytes = place.package(0).len();
    let expected = json!([
        {"subject": "p0@1.0.0", "stored": {"count": 1, "bytes": bytes}},
        {"subject": "other.*", "stored": {"count": 0, "bytes": 0}},
    ]);
    assert_eq!(pins["pins"], expected);
    for beside in [true, false] {
        if !beside {
            place.stop();
        }
        let listed = place.json("pin --list");
        assert_eq!(listed["pins"].as_array().unwrap().len(), 2, "{listed}");
    }
    place.json("unpin other.*");
    let again = place.run("unpin other.*");
    assert_eq!(again.code, Some(1));
    assert!(
        again.err.contains("`other.*` is not pinned"),
        "{}",
        again.err
    );
    place.start();
    assert_eq!(place.json("pin --list")["pins"], json!([expected[0]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_holds_for_a_feed_that_comes_later() {
    let mut place = Place::new(2).await;
    place.json("pin P0");
    place.stop();
    let file = place.path().with_file_name("nugate.toml");
    let text = format!(
        "listen = '127.0.0.1:0'\n[[feed]]\nname = 'later'\nurl = '{}'\n",
        place.up.index_url()
    );
    std::fs::write(&file, text).unwrap();
    let arguments = format!(
        "--config {} --cache-dir {}",
        file.display(),
        place.path().display()
    );
    let mut program = crate::support::Program::start(&arguments);
    let address = program.address();
    place.daemon = Some((program, address));
    for number in 0..2 {
        place.stored(&nupkg(number)).await;
    }
    place.json("gc --size-max 1kB");
    assert_eq!(status(&place, &nupkg(0)).await, "nugate; hit");
    assert_eq!(
        status(&place, &nupkg(1)).await,
        "nugate; fwd=uri-miss; stored"
    );
}

#[test]
fn what_names_no_package_is_wrong_usage() {
    for command in [
        "purge a/b",
        "purge a x",
        "purge A.* 1.0",
        "pin *",
        "unpin a@",
        "gc --size-max x",
    ] {
        let ended = crate::support::Program::start(command).end();
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (Some(2), ""),
            "{command}: {ended:?}"
        );
    }
}
