//! The command line: what may be given, and which settings it sets.
//!
//! Reads no environment variables and judges no values: `config` does both for all sources alike.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::bundle_key::BundleKeyFlags;
use crate::cli::cache::args::{CacheCommand, CacheFlags};
use crate::cli::doctor::{self, DoctorFlags};
use crate::cli::settings::ConfigCommand;

const EXIT_CODES: &str = "\
Every setting also has an environment variable and a key in the configuration file.

Exit codes:
  0   success
  1   failure at run time
  2   wrong usage
  64  wrong configuration";

/// A caching reverse proxy and mirror daemon for NuGet package sources.
#[derive(Clone, Debug, Parser)]
#[command(name = "nugate", version, after_help = EXIT_CODES)]
pub struct Args {
    /// The flags before or without a command.
    #[command(flatten)]
    pub outer: ServeFlags,
    /// The command; `serve` when there is none.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the proxy (the default)
    #[command(after_help = EXIT_CODES)]
    Serve(ServeFlags),
    /// Show the proxy at work with a feed of its own, without a network
    #[command(after_help = EXIT_CODES)]
    Demo(DemoFlags),
    /// Make a private certificate authority and a server certificate
    Cert(CertFlags),
    /// Make a key for a client
    Key(KeyFlags),
    /// Make a key that exported bundles are signed with
    BundleKey(BundleKeyFlags),
    /// Show, check or begin the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at a feed, or at everything of the configuration, as clients do
    #[command(after_help = doctor::HELP)]
    Doctor(DoctorFlags),
    /// The commands on the cache.
    #[command(flatten)]
    Cache(CacheCommand),
    /// Print the completions of the command line for a shell
    Completions(CompletionsFlags),
    /// Print the manual page
    Man(ManFlags),
}

/// The flags of `completions`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct CompletionsFlags {
    /// The shell
    pub shell: Shell,
}

/// The flags of `man`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ManFlags {
    /// Write a page for every command to this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The flags of `serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ServeFlags {
    /// Read the configuration from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The service index of the feed, or a folder of packages: `folder:/PATH`
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// The address and port to listen on
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// The directory where everything is kept
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<String>,
    /// The URL under which clients reach this server
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

/// The flags of `demo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct DemoFlags {
    /// Go on serving after the demonstration, until interrupted
    #[arg(long)]
    pub keep: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The address and port to listen on
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
}

/// The flags of `cert`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct CertFlags {
    /// The host names and addresses under which clients reach this server
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// The folder to write to; nothing in it is overwritten
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The flags of `key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct KeyFlags {
    /// What the key is called in the configuration
    #[arg(long, default_value = "client")]
    pub name: String,
    /// What it allows: read, push, admin; can be given several times
    #[arg(long, default_value = "read")]
    pub scope: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// The configuration file that was named; the one behind `serve` wins.
    pub fn config(&self) -> Option<PathBuf> {
        let inner = match &self.command {
            Some(Command::Serve(inner)) => inner.config.clone(),
            Some(Command::Cache(command)) => command.cache().config.clone(),
            Some(Command::Config(command)) => command.serve().and_then(|it| it.config.clone()),
            Some(Command::Doctor(flags)) => flags.cache.config.clone(),
            Some(_) | None => None,
        };
        inner.or_else(|| self.outer.config.clone())
    }

    /// The settings that were given, as keys of the table of settings; those behind the command win.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let none = ServeFlags::default();
        let (demo, cache);
        let inner = match &self.command {
            Some(Command::Serve(inner)) => inner,
            Some(Command::Demo(flags)) => {
                demo = ServeFlags {
                    listen: flags.listen.clone(),
                    ..ServeFlags::default()
                };
                &demo
            }
            Some(Command::Cache(command)) => {
                cache = of_cache(command.cache());
                &cache
            }
            Some(Command::Doctor(flags)) => {
                cache = of_cache(&flags.cache);
                &cache
            }
            Some(Command::Config(command)) => command.serve().unwrap_or(&none),
            Some(_) | None => &none,
        };
        let outer = &self.outer;
        [
            ("feeds.NAME.url", &inner.upstream, &outer.upstream),
            ("listen", &inner.listen, &outer.listen),
            ("cache.dir", &inner.cache_dir, &outer.cache_dir),
            ("public_url", &inner.public_url, &outer.public_url),
        ]
        .into_iter()
        .filter_map(|(key, inner, outer)| Some((key, inner.clone().or_else(|| outer.clone())?)))
        .collect()
    }
}

/// What commands on a cache say of the settings.
fn of_cache(flags: &CacheFlags) -> ServeFlags {
    ServeFlags {
        cache_dir: flags.cache_dir.clone(),
        ..ServeFlags::default()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::table::settings;

    #[track_caller]
    fn check(line: &str, config: Option<&str>, expected: &[(&str, &str)]) {
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let flags = args.flags();
        let found: Vec<_> = flags.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(found, expected, "{line}");
        assert_eq!(args.config(), config.map(PathBuf::from), "{line}");
    }

    #[test]
    fn flags_stand_before_or_behind_the_command() {
        Args::command().debug_assert();
        check("nugate", None, &[]);
        check("nugate --listen a", None, &[("listen", "a")]);
        check("nugate serve --listen a", None, &[("listen", "a")]);
        check(
            "nugate --config f --listen a serve --listen b --upstream u",
            Some("f"),
            &[("feeds.NAME.url", "u"), ("listen", "b")],
        );
        check(
            "nugate --cache-dir d --public-url p",
            None,
            &[("cache.dir", "d"), ("public_url", "p")],
        );
        check(
            "nugate --config f stats --config g --cache-dir d",
            Some("g"),
            &[("cache.dir", "d")],
        );
        check(
            "nugate demo --keep --json --listen a",
            None,
            &[("listen", "a")],
        );
        check(
            "nugate --listen a config show --json --config f --public-url p",
            Some("f"),
            &[("listen", "a"), ("public_url", "p")],
        );
    }

    #[test]
    fn every_flag_of_the_table_exists() {
        let command = Args::command();
        for (flag, _) in settings().filter_map(|setting| setting.short) {
            let known = command
                .get_arguments()
                .any(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(known, "{flag}");
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "nugate --lisen a",
            "nugate demo --upstream u",
            "nugate mirror",
            "nugate config",
            "nugate pin",
            "nugate pin a --list",
            "nugate purge",
            "nugate unpin",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
