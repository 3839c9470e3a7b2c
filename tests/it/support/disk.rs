//! A disk of its own for the cache, which a test can fill, forbid and give back.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system mounted over a folder; unmounted when dropped.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// A `tmpfs` over `at` with these mount options. `None`, and the reason on standard error, where
    /// that is not allowed: mounting needs root, and not every container lets even root.
    pub fn tmpfs(at: &Path, options: &str) -> Option<Self> {
        match mount(&["-t", "tmpfs", "-o", options, "nugate-test"], at) {
            Ok(()) => Some(Self { at: at.to_owned() }),
            Err(reason) => {
                eprintln!("SKIPPED: a file system of its own cannot be mounted: {reason}");
                None
            }
        }
    }

    /// Forbids writing below the folder, except to files that are open already.
    pub fn forbid(&self) {
        let at = self.at.to_str().unwrap();
        mount(&["--bind", at], &self.at).unwrap();
        mount(&["-o", "remount,bind,ro"], &self.at).unwrap();
    }

    /// Allows it again.
    pub fn allow(&self) {
        unmount(&self.at);
    }

    /// How many bytes are taken.
    pub fn used(&self) -> u64 {
        let space = rustix::fs::statvfs(&self.at).unwrap();
        (space.f_blocks - space.f_bfree) * space.f_frsize
    }

    /// Fills all but `left` bytes.
    pub fn fill(&self, left: u64) {
        let space = rustix::fs::statvfs(&self.at).unwrap();
        let bytes = (space.f_bavail * space.f_frsize).saturating_sub(left);
        let block = vec![1; usize::try_from(bytes).unwrap()];
        std::fs::write(self.at.join("ballast"), block).unwrap();
    }

    /// Takes all but `left` inodes.
    pub fn take_inodes(&self, left: u64) {
        let folder = self.at.join("inodes");
        std::fs::create_dir(&folder).unwrap();
        let free = rustix::fs::statvfs(&self.at).unwrap().f_ffree;
        for number in left..free {
            std::fs::File::create(folder.join(number.to_string())).unwrap();
        }
    }

    /// Gives back what was filled or taken.
    pub fn free(&self) {
        for taken in [self.at.join("ballast"), self.at.join("inodes")] {
            if taken.is_dir() {
                std::fs::remove_dir_all(taken).unwrap();
            } else if taken.exists() {
                std::fs::remove_file(taken).unwrap();
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.at);
    }
}

/// Takes the uppermost one away; files of it may still be open, and it vanishes with the last.
fn unmount(at: &Path) {
    let _ = Command::new("umount").arg("-l").arg(at).status();
}

fn mount(arguments: &[&str], at: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(at).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
