//! Files that are no packages, and folders that are not there.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use nugate::demo::Package;

use super::{Shelf, write};
use crate::support::until;

#[tokio::test]
async fn what_is_no_package_is_not_offered() {
    let outside = tempfile::TempDir::new().unwrap();
    let secret = outside.path().join("secret.1.0.0.nupkg");
    fs::write(&secret, Package::new("Secret", "1.0.0").nupkg().unwrap()).unwrap();
    let shelf = Shelf::with(|root| {
        write(root, "a.nupkg", &Package::new("A", "1.0.0"));
        write(root, "x.symbols.nupkg", &Package::new("X", "1.0.0"));
        write(root, "x.snupkg", &Package::new("X", "1.0.0"));
        write(root, ".hidden.nupkg", &Package::new("X", "1.0.0"));
        write(root, ".git/x.nupkg", &Package::new("X", "1.0.0"));
        write(root, "~x.nupkg", &Package::new("X", "1.0.0"));
        write(root, "x.nupkg.part", &Package::new("X", "1.0.0"));
        fs::write(root.join("garbage.nupkg"), "<html>login</html>").unwrap();
        fs::write(root.join("empty.nupkg"), "").unwrap();
        fs::write(root.join("bomb.nupkg"), zip_of("x.nuspec", &bomb())).unwrap();
        fs::write(
            root.join("long.nupkg"),
            zip_of("x.nuspec", &vec![b' '; 2 << 20]),
        )
        .unwrap();
        fs::write(
            root.join("none.nupkg"),
            zip_of("lib/x.nuspec", b"<package/>"),
        )
        .unwrap();
        fs::create_dir(root.join("folder.nupkg")).unwrap();
        symlink(&secret, root.join("secret.nupkg")).unwrap();
        symlink(outside.path(), root.join("secrets")).unwrap();
        symlink(root, root.join("loop")).unwrap();
    })
    .await;
    shelf.lists("a", &["1.0.0"]).await;
    let found = shelf.get("query").await.json();
    assert_eq!(found["totalHits"], 1);
    for id in ["x", "secret", "evil"] {
        assert_eq!(
            shelf.get(&format!("flat/{id}/index.json")).await.status,
            404,
            "{id}"
        );
    }
}

/// Entities that would be a gigabyte.
fn bomb() -> Vec<u8> {
    let mut text = String::from("<!DOCTYPE p [<!ENTITY a0 \"aaaaaaaaaa\">");
    for level in 1..10 {
        let inner = format!("&a{};", level - 1).repeat(10);
        let _ = write!(text, "<!ENTITY a{level} \"{inner}\">");
    }
    text.push_str(
        "]><package><metadata><id>Evil</id><version>1.0.0</version>\
         <description>&a9;</description></metadata></package>",
    );
    text.into_bytes()
}

fn zip_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

#[tokio::test]
async fn a_link_within_the_folder_is_followed() {
    let shelf = Shelf::with(|root| {
        write(root, ".data/blob", &Package::new("A", "1.0.0"));
        symlink(".data/blob", root.join("a.nupkg")).unwrap();
    })
    .await;
    shelf.lists("a", &["1.0.0"]).await;
}

#[tokio::test]
async fn of_two_files_the_first_by_path_is_offered() {
    let shelf = Shelf::with(|root| {
        write(
            root,
            "b/a.nupkg",
            &Package::new("A", "1.0").described("second"),
        );
        write(
            root,
            "a/a.nupkg",
            &Package::new("a", "1.0.0").described("first"),
        );
    })
    .await;
    shelf.lists("a", &["1.0.0"]).await;
    let nuspec = "flat/a/1.0.0/a.nuspec";
    assert!(shelf.get(nuspec).await.text().contains("first"));
    fs::remove_file(shelf.root().join("a/a.nupkg")).unwrap();
    until("the other takes its place", async || {
        shelf.get(nuspec).await.text().contains("second")
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_gone_is_a_failure() {
    let mut shelf = Shelf::with(|root| {
        write(root, "a.nupkg", &Package::new("A", "1.0.0"));
        write(root, "b.nupkg", &Package::new("B", "1.0.0"));
    })
    .await;
    let nupkg = shelf.world.get("flat/a/1.0.0/a.1.0.0.nupkg").await;
    shelf.lists("a", &["1.0.0"]).await;
    shelf.world.quiet().await;
    fs::rename(shelf.root(), shelf.beside("away")).unwrap();
    until("what is not stored fails", async || {
        let response = shelf.get("flat/b/1.0.0/b.1.0.0.nupkg").await;
        assert_ne!(response.status, 404);
        response.status == 502 && response.text().contains("the folder of packages: ")
    })
    .await;
    let kept = shelf.get("flat/a/1.0.0/a.1.0.0.nupkg").await;
    assert_eq!((kept.status.as_u16(), &kept.body), (200, &nupkg.body));
    assert_eq!(shelf.get("flat/a/index.json").await.status, 200);
    assert_eq!(shelf.get("flat/nobody/index.json").await.status, 502);
    shelf.world.restart().await;
    assert_eq!(shelf.get("flat/a/index.json").await.status, 200);
    assert_eq!(shelf.get("flat/b/index.json").await.status, 502);
    fs::rename(shelf.beside("away"), shelf.root()).unwrap();
    until("it is back", async || {
        shelf.world.later(60);
        shelf.get("flat/b/index.json").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn an_empty_folder_does_not_take_away_what_is_stored() {
    let shelf = Shelf::with(|root| write(root, "a.nupkg", &Package::new("A", "1.0.0"))).await;
    shelf.lists("a", &["1.0.0"]).await;
    let path = "flat/a/1.0.0/a.1.0.0.nupkg";
    let nupkg = shelf.get(path).await;
    shelf.world.quiet().await;
    fs::remove_file(shelf.root().join("a.nupkg")).unwrap();
    until("the folder is empty", async || {
        shelf.get("query").await.json()["totalHits"] == 0
    })
    .await;
    assert_eq!(shelf.get(path).await.body, nupkg.body);
    assert_eq!(shelf.get("flat/a/index.json").await.status, 200);
}
