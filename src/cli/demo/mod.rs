//! `nugate demo`: the main job with no network at all.
//!
//! A project is restored twice through a nugate in front of an example feed; then every promise is
//! checked: nothing reaches the feed the second time, and packages are those of the feed byte for
//! byte. Invariant: success means that everything held.

mod manifest;
mod report;
mod restore;
mod stage;

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use crate::cli::args::DemoFlags;
use crate::cli::daemon::StartError;
use crate::cli::{logging, serve};
use crate::config::{Config, ConfigErrors, LogConfig, LogLevel};
use crate::demo::ExampleFeed;
use report::{Pass, Report};
use restore::{RestoreError, exactly, restore};
use stage::Stage;

/// What the project needs.
const ROOT: (&str, &str) = ("Example.App", "1.0.0");

/// What a reader may do afterwards.
const NEXT: &str = "\
Next: run `nugate` alone to put it in front of nuget.org; it prints how clients are pointed at it.
      README.md tells the rest; `nugate demo --keep` lets your own client try the example feed.
";

/// Why a demonstration fails.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Nugate does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its settings are refused.
    #[error("the demonstration cannot be configured: {0}")]
    Settings(#[from] ConfigErrors),
    /// The example feed does not start.
    #[error("the example feed cannot start: {0}")]
    Feed(#[source] std::io::Error),
    /// The directory of the cache cannot be made or removed.
    #[error("temporary directory: {0}")]
    Directory(#[source] std::io::Error),
    /// The restore fails.
    #[error("the restore failed: {0}")]
    Restore(#[from] RestoreError),
    /// It went through, but not as promised; one promise a line.
    #[error("the demonstration does not hold:\n{0}")]
    Broken(String),
    /// A signal came first.
    #[error("interrupted")]
    Interrupted,
}

/// Shows the proxy at work; with `keep`, goes on serving until a signal.
///
/// # Errors
/// [`DemoError`] when it cannot start or when anything did not hold.
pub async fn run(config: &Config, flags: &DemoFlags) -> Result<(), DemoError> {
    logging::start(quiet(config.log));
    let listen = if flags.keep || flags.listen.is_some() {
        config.listen
    } else {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    };
    let mut stop = pin!(serve::stopped());
    let example = Arc::new(ExampleFeed::demo());
    let stage = Stage::set(Arc::clone(&example), listen, config.shutdown_timeout).await?;
    let shown = tokio::select! {
        shown = show(&stage, &example, flags) => shown,
        () = &mut stop => Err(DemoError::Interrupted),
    };
    if shown.is_ok() && flags.keep {
        stop.await;
    }
    stage.clear().await?;
    shown
}

async fn show(stage: &Stage, example: &ExampleFeed, flags: &DemoFlags) -> Result<(), DemoError> {
    // What nugate asks at its start, before the client does, is part of the cold pass.
    let cold = pass(stage, 0).await?;
    let warm = pass(stage, stage.asked()).await?;
    let report = Report {
        feed: stage.feed(),
        nugate: stage.nugate(),
        cold,
        warm,
    };
    if flags.json {
        super::print(&format!("{:#}\n", report.json(example)));
    } else {
        super::print(&report.text(example));
    }
    let broken = report.broken(example);
    if !broken.is_empty() {
        return Err(DemoError::Broken(broken.join("\n")));
    }
    match (flags.json, flags.keep) {
        (true, _) => {}
        (false, true) => super::print(&stage.banner()),
        (false, false) => super::print(NEXT),
    }
    Ok(())
}

async fn pass(stage: &Stage, before: u64) -> Result<Pass, DemoError> {
    let source = format!("{}/v3/index.json", stage.nugate());
    let source = source.parse().map_err(|_| RestoreError::Link(source))?;
    let root = exactly(ROOT.0, ROOT.1).ok_or(RestoreError::Document("root"))?;
    let restore = restore(&source, root).await?;
    Ok(Pass {
        restore,
        reached: stage.asked() - before,
    })
}

/// A line a request would be in the way of what is shown; other levels were asked for.
const fn quiet(log: LogConfig) -> LogConfig {
    match log.level {
        LogLevel::Info => LogConfig {
            level: LogLevel::Warn,
            ..log
        },
        _ => log,
    }
}
