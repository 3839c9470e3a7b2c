//! Pushes and deletions by each client: what it is told, and that the feed and nugate then have it.
//!
//! Versions are new ones in each round, because a feed takes each only once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nugate::demo::Package;
use tempfile::TempDir;

use crate::bench::{Bench, Failure, World};
use crate::case::{expect, refused};
use crate::query::v2;

/// The key that the feed asks for.
pub const KEY: &str = "client-key";

/// What each client pushes; the part of its path that nugate does not keep for ever.
pub const PUSHED: &str = "closure.pushed";

/// A package file of a new version, outside of the home of the client.
struct Parcel {
    _folder: TempDir,
    file: PathBuf,
    version: String,
}

impl Parcel {
    fn pack() -> Result<Self, Failure> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let version = format!("1.{}.0", NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let file = folder
            .path()
            .join(format!("Closure.Pushed.{version}.nupkg"));
        let package = Package::new("Closure.Pushed", version.as_str()).padded(300_000);
        let nupkg = package.nupkg().map_err(|error| error.to_string())?;
        fs::write(&file, nupkg).map_err(|error| error.to_string())?;
        Ok(Self {
            _folder: folder,
            file,
            version,
        })
    }

    fn path(&self) -> &str {
        self.file.to_str().unwrap_or_default()
    }
}

/// How a client says it.
struct Words<'a> {
    client: &'a [&'a str],
    push: &'a dyn Fn(&'a str, &'a str) -> Vec<&'a str>,
    /// What it says of a version that exists, and of a wrong key.
    refusals: [&'a str; 2],
}

impl<'a> Words<'a> {
    /// Pushes once, once more, and with a wrong key.
    fn push(&self, bench: &Bench, home: &Path, parcel: &'a Parcel) -> Result<(), Failure> {
        let before = bench.upstream.versions_of(PUSHED);
        if before.contains(&parcel.version) {
            return Err(format!("{} is there already", parcel.version));
        }
        let push = |key| bench.run(home, self.client, &(self.push)(parcel.path(), key));
        push(KEY)?;
        if !bench.upstream.versions_of(PUSHED).contains(&parcel.version) {
            return Err(format!("the feed does not have {}", parcel.version));
        }
        if !bench.lists(PUSHED, &parcel.version)? {
            return Err(format!("the source does not list {}", parcel.version));
        }
        let [exists, denied] = self.refusals;
        refused(&push(KEY), exists)?;
        refused(&push("another-key"), denied)
    }
}

/// A deletion, after which the version is there and not listed.
fn delete(bench: &Bench, home: &Path, client: &[&str], args: &[&str]) -> Result<(), Failure> {
    let listed = bench.upstream.listed_of(PUSHED);
    bench.run(home, client, args)?;
    if bench.upstream.listed_of(PUSHED) + 1 == listed {
        Ok(())
    } else {
        Err("it is still listed".to_owned())
    }
}

/// Pushes and deletes with any nuget.exe from 3 on; the package.
fn nuget_exe(bench: &Bench, home: &Path, exe: &str) -> Result<(), Failure> {
    let parcel = Parcel::pack()?;
    let source = bench.source.as_str();
    let client = ["nuget58.sh", exe];
    Words {
        client: &client,
        push: &|file, key| vec!["push", file, key, "-Source", source],
        refusals: ["already exists", "API key is invalid"],
    }
    .push(bench, home, &parcel)?;
    let version = &parcel.version;
    let args = ["delete", "Closure.Pushed", version, KEY, "-Source", source];
    delete(bench, home, &client, &args)
}

/// Pushes a package with its symbols beside it, as a file of this extension.
fn with_symbols(
    bench: &Bench,
    home: &Path,
    client: &[&str],
    (extension, push): (&str, &[&str]),
) -> Result<(), Failure> {
    let parcel = Parcel::pack()?;
    let symbols = parcel.file.with_extension(extension);
    fs::copy(&parcel.file, symbols).map_err(|error| error.to_string())?;
    let push: Vec<&str> = push
        .iter()
        .map(|word| if *word == "FILE" { parcel.path() } else { word })
        .collect();
    bench.run(home, client, &push)?;
    has_symbols(bench, &parcel)
}

fn has_symbols(bench: &Bench, parcel: &Parcel) -> Result<(), Failure> {
    if bench.upstream.has_symbols(PUSHED, &parcel.version) {
        Ok(())
    } else {
        Err("the feed has no symbols".to_owned())
    }
}

