//! Bodies that vanish or rot behind nugate's back.
//!
//! - whatever is lost, the service index too, and however many ask at once: everyone gets what the
//!   upstream has, and each document is fetched once

use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use nugate::demo::ExampleFeed;

use crate::support::{World, stored};

const PATHS: &[&str] = &[
    "index.json",
    "flat/example.core/index.json",
    "flat/example.core/1.0.0/example.core.1.0.0.nupkg",
    "registration-gz-semver2/example.core/index.json",
    "flat/example.http/index.json",
    "flat/example.http/1.0.0/example.http.1.0.0.nupkg",
    "query?q=example",
];

/// The files of all stored bodies.
pub fn body_files(cache: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    gather(&cache.join("bodies-v1/content-v2"), &mut files);
    files.sort();
    files
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn remove(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

fn cut(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[1..]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_lost_are_fetched_once_however_many_ask() {
    for (round, harm) in [remove, cut].into_iter().cycle().take(20).enumerate() {
        let mut world = World::with(ExampleFeed::demo(), |settings| {
            settings.bases.public_url = Some("http://cache.test".parse().unwrap());
        })
        .await;
        let mut first = Vec::new();
        for path in PATHS {
            let response = stored(&world, path).await;
            assert_eq!(response.status.as_u16(), 200, "{path}");
            first.push(response.body);
        }
        world.stop().await;
        for file in body_files(world.path()) {
            harm(&file);
        }
        world.start().await;
        world.up.clear_log();
        let asked = PATHS.iter().cycle().take(5 * PATHS.len());
        let answers = join_all(asked.map(|path| world.get(path))).await;
        for (number, answer) in answers.iter().enumerate() {
            let place = number % PATHS.len();
            let path = PATHS[place];
            assert_eq!(answer.status.as_u16(), 200, "{round} {path} {answer:?}");
            assert!(answer.body == first[place], "{round} {path}");
        }
        world.quiet().await;
        let log = world.up.log();
        for line in &log {
            let same = log
                .iter()
                .filter(|other| other.path() == line.path())
                .count();
            assert_eq!(same, 1, "{round} {}", line.path());
        }
    }
}
