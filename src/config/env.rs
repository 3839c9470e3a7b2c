//! Settings from environment variables.
//!
//! Every setting has the variable `NUGATE_` + its key in capitals with `__` between levels; some
//! have a short name besides. The variables are handed in, never read here.

use super::error::{ConfigError, Place};
use super::raw::{RawConfig, Value, Written};
use super::setting::{Setting, nearest};
use super::table::settings;

/// The variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "NUGATE_CONFIG";

/// The common start of all variables.
pub(super) const PREFIX: &str = "NUGATE_";

impl RawConfig {
    /// Adds the settings among the variables. An empty variable counts as not set, since service
    /// managers and compose files cannot always leave one out.
    pub(super) fn add_environment(&mut self, variables: &[(String, String)]) {
        let mut found: Vec<Written> = Vec::new();
        for (name, text) in variables {
            if !name.starts_with(PREFIX)
                || name == CONFIG_VARIABLE
                || text.is_empty()
                || is_service_link(name)
            {
                continue;
            }
            let place = Place::Environment(name.clone());
            let value = Value::Untyped(text.clone());
            let mistake = |key: &str, value: Option<String>, message: String| ConfigError {
                key: key.to_owned(),
                value,
                place: place.clone(),
                message,
            };
            let Some((setting, feed)) = look_up(name) else {
                let known: Vec<_> = settings().flat_map(names).collect();
                let hint = nearest(name, known.iter().map(String::as_str))
                    .map_or_else(String::new, |name| format!(", did you mean {name}"));
                let message = format!("is not a known variable{hint}");
                // Its value is not shown: it may be a password whose name is mistyped.
                self.errors.push(mistake(name, None, message));
                continue;
            };
            if let Some(feed) = feed.as_ref().filter(|_| setting.key.starts_with("feeds.")) {
                self.name_feed(feed, &place);
            }
            let key = setting.key.to_owned();
            let key = feed.map_or(key.clone(), |feed| key.replace("NAME", &feed));
            let unnamed = |key: &str| key.contains("NAME");
            let same = |other: &&Written| {
                other.setting.key == setting.key
                    && (other.key == key || unnamed(&other.key) || unnamed(&key))
            };
            if let Some(other) = found.iter().find(same) {
                let message = format!("is set a second time, first by {}", other.place);
                let shown = value.shown_for(setting);
                self.errors.push(mistake(&key, Some(shown), message));
            }
            found.push(Written {
                key,
                setting,
                value,
                place,
                items: Vec::new(),
            });
        }
        self.written.append(&mut found);
    }
}

/// The variables of a setting: its short name, if it has one, and the one made of its key.
pub(super) fn names(setting: &Setting) -> Vec<String> {
    let general = format!("{PREFIX}{}", setting.key.to_uppercase().replace('.', "__"));
    setting
        .short
        .map(|(_, short)| short.to_owned())
        .into_iter()
        .filter(|short| *short != general)
        .chain([general.clone()])
        .collect()
}

/// The setting a variable is for, and the feed it names; `_` in it stands for `-`, which is not
/// allowed in the names of variables.
fn look_up(name: &str) -> Option<(&'static Setting, Option<String>)> {
    settings().find_map(|setting| {
        names(setting).iter().find_map(|known| {
            // `USERNAME` names nothing.
            let Some((start, end)) = known.split_once("__NAME__") else {
                return (known == name).then_some((setting, None));
            };
            let (start, end) = (format!("{start}__"), format!("__{end}"));
            if known == name {
                return None;
            }
            let feed = name.strip_prefix(&start)?.strip_suffix(&end)?;
            let fits = (1..=32).contains(&feed.len())
                && !feed.contains("__")
                && feed
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            fits.then(|| {
                let feed = feed.to_ascii_lowercase().replace('_', "-");
                (setting, Some(feed))
            })
        })
    })
}

/// Whether Kubernetes sets the variable for a service called `nugate` or `nugate-…` (its "Docker
/// links compatible" variables): those are not the administrator's.
fn is_service_link(name: &str) -> bool {
    let port = name.split_once("_PORT").map(|(_, rest)| rest);
    let proto = |rest: &str| ["_TCP", "_UDP", "_SCTP"].iter().any(|p| rest.contains(p));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || port.is_some_and(|rest| rest.is_empty() || proto(rest))
}
