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
use crate::publish;

const NUGET7: &[&str] = &["nuget7.sh"];

/// Debian's NuGet, which lies where its package puts it.
const V2_ONLY: &str = "/usr/bin/nuget";

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
    case(
        "NuGet 7.6 restores over https as a user",
        "nuget7",
        restore_guarded,
        modern,
    ),
    case(
        "dotnet 2.2 restores over https as a user",
        "dotnet8/sdk",
        dotnet_guarded,
        modern,
    ),
    case(
        "nuget.exe 5.8.0 installs over https as a user",
        "nuget-5.8.0.exe",
        install58_guarded,
        modern,
    ),
    case(
        "NuGet 7.6 is refused over https as a stranger",
        "nuget7",
        stranger,
        nothing,
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
        "NuGet 2.8.7 installs the closure over V2",
        V2_ONLY,
        install28,
        classic,
    ),
    case(
        "NuGet 2.8.7 lists packages over V2",
        V2_ONLY,
        list28,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 lists packages over V2",
        "nuget-5.8.0.exe",
        list58,
        nothing,
    ),
    case(
        "nuget.exe 4.7.1 lists packages over V2",
        "nuget-4.7.1.exe",
        list47,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 installs the closure over V2",
        "nuget-5.8.0.exe",
        install58_v2,
        modern,
    ),
    case(
        "NuGet 7.6 pushes and deletes",
        "nuget7",
        publish::nuget7,
        nothing,
    ),
    case(
        "dotnet 2.2 pushes and deletes",
        "dotnet8/sdk",
        publish::dotnet,
        nothing,
    ),
    case(
        "nuget.exe 5.8.0 pushes and deletes, with symbols",
        "nuget-5.8.0.exe",
        publish::nuget58,
        nothing,
    ),
    case(
        "nuget.exe 4.7.1 pushes and deletes",
        "nuget-4.7.1.exe",
        publish::nuget47,
        nothing,
    ),
    case(
        "nuget.exe 3.4.4 pushes and deletes",
        "nuget-3.4.4.exe",
        publish::nuget34,
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
    /// Whether its client is there, and what it asks.
    pub fn installed(&self, bench: &Bench) -> bool {
        let is_there = !bench.direct || !self.name.contains("over https");
        is_there && bench.tools.join(self.needs).exists()
    }

    /// Whether there is anything to ask: the feed itself does not speak V2.
    pub fn applies(&self, bench: &Bench) -> bool {
        !bench.direct || !self.name.ends_with("over V2")
    }

    /// Whether the feed has what it is about.
    pub fn possible(&self, bench: &Bench) -> bool {
        let lacking = ["reads vulnerabilities", "pushes", "over https"];
        let has_it = !bench.folder || !lacking.iter().any(|part| self.name.contains(part));
        has_it && (!bench.chained || self.name.ends_with("over V2"))
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
            // Who is refused costs the feed nothing, whatever else it does.
            if self.name.contains("stranger") && !requests.is_empty() {
                return Err(format!("a stranger's requests cost {requests:?}"));
            }
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
        && !path.contains(publish::PUSHED)
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

fn restore_guarded(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let source = bench.guarded_source()?;
    let args = ["restore2", &source, "Closure.App=[2.0.0, )"];
    let said = bench.run_guarded(home, NUGET7, &args, true)?;
    expect(&said, "NU1904")?;
    expect(&said, "\"success\":true")
}

fn stranger(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let source = bench.guarded_source()?;
    let args = ["restore2", &source, "Closure.App=[2.0.0, )"];
    match bench.run_guarded(home, NUGET7, &args, false) {
        Ok(said) => Err(format!("it was restored: {said}")),
        Err(said) => expect(&said, "401 (Unauthorized)"),
    }
}

fn install58_guarded(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let (out, config) = (home.join("out"), bench.guarded_config(home)?);
    let args = [
        "install",
        "Closure.App",
        "-Version",
        MODERN,
        "-Source",
        "guarded",
        "-ConfigFile",
        config.to_str().unwrap_or_default(),
        "-Prerelease",
        "-OutputDirectory",
        out.to_str().unwrap_or_default(),
    ];
    let client = ["nuget58.sh", "nuget-5.8.0.exe"];
    bench.run_guarded(home, &client, &args, false).map(drop)
}

fn dotnet_guarded(bench: &Bench, home: &Path) -> Result<(), Failure> {
    write_project(home)?;
    let config = bench.guarded_config(home)?;
    let config = config.to_str().unwrap_or_default();
    let args = ["restore", "app.csproj", "--configfile", config];
    bench
        .run_guarded(home, &["dotnet49.sh"], &args, false)
        .map(drop)
}

fn dotnet(bench: &Bench, home: &Path) -> Result<(), Failure> {
    write_project(home)?;
    let args = ["restore", "app.csproj", "--source", &bench.source];
    bench.run(home, &["dotnet49.sh"], &args).map(drop)
}

fn write_project(home: &Path) -> Result<(), Failure> {
    let project = home.join("app.csproj");
    let text = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup>\
        <TargetFramework>netstandard2.0</TargetFramework>\
        <DisableImplicitFrameworkReferences>true</DisableImplicitFrameworkReferences>\
        </PropertyGroup><ItemGroup>\
        <PackageReference Include=\"closure.app\" Version=\"[2.0.0]\" />\
        </ItemGroup></Project>";
    fs::write(&project, text).map_err(|error| error.to_string())
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

/// The V2 source of the same feed.
fn v2(bench: &Bench) -> String {
    bench.source.replace("/v3/index.json", "/api/v2")
}

fn install28(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let out = home.join("out");
    let args = [
        "install",
        "Closure.App",
        "-Version",
        CLASSIC,
        "-Source",
        &v2(bench),
        "-Prerelease",
        "-OutputDirectory",
        out.to_str().unwrap_or_default(),
    ];
    bench.run(home, &["nuget28.sh"], &args).map(drop)
}

fn list28(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let source = v2(bench);
    let client = ["nuget28.sh"];
    let said = bench.run(home, &client, &["list", "closure", "-Source", &source])?;
    expect(&said, "Closure.Core 2.0.0")?;
    expect(&said, "Closure.DATA 1.0.0").or_else(|_| expect(&said, "Closure.Data 1.0.0"))?;
    let all = ["list", "Closure.Many", "-AllVersions", "-Source", &source];
    expect_versions(&bench.run(home, &client, &all)?)
}

fn list58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    list(bench, home, "nuget-5.8.0.exe")
}

fn list47(bench: &Bench, home: &Path) -> Result<(), Failure> {
    list(bench, home, "nuget-4.7.1.exe")
}

/// Through the V3 source, whose service index names the V2 one.
fn list(bench: &Bench, home: &Path, exe: &str) -> Result<(), Failure> {
    let client = ["nuget58.sh", exe];
    let latest = ["list", "closure", "-Source", &bench.source];
    let said = bench.run(home, &client, &latest)?;
    expect(&said, "Closure.Core 2.0.0")?;
    expect(&said, "Closure.Many 1.299.0")?;
    let prereleases = ["list", "closure", "-Prerelease", "-Source", &bench.source];
    let said = bench.run(home, &client, &prereleases)?;
    expect(&said, "2.0.0-Beta.1")?;
    let all = [
        "list",
        "Closure.Many",
        "-AllVersions",
        "-Source",
        &bench.source,
    ];
    expect_versions(&bench.run(home, &client, &all)?)
}

fn expect_versions(said: &str) -> Result<(), Failure> {
    // The console's own codes may stand before the first.
    match said.matches("Closure.Many 1.").count() {
        MANY => Ok(()),
        other => Err(format!("{other} versions instead of {MANY}: {said}")),
    }
}

fn install58_v2(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let out = home.join("out");
    let args = [
        "install",
        "Closure.App",
        "-Version",
        MODERN,
        "-Source",
        &v2(bench),
        "-Prerelease",
        "-OutputDirectory",
        out.to_str().unwrap_or_default(),
    ];
    let client = ["nuget58.sh", "nuget-5.8.0.exe"];
    bench.run(home, &client, &args).map(drop)
}

pub fn expect(said: &str, part: &str) -> Result<(), Failure> {
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
