//! Example configurations, and settings in the documentation.

use std::fs;
use std::path::PathBuf;

use nugate::config::{Config, Sources};
use tempfile::TempDir;

use super::{blocks, files, pages};

/// Files of secrets that examples name.
const SECRETS: [&str; 2] = ["corp-token", "proxy-password"];

/// Where secrets of examples are.
pub struct Secrets(TempDir);

impl Secrets {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in SECRETS {
            fs::write(dir.path().join(name), "secret\n").unwrap();
        }
        Self(dir)
    }

    #[track_caller]
    pub fn load(&self, what: &str, text: &str, variables: &[(&str, &str)]) -> Config {
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

#[test]
fn every_block_of_json_and_xml_is_well_formed() {
    let mut many = 0;
    for (path, page) in pages() {
        for block in blocks(&page, "json") {
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(block);
            assert!(parsed.is_ok(), "{}: {parsed:?}\n{block}", path.display());
            many += 1;
        }
        for block in blocks(&page, "xml") {
            let mut reader = quick_xml::Reader::from_str(block);
            loop {
                match reader.read_event() {
                    Ok(quick_xml::events::Event::Eof) => break,
                    event => drop(
                        event
                            .unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display())),
                    ),
                }
            }
            many += 1;
        }
    }
    assert!(many >= 2, "{many}");
}
