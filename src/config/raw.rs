//! Values as written, before they mean anything: the TOML file taken apart, each value with its
//! place and its setting.
//!
//! Knows the names of settings and the shape of the file, not what the values mean. Every unknown
//! name and every syntax error becomes a [`ConfigError`]; reading goes on behind it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::address::masked;
use super::error::{ConfigError, Place};
use super::feeds::{FEED_LIST, is_own_name};
use super::outbound::hidden;
use super::setting::{Kind, Setting, nearest};
use super::table::settings;

/// The longest part of a value that is printed, in characters.
const SHOWN_MAX: usize = 80;

/// A value as written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string of the file.
    Text(String),
    /// A whole number of the file.
    Integer(i64),
    /// A boolean of the file.
    Switch(bool),
    /// An array of the file, its items with their byte offsets.
    List(Vec<(Value, usize)>),
    /// The text of a variable or a flag, which is of whatever type the setting needs.
    Untyped(String),
    /// A type that no setting has, and its text.
    Other(&'static str),
}

impl Value {
    /// The text, or a message that there is none.
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Ok(text),
            _ => Err(self.is_no("string")),
        }
    }

    /// The whole number, if it is one.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Untyped(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Switch(switch) => Some(*switch),
            Self::Untyped(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The items of a list; an untyped text is split at its commas.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::List(items) => Some(items.iter().map(|(item, _)| item.clone()).collect()),
            Self::Untyped(text) => Some(
                text.split(',')
                    .map(|item| Self::Untyped(item.trim().to_owned()))
                    .collect(),
            ),
            _ => None,
        }
    }

    /// Says that this is not of the expected type.
    pub(super) fn is_no(&self, expected: &str) -> String {
        let found = match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Switch(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(found) => found,
            Self::Untyped(_) => return format!("is not a {expected}"),
        };
        format!("is {found}, not a {expected}")
    }

    /// The value of `setting` as it may be printed; that of a secret is not.
    pub(super) fn shown_for(&self, setting: &Setting) -> String {
        match setting.kind {
            Kind::Secret(_) => "(hidden)".to_owned(),
            Kind::Url(..) => match self {
                Self::Text(text) | Self::Untyped(text) => Self::Text(hidden(text)).shown(),
                Self::List(_) => "(a list)".to_owned(),
                _ => self.shown(),
            },
            _ => self.shown(),
        }
    }

    /// The value as it may be printed: quoted, on one line, bounded, without passwords.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) | Self::Untyped(text) => {
                let text = masked(text);
                let short: String = text.chars().take(SHOWN_MAX).collect();
                let more = if short.len() < text.len() { "…" } else { "" };
                format!("{:?}", short + more)
            }
            Self::Integer(number) => number.to_string(),
            Self::Switch(switch) => switch.to_string(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|(item, _)| item.shown()).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Other(found) => format!("({found})"),
        }
    }

    /// The value of the file.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number of more than 64 bits"), Self::Integer),
            DeValue::Float(_) => Self::Other("a fraction"),
            DeValue::Boolean(switch) => Self::Switch(*switch),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(items) => Self::List(
                items
                    .iter()
                    .map(|item| (Self::from_toml(item.get_ref()), item.span().start))
                    .collect(),
            ),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }
}

/// A value with its setting and its place.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The key as written, with the feed's own name.
    pub(super) key: String,
    /// The setting it belongs to.
    pub(super) setting: &'static Setting,
    /// What was written.
    pub(super) value: Value,
    /// Where.
    pub(super) place: Place,
    /// The places of the items of a list in a file.
    pub(super) items: Vec<Place>,
}

impl Written {
    /// Whether it is a setting of a feed.
    pub(super) fn is_of_feed(&self) -> bool {
        self.setting.key.starts_with("feeds.NAME.")
    }

    /// The feed it names; `None` for a default, a flag or a short variable, which name none.
    pub(super) fn feed(&self) -> Option<&str> {
        let name = self.key.split('.').nth(1).filter(|name| *name != "NAME")?;
        let named = !matches!(self.place, Place::Default | Place::Flag(_));
        (named && self.is_of_feed()).then_some(name)
    }
}

/// Everything that was written, in the order in which later values win.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    /// The values.
    pub(super) written: Vec<Written>,
    /// The names of feeds, each where it stands first.
    pub(super) feeds: Vec<(String, Place)>,
    /// The names in `[[feed]]` tables, in their order.
    pub(super) listed: Vec<String>,
    /// The mistakes so far.
    pub(super) errors: Vec<ConfigError>,
}

