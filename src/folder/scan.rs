//! Looks through a folder: which package files there are, and what each is.
//!
//! A file is opened only when its stamp is new, so looking again costs a `stat` each. What cannot
//! be a package (a copy under way, garbage) is remembered by its stamp too and looked at again when
//! that changes. Invariant: a folder, or a part of it, that cannot be listed does not make what was
//! in it disappear.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::ArchiveError;
use super::inventory::{Inventory, Release};
use super::manifest::Manifest;
use super::reader;
use super::stamp::FileStamp;

/// Deepest folder below the root that is looked into; `{id}/{version}/` is 2.
const DEPTH_MAX: usize = 8;

/// Most files and folders that are looked at.
const NAMES_MAX: usize = 2_000_000;

/// What was made of a file.
type Verdict = Result<Arc<Release>, String>;

/// A path, and why something there is not offered.
type Trouble = (PathBuf, String);

/// A file that may be a package.
pub(super) struct Candidate {
    /// Where it is, symbolic links resolved.
    pub(super) path: PathBuf,
    stamp: FileStamp,
}

/// A folder and what is remembered of its files.
pub(super) struct Scanner {
    root: PathBuf,
    known: HashMap<PathBuf, (FileStamp, Verdict)>,
    /// What was wrong at the last scan, and what of it was told.
    troubles: BTreeSet<Trouble>,
    told: BTreeSet<Trouble>,
    /// Device of the root when it last held a package.
    device: Option<u64>,
}

/// Device and number of the root: a mount or a new folder in its place has others.
pub(super) type RootId = (u64, u64);

impl Scanner {
    /// A scanner that has looked at nothing yet.
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: HashMap::new(),
            troubles: BTreeSet::new(),
            told: BTreeSet::new(),
            device: None,
        }
    }

    /// Where the folder is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Which folder the root is now.
    pub(super) fn root_id(&self) -> Option<RootId> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(&self.root).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Looks at everything, reading what is new.
    ///
    /// # Errors
    /// When the folder itself is not there or cannot be listed.
    pub(super) fn scan(&mut self) -> io::Result<Inventory> {
        let root = fs::canonicalize(&self.root)?;
        let mut walk = Walk {
            root: &root,
            found: Vec::new(),
            unread: Vec::new(),
            troubles: BTreeSet::new(),
            names: 0,
        };
        walk.folder(&root, 0)?;
        let Walk {
            mut found,
            unread,
            mut troubles,
            ..
        } = walk;
        found.extend(self.behind(&unread));
        found.sort_by(|left, right| left.path.cmp(&right.path));
        let mut known = HashMap::with_capacity(found.len());
        let mut releases = Vec::new();
        let verdicts = self.judge(&found);
        for (candidate, (stamp, verdict)) in found.into_iter().zip(verdicts) {
            match &verdict {
                Ok(release) => releases.push(Arc::clone(release)),
                Err(why) => drop(troubles.insert((candidate.path.clone(), why.clone()))),
            }
            if let Some(stamp) = stamp {
                known.insert(candidate.path, (stamp, verdict));
            }
        }
        self.known = known;
        let inventory = Inventory::new(releases);
        self.check_device(&inventory)?;
        let of_shadowed = |(path, first): &(PathBuf, PathBuf)| {
            let why = format!("has the id and version of {}", first.display());
            (path.clone(), why)
        };
        troubles.extend(inventory.shadowed.iter().map(of_shadowed));
        self.tell(troubles);
        Ok(inventory)
    }

    /// Logs what is wrong for the second time: a copy under way is not.
    fn tell(&mut self, troubles: BTreeSet<Trouble>) {
        let lasting: BTreeSet<Trouble> = troubles.intersection(&self.troubles).cloned().collect();
        for (path, why) in lasting.difference(&self.told) {
            tracing::warn!(path = %path.display(), why, "not offered");
        }
        self.told = lasting;
        self.troubles = troubles;
    }

    /// What is known below folders that cannot be listed just now.
    fn behind(&self, unread: &[PathBuf]) -> Vec<Candidate> {
        let hidden = |path: &Path| unread.iter().any(|folder| path.starts_with(folder));
        self.known
            .iter()
            .filter(|(path, _)| hidden(path))
            .map(|(path, (stamp, _))| Candidate {
                path: path.clone(),
                stamp: *stamp,
            })
            .collect()
    }

    /// What each file is, and the stamp by which that may be remembered; without one, the next scan
    /// tries again.
    fn judge(&self, found: &[Candidate]) -> Vec<(Option<FileStamp>, Verdict)> {
        let same = |candidate: &Candidate| {
            let (stamp, verdict) = self.known.get(&candidate.path)?;
            (*stamp == candidate.stamp).then(|| (Some(*stamp), verdict.clone()))
        };
        let mut verdicts: Vec<_> = found.iter().map(same).collect();
        let fresh = (0..found.len()).filter(|index| verdicts[*index].is_none());
        let fresh: Vec<usize> = fresh.collect();
        reader::read_all(&fresh, found, |index, read| {
            verdicts[index] = Some(understand(&found[index].path, read));
        });
        let unread = || (None, Err("it was not read".to_owned()));
        let verdicts = verdicts.into_iter();
        verdicts.map(|own| own.unwrap_or_else(unread)).collect()
    }

    /// The place where a disk was mounted is an empty folder on another device.
    fn check_device(&mut self, inventory: &Inventory) -> io::Result<()> {
        let device = self.root_id().map(|(device, _)| device);
        if inventory.packages.is_empty() {
            if self.device.is_some() && self.device != device {
                let why = "it is empty and on another device than before: nothing is mounted there";
                return Err(io::Error::other(why));
            }
        } else {
            self.device = device;
        }
        Ok(())
    }
}

