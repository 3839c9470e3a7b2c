//! `nugate completions` and `nugate man`: what shells and `man` want to know of the command line.

use std::fs;
use std::io;

use clap::CommandFactory as _;

use crate::cli::args::{Args, CompletionsFlags, ManFlags};

/// Prints the completions for a shell.
pub fn completions(flags: &CompletionsFlags) {
    let mut text = Vec::new();
    clap_complete::generate(flags.shell, &mut Args::command(), "nugate", &mut text);
    super::print(&String::from_utf8_lossy(&text));
}

/// Prints the manual page, or writes one for every command to a folder.
///
/// # Errors
/// What the disk refused.
pub fn man(flags: &ManFlags) -> io::Result<()> {
    let command = Args::command();
    if let Some(folder) = &flags.out {
        fs::create_dir_all(folder)?;
        return clap_mangen::generate_to(command, folder);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    super::print(&String::from_utf8_lossy(&text));
    Ok(())
}
