//! Commands of the documentation.
//!
//! - each one of nugate is understood as it stands there, also within sentences
//! - each one in a block is run ([`super::run`]), or listed here with the reason why not
//! - files of the project that it names exist, and so do the targets of cargo

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser as _;
use clap::error::ErrorKind;
use nugate::cli::args::Args;

use super::{blocks, pages, root};

/// Programs that are run where the documentation calls them.
const RUN: [&str; 3] = ["nugate", "curl", "target/release/nugate"];

/// Those that are not, and why.
const NOT_RUN: &[(&str, &str)] = &[
    (".ci/run", "it runs this test"),
    ("cargo", "builds, and tests; .ci/run does both"),
    ("deploy/docker/build.sh", "tests/image.sh runs it"),
    ("deploy/package/prepare.sh", "tests/packages.sh runs it"),
    (
        "docker",
        "needs a daemon; tests/image.sh builds the same image",
    ),
    ("dotnet", "a client; tests/clients runs it"),
    ("find", "copies what dotnet left"),
    ("install", "writes into the system, as root"),
    ("journalctl", "needs systemd"),
    ("kubectl", "needs a cluster; .ci/run renders the manifests"),
    ("nuget", "a client; tests/clients runs it"),
    ("python3", "takes minutes; .ci/run does it for a moment"),
    ("systemctl", "needs systemd, and root"),
    ("systemd-sysusers", "writes into the system, as root"),
];

/// A command of a block, and what the documentation says that it prints.
#[derive(Debug)]
pub struct Command {
    pub text: String,
    pub prints: Vec<String>,
}

impl Command {
    /// Its program, behind variables that are set for it; none for one that only sets some.
    pub fn program(&self) -> Option<&str> {
        let is_variable = |word: &&str| {
            let name = word.split('=').next().unwrap();
            name.len() < word.len() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
        };
        let mut words = self.text.split_whitespace();
        words.find(|word| !is_variable(word))
    }

    pub fn is_run(&self) -> bool {
        self.program().is_none_or(|program| RUN.contains(&program))
    }
}

/// The commands of the blocks of a page, block by block.
pub fn of_page(page: &str) -> Vec<Vec<Command>> {
    let command = |line: &str| Command {
        text: line.split(" #").next().unwrap().trim().to_owned(),
        prints: Vec::new(),
    };
    let mut found = Vec::new();
    for block in blocks(page, "sh") {
        let block = block.replace("\\\n", " ");
        found.push(block.lines().map(command).collect());
    }
    for block in blocks(page, "console") {
        let mut commands: Vec<Command> = Vec::new();
        for line in block.lines() {
            if let Some(line) = line.strip_prefix("$ ") {
                commands.push(command(line));
            } else {
                let last = commands.last_mut().expect("a command comes first");
                last.prints.push(line.to_owned());
            }
        }
        found.push(commands);
    }
    found
}

/// The words of a command line of nugate, whoever is to run it; `None` for one of another program.
fn of_nugate(line: &str) -> Option<Vec<String>> {
    let prefixes = [
        "sudo ",
        "docker exec nugate ",
        "/usr/bin/",
        "target/release/",
    ];
    let mut line = line.trim();
    while let Some(rest) = prefixes.iter().find_map(|it| line.strip_prefix(it)) {
        line = rest.trim_start();
    }
    let line = line.split(['|', '>', ';', '&']).next().unwrap().trim();
    let is_own = line == "nugate" || line.starts_with("nugate ");
    let words = line
        .split_whitespace()
        .map(|word| word.trim_matches(['\'', '"']).to_owned());
    is_own.then(|| words.collect())
}

#[track_caller]
pub fn understood(what: &str, words: &[String]) {
    if let Err(error) = Args::try_parse_from(words) {
        let asks = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];
        assert!(asks.contains(&error.kind()), "{what}: {words:?}: {error}");
    }
}

#[test]
fn every_command_in_a_block_is_understood() {
    let mut many = 0;
    for (path, page) in pages() {
        for command in of_page(&page).into_iter().flatten() {
            if let Some(words) = of_nugate(&command.text) {
                understood(&path.display().to_string(), &words);
                many += 1;
            }
        }
    }
    assert!(many > 30, "{many}");
    assert_eq!(
        of_nugate("sudo nugate stats --json | jq ."),
        Some(["nugate", "stats", "--json"].map(str::to_owned).into())
    );
}

#[test]
fn every_command_in_a_sentence_is_understood() {
    let mut many = 0;
    for (path, page) in pages() {
        let outside = page.split("\n```").step_by(2);
        let quoted = outside.flat_map(|text| text.split('`').skip(1).step_by(2));
        for words in quoted.filter_map(of_nugate) {
            // A sentence may leave out what the command is about.
            let parsed = Args::try_parse_from(&words);
            let kind = parsed.as_ref().err().map(clap::Error::kind);
            let is_short = matches!(
                kind,
                None | Some(
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | ErrorKind::DisplayHelp
                        | ErrorKind::DisplayVersion
                )
            );
            assert!(is_short, "{}: {words:?}: {kind:?}", path.display());
            many += 1;
        }
    }
    assert!(many > 40, "{many}");
}

#[test]
fn every_command_in_a_block_is_run_or_it_is_said_why_not() {
    let mut passed_over = BTreeSet::new();
    for (path, page) in pages() {
        for command in of_page(&page).into_iter().flatten() {
            if command.is_run() {
                continue;
            }
            let program = command.program().unwrap();
            let known = NOT_RUN.iter().find(|(name, _)| *name == program);
            let known = known.unwrap_or_else(|| {
                panic!("{}: run {:?}, or say why not", path.display(), command.text)
            });
            passed_over.insert(known.0);
        }
    }
    let listed: BTreeSet<_> = NOT_RUN.iter().map(|(name, _)| *name).collect();
    assert_eq!(passed_over, listed, "listed, and nowhere called");
}

#[test]
fn commands_name_files_and_targets_that_exist() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut many = 0;
    for (path, page) in pages() {
        let outside = page.split("\n```").step_by(2);
        let quoted = outside.flat_map(|text| text.split('`').skip(1).step_by(2));
        let quoted: Vec<String> = quoted.map(str::to_owned).collect();
        let in_blocks = of_page(&page).into_iter().flatten();
        for line in quoted
            .into_iter()
            .chain(in_blocks.map(|command| command.text))
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let target = format!("name = \"{}\"", pair[1]);
                if words[0] == "cargo" && matches!(pair[0], "--test" | "--bench" | "--bin") {
                    assert!(manifest.contains(&target), "{}: {line}", path.display());
                    many += 1;
                }
            }
            let own = ["deploy/", "tests/", "benches/", ".ci/", "docs/", "src/"];
            let is_own = |word: &&&str| own.iter().any(|folder| word.starts_with(folder));
            let is_whole = |word: &&&str| !word.contains(['*', '…', '{', '<', '(']);
            for word in words.iter().filter(is_own).filter(is_whole) {
                let file = word.trim_end_matches([',', '.', ':']);
                let exists = root().join(Path::new(file)).exists();
                assert!(exists, "{}: {line}: there is no {file}", path.display());
                many += 1;
            }
        }
    }
    assert!(many > 60, "{many}");
}
