//! The `nugate` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    nugate::cli::run()
}
