//! A folder of packages that answers like a NuGet V3 feed, without a network.
//!
//! An adapter: questions and answers are those of HTTP (a URL and an entity tag in, a status,
//! header fields and a body out), so that nothing above knows the difference. Its URLs lie below
//! `https://folder.invalid/NAME/`, a host that cannot exist (RFC 2606 section 2) and never reaches
//! a client. Every document is made from the manifests of the packages; nothing is written.
//!
//! Layouts: any, up to eight folders deep; `{id}/{version}/{id}.{version}.nupkg` and all files in
//! one folder among them. What a file is, its manifest says, not its name. Invariants: only whole
//! archives are offered; what is there no more is 410, but a folder that cannot be read is an error,
//! and an empty one, which may be a disk that is not mounted, only says 404.

mod answer;
mod archive;
mod body;
mod documents;
mod inventory;
mod manifest;
mod path;
mod reader;
mod scan;
mod stamp;
mod watch;
mod xml;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use documents::Links;
use inventory::{Inventory, Release};
use path::{Part, Wanted};
use watch::{View, Watcher};

pub use body::Body;
pub use documents::{Description, Finding, Stock, completed_id};

/// Host of all URLs of folders.
const HOST: &str = "https://folder.invalid";

/// Why a folder gives no answer. Clients may read it, so it does not say where the folder is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FolderError(String);

impl FolderError {
    fn new(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// A question for one document.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where it is; the query counts.
    pub url: &'a Url,
    /// Entity tags the asker has (`If-None-Match`, RFC 9110 section 13.1.2).
    pub etag: Option<&'a HeaderValue>,
    /// Whether only the header is wanted.
    pub head: bool,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Answer {
    /// 200, 304, 404 or 410.
    pub status: StatusCode,
    /// `ETag`, `Last-Modified`, `Content-Type`, `Content-Length`.
    pub headers: HeaderMap,
    /// The body; empty unless the status is 200 and it was not only asked for the header.
    pub body: Body,
}

/// A folder that is watched from the first question on.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    name: String,
    base: String,
    index: Url,
    watcher: OnceLock<Result<Watcher, String>>,
}

impl Folder {
    /// The folder at `path`, which need not be there, as the feed called `name` (`a-z`, `0-9` and
    /// `-`). It is not looked at yet.
    ///
    /// # Errors
    /// When the name cannot be part of a URL.
    pub fn new(path: &Path, name: &str) -> Result<Self, FolderError> {
        let base = format!("{HOST}/{name}/");
        let index = Url::parse(&format!("{base}index.json"))
            .map_err(|error| FolderError(format!("the name {name:?} is unusable: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            name: name.to_owned(),
            base,
            index,
            watcher: OnceLock::new(),
        })
    }

    /// The URL of its service index, the only one that is not told by a document.
    pub const fn index(&self) -> &Url {
        &self.index
    }

    /// Answers a question. All but the service index waits for the first look through the folder,
    /// however long it takes.
    ///
    /// # Errors
    /// When the folder or the file cannot be read.
    pub async fn ask(&self, question: Question<'_>) -> Result<Answer, FolderError> {
        let Some(wanted) = Wanted::parse(question.url, &self.base) else {
            return Ok(answer::absent(StatusCode::NOT_FOUND));
        };
        let watcher = self.watcher()?;
        let mut view = match wanted {
            Wanted::ServiceIndex => watcher.latest(),
            _ => watcher.view().await,
        };
        // A file may have been changed since the last look: then a look that begins now tells.
        for _ in 0..2 {
            let inventory = match view {
                View::Here(inventory) => inventory,
                View::Gone(why) => return Err(FolderError::new(why)),
                View::Unknown => Arc::new(Inventory::new([])),
            };
            if let Some(answer) = self.answer(&inventory, &wanted, question).await? {
                return Ok(answer);
            }
            view = watcher.look_again().await;
        }
        Err(FolderError::new("the package is being changed"))
    }

    fn watcher(&self) -> Result<&Watcher, FolderError> {
        let start = || {
            let started = Watcher::start(&self.path, &self.name);
            started.map_err(|error| format!("it cannot be watched: {error}"))
        };
        let watcher = self.watcher.get_or_init(start).as_ref();
        watcher.map_err(FolderError::new)
    }

    /// The answer by what is known; `None` when a file is not as it was then.
    async fn answer(
        &self,
        inventory: &Arc<Inventory>,
        wanted: &Wanted,
        question: Question<'_>,
    ) -> Result<Option<Answer>, FolderError> {
        if let Wanted::File(id, version, part) = wanted {
            let Some(release) = inventory.release(id, version) else {
                return Ok(Some(answer::absent(gone(inventory))));
            };
            return Self::file(release, *part, question).await;
        }
        let Some(stand) = documents::stand(inventory, wanted) else {
            return Ok(Some(answer::absent(gone(inventory))));
        };
        if answer::matches(question.etag, &stand.tag) {
            return Ok(Some(answer::not_modified(&stand)));
        }
        let (inventory, wanted) = (Arc::clone(inventory), wanted.clone());
        let base = self.base.clone();
        let work = move || documents::document(&inventory, &wanted, Links(&base));
        let made = tokio::task::spawn_blocking(work).await;
        let made = made.map_err(|_| FolderError::new("making the document panicked"))?;
        Ok(Some(match made {
            Some(document) => answer::document(document, &stand, question.head),
            // Clients pair an index with its pages for a while: they are not gone at once.
            None => answer::absent(StatusCode::NOT_FOUND),
        }))
    }

    async fn file(
        release: &Arc<Release>,
        part: Part,
        question: Question<'_>,
    ) -> Result<Option<Answer>, FolderError> {
        let release = Arc::clone(release);
        let (etag, head) = (question.etag.cloned(), question.head);
        let work = move || answer::file(&release, part, etag.as_ref(), head);
        let read = tokio::task::spawn_blocking(work).await;
        let read = read.map_err(|_| FolderError::new("reading the package panicked"))?;
        read.map_err(FolderError::new)
    }
}

/// The status of what is not there. An empty folder may be a disk that is not mounted: what was
/// seen in it is not gone for certain.
fn gone(inventory: &Inventory) -> StatusCode {
    if inventory.packages.is_empty() {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::GONE
    }
}
