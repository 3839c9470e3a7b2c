//! The source keeps to its layers.
//!
//! - a module imports only modules of strictly lower layers, or of its own folder; tests too
//! - the rules (`nuget/`, `policy/`) wait for nothing, read no clock and touch no disk
//! - the order is the picture in `src/lib.rs`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What rules must not have.
const IMPURE: &[&str] = &["async ", ".await", "tokio", "std::fs", "::now()"];

/// Rank of each module: higher ones may import lower ones.
type Ranks = BTreeMap<String, usize>;

/// The ranks that the picture in the documentation of `lib.rs` gives.
fn ranks(lib: &str) -> Ranks {
    let picture = lib.split("```").nth(1).unwrap();
    let picture = picture.trim_start_matches("text").replace("//!", " ");
    let mut layers: Vec<&str> = picture.split("->").collect();
    layers.reverse();
    let ranked = layers.into_iter().enumerate().flat_map(|(rank, layer)| {
        let names = layer.split(',').map(str::trim);
        names.map(move |name| (name.to_owned(), rank))
    });
    ranked.collect()
}

/// The text without comments.
fn code(text: &str) -> String {
    let line = |line: &str| {
        let end = line.find("//").unwrap_or(line.len());
        format!("{}\n", &line[..end])
    };
    text.lines().map(line).collect()
}

/// The part before the unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// The first names of all paths that begin at the crate, groups in braces included.
fn imported(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|char| char.is_alphanumeric() || "_$".contains(char)) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_members(group)),
            None => names.push(word(rest)),
        }
    }
    names
}

/// First names of the members of a group, up to its closing brace.
fn group_members(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, char) in group.char_indices() {
        match char {
            ',' | '}' if depth == 0 => {
                names.push(word(group[start..at].trim_start()));
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn word(text: &str) -> String {
    let plain = |char: &char| char.is_alphanumeric() || *char == '_';
    text.chars().take_while(plain).collect()
}

/// The longest chain of `super::` in the code.
fn climbs(code: &str) -> usize {
    let chains = code.match_indices("super::").map(|(at, _)| {
        let rest = code[at..].split("super::");
        rest.skip(1).take_while(|part| part.is_empty()).count() + 1
    });
    chains.max().unwrap_or(0)
}

/// What a file, by its path below `src/`, imports against the order.
fn violations(path: &str, text: &str, ranks: &Ranks) -> Vec<String> {
    let segments: Vec<&str> = path
        .trim_end_matches(".rs")
        .split('/')
        .filter(|segment| *segment != "mod")
        .collect();
    let module = segments[0];
    let Some(own) = ranks.get(module) else {
        return vec![format!("{path}: {module} is in no layer")];
    };
    let text = code(text);
    let mut found = Vec::new();
    for name in imported(&text).into_iter().filter(|name| name != module) {
        if ranks.get(&name).is_none_or(|rank| rank >= own) {
            found.push(format!("{path}: {module} imports {name}"));
        }
    }
    let (outside, inside) = (climbs(product(&text)), climbs(&text));
    if outside >= segments.len() || inside > segments.len() {
        found.push(format!("{path}: {module} leaves its folder with super"));
    }
    // Tests in a file of their own may read documents to test with.
    let tests = segments.contains(&"tests");
    if matches!(module, "nuget" | "policy") && !tests {
        let impure = IMPURE.iter().filter(|word| product(&text).contains(*word));
        found.extend(impure.map(|word| format!("{path}: {word:?} in a rule")));
    }
    found
}

/// Every source file below a folder.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The folder of the program's source.
pub fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn modules_import_only_lower_layers() {
    let ranks = ranks(&read(&src().join("lib.rs")));
    let mut found = Vec::new();
    let mut files = 0;
    for file in sources(&src()) {
        let path = file.strip_prefix(src()).unwrap().to_str().unwrap();
        if !matches!(path, "lib.rs" | "main.rs") {
            found.extend(violations(path, &read(&file), &ranks));
            files += 1;
        }
    }
    assert!(files > 50, "only {files} files were read");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_is_in_the_picture() {
    let lib = read(&src().join("lib.rs"));
    let ranks = ranks(&lib);
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod "));
    let missing: Vec<_> = modules
        .map(|name| name.trim_end_matches(';'))
        .filter(|name| !ranks.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(ranks["server"] > ranks["proxy"] && ranks["store"] == ranks["upstream"]);
}

/// Path, text, and what is said of it.
const CASES: &[(&str, &str, Option<&str>)] = &[
    ("proxy/fill.rs", "use crate::store::Store;", None),
    ("proxy/fill.rs", "use crate::proxy::error::Error;", None),
    ("proxy/fill.rs", "// use crate::server::App;", None),
    ("proxy/fill.rs", "$crate::server!()", None),
    (
        "proxy/fill.rs",
        "use crate::server::App;",
        Some("imports server"),
    ),
    (
        "store/mod.rs",
        "use crate::upstream::Feed;",
        Some("imports upstream"),
    ),
    (
        "store/mod.rs",
        "fn a() -> crate::proxy::Error {}",
        Some("imports proxy"),
    ),
    (
        "clock.rs",
        "use crate::{\n    clock::{Time, A},\n    nuget,\n};",
        Some("imports nuget"),
    ),
    (
        "clock.rs",
        "use super::nuget::id;",
        Some("leaves its folder"),
    ),
    (
        "clock.rs",
        "#[cfg(test)]\nmod tests { use super::*; }",
        None,
    ),
    (
        "clock.rs",
        "#[cfg(test)]\nmod tests { use super::super::nuget; }",
        Some("leaves"),
    ),
    ("store/draft/tests.rs", "use super::super::chunk;", None),
    (
        "store/draft.rs",
        "use super::super::proxy;",
        Some("leaves its folder"),
    ),
    ("extra.rs", "", Some("in no layer")),
    ("nuget/id.rs", "async fn a() {}", Some("in a rule")),
    (
        "nuget/id.rs",
        "let now = SystemTime::now();",
        Some("in a rule"),
    ),
    (
        "nuget/id.rs",
        "#[cfg(test)]\nmod tests { use std::fs; }",
        None,
    ),
    ("nuget/rewrite/tests/model.rs", "use std::fs;", None),
];

#[test]
fn violations_are_found() {
    let picture = "```text\n//! server -> proxy -> store, upstream\n//! -> nuget -> clock\n//! ```";
    let ranks = ranks(picture);
    for (path, text, expected) in CASES {
        let found = violations(path, text, &ranks);
        let said = found.first().map(String::as_str).unwrap_or_default();
        assert_eq!(
            found.len(),
            usize::from(expected.is_some()),
            "{path}: {text}: {found:?}"
        );
        assert!(said.contains(expected.unwrap_or_default()), "{said}");
    }
}
