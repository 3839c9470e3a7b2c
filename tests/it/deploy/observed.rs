//! Dashboards, alerts, and what the runbook quotes.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use nugate::observe::metrics::SERIES;
use serde_json::{Value, json};

use super::{files, pages, root};

/// Every name of a series in a text, with the names of labels behind it.
fn series(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("nugate_") {
        let before = text[..at].chars().next_back();
        if before
            .is_some_and(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '/' | '-'))
        {
            continue;
        }
        let is_name =
            |char: char| !(char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
        let name = text[at..].split(is_name).next().unwrap();
        if name == "nugate_" {
            // Where all of them are meant.
            continue;
        }
        let rest = &text[at + name.len()..];
        let labels = rest
            .strip_prefix('{')
            .map_or("", |rest| rest.split('}').next().unwrap());
        let labels = labels.split(',').filter_map(|label| {
            let name = label.trim().split(['=', '!']).next().unwrap();
            (!name.is_empty()).then(|| name.to_owned())
        });
        found.push((name.to_owned(), labels.collect()));
    }
    found
}

#[test]
fn every_series_that_is_asked_for_exists() {
    let mut asked = BTreeSet::new();
    let mut texts = files("deploy", &[".json", ".yml"]);
    texts.extend(pages());
    for (path, text) in texts {
        let text = text.replace("\\\"", "\"");
        for (name, labels) in series(&text) {
            let known = SERIES.iter().find(|(known, ..)| {
                let rest = name.strip_prefix(known);
                rest.is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
            });
            let Some((known, own, _)) = known else {
                panic!("{}: there is no series {name}", path.display());
            };
            for label in labels {
                let common = matches!(label.as_str(), "instance" | "job" | "le");
                let exists = common || own.contains(&label.as_str());
                assert!(exists, "{}: {known} has no label {label}", path.display());
            }
            asked.insert(*known);
        }
    }
    assert!(asked.len() > 20);
    let found = series("x{nugate_a_total{b=\"c\",d=~\"e\"}} my_nugate_b nugate_c");
    let names: Vec<_> = found
        .iter()
        .map(|(name, labels)| (name.as_str(), labels.len()))
        .collect();
    assert_eq!(names, [("nugate_a_total", 2), ("nugate_c", 0)]);
}

fn dashboard() -> Value {
    let text = fs::read_to_string(root().join("deploy/grafana/dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// `promtool` is asked where it is; the series of every expression are looked up all the same.
#[test]
fn every_expression_of_the_dashboard_is_promql() {
    let mut rules = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            // What Grafana fills in.
            let expression = expression.replace("$__rate_interval", "5m");
            let expression = expression
                .replace("$__range", "1h")
                .replace("$instance", "a");
            assert!(!expression.contains('$'), "{expression}");
            rules.push(json!({ "record": format!("r:{}", rules.len()), "expr": expression }));
        }
    }
    assert!(rules.len() > 30, "{}", rules.len());
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let group = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    fs::write(file.path(), group.to_string()).unwrap();
    let alerts = root().join("deploy/prometheus/nugate.rules.yml");
    for path in [file.path(), &alerts] {
        let asked = Command::new("promtool")
            .args(["check", "rules"])
            .arg(path)
            .output();
        match asked {
            Ok(told) => assert!(told.status.success(), "{told:?}"),
            Err(error) => eprintln!("no promtool: {error}"),
        }
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(
            targets
                .iter()
                .all(|it| it["expr"].as_str().is_some_and(|expr| !expr.is_empty())),
            "{panel}"
        );
    }
}

/// Everything the program is made of, on one line each.
fn sources() -> String {
    let texts = files("src", &[".rs"]).into_iter().map(|(_, text)| text);
    // Texts may be broken over lines.
    texts.collect::<String>().replace("\\\n", " ")
}

#[test]
fn the_runbook_quotes_what_the_program_says() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let sources = sources();
    let mut many = 0;
    let lines = page.lines().filter_map(|line| line.strip_prefix("- Log: "));
    let chapter = page
        .split("## It does not start")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let cells = chapter
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let cells = cells.map(|cell| format!("`{cell}"));
    for line in lines.map(str::to_owned).chain(cells) {
        for quoted in line.split('`').skip(1).step_by(2) {
            let said = quoted.trim_end_matches('…').trim_end();
            let said = said.strip_suffix(':').unwrap_or(said);
            assert!(sources.contains(said), "the program never says {said:?}");
            many += 1;
        }
    }
    assert!(many > 15, "{many}");
}
