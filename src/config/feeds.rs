//! Which feeds there are, and in which order.
//!
//! The `[[feed]]` tables of the file are all feeds, in the order of precedence. Without any there is
//! one feed: the one that is named, else the default.

use toml::Spanned;
use toml::de::DeValue;

use super::FeedConfig;
use super::error::{ConfigError, Place};
use super::raw::{File, RawConfig, Value};
use super::table::DEFAULT_FEED;

/// The feeds, each like `blank` but with its name. One of its own name must say where it is, since
/// the default address belongs to the default feed.
pub(super) fn feeds_of(raw: &mut RawConfig, blank: &FeedConfig) -> Vec<FeedConfig> {
    let mut names = raw.feeds.clone();
    if raw.listed.is_empty() {
        if let Some(((first, _), others)) = names.split_first() {
            for (other, place) in others {
                let message = format!(
                    "is a second feed beside `{first}`: several feeds are written as [[feed]] \
                     tables, in the order of precedence"
                );
                raw.errors.push(mistake(other, place, message));
            }
        }
    } else {
        for (name, place) in names.iter().filter(|(name, _)| !raw.listed.contains(name)) {
            let message = "is none of the [[feed]] tables, which are all feeds where there are any";
            raw.errors.push(mistake(name, place, message.to_owned()));
        }
        let place_of = |(name, _): &(String, Place)| raw.listed.iter().position(|it| it == name);
        names.retain(|name| place_of(name).is_some());
        names.sort_by_key(place_of);
    }
    for (name, place) in &names {
        let has_url = raw.written.iter().any(|written| {
            let here = written.feed().is_none_or(|own| own == name);
            written.setting.key == "feeds.NAME.url" && written.place != Place::Default && here
        });
        if name != DEFAULT_FEED && !has_url {
            let message = "is missing: a feed needs the URL of its service index".to_owned();
            raw.errors
                .push(mistake(&format!("{name}.url"), place, message));
        }
    }
    if names.is_empty() {
        names.push((DEFAULT_FEED.to_owned(), Place::Default));
    }
    let feed = |(name, _)| FeedConfig {
        name,
        ..blank.clone()
    };
    names.into_iter().map(feed).collect()
}

/// Refuses what names no feed while there are several.
pub(super) fn single_only(raw: &mut RawConfig, feeds: usize) {
    if feeds < 2 || raw.listed.is_empty() {
        return;
    }
    for written in &raw.written {
        let unnamed = written.is_of_feed() && written.feed().is_none();
        if unnamed && written.place != Place::Default {
            raw.errors.push(ConfigError {
                key: written.key.clone(),
                value: Some(written.value.shown()),
                place: written.place.clone(),
                message: format!(
                    "is for a single feed, and there are {feeds}; allowed: the `url` of each in \
                     the file, or NUGATE_FEEDS__NAME__URL"
                ),
            });
        }
    }
}

fn mistake(feed: &str, place: &Place, message: String) -> ConfigError {
    ConfigError {
        key: format!("feeds.{feed}"),
        value: None,
        place: place.clone(),
        message,
    }
}

/// How several feeds are written.
pub(super) const FEED_LIST: &str =
    "is a list of tables: write [[feed]] for each feed, with its `name` and `url`";

/// Whether this says the name of the feed whose table it is in.
pub(super) fn is_own_name(path: &[String], value: &DeValue<'_>) -> bool {
    matches!(path, [feeds, name, key]
        if feeds == "feeds" && key == "name" && value.as_str() == Some(name))
}

impl RawConfig {
    /// Takes the `[[feed]]` tables: the same settings as `feeds.NAME`, and the name.
    pub(super) fn add_feed_list(&mut self, file: &File, value: &Spanned<DeValue<'_>>, end: usize) {
        let whole = [value.clone()];
        let items: &[Spanned<DeValue<'_>>] = match value.get_ref() {
            DeValue::Array(items) => items,
            _ => &whole,
        };
        for item in items {
            let place = file.place(item.span().start);
            let mistake = |value, message: &str| ConfigError {
                key: "feed".to_owned(),
                value,
                place: place.clone(),
                message: message.to_owned(),
            };
            let DeValue::Table(table) = item.get_ref() else {
                let shown = Value::from_toml(item.get_ref()).shown();
                self.errors.push(mistake(Some(shown), FEED_LIST));
                continue;
            };
            let name = table.get("name").map(Spanned::get_ref);
            let Some(name) = name.and_then(DeValue::as_str) else {
                self.errors
                    .push(mistake(None, "has no `name`, which is a string"));
                continue;
            };
            if self.listed.iter().any(|known| known == name) {
                let shown = Value::Text(name.to_owned()).shown();
                self.errors
                    .push(mistake(Some(shown), "is the name of two feeds"));
                continue;
            }
            self.listed.push(name.to_owned());
            self.add_feed(name, &place);
            let path = &mut vec!["feeds".to_owned(), name.to_owned()];
            self.add_table(file, path, table, end);
        }
    }

    /// Names a feed that is fit to be one, or refuses it.
    pub(super) fn add_feed(&mut self, name: &str, place: &Place) {
        self.add_name("feeds", name, place);
    }

    /// Checks the name of a table that may be called anything, and names the feed if it is one.
    pub(super) fn add_name(&mut self, table: &str, name: &str, place: &Place) {
        let (what, is_feed) = match table {
            "feeds" => ("feed", true),
            "raw" => ("route", false),
            "bandwidth" => ("limit", false),
            _ => return,
        };
        let fits = (1..=32).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            self.errors.push(ConfigError {
                key: format!("{table}.{name}"),
                value: None,
                place: place.clone(),
                message: format!("is not a {what} name; allowed: 1 to 32 of a-z, 0-9 and -"),
            });
        }
        if is_feed {
            self.name_feed(name, place);
        }
    }
}
