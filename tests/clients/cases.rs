//! What each client is asked to do, and what must come of it.
//!
//! Every run has a home of its own, so that no client's cache hides a request.

use std::fs;
use std::path::Path;

use nugate::entry::Digest;
use tempfile::TempDir;

use crate::bench::{Bench, Failure};
use crate::feed::{CLASSIC, MANY, MODERN, closure};

const NUGET7: &[&str] = &["nuget7.sh"];

/// One line of the result.
pub struct Case {
    pub name: &'static str,
    /// File or folder below the installed clients without which there is nothing to run.
    needs: &'static str,
    what: What,
}

enum What {
    /// An installation of the closure of this root with this `nuget.exe`, twice.
    Install(&'static str, &'static str),
    /// A restore of the closure with NuGet 7.6 and audit, twice.
    Restore,
    /// A restore of the closure with the command line of the SDK, twice.
    DotnetRestore,
    /// Anything else.
    Call(fn(&Bench, &Path) -> Result<(), Failure>),
}

/// All cases, in order.
pub const CASES: &[Case] = &[
    case(
        "NuGet 7.6 restores the closure and warns of the vulnerable package",
        "nuget7",
        What::Restore,
    ),
    case(
        "dotnet 2.2 restores the closure",
        "dotnet8/sdk",
        What::DotnetRestore,
    ),
    case(
        "nuget.exe 5.8.0 installs the closure",
        "nuget-5.8.0.exe",
        What::Install("nuget-5.8.0.exe", MODERN),
    ),
    case(
        "nuget.exe 4.7.1 installs the closure",
        "nuget-4.7.1.exe",
        What::Install("nuget-4.7.1.exe", MODERN),
    ),
    case(
        "nuget.exe 3.4.4 installs the closure",
        "nuget-3.4.4.exe",
        What::Install("nuget-3.4.4.exe", CLASSIC),
    ),
    case("NuGet 7.6 searches", "nuget7", What::Call(search)),
    case(
        "NuGet 7.6 completes ids",
        "nuget7",
        What::Call(autocomplete),
    ),
    case(
        "NuGet 7.6 lists the versions of a long id",
        "nuget7",
        What::Call(versions),
    ),
    case(
        "NuGet 7.6 reads the metadata of a long id",
        "nuget7",
        What::Call(metadata),
    ),
    case(
        "NuGet 7.6 reads vulnerabilities",
        "nuget7",
        What::Call(vulnerabilities),
    ),
    case(
        "NuGet 7.6 downloads the big package",
        "nuget7",
        What::Call(download),
    ),
    case(
        "NuGet 7.6 does not find what there is not",
        "nuget7",
        What::Call(absent),
    ),
    case(
        "nuget.exe 5.8.0 searches",
        "nuget-5.8.0.exe",
        What::Call(search58),
    ),
    case(
        "node-nuget-client searches and downloads",
        "js/jsclient.js",
        What::Call(javascript),
    ),
];

const fn case(name: &'static str, needs: &'static str, what: What) -> Case {
    Case { name, needs, what }
}

impl Case {
    /// Whether its client is there.
    pub fn installed(&self, bench: &Bench) -> bool {
        bench.tools.join(self.needs).exists()
    }

    /// Runs it.
    pub fn run(&self, bench: &Bench) -> Result<(), Failure> {
        match &self.what {
            What::Install(exe, root) => twice(bench, root, |home| install(bench, home, exe, root)),
            What::Restore => twice(bench, MODERN, |home| restore(bench, home)),
            What::DotnetRestore => twice(bench, MODERN, |home| dotnet(bench, home)),
            What::Call(call) => call(bench, fresh()?.path()),
        }
    }
}

fn fresh() -> Result<TempDir, Failure> {
    TempDir::new().map_err(|error| error.to_string())
}

