//! A folder of packages as the feed: what is in it, what changes in it, what is wrong in it.

mod changes;
mod documents;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};

use nugate::demo::{ExampleFeed, Package};
use tempfile::TempDir;
use url::Url;

use crate::support::{Response, World, until};

/// A nugate whose feed is a folder.
pub struct Shelf {
    pub world: World,
    dir: TempDir,
}

impl Shelf {
    /// An empty folder.
    pub async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    /// A folder that `fill` has put something into before nugate starts.
    pub async fn with(fill: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("packages");
        fs::create_dir(&root).unwrap();
        fill(&root);
        let url = Url::from_file_path(&root).unwrap();
        let world = World::with(ExampleFeed::default(), |settings| settings.feed.url = url).await;
        Self { world, dir }
    }

    /// The folder.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("packages")
    }

    /// Another place on the same device, outside of the folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a package at a path below the folder, whole at once.
    pub fn put(&self, path: &str, package: &Package) {
        let draft = self.beside("draft");
        fs::write(&draft, package.nupkg().unwrap()).unwrap();
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(draft, path).unwrap();
    }

    /// Asks when everything answered so far is stored, and old.
    pub async fn get(&self, path: &str) -> Response {
        self.world.quiet().await;
        self.world.later(1);
        self.world.get(path).await
    }

    /// Asks until the version list of an id is this.
    pub async fn lists(&self, id: &str, versions: &[&str]) {
        let expected = serde_json::json!({ "versions": versions });
        let path = format!("flat/{id}/index.json");
        let what = format!("{id} has {versions:?}");
        let shown = async || {
            let response = self.get(&path).await;
            if versions.is_empty() {
                response.status == 404
            } else {
                response.status == 200 && response.json() == expected
            }
        };
        until(&what, shown).await;
    }
}

/// Writes a package into a folder that nobody watches yet.
pub fn write(root: &Path, path: &str, package: &Package) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, package.nupkg().unwrap()).unwrap();
}
