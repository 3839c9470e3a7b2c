//! `nugate config`: what is set and by what, what is wrong with it, and a file to begin with.
//!
//! `show` and `check` read exactly what `serve` would read. Invariant: no secret is printed, and
//! nothing that exists is overwritten.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::args::ServeFlags;
use crate::cli::{complain, print};
use crate::config::render::render_example;
use crate::config::{self, Config, ConfigError, ConfigErrors, Origin, Place, Sources};

const SHOW: &str = "\
Examples:
  nugate config show --config /etc/nugate.toml
  nugate config show --changed --json

Exit codes:
  0   success
  2   wrong usage
  64  wrong configuration";

const CHECK: &str = "\
Examples:
  nugate config check --config /etc/nugate.toml
  nugate config check --json

Exit codes:
  0   `serve` would start with it, as far as it can be known without starting
  2   wrong usage
  64  wrong configuration: every mistake is told";

const INIT: &str = "\
Examples:
  nugate config init > nugate.toml
  nugate config init --out /etc/nugate.toml

Exit codes:
  0   success
  1   the file is there already, or cannot be written
  2   wrong usage";

/// A command about the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting, its value, and whether a default, the file, a variable or a flag set it
    #[command(after_help = SHOW)]
    Show(ShowFlags),
    /// Tell every mistake at once, also in the files that are named; opens and asks nothing
    #[command(after_help = CHECK)]
    Check(CheckFlags),
    /// Write a file with every setting, its meaning and its default
    #[command(after_help = INIT)]
    Init(InitFlags),
}

/// The flags of `config show`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ShowFlags {
    /// Only settings that are not at their default
    #[arg(long)]
    pub changed: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The flags that `serve` would be given.
    #[command(flatten)]
    pub serve: ServeFlags,
}

/// The flags of `config check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct CheckFlags {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The flags that `serve` would be given.
    #[command(flatten)]
    pub serve: ServeFlags,
}

/// The flags of `config init`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct InitFlags {
    /// Write to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl ConfigCommand {
    /// The flags that `serve` would be given, where the command reads a configuration.
    pub const fn serve(&self) -> Option<&ServeFlags> {
        match self {
            Self::Show(flags) => Some(&flags.serve),
            Self::Check(flags) => Some(&flags.serve),
            Self::Init(_) => None,
        }
    }
}

/// Runs the command on what was gathered of the configuration, which may be wrong.
pub fn run(command: &ConfigCommand, sources: Result<Sources, ConfigErrors>) -> ExitCode {
    let done = match command {
        ConfigCommand::Show(flags) => show(flags, sources),
        ConfigCommand::Check(flags) => check(flags, sources),
        ConfigCommand::Init(flags) => {
            return match init(flags.out.as_deref()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    complain(&why);
                    ExitCode::FAILURE
                }
            };
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            if !matches!(command, ConfigCommand::Check(flags) if flags.json) {
                refuse(&errors);
            }
            ExitCode::from(config::EXIT_CODE)
        }
    }
}

/// Tells what is wrong with the configuration, a line for each mistake.
pub fn refuse(errors: &ConfigErrors) {
    let errors = errors.to_string().replace('\n', "\n  ");
    complain(&format!("the configuration is refused\n  {errors}"));
}

fn show(flags: &ShowFlags, sources: Result<Sources, ConfigErrors>) -> Result<(), ConfigErrors> {
    let mut origins = Config::explain(&sources?)?;
    if flags.changed {
        origins.retain(|origin| origin.place != Place::Default);
    }
    print(&if flags.json {
        let settings: Vec<_> = origins.iter().map(setting_json).collect();
        format!("{:#}\n", json!({ "settings": settings }))
    } else {
        as_text(&origins)
    });
    Ok(())
}

/// Lines of TOML, each with the place that its value comes from.
fn as_text(origins: &[Origin]) -> String {
    /// Longer lines have the place behind them, not below the others.
    const COLUMN_MAX: usize = 60;
    let lines: Vec<_> = origins
        .iter()
        .map(|origin| match &origin.json {
            Some(value) => (format!("{} = {value}", origin.key), &origin.place),
            None => (format!("# {} is not set", origin.key), &origin.place),
        })
        .collect();
    let widths = lines.iter().map(|(line, _)| line.chars().count());
    let width = widths.filter(|width| *width <= COLUMN_MAX).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for (line, place) in &lines {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{line:width$}  # {place}");
    }
    text
}

fn setting_json(origin: &Origin) -> Value {
    json!({
        "key": origin.key,
        "value": origin.json,
        "from": place_json(&origin.place),
    })
}

fn place_json(place: &Place) -> Value {
    match place {
        Place::Default => json!({ "source": "default" }),
        Place::File { path, line, column } => {
            json!({ "source": "file", "path": path, "line": line, "column": column })
        }
        Place::Environment(name) => json!({ "source": "environment", "name": name }),
        Place::Flag(name) => json!({ "source": "flag", "name": name }),
    }
}

fn check(flags: &CheckFlags, sources: Result<Sources, ConfigErrors>) -> Result<(), ConfigErrors> {
    let checked = sources.and_then(|sources| {
        let config = Config::load(&sources)?;
        let origins = Config::explain(&sources)?;
        match rehearsed(&config, &origins) {
            mistakes if mistakes.is_empty() => Ok(()),
            mistakes => Err(ConfigErrors(mistakes)),
        }
    });
    if flags.json {
        let errors = checked.as_ref().err().map(|errors| errors.0.as_slice());
        let errors: Vec<_> = errors.unwrap_or_default().iter().map(error_json).collect();
        let value = json!({ "right": checked.is_ok(), "errors": errors });
        print(&format!("{value:#}\n"));
    } else if checked.is_ok() {
        print("the configuration is right\n");
    }
    checked
}

/// What is wrong behind a configuration that is right in itself, each with the place that the setting
/// comes from.
fn rehearsed(config: &Config, origins: &[Origin]) -> Vec<ConfigError> {
    // A folder of packages is watched by the runtime.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let _entered = runtime.as_ref().ok().map(tokio::runtime::Runtime::enter);
    let mistakes = crate::cli::daemon::rehearse(config).into_iter();
    let told = mistakes.map(|(key, message)| {
        let origin = origins.iter().find(|origin| origin.key == key);
        ConfigError {
            value: origin.map(|origin| origin.value.clone()),
            place: origin.map_or(Place::Default, |origin| origin.place.clone()),
            key,
            message,
        }
    });
    told.collect()
}

fn error_json(error: &ConfigError) -> Value {
    json!({
        "key": error.key,
        "value": error.value,
        "from": place_json(&error.place),
        "message": error.message,
    })
}

fn init(out: Option<&Path>) -> Result<(), String> {
    let Some(path) = out else {
        print(&render_example());
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        let why = if error.kind() == std::io::ErrorKind::AlreadyExists {
            "is there already; nothing was written".to_owned()
        } else {
            format!("cannot be written: {error}")
        };
        format!("{} {why}", path.display())
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(render_example().as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)
}