/// Runs `client` in two fresh homes: both must end with the closure of `root`, and the second must
/// not cost the upstream anything.
fn twice(
    bench: &Bench,
    root: &str,
    client: impl Fn(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for round in 0..2 {
        let home = fresh()?;
        bench.clear_log();
        client(home.path())?;
        let mut found = bench.packages_in(home.path())?;
        found.dedup();
        let expected = closure(root);
        if found != expected {
            return Err(format!("round {round}: {found:?} instead of {expected:?}"));
        }
        let fetched = bench.fetched();
        if bench.direct && fetched.is_empty() {
            return Err(format!("round {round} asked the feed for nothing"));
        }
        if round == 1 && !bench.direct && !fetched.is_empty() {
            return Err(format!("the second round was fetched again: {fetched:?}"));
        }
    }
    Ok(())
}

fn install(bench: &Bench, home: &Path, exe: &str, root: &str) -> Result<(), Failure> {
    let out = home.join("out");
    let args = [
        "install",
        "Closure.App",
        "-Version",
        root,
        "-Source",
        &bench.source,
        "-Prerelease",
        "-OutputDirectory",
        out.to_str().unwrap_or_default(),
    ];
    bench.run(home, &["nuget58.sh", exe], &args).map(drop)
}

fn restore(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(
        home,
        NUGET7,
        &["restore2", &bench.source, "Closure.App=[2.0.0, )"],
    )?;
    expect(&said, "NU1904")?;
    expect(&said, "\"success\":true")
}

fn dotnet(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let project = home.join("app.csproj");
    let text = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup>\
        <TargetFramework>netstandard2.0</TargetFramework>\
        <DisableImplicitFrameworkReferences>true</DisableImplicitFrameworkReferences>\
        </PropertyGroup><ItemGroup>\
        <PackageReference Include=\"closure.app\" Version=\"[2.0.0]\" />\
        </ItemGroup></Project>";
    fs::write(&project, text).map_err(|error| error.to_string())?;
    let args = ["restore", "app.csproj", "--source", &bench.source];
    bench.run(home, &["dotnet49.sh"], &args).map(drop)
}

fn search(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(
        home,
        NUGET7,
        &["search", &bench.source, "closure", "0", "50", "true"],
    )?;
    expect_lines(&said, 23)?;
    expect(&said, "\"id\":\"Closure.Many\"")?;
    expect(&said, &format!("\"versions\":{MANY}"))
}

fn search58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let client = ["nuget58.sh", "nuget-5.8.0.exe"];
    let said = bench.run(
        home,
        &client,
        &["search", "closure", "-Source", &bench.source],
    )?;
    expect(&said, "Closure.Core")
}

fn autocomplete(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(
        home,
        NUGET7,
        &["autocomplete", &bench.source, "closure.d", "true"],
    )?;
    expect(&said, "Closure.Deep.Nested.Name")?;
    expect(&said, "Closure.Data.Sql")
}

fn versions(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["versions", &bench.source, "Closure.MANY"])?;
    expect_lines(&said, MANY)
}

fn metadata(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["meta", &bench.source, "Closure.Many"])?;
    expect_lines(&said, MANY)?;
    expect(&said, "\"version\":\"1.299.0\"")
}

fn vulnerabilities(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let said = bench.run(home, NUGET7, &["vuln", &bench.source])?;
    expect(&said, "closure.text")
}

fn download(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let file = home.join("big.nupkg");
    let target = file.to_str().unwrap_or_default();
    bench.run(
        home,
        NUGET7,
        &["download", &bench.source, "Closure.BIG", "1.0", target],
    )?;
    let bytes = fs::read(&file).map_err(|error| error.to_string())?;
    match bench.packages.get(Digest::of(&bytes).as_bytes()) {
        Some((id, _)) if id == "closure.big" => Ok(()),
        _ => Err(format!("{} bytes that are not the package", bytes.len())),
    }
}

fn absent(bench: &Bench, home: &Path) -> Result<(), Failure> {
    match bench.run(
        home,
        NUGET7,
        &["restore2", &bench.source, "Closure.Nothing=1.0.0"],
    ) {
        Ok(said) => Err(format!("it was restored: {said}")),
        Err(said) => expect(&said, "NU1101"),
    }
}

fn javascript(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let script = bench.tools.join("js/jsclient.js");
    let script = script.to_str().unwrap_or_default();
    let said = bench.run(home, &["node"], &[script, &bench.source, "out"])?;
    expect(&said, "search")?;
    let found = bench.packages_in(home)?;
    if found == [("closure.core".to_owned(), "1.0.0".to_owned())] {
        Ok(())
    } else {
        Err(format!("it left {found:?}; {said}"))
    }
}

fn expect(said: &str, part: &str) -> Result<(), Failure> {
    if said.contains(part) {
        Ok(())
    } else {
        Err(format!("{part:?} is not in {said:?}"))
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
