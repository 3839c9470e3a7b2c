//! What outlives a cut-off run, and a lost index.
//!
//! - packages of an index that was removed or damaged are served without asking the feed
//! - after a run that was cut off everything stored is served as before
//! - who asks between the end of a fill and its being stored asks the feed nothing

use std::fs;

use crate::support::{World, stored, until};

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const HTTP: &str = "flat/example.http/1.0.0/example.http.1.0.0.nupkg";

fn index_of(world: &World) -> std::path::PathBuf {
    world.path().join("index-v2.sqlite3")
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_outlive_their_index() {
    for garbage in [None, Some(vec![0x42; 40_000]), Some(Vec::new())] {
        let mut world = World::demo().await;
        let right = [
            stored(&world, CORE).await.body,
            stored(&world, HTTP).await.body,
        ];
        world.stop().await;
        match &garbage {
            None => fs::remove_file(index_of(&world)).unwrap(),
            Some(garbage) => fs::write(index_of(&world), garbage).unwrap(),
        }
        world.start().await;
        for (path, right) in [CORE, HTTP].iter().zip(right) {
            let only_stored = [("cache-control", "only-if-cached")];
            let found = async || world.get_with(path, &only_stored).await.status == 200;
            let what = format!("{path} is found again: {garbage:?}");
            until(&what, found).await;
            world.up.clear_log();
            assert!(world.get(path).await.body == right);
            let asked = world.up.log();
            assert!(asked.iter().all(|line| !line.path().ends_with(".nupkg")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_unclean_end_everything_is_served_as_before() {
    let mut world = World::demo().await;
    let right = stored(&world, CORE).await.body;
    world.stop().await;
    assert!(!world.path().join("running").exists());
    fs::write(world.path().join("running"), "").unwrap();
    world.start().await;
    world.up.clear_log();
    let again = world.get(CORE).await;
    assert!(again.body == right);
    assert_eq!(again.header("cache-status"), "nugate; hit");
    assert!(world.up.log().is_empty());
    assert!(world.path().join("running").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_a_package_is_being_stored_asks_the_feed_nothing() {
    let world = World::demo().await;
    let first = world.get(CORE).await;
    for _ in 0..50 {
        assert!(world.get(CORE).await.body == first.body);
    }
    let path = "/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg";
    assert_eq!(world.up.count(path), 1);
}
