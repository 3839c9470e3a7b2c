//! Installs and restores: a closure of packages, some written down, one big one, and failures.

use std::fs;
use std::path::Path;

use crate::bench::{Bench, Failure, Identity, World};
use crate::case::{expect, refused};
use crate::feed::{CLASSIC, MODERN, closure};

pub const NUGET7: &[&str] = &["nuget7.sh"];

/// What a client installs that knows `SemVer` 2.0.0.
pub fn modern() -> Vec<Identity> {
    closure(MODERN)
}

/// What another one installs.
pub fn classic() -> Vec<Identity> {
    closure(CLASSIC)
}

pub fn big() -> Vec<Identity> {
    vec![("closure.big".to_owned(), "1.0.0".to_owned())]
}

pub fn core() -> Vec<Identity> {
    vec![("closure.core".to_owned(), "1.0.0".to_owned())]
}

pub const fn nothing() -> Vec<Identity> {
    Vec::new()
}

pub fn exe58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let client = ["nuget58.sh", "nuget-5.8.0.exe"];
    install(bench, home, &client, &bench.source, MODERN)
}

pub fn exe47(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let client = ["nuget58.sh", "nuget-4.7.1.exe"];
    install(bench, home, &client, &bench.source, MODERN)
}

pub fn exe34(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let client = ["nuget58.sh", "nuget-3.4.4.exe"];
    install(bench, home, &client, &bench.source, CLASSIC)
}

/// Installs the root of this version by any nuget.exe.
pub fn install(
    bench: &Bench,
    home: &Path,
    client: &[&str],
    source: &str,
    root: &str,
) -> Result<(), Failure> {
    let out = home.join("out");
    let args = [
        "install",
        "Closure.App",
        "-Version",
        root,
        "-Source",
        source,
        "-Prerelease",
        "-OutputDirectory",
        out.to_str().unwrap_or_default(),
    ];
    bench.run(home, client, &args).map(drop)
}

pub fn config58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    restore_config(bench, home, "nuget-5.8.0.exe", MODERN)
}

pub fn config47(bench: &Bench, home: &Path) -> Result<(), Failure> {
    restore_config(bench, home, "nuget-4.7.1.exe", MODERN)
}

pub fn config34(bench: &Bench, home: &Path) -> Result<(), Failure> {
    restore_config(bench, home, "nuget-3.4.4.exe", CLASSIC)
}

/// Restores a `packages.config` that lists the closure.
fn restore_config(bench: &Bench, home: &Path, exe: &str, root: &str) -> Result<(), Failure> {
    let listed: Vec<String> = closure(root)
        .iter()
        .map(|(id, version)| format!("<package id=\"{id}\" version=\"{version}\" />"))
        .collect();
    let listed = listed.concat();
    let text = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><packages>{listed}</packages>");
    fs::write(home.join("packages.config"), text).map_err(|error| error.to_string())?;
    let args = [
        "restore",
        "packages.config",
        "-PackagesDirectory",
        "out",
        "-Source",
        &bench.source,
    ];
    bench.run(home, &["nuget58.sh", exe], &args).map(drop)
}

pub fn restore(bench: &Bench, home: &Path) -> Result<(), Failure> {
    restore_from(bench, home, &bench.source)
}

/// The host of the source is an address, which the certificate names too.
pub fn restore_from_address(bench: &Bench, home: &Path) -> Result<(), Failure> {
    restore_from(bench, home, &by_address(bench)?)
}

fn by_address(bench: &Bench) -> Result<String, Failure> {
    let source = bench.source.replace("localhost", "127.0.0.1");
    if source == bench.source {
        return Err(format!("{source} has no name"));
    }
    Ok(source)
}

fn restore_from(bench: &Bench, home: &Path, source: &str) -> Result<(), Failure> {
    let args = ["restore2", source, "Closure.App=[2.0.0, )"];
    let said = bench.run(home, NUGET7, &args)?;
    if bench.world != World::Folder {
        expect(&said, "NU1904")?;
    }
    expect(&said, "\"success\":true")
}

pub fn stranger(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["restore2", &bench.source, "Closure.App=[2.0.0, )"];
    let said = bench.run_as(home, NUGET7, &args, false);
    refused(&said, "401 (Unauthorized)")
}

pub fn dotnet(bench: &Bench, home: &Path) -> Result<(), Failure> {
    restore_project(bench, home, "closure.app", "[2.0.0]").map(drop)
}

/// Restores a project that refers to this package by `dotnet`; what was said.
pub fn restore_project(
    bench: &Bench,
    home: &Path,
    id: &str,
    versions: &str,
) -> Result<String, Failure> {
    let text = format!(
        "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup>\
        <TargetFramework>netstandard2.0</TargetFramework>\
        <DisableImplicitFrameworkReferences>true</DisableImplicitFrameworkReferences>\
        </PropertyGroup><ItemGroup>\
        <PackageReference Include=\"{id}\" Version=\"{versions}\" />\
        </ItemGroup></Project>"
    );
    fs::write(home.join("app.csproj"), text).map_err(|error| error.to_string())?;
    let args = ["restore", "app.csproj", "--source", &bench.source];
    bench.run(home, &["dotnet49.sh"], &args)
}

pub fn download(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["download", &bench.source, "Closure.BIG", "1.0", "big.nupkg"];
    bench.run(home, NUGET7, &args).map(drop)
}

pub fn absent(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let args = ["restore2", &bench.source, "Closure.Nothing=1.0.0"];
    refused(&bench.run(home, NUGET7, &args), "NU1101")
}

pub fn javascript(bench: &Bench, home: &Path) -> Result<(), Failure> {
    javascript_from(bench, home, &bench.source)
}

pub fn javascript_from_address(bench: &Bench, home: &Path) -> Result<(), Failure> {
    javascript_from(bench, home, &by_address(bench)?)
}

fn javascript_from(bench: &Bench, home: &Path, source: &str) -> Result<(), Failure> {
    let script = bench.installed.tools.join("js/jsclient.js");
    let script = script.to_str().unwrap_or_default();
    let said = bench.run(home, &["node"], &[script, source, "out"])?;
    expect(&said, "search")
}
