//! `verify`, and what `gc --damaged` clears away.

use std::fs;
use std::path::PathBuf;

use nugate::entry::Digest;

use super::{Place, nupkg};

/// Where the body of a package is.
fn file(place: &Place, number: usize) -> PathBuf {
    let hex = Digest::of(&place.package(number)).to_hex();
    let path = format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
    place.path().join("bodies-v1/content-v2/sha256").join(path)
}

fn damage(place: &Place, number: usize) {
    let path = file(place, number);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
}

async fn place() -> Place {
    let place = Place::new(3).await;
    for number in 0..3 {
        place.stored(&nupkg(number)).await;
    }
    place.stored("/v3/flat/p0/index.json").await;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_nothing_is_changed() {
    let mut place = place().await;
    for beside in [true, false] {
        if !beside {
            place.stop();
        }
        let clean = place.json("verify");
        assert_eq!(clean["findings"], serde_json::json!([]));
        assert!(clean["checked"]["count"].as_u64().unwrap() >= 5, "{clean}");
    }
    damage(&place, 0);
    fs::remove_file(file(&place, 1)).unwrap();
    let stray = file(&place, 0).with_file_name("f".repeat(60));
    fs::write(&stray, "no body").unwrap();
    let before = fs::read(file(&place, 0)).unwrap();
    let found = place.json_of("verify", 3);
    // What lies under the name of another body is damaged, whoever put it there.
    assert_eq!(found["damaged"]["count"], 2, "{found}");
    assert_eq!(found["missing"]["count"], 1, "{found}");
    let names: Vec<_> = found["findings"].as_array().unwrap().iter().collect();
    let about = |state: &str, name: &str| {
        names
            .iter()
            .any(|it| it["state"] == state && it["names"][0] == name)
    };
    assert!(
        about("damaged", "nuget/flat/p0/1.0.0/p0.1.0.0.nupkg"),
        "{found}"
    );
    assert!(
        about("missing", "nuget/flat/p1/1.0.0/p1.1.0.0.nupkg"),
        "{found}"
    );
    assert!(fs::read(file(&place, 0)).unwrap() == before);
    let human = place.run("verify");
    assert_eq!(human.code, Some(3));
    assert!(human.out.contains("nothing was changed"), "{}", human.out);
    assert!(human.err.contains("100 %"), "{}", human.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_daemon_what_is_lost_is_fetched_again() {
    let mut place = place().await;
    damage(&place, 0);
    fs::remove_file(file(&place, 1)).unwrap();
    let list = place.get("/v3/flat/p0/index.json").await.body;
    let hex = Digest::of(&list).to_hex();
    let path = format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
    fs::remove_file(place.path().join("bodies-v1/content-v2/sha256").join(path)).unwrap();
    let found = place.json_of("verify --repair", 3);
    assert_eq!(found["put_aside"], 1, "{found}");
    assert_eq!(
        (&found["fetched"], &found["not_fetched"]),
        (&3.into(), &0.into()),
        "{found}"
    );
    place.json("verify");
    place.up.down().await;
    for number in 0..3 {
        let response = place.get(&nupkg(number)).await;
        assert_eq!(response.header("cache-status"), "nugate; hit", "{number}");
        assert!(response.body == place.package(number), "{number}");
    }
    assert!(place.get("/v3/flat/p0/index.json").await.body == list);

    assert_eq!(place.json("stats")["damaged"]["count"], 1);
    damage(&place, 2);
    let found = place.json_of("verify --repair", 3);
    assert_eq!(
        (&found["fetched"], &found["not_fetched"]),
        (&0.into(), &1.into()),
        "{found}"
    );
    let plan = place.json("gc --damaged --dry-run");
    assert_eq!(plan["damaged"]["count"], 2, "{plan}");
    assert_eq!(place.json("gc --damaged")["damaged"], plan["damaged"]);
    assert_eq!(place.json("stats")["damaged"]["count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_it_is_fetched_when_it_is_asked_for() {
    let mut place = place().await;
    place.stop();
    damage(&place, 0);
    let found = place.json_of("verify --repair", 3);
    assert_eq!(
        (&found["put_aside"], &found["fetched"]),
        (&1.into(), &0.into()),
        "{found}"
    );
    let missing = place.json_of("verify", 3);
    assert_eq!(missing["missing"]["count"], 1, "{missing}");
    place.start();
    let response = place.get(&nupkg(0)).await;
    assert_eq!(
        response.header("cache-status"),
        "nugate; fwd=uri-miss; stored"
    );
    assert!(response.body == place.package(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_no_entry_names_are_cleared_away() {
    for beside in [true, false] {
        let mut place = place().await;
        let stray = Digest::of(b"stray").to_hex();
        let folder = place.path().join("bodies-v1/content-v2/sha256");
        let folder = folder.join(&stray[..2]).join(&stray[2..4]);
        fs::create_dir_all(&folder).unwrap();
        let stray = folder.join(&stray[4..]);
        fs::write(&stray, "stray").unwrap();
        if !beside {
            place.stop();
        }
        // No damage.
        assert_eq!(place.json("verify")["entry_less"]["count"], 1);
        assert_eq!(place.json("gc")["entry_less"]["count"], 0);
        assert_eq!(
            place.json("gc --damaged --dry-run")["entry_less"]["count"],
            1
        );
        assert!(stray.exists());
        let went = place.json("gc --damaged");
        assert_eq!(went["entry_less"]["bytes"], 5, "{went}");
        assert!(!stray.exists());
        assert_eq!(place.json("stats")["package_versions"], 3);
    }
}
