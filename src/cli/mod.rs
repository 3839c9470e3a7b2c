//! The command line: one small file for each command.

pub mod args;
pub mod banner;
pub mod bundle_key;
pub mod cache;
pub mod cert;
pub mod daemon;
pub mod demo;
mod descriptors;
pub mod doctor;
pub mod health;
pub mod key;
pub mod logging;
pub mod manual;
pub mod serve;
pub mod settings;
pub mod supervisor;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use args::{Args, Command};
use clap::Parser;
use daemon::Source;

use crate::config::source::process_environment;
use crate::config::{self, ConfigErrors, Loaded, Sources};

/// Connections that a worker takes up at a time when it has nothing else to do.
const EVENTS_MAX: usize = 192;

/// How many it takes up while others wait.
const EVENTS_BUSY_MAX: usize = 61;

/// Tasks that a worker does before it looks at the network again, though others wait.
const TASKS: u32 = 192;

/// Parses the command line, reads the configuration and runs the command. Exit codes: 0 success, 1
/// failure at run time, 2 wrong usage, 64 wrong configuration; `verify` also 3, damage was found, and
/// `doctor` 3, something does not work.
pub fn run() -> ExitCode {
    let args = Args::parse();
    if let Some(code) = run_alone(&args) {
        return code;
    }
    let loaded = match load(&args) {
        Ok(loaded) => loaded,
        Err(errors) => {
            settings::refuse(&errors);
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    let config = loaded.config.clone();
    // Before there is a second thread.
    let socket = match &args.command {
        None | Some(Command::Serve(_)) => supervisor::inherited(),
        Some(_) => Ok(None),
    };
    let socket = match socket {
        Ok(socket) => socket,
        Err(error) => return ended(Err(error)),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = match &args.command {
        Some(Command::Cache(command)) => match runtime.block_on(cache::run(&config, command)) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Some(Command::Doctor(flags)) => {
            return runtime.block_on(doctor::of_config(&config, flags));
        }
        Some(Command::Demo(flags)) => runtime
            .block_on(demo::run(&config, flags))
            .map_err(|error| error.to_string()),
        Some(Command::Health(flags)) => runtime.block_on(health::run(&config, flags)),
        _ => {
            let again = Arc::new(move || load(&args));
            let source = Source {
                running: loaded,
                again,
            };
            runtime
                .block_on(serve::run(&config, source, socket))
                .map_err(|error| error.to_string())
        }
    };
    ended(done)
}

/// What everything runs on.
///
/// A worker's queue has room for 256 tasks. What does not fit waits behind all that comes later, and so
/// do new connections: of a thousand busy ones, some would be answered a hundred milliseconds late, of
/// ten thousand two seconds. So no more is taken in than fits, and that is done before more is taken
/// in; the rest waits in the kernel, each in its turn.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(TASKS)
        .max_io_events_per_tick(EVENTS_MAX)
        .max_io_events_per_busy_tick(EVENTS_BUSY_MAX)
        .build()
}

/// Runs a command that needs no configuration, and must not fail because of one, or reads it its own
/// way; `None` for all others.
fn run_alone(args: &Args) -> Option<ExitCode> {
    let done = match &args.command {
        Some(Command::Cert(flags)) => cert::run(flags).map_err(|error| error.to_string()),
        Some(Command::Key(flags)) => key::run(flags),
        Some(Command::BundleKey(flags)) => bundle_key::run(flags),
        Some(Command::Man(flags)) => manual::man(flags).map_err(|error| error.to_string()),
        Some(Command::Completions(flags)) => {
            manual::completions(flags);
            Ok(())
        }
        Some(Command::Doctor(flags)) if flags.url.is_some() => return Some(doctor::at_url(flags)),
        Some(Command::Config(command)) => {
            let environment = process_environment();
            let sources = Sources::gather(args.config(), environment, args.flags());
            return Some(settings::run(command, sources));
        }
        _ => return None,
    };
    Some(ended(done))
}

/// The configuration as flags, variables and file give it now.
fn load(args: &Args) -> Result<Loaded, ConfigErrors> {
    let sources = Sources::gather(args.config(), process_environment(), args.flags())?;
    Loaded::read(&sources)
}

fn ended(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output; a reader that has gone away is no failure.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn complain(what: &dyn std::fmt::Display) {
    let text = format!("nugate: {what}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
}
