//! What `warm` is given: files of projects, and packages by name.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::cli::cache::args::WarmFlags;
use crate::jobs::command::Warm;
use crate::nuget::wanted::{Want, Wanted};
use crate::server::control::ORDER_MAX;

/// Largest file, in bytes; the assets file of a large solution has some 10 MiB.
const FILE_MAX: u64 = 256 << 20;

/// The central list of versions, beside a project or above it.
const CENTRAL: &str = "Directory.Packages.props";

/// What is to be fetched ahead, and what of it could not be resolved.
///
/// # Errors
/// A file that cannot be read or says nothing, a name that is none.
pub(super) fn read(flags: &WarmFlags) -> Result<(Warm, Vec<String>), String> {
    let mut all = Wanted::default();
    for what in &flags.what {
        let path = Path::new(what);
        if path.is_file() {
            let found = read_file(path)?;
            all.wants.extend(found.wants);
            all.unresolved.extend(found.unresolved);
        } else {
            let want: Want = what
                .parse()
                .map_err(|why| format!("{what} is no file, and no package either: {why}"))?;
            all.wants.insert(want);
        }
    }
    let warm = Warm {
        packages: all.wants.iter().map(ToString::to_string).collect(),
        closure: flags.closure,
        registrations: !flags.no_registrations,
        parallel: flags.parallel,
    };
    let length: usize = warm.packages.iter().map(|text| text.len() + 3).sum();
    if length > ORDER_MAX - 1024 {
        return Err(format!(
            "{} packages are too many for one order: give fewer files at a time",
            warm.packages.len()
        ));
    }
    Ok((warm, all.unresolved.into_iter().collect()))
}

fn read_file(path: &Path) -> Result<Wanted, String> {
    let shown = path.display();
    let text = text_of(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let central = central_of(path).map_err(|error| format!("{CENTRAL} of {shown}: {error}"))?;
    let wanted = Wanted::read(&text, central.as_deref());
    let wanted = wanted.map_err(|why| format!("{shown} {why}"))?;
    if wanted.wants.is_empty() && wanted.unresolved.is_empty() {
        return Err(format!("{shown} names no package"));
    }
    Ok(wanted)
}

/// The nearest central list of versions at or above a file that is not one itself.
fn central_of(path: &Path) -> io::Result<Option<String>> {
    let path = fs::canonicalize(path)?;
    let mut above = path.ancestors().skip(1).map(|folder| folder.join(CENTRAL));
    let found = above.find(|candidate| candidate.is_file());
    found
        .filter(|found| *found != path)
        .map(|found| text_of(&found))
        .transpose()
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::other("it is larger than 256 MiB"));
    }
    Ok(text)
}
