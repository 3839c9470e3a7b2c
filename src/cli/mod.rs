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
pub mod key;
pub mod logging;
pub mod manual;
pub mod serve;
pub mod settings;

use std::io::Write;
use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

use crate::config::source::process_environment;
use crate::config::{self, Config, Sources};

/// Parses the command line, reads the configuration and runs the command. Exit codes: 0 success, 1
/// failure at run time, 2 wrong usage, 64 wrong configuration; `verify` also 3, damage was found, and
/// `doctor` 3, something does not work.
pub fn run() -> ExitCode {
    let args = Args::parse();
    // These need no configuration, and must not fail because of one.
    let alone = match &args.command {
        Some(Command::Cert(flags)) => Some(cert::run(flags).map_err(|error| error.to_string())),
        Some(Command::Key(flags)) => Some(key::run(flags)),
        Some(Command::BundleKey(flags)) => Some(bundle_key::run(flags)),
        Some(Command::Man(flags)) => Some(manual::man(flags).map_err(|error| error.to_string())),
        Some(Command::Completions(flags)) => {
            manual::completions(flags);
            Some(Ok(()))
        }
        _ => None,
    };
    if let Some(done) = alone {
        return ended(done);
    }
    if let Some(Command::Doctor(flags)) = &args.command
        && flags.url.is_some()
    {
        return doctor::at_url(flags);
    }
    let environment = process_environment();
    let sources = Sources::gather(args.config(), environment, args.flags());
    if let Some(Command::Config(command)) = &args.command {
        return settings::run(command, sources);
    }
    let config = match sources.and_then(|sources| Config::load(&sources)) {
        Ok(config) => config,
        Err(errors) => {
            settings::refuse(&errors);
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
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
        _ => runtime
            .block_on(serve::run(&config))
            .map_err(|error| error.to_string()),
    };
    ended(done)
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
