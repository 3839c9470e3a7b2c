//! What a setting is: its key, default, kind and meaning, and how a written value is read into it.
//!
//! The ranges in a [`Kind`] are both what is checked and what is told to the reader, so the two
//! cannot differ. The settings themselves are in `table`.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::raw::Value;
use super::value::{Period, Size};

/// One setting: everything about it that the program, its help and its documentation say.
#[derive(Debug)]
pub struct Setting {
    /// Its path in the file, dotted; `NAME` stands for the free name of a feed.
    pub key: &'static str,
    /// Its default as TOML; empty when there is none.
    pub default: &'static str,
    /// What may be written, and where it goes.
    pub kind: Kind,
    /// What it does, as Markdown.
    pub doc: &'static str,
    /// Its own flag and environment variable, beside the variable every setting has.
    pub short: Option<(&'static str, &'static str)>,
}

/// What may be written for a setting, and where it goes in [`Config`].
#[derive(Debug)]
pub enum Kind {
    /// A duration from the first to the second, both included.
    Period(Duration, Duration, fn(&mut Config, Duration)),
    /// A size in bytes from the first to the second, both included.
    Size(u64, u64, fn(&mut Config, u64)),
    /// A whole number from the first to the second, both included.
    Count(u32, u32, fn(&mut Config, u32)),
    /// `true` or `false`.
    Switch(fn(&mut Config, bool)),
    /// One of these words; its index is stored.
    Choice(&'static [&'static str], fn(&mut Config, usize)),
    /// A directory.
    Directory(fn(&mut Config, PathBuf)),
    /// A text of the described form; the reader says what is wrong with it.
    Text(&'static str, fn(&mut Config, &str) -> Result<(), String>),
    /// A URL of the described form that may have a password in it, which is not shown.
    Url(&'static str, fn(&mut Config, &str) -> Result<(), String>),
    /// A text that is never shown.
    Secret(fn(&mut Config, &str) -> Result<(), String>),
    /// A list of texts of the described form; emptied, then extended by one at a time.
    List(
        &'static str,
        fn(&mut Config),
        fn(&mut Config, &str) -> Result<(), String>,
    ),
}

/// What is wrong with a value.
#[derive(Debug)]
pub(super) struct Problem {
    /// The item of a list that is wrong.
    pub(super) item: Option<usize>,
    /// What is wrong with it.
    pub(super) message: String,
}

impl Setting {
    /// What may be written, in words.
    pub fn allowed(&self) -> String {
        match &self.kind {
            Kind::Period(min, max, _) => {
                format!("a duration from {} to {}", Period(*min), Period(*max))
            }
            Kind::Size(min, max, _) => format!("a size from {} to {}", Size(*min), Size(*max)),
            Kind::Count(min, max, _) => format!("a whole number from {min} to {max}"),
            Kind::Switch(_) => "true or false".to_owned(),
            Kind::Choice(names, _) => {
                let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
                quoted.join(", ")
            }
            Kind::Directory(_) => "the path of a directory".to_owned(),
            Kind::Text(allowed, _) | Kind::Url(allowed, _) => (*allowed).to_owned(),
            Kind::Secret(_) => "a text, which is never shown".to_owned(),
            Kind::List(allowed, ..) => format!("a list, each {allowed}"),
        }
    }

    /// Reads `value` into `config`; on an error, that setting of `config` is not to be used.
    pub(super) fn apply(&self, config: &mut Config, value: &Value) -> Result<(), Vec<Problem>> {
        if let Kind::List(_, clear, push) = &self.kind {
            clear(config);
            return self.apply_list(config, value, *push);
        }
        self.apply_one(config, value).map_err(|problem| {
            vec![Problem {
                item: None,
                message: format!("{problem}; allowed: {}", self.allowed()),
            }]
        })
    }

    fn apply_one(&self, config: &mut Config, value: &Value) -> Result<(), String> {
        match &self.kind {
            Kind::Period(min, max, set) => {
                let Period(period) = value.text()?.parse()?;
                set(config, within(period, *min, *max)?);
            }
            Kind::Size(min, max, set) => {
                let size = match value.integer() {
                    Some(bytes) => u64::try_from(bytes).map_err(|_| "is out of range")?,
                    None => value.text()?.parse::<Size>()?.0,
                };
                set(config, within(size, *min, *max)?);
            }
            Kind::Count(min, max, set) => {
                let number = value.integer().ok_or_else(|| value.is_no("whole number"))?;
                let number = within(number, i64::from(*min), i64::from(*max))?;
                set(
                    config,
                    u32::try_from(number).map_err(|_| "is out of range")?,
                );
            }
            Kind::Switch(set) => {
                let switch = value.switch();
                set(config, switch.ok_or_else(|| value.is_no("switch"))?);
            }
            Kind::Choice(names, set) => {
                let text = value.text()?;
                let index = names.iter().position(|name| *name == text);
                set(config, index.ok_or_else(|| unknown_word(text, names))?);
            }
            Kind::Directory(set) => set(config, directory(value.text()?)?),
            Kind::Text(_, read) | Kind::Url(_, read) | Kind::Secret(read) => {
                read(config, value.text()?)?;
            }
            Kind::List(..) => {}
        }
        Ok(())
    }

    fn apply_list(
        &self,
        config: &mut Config,
        value: &Value,
        push: fn(&mut Config, &str) -> Result<(), String>,
    ) -> Result<(), Vec<Problem>> {
        let allowed = |message: String, item| Problem {
            item,
            message: format!("{message}; allowed: {}", self.allowed()),
        };
        let items = value
            .items()
            .ok_or_else(|| vec![allowed(value.is_no("list"), None)])?;
        let problems: Vec<_> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| {
                let result = item.text().and_then(|text| push(config, text));
                result.err().map(|message| allowed(message, Some(index)))
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

/// The value, when it lies between the bounds.
fn within<T: PartialOrd + Copy>(value: T, min: T, max: T) -> Result<T, String> {
    if value < min {
        Err("is too small".to_owned())
    } else if value > max {
        Err("is too large".to_owned())
    } else {
        Ok(value)
    }
}

/// The path of a file, with the same rules as that of a directory.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    directory(text)
}

/// A shell expands `~`; here it would become a directory of that name.
fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text == "~" || text.starts_with("~/") {
        return Err("starts with `~`, which is not expanded here".to_owned());
    }
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err("is not UTF-8".to_owned());
    }
    if text.contains('\0') {
        return Err("has a NUL in it".to_owned());
    }
    Ok(PathBuf::from(text))
}

fn unknown_word(text: &str, names: &[&'static str]) -> String {
    match nearest(text, names.iter().copied()) {
        Some(name) => format!("is not known, did you mean \"{name}\""),
        None => "is not known".to_owned(),
    }
}

/// The name most like `text`, when one is so like it that it may be what was meant.
pub(super) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    let last = |name: &str| name.rsplit('.').next().map(str::len).unwrap_or_default();
    names
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase());
            // A key written in the wrong table, such as `memory` outside of `[cache]`.
            let misplaced = name.len() > last(name)
                && name[name.len() - last(name)..] == lower[lower.len() - last(&lower)..];
            (
                if misplaced { distance.min(2) } else { distance },
                distance,
                name,
            )
        })
        .filter(|(score, _, _)| *score <= 2.max(text.len() / 4))
        .min_by(
            |(score, distance, name), (other_score, other_distance, other)| {
                let like = |name: &str| strsim::jaro_winkler(&lower, &name.to_ascii_lowercase());
                (score, distance)
                    .cmp(&(other_score, other_distance))
                    .then_with(|| like(other).total_cmp(&like(name)))
            },
        )
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = [
            "online",
            "offline",
            "listen",
            "cache.memory",
            "cache.dir",
            "feeds.NAME.url",
        ];
        for (text, expected) in [
            ("lsiten", Some("listen")),
            ("ofline", Some("offline")),
            ("LISTEN", Some("listen")),
            ("cache.memroy", Some("cache.memory")),
            ("memory", Some("cache.memory")),
            ("url", Some("feeds.NAME.url")),
            ("colour", None),
        ] {
            assert_eq!(nearest(text, names.into_iter()), expected, "{text}");
        }
    }
}
