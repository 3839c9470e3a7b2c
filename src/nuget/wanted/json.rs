//! Lock files, assets files and bills of materials.
//!
//! Of lock and assets files the edges count too, not only what won: a restore that has to resolve
//! asks for the lowest version of each edge, and takes another one afterwards (NuGet documentation,
//! "How NuGet resolves package dependencies").

use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Want, Wanted};

/// Deepest nesting of components.
const DEPTH_MAX: usize = 32;

pub(super) fn read(text: &str) -> Result<Wanted, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("is neither XML nor JSON: {error}"))?;
    let mut wanted = Wanted::default();
    if value["bomFormat"] == "CycloneDX" {
        components(&value, &mut wanted, 0);
    } else if let (Some(targets), true) =
        (value["targets"].as_object(), value["libraries"].is_object())
    {
        for libraries in targets.values().filter_map(Value::as_object) {
            assets(libraries, &mut wanted);
        }
        frameworks(&value["project"]["frameworks"], &mut wanted);
    } else if let Some(frameworks) = value["dependencies"].as_object() {
        for packages in frameworks.values().filter_map(Value::as_object) {
            lock(packages, &mut wanted);
        }
    } else {
        let known = "packages.lock.json, project.assets.json or a CycloneDX document";
        return Err(format!("is JSON, but not {known}"));
    }
    Ok(wanted)
}

/// The packages of one framework in `packages.lock.json`.
fn lock(packages: &Map<String, Value>, wanted: &mut Wanted) {
    let is_project = |package: &Value| package["type"] == "Project";
    let projects = packages.iter().filter(|(_, package)| is_project(package));
    let projects: HashSet<_> = projects.map(|(id, _)| id.to_lowercase()).collect();
    for (id, package) in packages {
        edges(&package["dependencies"], &projects, wanted);
        if !is_project(package) {
            let version = package["resolved"].as_str().unwrap_or_default();
            wanted.add(Want::exact(id, version));
        }
    }
}

/// The libraries of one target in `project.assets.json`; their names are `ID/VERSION`.
fn assets(libraries: &Map<String, Value>, wanted: &mut Wanted) {
    let split = |name: &str| -> (String, String) {
        let (id, version) = name.split_once('/').unwrap_or((name, ""));
        (id.to_owned(), version.to_owned())
    };
    let is_project = |library: &Value| library["type"] == "project";
    let projects = libraries.iter().filter(|(_, library)| is_project(library));
    let projects: HashSet<_> = projects
        .map(|(name, _)| split(name).0.to_lowercase())
        .collect();
    for (name, library) in libraries {
        edges(&library["dependencies"], &projects, wanted);
        if library["type"] == "package" {
            let (id, version) = split(name);
            wanted.add(Want::exact(&id, &version));
        }
    }
}

/// What the project itself asks for, frameworks' packages too.
fn frameworks(frameworks: &Value, wanted: &mut Wanted) {
    for framework in frameworks.as_object().into_iter().flat_map(Map::values) {
        for (id, dependency) in framework["dependencies"].as_object().into_iter().flatten() {
            if let (true, Some(range)) = (
                dependency["target"] == "Package",
                dependency["version"].as_str(),
            ) {
                wanted.add(Want::within(id, range));
            }
        }
        for download in framework["downloadDependencies"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let id = download["name"].as_str().unwrap_or_default();
            for range in download["version"].as_str().unwrap_or_default().split(';') {
                wanted.add(Want::within(id, range));
            }
        }
    }
}

fn edges(dependencies: &Value, projects: &HashSet<String>, wanted: &mut Wanted) {
    for (id, range) in dependencies.as_object().into_iter().flatten() {
        if !projects.contains(&id.to_lowercase()) {
            wanted.add(Want::within(id, range.as_str().unwrap_or_default()));
        }
    }
}

/// Components of a `CycloneDX` document, and those inside them.
fn components(value: &Value, wanted: &mut Wanted, depth: usize) {
    if depth == DEPTH_MAX {
        return;
    }
    for component in value["components"].as_array().into_iter().flatten() {
        if let Some(want) = component["purl"].as_str().and_then(of_purl) {
            wanted.add(want);
        }
        components(component, wanted, depth + 1);
    }
}

/// The package of a package URL (`pkg:nuget/ID@VERSION?…#…`); `None` for one of another kind.
fn of_purl(purl: &str) -> Option<Result<Want, String>> {
    let rest = purl.strip_prefix("pkg:nuget/")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some(match rest.split_once('@') {
        Some((id, version)) => Want::exact(&decoded(id), &decoded(version)),
        None => Err(format!("{purl}: has no version")),
    })
}
