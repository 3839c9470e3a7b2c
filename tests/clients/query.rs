//! Searches, lists and metadata over V3 and V2, and installs over V2.

use std::collections::BTreeSet;
use std::path::Path;

use crate::bench::{Bench, Failure};
use crate::case::{expect, refused};
use crate::feed::{CLASSIC, MANY, MODERN, closure};
use crate::install::install;

const NUGET7: &[&str] = &["nuget7.sh"];
const NUGET28: &[&str] = &["nuget28.sh"];
const EXE58: &[&str] = &["nuget58.sh", "nuget-5.8.0.exe"];
const EXE47: &[&str] = &["nuget58.sh", "nuget-4.7.1.exe"];
const EXE34: &[&str] = &["nuget58.sh", "nuget-3.4.4.exe"];

pub fn search(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["search", &bench.source, "closure", "0", "50", "true"];
    let said = bench.run(home, NUGET7, &args)?;
    expect(&said, "\"id\":\"Closure.Many\"")?;
    expect(&said, &format!("\"versions\":{MANY}"))?;
    // What was pushed meanwhile is found too.
    let pushed = usize::from(said.contains("\"id\":\"Closure.Pushed\""));
    expect_lines(&said, 23 + pushed)
}

/// What was warmed is found, all at once and each by its name, and nothing else.
pub fn search_warmed(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["search", &bench.source, "closure", "0", "50", "true"];
    let said = bench.run(home, NUGET7, &args)?;
    let said = said.to_lowercase();
    let warmed: BTreeSet<_> = closure(MODERN).into_iter().map(|(id, _)| id).collect();
    expect_lines(&said, warmed.len())?;
    for id in warmed {
        expect(&said, &format!("\"id\":\"{id}\""))?;
        let path = format!("/v3/query?q=packageid:{id}&prerelease=true&semVerLevel=2.0.0");
        let answer = bench.get(&path)?.to_lowercase();
        expect(&answer, "\"totalhits\":1,")?;
        expect(&answer, &format!("\"id\":\"{id}\""))?;
    }
    Ok(())
}

pub fn search58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["search", "closure", "-Source", &bench.source];
    expect(&bench.run(home, EXE58, &args)?, "Closure.Core")
}

pub fn autocomplete(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["autocomplete", &bench.source, "closure.d", "true"];
    let said = bench.run(home, NUGET7, &args)?;
    expect(&said, "Closure.Deep.Nested.Name")?;
    expect(&said, "Closure.Data.Sql")
}

/// From the stored list, which has versions too that were not warmed.
pub fn autocomplete_warmed(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["autoversions", &bench.source, "Closure.Core", "1"];
    expect(&bench.run(home, NUGET7, &args)?, "1.5.0")
}

/// The registration and its versions.
pub fn metadata_warmed(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["meta", &bench.source, "Closure.Text"])?;
    expect_lines(&said, 3)?;
    let said = bench.run(home, NUGET7, &["versions", &bench.source, "Closure.TEXT"])?;
    expect_lines(&said, 3)
}

pub fn autocomplete_versions(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["autoversions", &bench.source, "Closure.Many", "1.29"];
    let said = bench.run(home, NUGET7, &args)?;
    expect(&said, "1.299.0")?;
    // 1.29 and 1.290 to 1.299.
    expect_lines(&said, 11)
}

pub fn versions(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["versions", &bench.source, "Closure.MANY"])?;
    expect_lines(&said, MANY)
}

pub fn metadata(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["meta", &bench.source, "Closure.Many"])?;
    expect_lines(&said, MANY)?;
    expect(&said, "\"version\":\"1.299.0\"")
}

pub fn vulnerabilities(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["vuln", &bench.source])?;
    expect(&said, "closure.text")
}

/// They are offered over https alone, because old clients refuse them over http.
pub fn signatures(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["sigs", &bench.source])?;
    expect(&said, "\"AllRepositorySigned\":false")?;
    expect(&said, &bench.source.replace("/v3/index.json", "/"))
}

/// An old client refuses every package of a source whose signatures it does not accept.
pub fn signatures58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let resource = "repository_signatures";
    let before = bench.asked(resource)?;
    install(bench, home, EXE58, &bench.source, MODERN)?;
    if bench.asked(resource)? == before {
        return Err("it did not ask for them".to_owned());
    }
    Ok(())
}

pub fn no_signatures(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["sigs", &bench.source]);
    refused(&said, "no RepositorySignatures resource")
}

/// The V2 source of the same feed.
pub fn v2(bench: &Bench) -> String {
    bench.source.replace("/v3/index.json", "/api/v2")
}

pub fn install28(bench: &Bench, home: &Path) -> Result<(), Failure> {
    install(bench, home, NUGET28, &v2(bench), CLASSIC)
}

pub fn install58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    install(bench, home, EXE58, &v2(bench), MODERN)
}

pub fn list28(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let source = v2(bench);
    let said = bench.run(home, NUGET28, &["list", "closure", "-Source", &source])?;
    expect(&said, "Closure.Core 2.0.0")?;
    expect(&said, "Closure.DATA 1.0.0").or_else(|_| expect(&said, "Closure.Data 1.0.0"))?;
    let all = ["list", "Closure.Many", "-AllVersions", "-Source", &source];
    expect_versions(&bench.run(home, NUGET28, &all)?)
}

pub fn list58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    list(bench, home, EXE58, "2.0.0-Beta.1")
}

pub fn list47(bench: &Bench, home: &Path) -> Result<(), Failure> {
    list(bench, home, EXE47, "2.0.0-Beta.1")
}

pub fn list34(bench: &Bench, home: &Path) -> Result<(), Failure> {
    // It knows no `SemVer` 2.0.0.
    list(bench, home, EXE34, "1.0.0-rc1")
}

/// Through the V3 source, whose service index names the V2 one.
fn list(bench: &Bench, home: &Path, client: &[&str], prerelease: &str) -> Result<(), Failure> {
    let latest = ["list", "closure", "-Source", &bench.source];
    let said = bench.run(home, client, &latest)?;
    expect(&said, "Closure.Core 2.0.0")?;
    expect(&said, "Closure.Many 1.299.0")?;
    let prereleases = ["list", "closure", "-Prerelease", "-Source", &bench.source];
    let said = bench.run(home, client, &prereleases)?;
    expect(&said, prerelease)?;
    let source = bench.source.as_str();
    let all = ["list", "Closure.Many", "-AllVersions", "-Source", source];
    expect_versions(&bench.run(home, client, &all)?)
}

fn expect_versions(said: &str) -> Result<(), Failure> {
    // The console's own codes may stand before the first.
    match said.matches("Closure.Many 1.").count() {
        MANY => Ok(()),
        other => Err(format!("{other} versions instead of {MANY}: {said}")),
    }
}

/// Counts what was printed, warnings of the client apart.
fn expect_lines(said: &str, count: usize) -> Result<(), Failure> {
    let lines = said
        .lines()
        .filter(|line| !line.starts_with("Warning"))
        .count();
    if lines == count {
        Ok(())
    } else {
        Err(format!("{lines} lines instead of {count}: {said}"))
    }
}