/// Where clients before 4.9 push symbols, which do not look for it in the service index.
fn symbols_of(bench: &Bench) -> String {
    if bench.world == World::Direct {
        bench
            .source
            .replace("/v3/index.json", "/api/v2/symbolpackage")
    } else {
        bench.source.replace("/v3/index.json", "/v3/symbols")
    }
}

/// It knows no symbols, and is told to push their package.
pub fn exe34(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let exe = "nuget-3.4.4.exe";
    nuget_exe(bench, home, exe)?;
    let parcel = Parcel::pack()?;
    let client = ["nuget58.sh", exe];
    let push = ["push", parcel.path(), KEY, "-Source", &bench.source];
    bench.run(home, &client, &push)?;
    let symbols = parcel.file.with_extension("symbols.nupkg");
    fs::copy(&parcel.file, &symbols).map_err(|error| error.to_string())?;
    let file = symbols.to_str().unwrap_or_default();
    let push = ["push", file, KEY, "-Source", &symbols_of(bench)];
    bench.run(home, &client, &push)?;
    has_symbols(bench, &parcel)
}

pub fn exe47(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let client = ["nuget58.sh", "nuget-4.7.1.exe"];
    nuget_exe(bench, home, client[1])?;
    let symbols = symbols_of(bench);
    let mut push = vec!["push", "FILE", KEY, "-Source", bench.source.as_str()];
    push.extend(["-SymbolSource", &symbols, "-SymbolApiKey", KEY]);
    with_symbols(bench, home, &client, ("symbols.nupkg", &push))
}

/// Also with a version that exists and is skipped.
pub fn exe58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let client = ["nuget58.sh", "nuget-5.8.0.exe"];
    nuget_exe(bench, home, client[1])?;
    let push = ["push", "FILE", KEY, "-Source", bench.source.as_str()];
    with_symbols(bench, home, &client, ("snupkg", &push))?;
    let parcel = Parcel::pack()?;
    let push = ["push", parcel.path(), KEY, "-Source", &bench.source];
    bench.run(home, &client, &push)?;
    let again = [push.as_slice(), &["-SkipDuplicate"]].concat();
    expect(&bench.run(home, &client, &again)?, "already exists")
}

pub fn nuget7(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let parcel = Parcel::pack()?;
    let source = bench.source.as_str();
    let client = ["nuget7.sh"];
    Words {
        client: &client,
        push: &|file, key| vec!["push", source, file, key],
        refusals: ["409", "403"],
    }
    .push(bench, home, &parcel)?;
    let again = ["push", source, parcel.path(), KEY, "true"];
    bench.run(home, &client, &again)?;
    let found = bench.run(home, &client, &["versions", source, "Closure.Pushed"])?;
    expect(&found, &parcel.version)?;
    let args = ["delete", source, "Closure.Pushed", &parcel.version, KEY];
    delete(bench, home, &client, &args)
}

pub fn dotnet(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let parcel = Parcel::pack()?;
    let source = bench.source.as_str();
    let client = ["dotnet49.sh"];
    Words {
        client: &client,
        push: &|file, key| vec!["nuget", "push", file, "-s", source, "-k", key],
        refusals: ["409", "403"],
    }
    .push(bench, home, &parcel)?;
    let mut args = vec!["nuget", "delete", "Closure.Pushed", &parcel.version];
    args.extend(["-s", source, "-k", KEY, "--non-interactive"]);
    delete(bench, home, &client, &args)?;
    let push = ["nuget", "push", "FILE", "-s", source, "-k", KEY];
    with_symbols(bench, home, &client, ("snupkg", &push))
}

/// Debian's NuGet; it wants a file below the folder it runs in.
pub fn exe28(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let parcel = Parcel::pack()?;
    let name = parcel.file.file_name().unwrap_or_default();
    let file = name.to_str().unwrap_or_default();
    // Not left there, where it would count as installed.
    let place = home.join(file);
    fs::copy(&parcel.file, &place).map_err(|error| error.to_string())?;
    let source = v2(bench);
    let client = ["nuget28.sh"];
    let words = Words {
        client: &client,
        push: &|_, key| vec!["push", file, key, "-Source", &source],
        refusals: ["already exists", "API key is invalid"],
    };
    let pushed = words.push(bench, home, &parcel);
    fs::remove_file(&place).map_err(|error| error.to_string())?;
    pushed?;
    let version = &parcel.version;
    let args = ["delete", "Closure.Pushed", version, KEY, "-Source", &source];
    delete(bench, home, &client, &args)
}
