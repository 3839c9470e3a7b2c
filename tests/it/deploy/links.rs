//! Links between files of the project.

use std::fs;
use std::path::Path;

use super::{files, pages, root};

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let lower = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = lower
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char })
        .collect()
}

#[track_caller]
fn leads_somewhere(from: &Path, link: &str) {
    let (path, chapter) = link.split_once('#').unwrap_or((link, ""));
    let to = if path.is_empty() {
        from.to_owned()
    } else {
        from.parent().unwrap().join(path)
    };
    assert!(to.exists(), "{}: {link} does not exist", from.display());
    if !chapter.is_empty() {
        let page = fs::read_to_string(&to).unwrap();
        let mut headings = page.lines().filter(|line| line.starts_with('#'));
        assert!(
            headings.any(|it| anchor(it) == chapter),
            "{}: {link} has no such chapter",
            from.display()
        );
    }
}

#[test]
fn links_lead_somewhere() {
    let mut many = 0;
    for (path, page) in pages() {
        for rest in page.split("](").skip(1) {
            let link = rest.split(')').next().unwrap();
            if !link.contains("://") && !link.contains([' ', '\n']) {
                leads_somewhere(&path, link);
                many += 1;
            }
        }
    }
    for (_, text) in files("deploy/prometheus", &["rules.yml"]) {
        for link in text.split("runbook: ").skip(1) {
            leads_somewhere(&root().join("README.md"), link.lines().next().unwrap());
            many += 1;
        }
    }
    assert!(many > 30, "{many}");
}
