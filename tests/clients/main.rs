//! Real NuGet clients against a nugate in front of the example feed.
//!
//! Runs outside the test harness, because the clients have to be installed: without them it says so
//! and passes. Environment: `NGTEST_CLIENTS` (folder of installed clients), `NGTEST_SHARED` (folder
//! whose `clients/` has their wrappers), `NGTEST_BIN` (program to test), `NGTEST_DIRECT` (clients
//! ask the feed itself, to prove the feed), `NGTEST_ONLY` (part of the names of the cases to run).
//! The cases run twice: nugate asks the feed, and it has the same packages in a folder. Those over
//! V2 also run with another nugate as the feed, which speaks V2 itself.
//! One line per case and a closing line `N passed, M failed`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "test code"
)]

mod bench;
mod cases;
mod feed;
mod publish;

use std::process::ExitCode;

use bench::Bench;
use cases::CASES;

fn main() -> ExitCode {
    let (tools, wrappers) = match bench::installed() {
        Ok(folders) => folders,
        Err(reason) => {
            println!("clients: skipped, {reason}");
            println!("0 passed, 0 failed");
            return ExitCode::SUCCESS;
        }
    };
    let mut bench = Bench::start(feed::feed().guarded_by(publish::KEY), tools, wrappers);
    let only = std::env::var("NGTEST_ONLY").unwrap_or_default();
    let (mut passed, mut failed) = run(&bench, &only);
    if !bench.direct {
        println!("through another nugate, which answers V2 from V3 documents:");
        bench = bench.behind_another();
        let (more_passed, more_failed) = run(&bench, &only);
        passed += more_passed;
        failed += more_failed;
        // Only if they were asked of it, the feed's own V2 is what the clients got.
        for resource in ["v2_search", "v2_versions"]
            .iter()
            .filter(|_| more_passed > 3)
        {
            if bench.has_passed_on(resource) != Ok(true) {
                println!("FAIL {resource} was not passed on");
                failed += 1;
            }
        }
        println!("over a folder:");
        bench = bench.over_a_folder(&feed::feed());
        let (more_passed, more_failed) = run(&bench, &only);
        passed += more_passed;
        failed += more_failed;
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the cases whose names contain `only`: how many passed and failed.
fn run(bench: &Bench, only: &str) -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    let of_feed = |case: &&cases::Case| case.name.contains(only) && case.possible(bench);
    for case in CASES.iter().filter(of_feed) {
        if !case.applies(bench) {
            println!("skipped {}: nugate is not there", case.name);
            continue;
        }
        if !case.installed(bench) {
            println!("skipped {}: not installed", case.name);
            continue;
        }
        match case.run(bench) {
            Ok(()) => {
                println!("ok {}", case.name);
                passed += 1;
            }
            Err(reason) => {
                println!("FAIL {}: {reason}", case.name);
                failed += 1;
            }
        }
    }
    (passed, failed)
}
