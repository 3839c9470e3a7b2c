//! What each client is asked to do, and what must come of it.
//!
//! Every case runs twice, each time in a home of its own, so that no client's cache hides a
//! request: the second time must not cost the upstream anything that nugate keeps. A client that
//! follows a link past nugate is found in the same way.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::bench::{Bench, Failure, Identity};
use crate::feed::{CLASSIC, MANY, MODERN, closure};

const NUGET7: &[&str] = &["nuget7.sh"];

/// One line of the result.
pub struct Case {
    pub name: &'static str,
    /// File or folder below the installed clients without which there is nothing to run.
    needs: &'static str,
    /// Asks a client in a fresh home.
    ask: fn(&Bench, &Path) -> Result<(), Failure>,
    /// The packages that are then below that home.
    leaves: fn() -> Vec<Identity>,
}

/// All cases, in order.
pub const CASES: &[Case] = &[
    case(
        "NuGet 7.6 restores the closure and warns of the vulnerable package",
        "nuget7",
        restore,
        modern,
    ),
    case(
        "dotnet 2.2 restores the closure",
        "dotnet8/sdk",
        dotnet,
        modern,
    ),
    case(
        "nuget.exe 5.8.0 installs the closure",
        "nuget-5.8.0.exe",
        install58,
        modern,
    ),
    case(
        "nuget.exe 4.7.1 installs the closure",
        "nuget-4.7.1.exe",
        install47,
        modern,
    ),
    case(
        "nuget.exe 3.4.4 installs the closure",
        "nuget-3.4.4.exe",
        install34,
        classic,
    ),
    case("NuGet 7.6 searches", "nuget7", search, nothing),
    case("NuGet 7.6 completes ids", "nuget7", autocomplete, nothing),
    case(
        "NuGet 7.6 lists the versions of a long id",
        "nuget7",
        versions,
        nothing,
    ),
    case(
        "NuGet 7.6 reads the metadata of a long id",
        "nuget7",
        metadata,
        nothing,
    ),
    case(
        "NuGet 7.6 reads vulnerabilities",
        "nuget7",
        vulnerabilities,
        nothing,
    ),
    case(
        "NuGet 7.6 downloads the big package",
        "nuget7",
        download,
        big,
    ),
    case(
        "NuGet 7.6 does not find what there is not",
        "nuget7",
        absent,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 searches",
        "nuget-5.8.0.exe",
        search58,
        nothing,
    ),
    case(
        "node-nuget-client searches and downloads",
        "js/jsclient.js",
        javascript,
        core,
    ),
];

const fn case(
    name: &'static str,
    needs: &'static str,
    ask: fn(&Bench, &Path) -> Result<(), Failure>,
    leaves: fn() -> Vec<Identity>,
) -> Case {
    Case {
        name,
        needs,
        ask,
        leaves,
    }
}

fn modern() -> Vec<Identity> {
    closure(MODERN)
}

fn classic() -> Vec<Identity> {
    closure(CLASSIC)
}

fn big() -> Vec<Identity> {
    vec![("closure.big".to_owned(), "1.0.0".to_owned())]
}

fn core() -> Vec<Identity> {
    vec![("closure.core".to_owned(), "1.0.0".to_owned())]
}

const fn nothing() -> Vec<Identity> {
    Vec::new()
}

impl Case {
    /// Whether its client is there.
    pub fn installed(&self, bench: &Bench) -> bool {
        bench.tools.join(self.needs).exists()
    }

    /// Whether the feed has what it is about.
    pub fn possible(&self, bench: &Bench) -> bool {
        !bench.folder || !self.name.contains("reads vulnerabilities")
    }

    /// Runs it.
    pub fn run(&self, bench: &Bench) -> Result<(), Failure> {
        for round in ["first", "second"] {
            let home = TempDir::new().map_err(|error| error.to_string())?;
            bench.clear_log();
            let asked = (self.ask)(bench, home.path());
            asked.map_err(|reason| format!("{round} round: {reason}"))?;
            let mut found = bench.packages_in(home.path())?;
            found.dedup();
            let expected = (self.leaves)();
            if found != expected {
                return Err(format!("{round} round: {found:?} instead of {expected:?}"));
            }
            let requests = bench.requests();
            if bench.direct && requests.is_empty() {
                return Err(format!("{round} round: the feed was asked for nothing"));
            }
            let kept = requests.iter().any(|path| is_kept(path));
            if round == "second" && !bench.direct && kept {
                return Err(format!("the second round cost {requests:?}"));
            }
        }
        Ok(())
    }
}

/// Whether nugate keeps what lies there for longer than a run takes: packages, version lists and
/// registrations that exist.
fn is_kept(path: &str) -> bool {
    !path.contains("closure.nothing")
        && (path.starts_with("/v3-flatcontainer/") || path.starts_with("/v3/registration5"))
}

fn install58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    install(bench, home, "nuget-5.8.0.exe", MODERN)
}

fn install47(bench: &Bench, home: &Path) -> Result<(), Failure> {
    install(bench, home, "nuget-4.7.1.exe", MODERN)
}

fn install34(bench: &Bench, home: &Path) -> Result<(), Failure> {
    install(bench, home, "nuget-3.4.4.exe", CLASSIC)
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
    if !bench.folder {
        expect(&said, "NU1904")?;
    }
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
    let args = ["download", &bench.source, "Closure.BIG", "1.0", target];
    bench.run(home, NUGET7, &args).map(drop)
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
    expect(&said, "search")
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
