//! The sources of a configuration: file, environment and flags, gathered before any is judged.
//!
//! The only place that reads the file; it is bounded, and a file that was asked for must exist.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use super::Config;
use super::env::{CONFIG_VARIABLE, PREFIX};
use super::error::{ConfigError, ConfigErrors, Place};
use super::outbound::is_shared_variable;
use super::raw::{RawConfig, Value, Written};
use super::table::{DEFAULT_FEED, settings};

/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file's path, as it is to be printed, and its text.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables; all that do not concern this program are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags as keys of settings and values, as the command line gives them.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// Gathers the sources, reading the file that `config` (the flag), else `NUGATE_CONFIG`, names.
    ///
    /// When the file cannot be read, the errors also hold the mistakes of the other sources.
    pub fn gather(
        config: Option<PathBuf>,
        environment: Vec<(String, String)>,
        flags: Vec<(&'static str, String)>,
    ) -> Result<Self, ConfigErrors> {
        let named = config
            .map(|path| (path, Place::Flag("--config")))
            .or_else(|| {
                let (name, path) = environment
                    .iter()
                    .find(|(name, value)| name == CONFIG_VARIABLE && !value.is_empty())?;
                Some((PathBuf::from(path), Place::Environment(name.clone())))
            });
        let mut sources = Self {
            file: None,
            environment,
            flags,
        };
        let Some((path, place)) = named else {
            return Ok(sources);
        };
        match read_file(&path) {
            Ok(text) => {
                sources.file = Some((path, text));
                Ok(sources)
            }
            Err(error) => {
                let mut errors = vec![ConfigError {
                    key: "config".to_owned(),
                    value: Some(Value::Text(path.display().to_string()).shown()),
                    place,
                    message: format!("cannot be read: {error}"),
                }];
                if let Err(ConfigErrors(others)) = Config::load(&sources) {
                    errors.extend(others);
                }
                Err(ConfigErrors(errors))
            }
        }
    }
}

/// The variables of this process, any of which a setting may name. Bytes that are not UTF-8 are
/// replaced in this program's own variables and in those of proxies; others with such bytes are left
/// out.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            if name.starts_with(PREFIX) || is_shared_variable(&name) {
                Some((name, value.to_string_lossy().into_owned()))
            } else {
                Some((name, value.into_string().ok()?))
            }
        })
        .collect()
}

/// The same without this program's own: what all programs of this machine are told.
pub fn foreign_environment() -> Vec<(String, String)> {
    let mut all = process_environment();
    all.retain(|(name, _)| !name.starts_with(PREFIX));
    all
}

fn read_file(path: &PathBuf) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(FILE_BYTES_MAX + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

impl RawConfig {
    /// Adds flags; each key is one of the table's.
    pub(super) fn add_flags(&mut self, flags: &[(&'static str, String)]) {
        let feed = self
            .feeds
            .first()
            .map_or(DEFAULT_FEED, |(name, _)| name)
            .to_owned();
        for (key, text) in flags {
            let Some(setting) = settings().find(|setting| setting.key == *key) else {
                self.errors.push(ConfigError {
                    key: (*key).to_owned(),
                    value: Some(Value::Untyped(text.clone()).shown()),
                    place: Place::Flag(key),
                    message: "is not a known key".to_owned(),
                });
                continue;
            };
            let flag = setting.short.map_or(setting.key, |(flag, _)| flag);
            self.written.push(Written {
                key: key.replace("NAME", &feed),
                setting,
                value: Value::Untyped(text.clone()),
                place: Place::Flag(flag),
                items: Vec::new(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_names_the_file_before_the_variable_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n.toml");
        std::fs::write(&file, "network = 'offline'").unwrap();
        let missing = folder.path().join("missing").display().to_string();
        let variables = vec![
            (CONFIG_VARIABLE.to_owned(), missing),
            ("NUGATE_NETWORK".to_owned(), "no".to_owned()),
        ];
        let sources = Sources::gather(Some(file), variables.clone(), Vec::new()).unwrap();
        assert_eq!(sources.file.unwrap().1, "network = 'offline'");

        let errors = Sources::gather(None, variables, Vec::new()).unwrap_err();
        let places: Vec<_> = errors.0.iter().map(|e| e.place.to_string()).collect();
        assert_eq!(
            places,
            [
                "environment NUGATE_CONFIG",
                "environment NUGATE_NETWORK",
                "default"
            ]
        );
    }

    #[test]
    fn a_file_is_bounded_and_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n.toml");
        for (bytes, expected) in [
            (vec![b'#'; 1 << 20], true),
            (vec![b'#'; (1 << 20) + 1], false),
            (vec![0xff], false),
        ] {
            std::fs::write(&file, &bytes).unwrap();
            let gathered = Sources::gather(Some(file.clone()), Vec::new(), Vec::new());
            assert_eq!(gathered.is_ok(), expected, "{}", bytes.len());
        }
    }
}
