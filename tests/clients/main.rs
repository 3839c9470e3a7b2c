//! Real NuGet clients against a nugate in front of the example feed.
//!
//! Runs outside the test harness, because the clients have to be installed: without them it says so
//! and passes. Environment: `NGTEST_CLIENTS` (folder of installed clients), `NGTEST_SHARED` (folder
//! whose `clients/` has their wrappers), `NGTEST_BIN` (program to test), `NGTEST_DIRECT` (clients
//! ask the feed itself, to prove the feed), `NGTEST_ONLY` (part of the lines to run).
//! The cases run in each of the worlds that they name: over http, over https, as a user, and with
//! nugate in front of a folder. One line per case and world, and a closing line
//! `N passed, M failed`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod bench;
mod case;
mod feed;
mod install;
mod nugate;
mod publish;
mod query;
mod table;
mod upstream;

use std::process::ExitCode;
use std::sync::Arc;

use bench::{Bench, Installed, World};
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
        &[World::Plain, World::Tls, World::Guarded, World::Folder]
    };
    let feed = feed::feed().guarded_by(publish::KEY);
    // Clients refuse a plain-http source that lists the resource; nugate must leave it out.
    let feed = if direct {
        feed.without("RepositorySignatures")
    } else {
        feed
    };
    let upstream = Arc::new(Upstream::start(feed.clone(), direct));
    let (mut passed, mut failed) = (0, 0);
    for world in worlds {
        let line = |case: &Case| format!("{} ({})", case.name, world.name());
        let here = |case: &&Case| case.worlds.contains(world) && line(case).contains(&only);
        let cases: Vec<&Case> = CASES.iter().filter(here).collect();
        if cases.is_empty() {
            continue;
        }
        let bench = Bench::start(*world, &upstream, &installed, &feed);
        for case in cases {
            match case.is_installed(&bench).then(|| case.run(&bench)) {
                None => println!("skipped {}: not installed", line(case)),
                Some(Ok(())) => {
                    println!("ok {}", line(case));
                    passed += 1;
                }
                Some(Err(reason)) => {
                    println!("FAIL {}: {reason}", line(case));
                    failed += 1;
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
