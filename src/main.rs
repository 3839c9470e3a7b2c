//! The `nugate` program.

fn main() {}
