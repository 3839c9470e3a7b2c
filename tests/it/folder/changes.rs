//! Files that come, change and go while nugate runs.

use std::fs;

use nugate::demo::Package;

use super::{Shelf, write};
use crate::support::{Program, get, until};

const NUPKG: &str = "flat/a/1.0.0/a.1.0.0.nupkg";

#[tokio::test]
async fn packages_come_and_go() {
    let shelf = Shelf::empty().await;
    shelf.lists("a", &[]).await;
    shelf.put("a.1.0.0.nupkg", &Package::new("A", "1.0.0"));
    shelf.lists("a", &["1.0.0"]).await;
    shelf.put("new/folder/a.2.0.0.nupkg", &Package::new("A", "2.0.0"));
    shelf.lists("a", &["1.0.0", "2.0.0"]).await;
    shelf.put("b.nupkg", &Package::new("B", "1.0.0"));
    shelf.lists("b", &["1.0.0"]).await;
    assert_eq!(shelf.get(NUPKG).await.status, 200);
    fs::remove_file(shelf.root().join("a.1.0.0.nupkg")).unwrap();
    shelf.lists("a", &["2.0.0"]).await;
    assert_eq!(shelf.get(NUPKG).await.status, 404);
    fs::remove_dir_all(shelf.root().join("new")).unwrap();
    shelf.lists("a", &[]).await;
    assert_eq!(shelf.get("registration/a/index.json").await.status, 404);
    assert_eq!(
        shelf.get("query?q=packageid:a").await.json()["totalHits"],
        0
    );
    shelf.lists("b", &["1.0.0"]).await;
}

#[tokio::test]
async fn a_package_that_was_replaced_is_replaced() {
    let shelf = Shelf::empty().await;
    let before = Package::new("A", "1.0.0").described("before");
    let after = Package::new("A", "1.0.0")
        .described("after, and longer")
        .padded(200_000);
    shelf.put("a.nupkg", &before);
    shelf.lists("a", &["1.0.0"]).await;
    assert_eq!(shelf.get(NUPKG).await.body, before.nupkg().unwrap());
    assert_eq!(shelf.get("query?q=before").await.json()["totalHits"], 1);
    shelf.put("a.nupkg", &after);
    let bytes = after.nupkg().unwrap();
    until("the new bytes are served", async || {
        shelf.get(NUPKG).await.body == bytes
    })
    .await;
    let response = shelf.get("flat/a/1.0.0/a.nuspec").await;
    assert!(response.text().contains("after, and longer"));
    assert_eq!(shelf.get("query?q=longer").await.json()["totalHits"], 1);
    assert_eq!(shelf.get("query?q=before").await.json()["totalHits"], 0);
    assert_eq!(shelf.world.metric("nugate_changed_bodies_total").await, 0.0);
}

#[tokio::test]
async fn what_has_not_changed_is_not_read_again() {
    let shelf = Shelf::with(|root| write(root, "a.nupkg", &Package::new("A", "1.0.0"))).await;
    let paths = [
        NUPKG,
        "flat/a/index.json",
        "registration/a/index.json",
        "query?q=a",
    ];
    for path in paths {
        assert_eq!(shelf.get(path).await.status, 200);
        assert_eq!(shelf.get(path).await.status, 200);
        shelf.world.quiet().await;
    }
    let confirmed = "nugate_revalidations_total{outcome=\"not-modified\"}";
    // The service index is asked for again as well.
    assert!(shelf.world.metric(confirmed).await >= 4.0);
    let bytes = shelf.world.metric("nugate_upstream_bytes_total").await;
    shelf.get(NUPKG).await;
    assert_eq!(
        shelf.world.metric("nugate_upstream_bytes_total").await,
        bytes
    );
}

#[tokio::test]
async fn a_copy_under_way_is_not_offered() {
    let shelf = Shelf::with(|root| write(root, "a.nupkg", &Package::new("A", "1.0.0"))).await;
    let bytes = Package::new("A", "2.0.0").padded(100_000).nupkg().unwrap();
    let path = shelf.root().join("a.2.0.0.nupkg");
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    // Whoever sees this one has seen the half file too.
    shelf.put("b.nupkg", &Package::new("B", "1.0.0"));
    shelf.lists("b", &["1.0.0"]).await;
    shelf.lists("a", &["1.0.0"]).await;
    fs::write(&path, &bytes).unwrap();
    shelf.lists("a", &["1.0.0", "2.0.0"]).await;
    let nupkg = shelf.get("flat/a/2.0.0/a.2.0.0.nupkg").await;
    assert_eq!(nupkg.body, bytes);
}

#[tokio::test]
async fn what_came_while_nothing_ran_is_seen() {
    let mut shelf = Shelf::with(|root| write(root, "a.nupkg", &Package::new("A", "1.0.0"))).await;
    shelf.lists("a", &["1.0.0"]).await;
    shelf.world.stop().await;
    fs::remove_file(shelf.root().join("a.nupkg")).unwrap();
    write(&shelf.root(), "a2.nupkg", &Package::new("A", "2.0.0"));
    shelf.world.start().await;
    shelf.lists("a", &["2.0.0"]).await;
}

/// The program itself, with the system's clock: seen soon although nobody moves a clock.
#[tokio::test]
async fn the_program_takes_a_folder_for_its_feed() {
    let folder = tempfile::TempDir::new().unwrap();
    let root = folder.path().to_str().unwrap();
    write(folder.path(), "a.nupkg", &Package::new("A", "1.0.0"));
    let arguments = format!("serve --upstream folder:{root} --listen 127.0.0.1:0");
    let mut program = Program::start(&arguments);
    let address = program.address();
    let list = get(address, "/v3/flat/a/index.json", &[]).await;
    assert_eq!(list.text(), r#"{"versions":["1.0.0"]}"#);
    write(folder.path(), "a2.nupkg", &Package::new("A", "2.0.0"));
    until("the new one is listed", async || {
        let list = get(address, "/v3/flat/a/index.json", &[]).await;
        list.text() == r#"{"versions":["1.0.0","2.0.0"]}"#
    })
    .await;
    program.signal(rustix::process::Signal::TERM);
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let banner = format!(" serves folder:{root}\n");
    assert!(ended.out.contains(&banner), "{}", ended.out);
}

#[tokio::test]
async fn two_thousand_packages_do_not_delay_the_start() {
    let shelf = Shelf::with(|root| {
        for number in 0..2000 {
            let id = format!("p{}", number % 500);
            let version = format!("1.{}.0", number / 500);
            let path = format!("{id}/{version}/{id}.{version}.nupkg");
            write(root, &path, &Package::new(id, version));
        }
    })
    .await;
    // The first answer needs the folder to be known; none says that something is absent before.
    let list = shelf.world.get("flat/p499/index.json").await;
    assert_eq!(
        list.text(),
        r#"{"versions":["1.0.0","1.1.0","1.2.0","1.3.0"]}"#
    );
    let found = shelf.get("query?take=0").await.json();
    assert_eq!(found["totalHits"], 500);
    shelf.put("late.nupkg", &Package::new("Late", "1.0.0"));
    shelf.lists("late", &["1.0.0"]).await;
    until("it is found", async || {
        shelf.get("query?q=late").await.json()["totalHits"] == 1
    })
    .await;
}
