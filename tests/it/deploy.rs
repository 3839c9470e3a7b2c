//! What stands in `deploy/` and in the documentation is true.
//!
//! - every example configuration and every block of TOML in the documentation loads
//! - every `nugate` command in the documentation and in units, images and manifests is understood
//! - every `NUGATE_` variable set there is a setting
//! - dashboards and alerts ask for series and labels that exist, and alerts lead to a chapter
//! - what the runbook says is in the log, the program says; what it says is printed too
//! - packages contain files that exist, but for those that are made
//! - links between files of the project lead somewhere

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use nugate::cli::args::Args;
use nugate::config::{Config, Sources};
use nugate::observe::metrics::SERIES;
use tempfile::TempDir;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder whose names end so, with their texts.
fn files(folder: &str, ends: &[&str]) -> Vec<(PathBuf, String)> {
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
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = files("docs", &[".md"]);
    let readme = root().join("README.md");
    let text = fs::read_to_string(&readme).unwrap();
    pages.push((readme, text));
    pages
}

/// The fenced blocks of a page in this language.
fn blocks<'t>(page: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("\n```{language}\n");
    let blocks = page.split(fence.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect()
}

/// Files of secrets that examples name.
const SECRETS: [&str; 2] = ["corp-token", "proxy-password"];

/// Where secrets of examples are.
struct Secrets(TempDir);

impl Secrets {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in SECRETS {
            fs::write(dir.path().join(name), "secret\n").unwrap();
        }
        Self(dir)
    }

    #[track_caller]
    fn load(&self, what: &str, text: &str, variables: &[(&str, &str)]) -> Config {
        let dir = self.0.path().to_str().unwrap();
        let text = SECRETS.iter().fold(text.to_owned(), |text, name| {
            text.replace(&format!("/etc/nugate/{name}"), &format!("{dir}/{name}"))
        });
        let own = [
            ("HOME", "/home/n"),
            ("CREDENTIALS_DIRECTORY", dir),
            ("CORP_TOKEN", "secret"),
        ];
        let environment = own.iter().chain(variables);
        let sources = Sources {
            file: Some((PathBuf::from("n.toml"), text)),
            environment: environment
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            flags: Vec::new(),
        };
        Config::load(&sources).unwrap_or_else(|errors| panic!("{what}:\n{errors}"))
    }
}

