//! The settings of the log.

use super::setting::{Kind, Setting};
use super::{LogFormat, LogLevel};

/// The settings of the log.
pub(super) const LOG: &[Setting] = &[
    Setting {
        key: "log.format",
        default: "\"text\"",
        kind: Kind::Choice(&["text", "json"], |config, index| {
            config.log.format = [LogFormat::Text, LogFormat::Json][index];
        }),
        doc: "`text` for people; `json` for one JSON object a line.",
        short: None,
    },
    Setting {
        key: "log.level",
        default: "\"info\"",
        kind: Kind::Choice(
            &["error", "warn", "info", "debug", "trace"],
            |config, index| {
                config.log.level = [
                    LogLevel::Error,
                    LogLevel::Warn,
                    LogLevel::Info,
                    LogLevel::Debug,
                    LogLevel::Trace,
                ][index];
            },
        ),
        doc: "The least important level that is written.",
        short: None,
    },
];
