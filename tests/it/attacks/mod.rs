//! Attacks: who has no right to it gets nothing, reaches nothing and spoils nothing.
//!
//! Each test is one that fails when its defence is taken away; `docs/security.md` says which attack
//! it is for. What other modules test already is not repeated here.
//!
//! - every test that the security page names exists

mod bombs;
mod cardinality;
mod host;
mod injection;
mod sharing;
mod smuggling;
mod ssrf;
mod tampering;

use std::collections::HashSet;
use std::path::Path;

use crate::layers::{sources, src};

/// `folder::file::name` of every test below a folder, and `folder::name` of those in a `mod.rs`.
fn tests(root: &Path) -> HashSet<String> {
    let mut found = HashSet::new();
    for file in sources(root) {
        let text = std::fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(root).unwrap().with_extension("");
        let parts = path.iter().map(|part| part.to_str().unwrap());
        let module: Vec<_> = parts
            .filter(|part| !matches!(*part, "mod" | "tests"))
            .collect();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            }
            let name = line.strip_prefix("async ").unwrap_or(line);
            if let Some(name) = name.strip_prefix("fn ").filter(|_| is_test) {
                let name = name.split('(').next().unwrap();
                found.insert(format!("{}::{name}", module.join("::")));
                is_test = false;
            }
        }
    }
    found
}

#[test]
fn every_test_the_security_page_names_exists() {
    let page = std::fs::read_to_string(src().join("../docs/security.md")).unwrap();
    let known: HashSet<_> = [src(), src().join("../tests/it")]
        .iter()
        .flat_map(|root| tests(root))
        .collect();
    let rows = page.lines().filter(|line| line.starts_with("| A"));
    let mut attacks = 0;
    for row in rows {
        let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        let named: Vec<_> = last.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {row}");
        for name in named {
            assert!(known.contains(name), "there is no test {name}: {row}");
        }
        attacks += 1;
    }
    assert_eq!(attacks, 37, "each attack has a row");
    for (at, row) in page
        .lines()
        .filter(|line| line.starts_with("| A"))
        .enumerate()
    {
        assert!(row.starts_with(&format!("| A{} |", at + 1)), "{row}");
    }
}