fn understand(path: &Path, read: reader::Read) -> (Option<FileStamp>, Verdict) {
    let (stamp, bytes) = match read {
        Ok(read) => read,
        Err((stamp, ArchiveError::Unfit(why))) => return (stamp, Err(why)),
        Err((_, error)) => return (None, Err(error.to_string())),
    };
    let release = match Manifest::parse(&bytes) {
        Ok(manifest) => Ok(Arc::new(Release::new(manifest, path.to_owned(), stamp))),
        Err(why) => Err(format!("its manifest is unusable: {why}")),
    };
    (Some(stamp), release)
}

/// One walk through the tree.
struct Walk<'a> {
    root: &'a Path,
    found: Vec<Candidate>,
    /// Folders that could not be listed.
    unread: Vec<PathBuf>,
    troubles: BTreeSet<Trouble>,
    names: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            self.names += 1;
            if self.names > NAMES_MAX {
                let why = format!("it holds more than {NAMES_MAX} files and folders");
                return Err(io::Error::other(why));
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(['.', '~']) {
                continue;
            }
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            if kind.is_dir() {
                self.subfolder(entry.path(), depth)?;
            } else if is_package(&name) {
                self.file(&entry.path(), kind.is_symlink());
            }
        }
        Ok(())
    }

    /// Only the limit ends the whole walk: what is wrong with one folder concerns that folder.
    fn subfolder(&mut self, path: PathBuf, depth: usize) -> io::Result<()> {
        if depth >= DEPTH_MAX {
            return Ok(());
        }
        match self.folder(&path, depth + 1) {
            Err(error) if self.names > NAMES_MAX => Err(error),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => {
                self.troubles
                    .insert((path.clone(), format!("cannot be listed: {error}")));
                self.unread.push(path);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn file(&mut self, path: &Path, is_link: bool) {
        let resolved = if is_link {
            fs::canonicalize(path).ok()
        } else {
            Some(path.to_owned())
        };
        let Some(resolved) = resolved.filter(|path| path.starts_with(self.root)) else {
            return;
        };
        if let Ok(metadata) = fs::metadata(&resolved)
            && metadata.is_file()
        {
            self.found.push(Candidate {
                path: resolved,
                stamp: FileStamp::of(&metadata),
            });
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Packages, but not those of symbols.
fn is_package(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".nupkg") && !name.ends_with(".symbols.nupkg")
}
