//! The reference and the example file, made from the table of settings.
//!
//! `docs/configuration.md` and `deploy/nugate.toml` hold exactly what these functions give.

use std::fmt::Write as _;

use super::env::names;
use super::setting::Setting;
use super::table::{DEFAULT_FEED, settings};

/// The widest line of a comment in the example file.
const WIDTH: usize = 100;

/// All settings as a Markdown table.
pub fn render_reference() -> String {
    let mut text = String::from(
        "| Key | Default | Allowed | Variable, flag | Meaning |\n|---|---|---|---|---|\n",
    );
    for setting in settings() {
        let default = if setting.default.is_empty() {
            "(none)".to_owned()
        } else {
            format!("`{}`", setting.default)
        };
        let flag = setting.short.map(|(flag, _)| flag.to_owned());
        let ways: Vec<_> = names(setting)
            .into_iter()
            .chain(flag)
            .map(|way| format!("`{way}`"))
            .collect();
        let cells = [
            format!("`{}`", setting.key),
            default,
            setting.allowed(),
            ways.join(", "),
            setting.doc.to_owned(),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// A configuration file that sets every setting to its default, with comments.
pub fn render_example() -> String {
    let mut text = comment(
        "The configuration of nugate. Every value here is the default, so all of it may be left \
         out. Flags win over environment variables, those over this file.",
    );
    let mut table = "";
    for setting in settings() {
        let (own, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        text.push('\n');
        if own != table {
            let _ = writeln!(text, "[{}]", own.replace("NAME", DEFAULT_FEED));
            table = own;
        }
        text.push_str(&comment(&describe(setting)));
        let _ = if setting.default.is_empty() {
            writeln!(text, "# {name} = \"\"")
        } else {
            writeln!(text, "{name} = {}", setting.default)
        };
    }
    text
}

fn describe(setting: &Setting) -> String {
    let allowed = setting.allowed();
    format!("{} Allowed: {allowed}.", setting.doc)
}

/// The text as comment lines of bounded width.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.len() + word.len() >= WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/docs/configuration.md"
    ));
    const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nugate.toml"));

    #[test]
    fn the_documentation_has_the_table_of_settings() {
        let (_, rest) = DOCS.split_once("<!-- settings -->\n").unwrap();
        let (found, _) = rest.split_once("<!-- /settings -->").unwrap();
        assert_eq!(found, render_reference(), "{}", render_reference());
    }

    #[test]
    fn the_example_file_is_made_of_the_table() {
        assert_eq!(EXAMPLE, render_example(), "{}", render_example());
    }
}
