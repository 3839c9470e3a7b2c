//! The reference and the example file, made from the table of settings.
//!
//! `docs/configuration.md` and `deploy/nugate.toml` hold exactly what these functions give.

use std::fmt::Write as _;

use super::env::names;
use super::generic::{EXAMPLE, PREFIX};
use super::setting::Setting;
use super::table::{DEFAULT_FEED, settings};

/// The widest line of a comment in the example file.
const WIDTH: usize = 100;

/// All settings as a Markdown table.
pub fn render_reference() -> String {
    let mut text = String::from(
        "| Key | Default | Allowed | Variable, flag | Live | Meaning |\n|---|---|---|---|---|---|\n",
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
            if setting.is_live() { "yes" } else { "no" }.to_owned(),
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
        let route = own.starts_with(PREFIX);
        if own != table {
            text.push_str(&heading(own));
            table = own;
        }
        text.push_str(&comment(&describe(setting)));
        let _ = if route {
            writeln!(text, "# {name} = {}", example(name, setting))
        } else if setting.default.is_empty() {
            writeln!(text, "# {name} = \"\"")
        } else {
            writeln!(text, "{name} = {}", setting.default)
        };
    }
    text
}

/// The line that begins a table; feeds have a list of tables, and there is no route by default.
fn heading(table: &str) -> String {
    if table == "feeds.NAME" {
        let about = comment(
            "A feed; several stand one after the other in the order of precedence, each with a name.",
        );
        return format!("{about}[[feed]]\nname = \"{DEFAULT_FEED}\"\n\n");
    }
    if table.starts_with(PREFIX) {
        return format!("# [{}]\n", table.replace("NAME", EXAMPLE.0));
    }
    format!("[{table}]\n")
}

/// A value for the route of the example file, which is ready to be switched on.
fn example(name: &str, setting: &Setting) -> String {
    match name {
        "url" => format!("{:?}", EXAMPLE.1),
        "rewrite" => "[\"tools.json\"]".to_owned(),
        _ => setting.default.to_owned(),
    }
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
    use std::{env, fs};

    use super::*;

    const ROOT: &str = env!("CARGO_MANIFEST_DIR");

    /// Compares a file with what it should be; `NGTEST_BLESS=1` writes it.
    #[track_caller]
    fn check(path: &str, expected: impl Fn(&str) -> String) {
        let path = format!("{ROOT}/{path}");
        let found = fs::read_to_string(&path).unwrap();
        let expected = expected(&found);
        if env::var_os("NGTEST_BLESS").is_some() {
            fs::write(&path, &expected).unwrap();
        } else {
            assert_eq!(found, expected, "run the tests with NGTEST_BLESS=1");
        }
    }

    #[test]
    fn the_documentation_has_the_table_of_settings() {
        let (start, end) = ("<!-- settings -->\n", "<!-- /settings -->");
        check("docs/configuration.md", |found| {
            let (before, rest) = found.split_once(start).unwrap();
            let (_, after) = rest.split_once(end).unwrap();
            format!("{before}{start}{}{end}{after}", render_reference())
        });
    }

    #[test]
    fn the_example_file_is_made_of_the_table() {
        check("deploy/nugate.toml", |_| render_example());
    }
}
