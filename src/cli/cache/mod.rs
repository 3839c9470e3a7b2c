//! Commands on the cache: `stats`, `gc`, `verify`, `purge`, `pin`, `unpin`, `warm`,
//! `export`, `import`.
//!
//! Each is one order ([`crate::jobs::command`]). It goes to the daemon that runs on the cache, else
//! it is carried out here; what is shown is the same.

pub mod args;
pub mod bundle;
mod progress;
mod reach;
mod show;
mod wants;

pub(in crate::cli) use reach::is_served;

use std::process::ExitCode;

use crate::cli::cache::args::CacheCommand;
use crate::cli::{complain, print};
use crate::config::Config;
use crate::jobs::command::{Event, Finding, Order, Report};
use crate::nuget::subject::Subject;

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Exit code of `verify` when it found damage.
pub const DAMAGED: u8 = 3;

/// Exit code of `warm` when something is not there.
pub const INCOMPLETE: u8 = 3;

/// The most findings that are shown; their number is always told.
const FINDINGS_MAX: usize = 10_000;

/// Runs a command on the cache of this configuration.
///
/// # Errors
/// Why it was not carried out, for people.
pub async fn run(config: &Config, command: &CacheCommand) -> Result<ExitCode, String> {
    let (order, unresolved) = match command.order() {
        Ok(order) => order,
        Err(why) => {
            complain(&why);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut events = reach::give(config, order.clone()).await?;
    let beside = events.is_beside_daemon();
    let mut progress = progress::Progress::new(&order);
    let mut findings: Vec<Finding> = Vec::new();
    let report = loop {
        match events.next().await? {
            Event::Progress { done, of } => progress.show(done, of),
            Event::Found(finding) => {
                if !command.json() {
                    progress.aside(|| print(&show::finding(&finding)));
                }
                if findings.len() < FINDINGS_MAX {
                    findings.push(finding);
                }
            }
            Event::Alive => {}
            Event::Done(report) => break report,
            Event::Failed(why) => return Err(why),
        }
    };
    progress.end();
    events.end().await;
    let text = if command.json() {
        show::json(&report, (&findings, &unresolved), config, beside)?
    } else {
        let told = unresolved
            .iter()
            .map(|why| format!("not resolved  {why}\n"));
        told.collect::<String>() + &show::text(&report, &order, config, beside)
    };
    print(&text);
    Ok(exit_code(&report, &unresolved))
}

fn exit_code(report: &Report, unresolved: &[String]) -> ExitCode {
    match report {
        Report::Warmed(found) if found.missing > 0 || !unresolved.is_empty() => {
            ExitCode::from(INCOMPLETE)
        }
        Report::Verified(found) if found.damaged.count + found.missing.count > 0 => {
            ExitCode::from(DAMAGED)
        }
        _ => ExitCode::SUCCESS,
    }
}

impl CacheCommand {
    /// What it asks for, and what it was given that cannot be asked for.
    fn order(&self) -> Result<(Order, Vec<String>), String> {
        let mut unresolved = Vec::new();
        let order = match self {
            Self::Stats(_) => Order::Stats,
            Self::Gc(flags) => Order::Gc {
                dry_run: flags.dry_run,
                size_max: flags.size_max()?,
                damaged: flags.damaged,
            },
            Self::Verify(flags) => Order::Verify {
                repair: flags.repair,
            },
            Self::Purge(flags) => Order::Purge {
                subject: flags.subject()?,
                dry_run: flags.dry_run,
            },
            Self::Pin(flags) if flags.list => Order::Pins,
            Self::Pin(flags) => Order::Pin {
                subjects: subjects(&flags.subjects)?,
            },
            Self::Unpin(flags) => Order::Unpin {
                subjects: subjects(&flags.subjects)?,
            },
            Self::Warm(flags) => {
                let (warm, left) = wants::read(flags)?;
                unresolved = left;
                Order::Warm(warm)
            }
            Self::Export(flags) => Order::Export(flags.order()?),
            Self::Import(flags) => Order::Import(flags.order()?),
        };
        Ok((order, unresolved))
    }
}

/// In the one spelling that each has.
fn subjects(texts: &[String]) -> Result<Vec<String>, String> {
    let parsed = texts.iter().map(|text| text.parse::<Subject>());
    parsed.map(|it| Ok(it?.to_string())).collect()
}
