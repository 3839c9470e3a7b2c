//! What stands in `deploy/` and in the documentation is true.
//!
//! - every example configuration and every block of settings in the documentation loads, JSON and XML there is
//!   well-formed
//! - every command of the documentation is understood, and run where a machine for tests can run it
//! - every command and variable in units, images and manifests is known
//! - dashboards and alerts ask for series and labels that exist, and alerts lead to a chapter
//! - what the runbook says is in the log, the program says
//! - packages contain files that exist, but for those that are made
//! - links between files of the project lead somewhere

mod commands;
mod links;
mod manifests;
mod observed;
mod run;
mod settings;

use std::fs;
use std::path::PathBuf;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder whose names end so, with their texts.
pub fn files(folder: &str, ends: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if ends.iter().any(|end| path.to_str().unwrap().ends_with(end)) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// The pages of the documentation.
pub fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = files("docs", &[".md"]);
    let readme = root().join("README.md");
    let text = fs::read_to_string(&readme).unwrap();
    pages.push((readme, text));
    pages
}

/// The fenced blocks of a page in this language.
pub fn blocks<'t>(page: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("\n```{language}\n");
    let blocks = page.split(fence.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect()
}