impl RawConfig {
    /// Remembers that a feed was named.
    pub(super) fn name_feed(&mut self, name: &str, place: &Place) {
        if !self.feeds.iter().any(|(known, _)| known == name) {
            self.feeds.push((name.to_owned(), place.clone()));
        }
    }

    /// Takes a file apart. After a syntax error, what follows may stand in the wrong table, so only
    /// what stands before it is looked at.
    pub(super) fn add_file(&mut self, path: &str, text: &str) {
        let file = File { path, text };
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut end = text.len();
        for error in errors {
            let span = error.span().unwrap_or_default();
            let twice = error.message() == "duplicate key";
            if !twice {
                end = end.min(span.start);
            }
            self.errors.push(ConfigError {
                key: if twice {
                    text.get(span.clone()).unwrap_or_default().to_owned()
                } else {
                    String::new()
                },
                value: None,
                place: file.place(span.start),
                message: error.message().replace('\n', ", "),
            });
        }
        self.add_table(&file, &mut Vec::new(), document.get_ref(), end);
    }

    /// Adds what a table below `path` has before the byte offset `end`.
    pub(super) fn add_table(
        &mut self,
        file: &File,
        path: &mut Vec<String>,
        table: &DeTable<'_>,
        end: usize,
    ) {
        for (key, value) in in_order(table) {
            if key.span().start >= end {
                continue;
            }
            path.push(key.get_ref().to_string());
            let place = file.place(key.span().start);
            if path[..] == ["feed"] {
                self.add_feed_list(file, value, end);
                path.pop();
                continue;
            }
            match look_up(path) {
                _ if is_own_name(path, value.get_ref()) => {}
                Found::Setting(setting) => self.add_value(file, &path.join("."), setting, value),
                Found::Table => match value.get_ref() {
                    DeValue::Table(inner) => {
                        if let [table, name] = path.as_slice() {
                            self.add_name(table, name, &place);
                        }
                        self.add_table(file, path, inner, end);
                    }
                    other => self.errors.push(ConfigError {
                        key: path.join("."),
                        value: Some(Value::from_toml(other).shown()),
                        place,
                        message: if path[..] == ["feeds"] {
                            FEED_LIST.to_owned()
                        } else {
                            format!("is a table: write [{}]", path.join("."))
                        },
                    }),
                },
                Found::Nothing => {
                    let key = path.join(".");
                    let message = unknown_key(&key);
                    self.errors.push(ConfigError {
                        key,
                        value: None,
                        place,
                        message,
                    });
                }
            }
            path.pop();
        }
    }

    fn add_value(
        &mut self,
        file: &File,
        key: &str,
        setting: &'static Setting,
        value: &Spanned<DeValue<'_>>,
    ) {
        let place = file.place(value.span().start);
        let value = Value::from_toml(value.get_ref());
        let items = match &value {
            Value::List(items) => items.iter().map(|(_, at)| file.place(*at)).collect(),
            _ => Vec::new(),
        };
        self.written.push(Written {
            key: key.to_owned(),
            setting,
            value,
            place,
            items,
        });
    }
}

/// A file's text and the path it was read from.
pub(super) struct File<'a> {
    path: &'a str,
    text: &'a str,
}

impl File<'_> {
    /// The place at a byte offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
        }
    }
}

/// The entries in the order of the file, so that mistakes are told in that order.
fn in_order<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(
    &'a Spanned<toml::de::DeString<'i>>,
    &'a Spanned<DeValue<'i>>,
)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// What a path in the file names.
enum Found {
    Setting(&'static Setting),
    Table,
    Nothing,
}

fn look_up(path: &[String]) -> Found {
    let begins = |key: &str| {
        let mut segments = key.split('.');
        path.iter()
            .all(|name| segments.next().is_some_and(|s| s == "NAME" || s == name))
    };
    settings()
        .find(|setting| begins(setting.key))
        .map_or(Found::Nothing, |setting| {
            let exact =
                settings().find(|s| begins(s.key) && s.key.split('.').count() == path.len());
            exact.map_or(
                if setting.key.split('.').count() > path.len() {
                    Found::Table
                } else {
                    Found::Nothing
                },
                Found::Setting,
            )
        })
}

fn unknown_key(key: &str) -> String {
    let feed = key.split('.').nth(1).unwrap_or("NAME");
    let names: Vec<_> = settings()
        .flat_map(|setting| {
            let (table, _) = setting.key.rsplit_once('.').unwrap_or_default();
            [setting.key, table]
        })
        .filter(|name| !name.is_empty())
        .map(|name| name.replace("NAME", feed))
        .collect();
    match nearest(key, names.iter().map(String::as_str)) {
        Some(name) => format!("is not a known key, did you mean `{name}`"),
        None => "is not a known key".to_owned(),
    }
}
