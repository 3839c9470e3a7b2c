//! Units, images, manifests and metadata of packages.

use std::fs;

use super::commands::understood;
use super::settings::Secrets;
use super::{files, root};

/// The values of a key in a unit.
fn unit<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[test]
fn units_say_what_nugate_does() {
    let units = files("deploy/systemd", &[".service", ".socket"]);
    assert_eq!(units.len(), 2);
    for (path, text) in &units {
        let mut section = "";
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        {
            if let Some(name) = line.strip_prefix('[') {
                section = name.strip_suffix(']').unwrap();
                continue;
            }
            let (key, _) = line
                .split_once('=')
                .unwrap_or_else(|| panic!("{}: {line}", path.display()));
            assert!(
                !section.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()),
                "{line}"
            );
        }
    }
    let service = &units[0].1;
    for start in unit(service, "ExecStart") {
        let words: Vec<_> = start.split(' ').map(str::to_owned).collect();
        understood("nugate.service", &words);
    }
    let codes = unit(service, "RestartPreventExitStatus");
    assert_eq!(codes, [nugate::config::EXIT_CODE.to_string()]);
    // The time until the end is longer than what the default of the setting takes.
    let config = Secrets::new().load("defaults", "", &[]);
    let stop: u64 = unit(service, "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > config.shutdown_timeout.as_secs());
}

#[test]
fn images_and_manifests_say_what_nugate_understands() {
    let secrets = Secrets::new();
    let texts = files("deploy", &["Dockerfile", ".yaml", ".yml"]);
    let mut variables = Vec::new();
    for (path, text) in &texts {
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
        {
            // `NAME=value`, `NAME: value` and `name: NAME` are what images and manifests say.
            let start = line
                .strip_prefix("ENV ")
                .or_else(|| line.strip_prefix("- name: "));
            let line = start.unwrap_or(line).trim_end_matches(" \\");
            if line.starts_with("NUGATE_") {
                let (name, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
                variables.push((
                    path,
                    name.trim().to_owned(),
                    value.trim().trim_matches('"').to_owned(),
                ));
            }
            for list in ["ENTRYPOINT ", "CMD ", "args: "] {
                let Some((_, list)) = line.split_once(list) else {
                    continue;
                };
                let words: Vec<String> = serde_json::from_str(list).unwrap();
                let named = words[0].ends_with("nugate");
                let program = (!named).then(|| "nugate".to_owned());
                let words: Vec<_> = program.into_iter().chain(words).collect();
                understood(&path.display().to_string(), &words);
            }
        }
    }
    assert!(variables.len() >= 6, "{variables:?}");
    for (path, name, value) in variables {
        secrets.load(&path.display().to_string(), "", &[(&name, &value)]);
    }
}

#[test]
fn packages_contain_what_exists() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let metadata = &manifest["package"]["metadata"];
    let of = |assets: &toml::Value, key: &dyn Fn(&toml::Value) -> String| {
        assets
            .as_array()
            .unwrap()
            .iter()
            .map(key)
            .collect::<Vec<_>>()
    };
    let debian = of(&metadata["deb"]["assets"], &|it| {
        it[0].as_str().unwrap().to_owned()
    });
    let rpm = of(&metadata["generate-rpm"]["assets"], &|it| {
        it["source"].as_str().unwrap().to_owned()
    });
    assert!(debian.len() > 8 && rpm.len() > 8);
    for source in debian.into_iter().chain(rpm) {
        let path = source.split('*').next().unwrap();
        let is_made = ["target/release/nugate", "target/package/"]
            .iter()
            .any(|it| path.starts_with(it));
        assert!(is_made || root().join(path).exists(), "{source}");
    }
}
