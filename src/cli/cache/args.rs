//! Flags of the commands on the cache.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::cache::bundle::{ExportFlags, ImportFlags};
use crate::config::value::Size;
use crate::nuget::subject::Subject;

const CODES: &str = "\
Exit codes:
  0   success
  1   failure at run time
  2   wrong usage
  64  wrong configuration";

const STATS: &str = "\
Examples:
  nugate stats
  nugate stats --json --config /etc/nugate.toml

Exit codes:
  0   success
  1   failure at run time
  2   wrong usage
  64  wrong configuration";

const GC: &str = "\
Examples:
  nugate gc --dry-run
  nugate gc --size-max '5 GiB' --damaged

Exit codes:
  0   success
  1   failure at run time
  2   wrong usage
  64  wrong configuration";

const VERIFY: &str = "\
Examples:
  nugate verify
  nugate verify --repair --json

Exit codes:
  0   everything is as it should be
  1   failure at run time
  2   wrong usage
  3   damaged or missing bodies were found, repaired or not
  64  wrong configuration";

const PURGE: &str = "\
Examples:
  nugate purge Contoso.Json 1.2.3
  nugate purge 'Contoso.*' --dry-run

Exit codes:
  0   success
  1   failure at run time
  2   wrong usage
  64  wrong configuration";

const PIN: &str = "\
Examples:
  nugate pin Contoso.Json@1.2.3 Newtonsoft.Json
  nugate pin 'Contoso.*'
  nugate pin --list

Exit codes:
  0   success
  1   failure at run time
  2   wrong usage
  64  wrong configuration";

const WARM: &str = "\
Examples:
  nugate warm obj/project.assets.json
  nugate warm src/App/App.csproj packages.lock.json
  nugate warm --closure Newtonsoft.Json@13.0.3 Serilog

Exit codes:
  0   everything is there
  1   failure at run time
  2   wrong usage, or a file that says nothing
  3   something is not there, or could not be resolved
  64  wrong configuration";

/// A command on the cache.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum CacheCommand {
    /// Show what the cache holds, and what the daemon saved since it started
    #[command(after_help = STATS)]
    Stats(StatsFlags),
    /// Make room now: what was not used for longest goes, down to 95 % of the limit
    #[command(after_help = GC)]
    Gc(GcFlags),
    /// Read everything and compare it with its digest
    #[command(after_help = VERIFY)]
    Verify(VerifyFlags),
    /// Forget a package, so that it is asked of the feed again
    #[command(after_help = PURGE)]
    Purge(PurgeFlags),
    /// Never let packages make room for others
    #[command(after_help = PIN)]
    Pin(PinFlags),
    /// Remove pins
    #[command(after_help = CODES)]
    Unpin(UnpinFlags),
    /// Fetch ahead what a project needs, through the daemon, so that it is there without the feed
    #[command(after_help = WARM)]
    Warm(WarmFlags),
    /// Write what the cache holds to a signed file, for a site without a feed
    #[command(after_help = super::bundle::EXPORT)]
    Export(ExportFlags),
    /// Take over what another site exported
    #[command(after_help = super::bundle::IMPORT)]
    Import(ImportFlags),
}

/// Which cache, and how the result is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct CacheFlags {
    /// Read the configuration from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory where everything is kept
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The flags of `stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct StatsFlags {
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// The flags of `gc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct GcFlags {
    /// Only show what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Come below this size instead of `cache.size_max`
    #[arg(long, value_name = "SIZE")]
    pub size_max: Option<String>,
    /// Also remove bodies that no entry names, and those put aside as damaged
    #[arg(long)]
    pub damaged: bool,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

impl GcFlags {
    pub(super) fn size_max(&self) -> Result<Option<u64>, String> {
        let Some(text) = &self.size_max else {
            return Ok(None);
        };
        let size = text.parse::<Size>();
        let size = size.map_err(|why| format!("--size-max `{text}` {why}"))?;
        Ok(Some(size.0))
    }
}

/// The flags of `verify`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct VerifyFlags {
    /// Put damaged bodies aside; beside a running daemon, fetch them again
    #[arg(long)]
    pub repair: bool,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// The flags of `purge`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct PurgeFlags {
    /// The package, or the beginning of ids: `Contoso.*`
    pub id: String,
    /// This version alone
    pub version: Option<String>,
    /// Only show what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

impl PurgeFlags {
    pub(super) fn subject(&self) -> Result<String, String> {
        let subject = match &self.version {
            Some(version) => Subject::new(&self.id, Some(version))?,
            None => self.id.parse()?,
        };
        Ok(subject.to_string())
    }
}

/// The flags of `pin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct PinFlags {
    /// Packages: `ID`, `ID@VERSION`, or the beginning of ids: `Contoso.*`
    #[arg(value_name = "ID[@VERSION]", required_unless_present = "list")]
    pub subjects: Vec<String>,
    /// Show what is pinned
    #[arg(long, conflicts_with = "subjects")]
    pub list: bool,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// The flags of `unpin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct UnpinFlags {
    /// Pins, as they were given to `pin`
    #[arg(value_name = "ID[@VERSION]", required = true)]
    pub subjects: Vec<String>,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// The flags of `warm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct WarmFlags {
    /// Files (lock, assets, project, `packages.config`, `.props`, a bill of materials) or packages
    #[arg(value_name = "FILE|ID[@VERSION]", required = true)]
    pub what: Vec<String>,
    /// Also what the packages need, on any framework
    #[arg(long)]
    pub closure: bool,
    /// Leave registrations out, which restores do not ask for
    #[arg(long, conflicts_with = "closure")]
    pub no_registrations: bool,
    /// Packages at a time
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub parallel: u32,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheFlags,
}

impl CacheCommand {
    /// Which cache, and how the result is shown.
    pub const fn cache(&self) -> &CacheFlags {
        match self {
            Self::Stats(flags) => &flags.cache,
            Self::Gc(flags) => &flags.cache,
            Self::Verify(flags) => &flags.cache,
            Self::Purge(flags) => &flags.cache,
            Self::Pin(flags) => &flags.cache,
            Self::Unpin(flags) => &flags.cache,
            Self::Warm(flags) => &flags.cache,
            Self::Export(flags) => &flags.cache,
            Self::Import(flags) => &flags.cache,
        }
    }

    pub(super) const fn json(&self) -> bool {
        self.cache().json
    }
}
