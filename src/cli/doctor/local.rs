//! Looks at the cache of a configuration: its disk, and who has it. Changes nothing and takes no
//! lock, so that a daemon can start meanwhile.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use indicatif::BinaryBytes;
use rustix::fs::{Access, access, statvfs};

use super::checks::{CACHE, DISK};
use super::finding::{Finding, Findings, Verdict};
use crate::cli::cache::is_served;
use crate::config::Config;

/// Files that a disk must have room for.
const INODES_MIN: u64 = 1_000;

/// What was found, and whether a daemon runs on the cache.
pub(super) async fn look(config: &Config) -> (Vec<Finding>, bool) {
    let dir = &config.cache.dir;
    let mut findings = Findings::about(dir.display().to_string());
    // A cache that is not there yet will be where it is to be.
    let place = dir.ancestors().find(|it| it.exists());
    match place {
        Some(place) => disk(place, config.cache.free_min, &mut findings),
        None => findings.add(DISK, Verdict::Failed, "the path of cache.dir leads nowhere"),
    }
    let served = daemon(dir, &mut findings).await;
    (findings.into_list(), served)
}

fn disk(place: &Path, free_min: u64, findings: &mut Findings) {
    let shown = place.display();
    if let Err(error) = access(place, Access::WRITE_OK) {
        let what = format!("{shown} cannot be written: {error}");
        findings.add(DISK, Verdict::Failed, what);
    }
    match statvfs(place) {
        Err(error) => {
            let what = format!("the disk of {shown} cannot be asked: {error}");
            findings.add(DISK, Verdict::Note, what);
        }
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let (has, wants) = (BinaryBytes(free), BinaryBytes(free_min));
            let text = format!("{has} free at {shown}, cache.free_min is {wants}");
            if free < free_min || free == 0 {
                findings.add(DISK, Verdict::Failed, text);
            } else if space.f_files > 0 && space.f_ffree < INODES_MIN {
                let what = format!("only {} more files fit on {shown}", space.f_ffree);
                findings.add(DISK, Verdict::Failed, what);
            } else {
                findings.add_ok(DISK, text);
            }
        }
    }
}

/// Whether a daemon answers on the cache.
async fn daemon(dir: &Path, findings: &mut Findings) -> bool {
    if !dir.is_dir() {
        let what = "there is none yet; the first start makes it";
        findings.add(CACHE, Verdict::Note, what);
        return false;
    }
    let served = is_served(dir).await;
    match &served {
        Ok(true) => findings.add(CACHE, Verdict::Ok, "a daemon runs on it and takes commands"),
        Ok(false) => match holder(dir) {
            Some(process) => {
                let what = format!("process {process} has it and takes no commands");
                findings.add(CACHE, Verdict::Warning, what);
            }
            None => findings.add(CACHE, Verdict::Note, "no daemon runs on it"),
        },
        Err(why) => findings.add(CACHE, Verdict::Warning, why.clone()),
    }
    served == Ok(true)
}

/// The process that has the lock of a cache, as the kernel tells (proc(5), `/proc/locks`).
fn holder(dir: &Path) -> Option<u32> {
    let inode = fs::metadata(dir.join("lock")).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = fields[..] else {
            return None;
        };
        let own = file.rsplit(':').next()?.parse() == Ok(inode);
        own.then(|| process.parse().ok()).flatten()
    })
}
