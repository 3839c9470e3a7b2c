//! A written value as it is shown whole: typed as its setting is, and without secrets.
//!
//! Messages about mistakes show values too, but short ones ([`Value::shown`]). Invariant: what a
//! setting of kind [`Kind::Secret`] says never leaves this module, nor does a password in a URL.

use serde_json::{Value as Json, json};

use super::address::masked;
use super::raw::Value;
use super::setting::{Kind, Setting};

/// What stands in place of a secret.
pub const SECRET: &str = "***";

/// The value of `setting` as JSON; a text from a variable or a flag has the type that the setting
/// needs. JSON of these types is TOML too.
pub(super) fn typed(value: &Value, setting: &Setting) -> Json {
    match (&setting.kind, value) {
        (Kind::Secret(_), _) => json!(SECRET),
        (Kind::List(..), Value::List(_) | Value::Untyped(_)) => {
            let items = value.items().unwrap_or_default();
            items.iter().map(plain).collect()
        }
        (Kind::Count(..) | Kind::Size(..), Value::Untyped(text)) => text
            .parse::<i64>()
            .map_or_else(|_| json!(text), |number| json!(number)),
        (Kind::Switch(_), Value::Untyped(text)) => text
            .parse::<bool>()
            .map_or_else(|_| json!(text), |switch| json!(switch)),
        _ => plain(value),
    }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Integer(number) => json!(number),
        Value::Switch(switch) => json!(switch),
        Value::Text(text) | Value::Untyped(text) => json!(masked(text)),
        Value::List(_) | Value::Other(_) => json!(value.shown()),
    }
}