#[test]
fn every_example_configuration_loads() {
    let secrets = Secrets::new();
    let examples = files("deploy", &[".toml"]);
    assert!(examples.len() > 5);
    for (path, text) in examples {
        let config = secrets.load(&path.display().to_string(), &text, &[]);
        let is_reference = path.ends_with("deploy/nugate.toml");
        assert!(
            is_reference || config.cache.dir.is_absolute(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_block_of_settings_in_the_documentation_loads() {
    let secrets = Secrets::new();
    let mut many = 0;
    for (path, page) in pages() {
        for block in blocks(&page, "toml") {
            secrets.load(&format!("{}\n{block}", path.display()), block, &[]);
            many += 1;
        }
    }
    assert!(many > 5);
}

/// The command lines of `nugate` in a block for a shell.
fn commands(block: &str) -> Vec<Vec<String>> {
    let prefixes = [
        "$ ",
        "sudo ",
        "-u nugate ",
        "docker exec nugate ",
        "/usr/bin/",
    ];
    let mut found = Vec::new();
    for line in block.replace("\\\n", " ").lines() {
        let mut line = line.split(" #").next().unwrap().trim();
        while let Some(rest) = prefixes.iter().find_map(|it| line.strip_prefix(it)) {
            line = rest.trim_start();
        }
        let line = line.split(['|', '>', ';', '&']).next().unwrap().trim();
        if line == "nugate" || line.starts_with("nugate ") {
            let words = line
                .split_whitespace()
                .map(|word| word.trim_matches(['\'', '"']).to_owned());
            found.push(words.collect());
        }
    }
    found
}

#[track_caller]
fn understood(what: &str, words: &[String]) {
    let parsed = Args::try_parse_from(words);
    let is_help = words
        .iter()
        .any(|word| word == "--help" || word == "--version");
    assert!(
        is_help || parsed.is_ok(),
        "{what}: {words:?}: {}",
        parsed.unwrap_err()
    );
}

#[test]
fn every_command_in_the_documentation_is_understood() {
    let mut many = 0;
    for (path, page) in pages() {
        for language in ["sh", "console", "text"] {
            for block in blocks(&page, language) {
                for words in commands(block) {
                    understood(&path.display().to_string(), &words);
                    many += 1;
                }
            }
        }
    }
    assert!(many > 20, "{many}");
    assert_eq!(
        commands("$ sudo -u nugate nugate stats --json | jq .\n"),
        [["nugate", "stats", "--json"]]
    );
}

/// The values of a key in a unit.
fn unit<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[test]
fn units_say_what_nugate_does() {
    let units = files("deploy/systemd", &[".service", ".socket"]);
    assert_eq!(units.len(), 2);
    for (path, text) in &units {
        let mut section = "";
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        {
            if let Some(name) = line.strip_prefix('[') {
                section = name.strip_suffix(']').unwrap();
                continue;
            }
            let (key, _) = line
                .split_once('=')
                .unwrap_or_else(|| panic!("{}: {line}", path.display()));
            assert!(
                !section.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()),
                "{line}"
            );
        }
    }
    let service = &units[0].1;
    for start in unit(service, "ExecStart") {
        let words: Vec<_> = start.split(' ').map(str::to_owned).collect();
        understood("nugate.service", &words);
    }
    let codes = unit(service, "RestartPreventExitStatus");
    assert_eq!(codes, [nugate::config::EXIT_CODE.to_string()]);
    // The time until the end is longer than what the default of the setting takes.
    let config = Secrets::new().load("defaults", "", &[]);
    let stop: u64 = unit(service, "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > config.shutdown_timeout.as_secs());
}

#[test]
fn images_and_manifests_say_what_nugate_understands() {
    let secrets = Secrets::new();
    let texts = files("deploy", &["Dockerfile", ".yaml", ".yml"]);
    let mut variables = Vec::new();
    for (path, text) in &texts {
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
        {
            // `NAME=value`, `NAME: value` and `name: NAME` are what images and manifests say.
            let start = line
                .strip_prefix("ENV ")
                .or_else(|| line.strip_prefix("- name: "));
            let line = start.unwrap_or(line).trim_end_matches(" \\");
            if line.starts_with("NUGATE_") {
                let (name, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
                variables.push((
                    path,
                    name.trim().to_owned(),
                    value.trim().trim_matches('"').to_owned(),
                ));
            }
            for list in ["ENTRYPOINT ", "CMD ", "args: "] {
                let Some((_, list)) = line.split_once(list) else {
                    continue;
                };
                let words: Vec<String> = serde_json::from_str(list).unwrap();
                let named = words[0].ends_with("nugate");
                let program = (!named).then(|| "nugate".to_owned());
                let words: Vec<_> = program.into_iter().chain(words).collect();
                understood(&path.display().to_string(), &words);
            }
        }
    }
    assert!(variables.len() >= 6, "{variables:?}");
    for (path, name, value) in variables {
        secrets.load(&path.display().to_string(), "", &[(&name, &value)]);
    }
}

/// Every name of a series in a text, with the names of labels behind it.
fn series(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("nugate_") {
        let before = text[..at].chars().next_back();
        if before
            .is_some_and(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '/' | '-'))
        {
            continue;
        }
        let is_name =
            |char: char| !(char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
        let name = text[at..].split(is_name).next().unwrap();
        if name == "nugate_" {
            // Where all of them are meant.
            continue;
        }
        let rest = &text[at + name.len()..];
        let labels = rest
            .strip_prefix('{')
            .map_or("", |rest| rest.split('}').next().unwrap());
        let labels = labels.split(',').filter_map(|label| {
            let name = label.trim().split(['=', '!']).next().unwrap();
            (!name.is_empty()).then(|| name.to_owned())
        });
        found.push((name.to_owned(), labels.collect()));
    }
    found
}

#[test]
fn every_series_that_is_asked_for_exists() {
    let mut asked = BTreeSet::new();
    let mut texts = files("deploy", &[".json", ".yml"]);
    texts.extend(pages());
    for (path, text) in texts {
        let text = text.replace("\\\"", "\"");
        for (name, labels) in series(&text) {
            let known = SERIES.iter().find(|(known, ..)| {
                let rest = name.strip_prefix(known);
                rest.is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
            });
            let Some((known, own, _)) = known else {
                panic!("{}: there is no series {name}", path.display());
            };
            for label in labels {
                let common = matches!(label.as_str(), "instance" | "job" | "le");
                let exists = common || own.contains(&label.as_str());
                assert!(exists, "{}: {known} has no label {label}", path.display());
            }
            asked.insert(*known);
        }
    }
    assert!(asked.len() > 20);
    let found = series("x{nugate_a_total{b=\"c\",d=~\"e\"}} my_nugate_b nugate_c");
    let names: Vec<_> = found
        .iter()
        .map(|(name, labels)| (name.as_str(), labels.len()))
        .collect();
    assert_eq!(names, [("nugate_a_total", 2), ("nugate_c", 0)]);
}

#[test]
fn the_dashboard_is_whole() {
    let text = fs::read_to_string(root().join("deploy/grafana/dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(
            targets
                .iter()
                .all(|it| it["expr"].as_str().is_some_and(|expr| !expr.is_empty())),
            "{panel}"
        );
    }
}

/// Everything the program is made of, on one line each.
fn sources() -> String {
    let texts = files("src", &[".rs"]).into_iter().map(|(_, text)| text);
    // Texts may be broken over lines.
    texts.collect::<String>().replace("\\\n", " ")
}

#[test]
fn the_runbook_quotes_what_the_program_says() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let sources = sources();
    let mut many = 0;
    let lines = page.lines().filter_map(|line| line.strip_prefix("- Log: "));
    let chapter = page
        .split("## It does not start")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let cells = chapter
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let cells = cells.map(|cell| format!("`{cell}"));
    for line in lines.map(str::to_owned).chain(cells) {
        for quoted in line.split('`').skip(1).step_by(2) {
            let said = quoted.trim_end_matches('…').trim_end();
            let said = said.strip_suffix(':').unwrap_or(said);
            assert!(sources.contains(said), "the program never says {said:?}");
            many += 1;
        }
    }
    assert!(many > 15, "{many}");
}

#[test]
fn packages_contain_what_exists() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let metadata = &manifest["package"]["metadata"];
    let of = |assets: &toml::Value, key: &dyn Fn(&toml::Value) -> String| {
        assets
            .as_array()
            .unwrap()
            .iter()
            .map(key)
            .collect::<Vec<_>>()
    };
    let debian = of(&metadata["deb"]["assets"], &|it| {
        it[0].as_str().unwrap().to_owned()
    });
    let rpm = of(&metadata["generate-rpm"]["assets"], &|it| {
        it["source"].as_str().unwrap().to_owned()
    });
    assert!(debian.len() > 8 && rpm.len() > 8);
    for source in debian.into_iter().chain(rpm) {
        let path = source.split('*').next().unwrap();
        let is_made = ["target/release/nugate", "target/package/"]
            .iter()
            .any(|it| path.starts_with(it));
        assert!(is_made || root().join(path).exists(), "{source}");
    }
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let lower = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = lower
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char })
        .collect()
}

#[track_caller]
fn leads_somewhere(from: &Path, link: &str) {
    let (path, chapter) = link.split_once('#').unwrap_or((link, ""));
    let to = if path.is_empty() {
        from.to_owned()
    } else {
        from.parent().unwrap().join(path)
    };
    assert!(to.exists(), "{}: {link} does not exist", from.display());
    if !chapter.is_empty() {
        let page = fs::read_to_string(&to).unwrap();
        let mut headings = page.lines().filter(|line| line.starts_with('#'));
        assert!(
            headings.any(|it| anchor(it) == chapter),
            "{}: {link} has no such chapter",
            from.display()
        );
    }
}

#[test]
fn links_lead_somewhere() {
    let mut many = 0;
    for (path, page) in pages() {
        for rest in page.split("](").skip(1) {
            let link = rest.split(')').next().unwrap();
            if !link.contains("://") && !link.contains([' ', '\n']) {
                leads_somewhere(&path, link);
                many += 1;
            }
        }
    }
    for (_, text) in files("deploy/prometheus", &["rules.yml"]) {
        for link in text.split("runbook: ").skip(1) {
            leads_somewhere(&root().join("README.md"), link.lines().next().unwrap());
            many += 1;
        }
    }
    assert!(many > 30, "{many}");
}
