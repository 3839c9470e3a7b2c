//! Tables of which there may be any number, each with a name: generic routes, limits of bandwidth.
//!
//! One exists as soon as one of its settings is written, and has the defaults of the table of
//! settings for all others.

use super::error::{ConfigError, Place};
use super::raw::RawConfig;
use super::setting::Setting;

/// A kind of table.
pub(super) struct Tables {
    /// The start of its keys.
    pub(super) prefix: &'static str,
    /// What it has.
    pub(super) settings: &'static [Setting],
    /// The setting that each must have, and what is told when one has not.
    pub(super) required: (&'static str, &'static str),
    /// What one is called.
    pub(super) what: &'static str,
    /// The most of them.
    pub(super) max: usize,
}

impl Tables {
    /// The table that a key belongs to.
    pub(super) fn name_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.prefix)?.split('.').next()
    }

    /// Puts the defaults of all tables before what was written, and checks what concerns whole
    /// tables.
    pub(super) fn complete(&self, raw: &mut RawConfig) {
        let mut tables: Vec<(String, Place)> = Vec::new();
        for written in &raw.written {
            let name = self.name_of(&written.key).map(str::to_owned);
            let Some(name) = name.filter(|name| tables.iter().all(|(known, _)| known != name))
            else {
                continue;
            };
            tables.push((name, written.place.clone()));
        }
        let mut defaults = RawConfig::default();
        let (required, missing) = self.required;
        for (name, place) in &tables {
            defaults.add_file("default", &self.defaults_of(name));
            let key = format!("{}{name}.{required}", self.prefix);
            if !raw.written.iter().any(|written| written.key == key) {
                raw.errors.push(ConfigError {
                    key,
                    value: None,
                    place: place.clone(),
                    message: missing.to_owned(),
                });
            }
        }
        if let Some((name, place)) = tables.get(self.max) {
            raw.errors.push(ConfigError {
                key: format!("{}{name}", self.prefix),
                value: None,
                place: place.clone(),
                message: format!("is one {} too many; allowed: {}", self.what, self.max),
            });
        }
        for written in &mut defaults.written {
            written.place = Place::Default;
        }
        defaults.written.append(&mut raw.written);
        raw.written = defaults.written;
    }

    fn defaults_of(&self, name: &str) -> String {
        let lines = self.settings.iter().filter_map(|setting| {
            let value = Some(setting.default).filter(|value| !value.is_empty())?;
            Some(format!("{} = {value}", setting.key.replace("NAME", name)))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
