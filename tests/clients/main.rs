//! Real NuGet clients against a nugate in front of the example feed.
//!
//! Runs outside the test harness, because the clients have to be installed: without them it says so
//! and passes. Environment: `NGTEST_CLIENTS` (folder of installed clients), `NGTEST_SHARED` (folder
//! whose `clients/` has their wrappers), `NGTEST_BIN` (program to test), `NGTEST_DIRECT` (clients
//! ask the feed itself, to prove the feed), `NGTEST_ONLY` (part of the lines to run).
//! The cases run in each of the worlds that they name: over http, over https, as a user, through
//! another nugate, with the feed behind a proxy, with nugate in front of a folder, on a narrow line that
//! others use up, and without any feed after `nugate warm` and `nugate import`. One line per case and world,
//! and a closing line `N passed, M failed`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod airgap;
#[path = "../it/support/authority.rs"]
#[allow(dead_code, reason = "it has more than is needed here")]
mod authority;
mod bench;
mod case;
mod company;
mod feed;
mod install;
mod narrow;
mod nugate;
#[path = "../it/support/port.rs"]
mod port;
#[path = "../it/support/proxy.rs"]
#[allow(dead_code, reason = "it has more than is needed here")]
mod proxy;
mod publish;
mod query;
mod table;
mod upstream;

use std::process::ExitCode;
use std::sync::Arc;

use bench::{Bench, Failure, Installed, World};
use case::Case;
use table::CASES;
use upstream::Upstream;

fn main() -> ExitCode {
    let installed = match Installed::find() {
        Ok(installed) => installed,
        Err(reason) => {
            println!("clients: skipped, {reason}");
            println!("0 passed, 0 failed");
            return ExitCode::SUCCESS;
        }
    };
    let direct = std::env::var_os("NGTEST_DIRECT").is_some();
    let only = std::env::var("NGTEST_ONLY").unwrap_or_default();
    let worlds: &[World] = if direct {
        &[World::Direct]
    } else {
        &[
            World::Plain,
            World::Tls,
            World::Guarded,
            World::Proxied,
            World::Chained,
            World::Folder,
            World::Narrow,
            World::Warmed,
            World::Imported,
        ]
    };
    let feed = feed::feed().guarded_by(publish::KEY);
    // Clients refuse a plain-http source that lists the resource; nugate must leave it out.
    let feed = if direct {
        feed.without("RepositorySignatures")
    } else {
        feed
    };
    let upstream = Arc::new(Upstream::start(feed.clone(), direct, None));
    let mut tally = Tally::default();
    for world in worlds {
        let line = |case: &Case| format!("{} ({})", case.name, world.name());
        let here = CASES.iter().filter(|case| case.worlds.contains(world));
        let (cases, others): (Vec<&Case>, Vec<&Case>) =
            here.partition(|case| line(case).contains(&only));
        if cases.is_empty() {
            continue;
        }
        let bench = Bench::start(*world, &upstream, &installed, &feed);
        let mut ran_all = others.is_empty();
        for case in cases {
            if case.is_installed(&bench) {
                tally.note(&line(case), case.run(&bench));
            } else {
                println!("skipped {}: not installed", line(case));
                ran_all = false;
            }
        }
        // A part of the cases may not ask for all of it.
        if *world == World::Chained && ran_all {
            let name = format!("V2 was passed on ({})", world.name());
            tally.note(&name, bench.has_passed_v2_on());
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How many cases passed and failed so far.
#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    /// Counts a case, and says how it ended.
    fn note(&mut self, line: &str, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => {
                println!("ok {line}");
                self.passed += 1;
            }
            Err(reason) => {
                println!("FAIL {line}: {reason}");
                self.failed += 1;
            }
        }
    }
}
