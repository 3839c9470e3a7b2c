//! The log: one line an event, on standard error. Level and format can change while it is written.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::layer::{Layer, Layered, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{LogConfig, LogFormat};

/// What lets events through, and what is below it.
type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// What writes them.
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

/// The log of this process, once it has begun.
static LOG: OnceLock<(Handle<EnvFilter, Registry>, Handle<Lines, Filtered>)> = OnceLock::new();

/// Starts logging for the process; a second call changes nothing.
pub fn start(config: LogConfig) {
    let (filter, filter_handle) = reload::Layer::new(filter(config));
    let (lines, lines_handle) = reload::Layer::new(lines(config));
    let begun = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    // Fails only when there is a log already.
    if begun.is_ok() {
        let _ = LOG.set((filter_handle, lines_handle));
    }
}

/// Writes by other settings from now on, if it was [`start`] that began the log.
pub fn change(config: LogConfig) {
    if let Some((filter_handle, lines_handle)) = LOG.get() {
        // Fails only when the log has ended.
        let _ = filter_handle.reload(filter(config));
        let _ = lines_handle.reload(lines(config));
    }
}

fn filter(config: LogConfig) -> EnvFilter {
    EnvFilter::new(format!("warn,nugate={}", config.level.name()))
}

fn lines(config: LogConfig) -> Lines {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}
