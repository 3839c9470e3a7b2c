//! The `nugate` program.

use std::process::ExitCode;

/// Gives memory back to the system some seconds after it was needed, which the system's own allocator
/// does not after a rush of connections.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    nugate::cli::run()
}
