//! Flags of `export` and `import`, and what they ask for.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::cache::args::CacheFlags;
use crate::jobs::command::{Export, Import};

/// Longest file of a public key, in bytes.
const TRUST_MAX: u64 = 1024;

/// What help of `export` says behind the flags.
pub(super) const EXPORT: &str = "\
Examples:
  nugate bundle-key site.key
  nugate export monday.nugate --key site.key
  nugate export tuesday.nugate --key site.key --since monday.nugate

Exit codes:
  0   success
  1   failure at run time
  2   wrong usage
  64  wrong configuration";

/// What help of `import` says behind the flags.
pub(super) const IMPORT: &str = "\
Examples:
  nugate import monday.nugate --trust site.key.pub --dry-run
  nugate import monday.nugate --trust nugate-bundle:KEY

Exit codes:
  0   success
  1   failure at run time: also a bundle that is damaged, or not signed with the key; nothing is kept
  2   wrong usage
  64  wrong configuration";

/// The flags of `export`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ExportFlags {
    /// The bundle to write; nothing is overwritten
    #[arg(value_name = "FILE")]
    pub to: PathBuf,
    /// The file of the private key, as `nugate bundle-key` makes it
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Leave out what this earlier bundle of the same key has
    #[arg(long, value_name = "FILE")]
    pub since: Option<PathBuf>,
    /// Only show what would be written
    #[arg(long)]
    pub dry_run: bool,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// The flags of `import`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ImportFlags {
    /// The bundle to take over
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
    /// The public key that it must be signed with, or the file of it
    #[arg(long, value_name = "KEY")]
    pub trust: String,
    /// Only show what would be kept
    #[arg(long)]
    pub dry_run: bool,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

impl ExportFlags {
    pub(super) fn order(&self) -> Result<Export, String> {
        Ok(Export {
            to: absolute(&self.to)?,
            key: absolute(&self.key)?,
            since: self.since.as_deref().map(absolute).transpose()?,
            dry_run: self.dry_run,
        })
    }
}

impl ImportFlags {
    pub(super) fn order(&self) -> Result<Import, String> {
        let path = Path::new(&self.trust);
        let trust = if path.is_file() {
            let mut text = String::new();
            let file = std::fs::File::open(path);
            let read = file.and_then(|file| file.take(TRUST_MAX).read_to_string(&mut text));
            read.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            text
        } else {
            self.trust.clone()
        };
        Ok(Import {
            from: absolute(&self.from)?,
            trust,
            dry_run: self.dry_run,
        })
    }
}

/// A daemon has a working directory of its own.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    let absolute = std::path::absolute(path);
    absolute.map_err(|error| format!("{}: {error}", path.display()))
}
