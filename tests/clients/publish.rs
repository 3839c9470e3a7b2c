//! Pushes and deletions by each client: what it is told, and that the feed and nugate then have it.
//!
//! Versions are new ones in each round, because a feed takes each only once.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nugate::demo::Package;
use tempfile::TempDir;

use crate::bench::{Bench, Failure};
use crate::cases::expect;

/// The key that the feed asks for.
pub const KEY: &str = "client-key";

/// What each client pushes; the part of its path that nugate does not keep for ever.
pub const PUSHED: &str = "closure.pushed";

/// A package file of a new version, outside of the home of the client.
struct Parcel {
    folder: TempDir,
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
            folder,
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
        let before = bench.versions_of(PUSHED);
        if before.contains(&parcel.version) {
            return Err(format!("{} is there already", parcel.version));
        }
        let push = |key| bench.run(home, self.client, &(self.push)(parcel.path(), key));
        push(KEY)?;
        if !bench.versions_of(PUSHED).contains(&parcel.version) {
            return Err(format!("the feed does not have {}", parcel.version));
        }
        lists(bench, &parcel.version)?;
        let [exists, denied] = self.refusals;
        refused(&push(KEY), exists)?;
        refused(&push("another-key"), denied)
    }
}

/// Whether the source's version list has the version, asked right after the push.
fn lists(bench: &Bench, version: &str) -> Result<(), Failure> {
    let told = |error: std::io::Error| error.to_string();
    let folder = if bench.direct {
        "v3-flatcontainer"
    } else {
        "v3/flat"
    };
    let host = bench.source.split('/').nth(2).unwrap_or_default();
    let mut stream = TcpStream::connect(host).map_err(told)?;
    let head = format!(
        "GET /{folder}/{PUSHED}/index.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    expect(&answer, &format!("\"{version}\""))
}

fn refused(said: &Result<String, Failure>, why: &str) -> Result<(), Failure> {
    match said {
        Ok(said) => Err(format!("it was taken: {said}")),
        Err(said) => expect(said, why),
    }
}

/// A deletion, after which the version is there and not listed.
fn delete(bench: &Bench, home: &Path, client: &[&str], args: &[&str]) -> Result<(), Failure> {
    let listed = bench.listed_of(PUSHED);
    bench.run(home, client, args)?;
    if bench.listed_of(PUSHED) + 1 == listed {
        Ok(())
    } else {
        Err("it is still listed".to_owned())
    }
}

fn nuget_exe(bench: &Bench, home: &Path, exe: &str) -> Result<Parcel, Failure> {
    let parcel = Parcel::pack()?;
    let source = bench.source.as_str();
    let client = ["nuget58.sh", exe];
    Words {
        client: &client,
        push: &|file, key| vec!["push", file, key, "-Source", source],
        refusals: ["already exists", "API key is invalid"],
    }
    .push(bench, home, &parcel)?;
    let args = [
        "delete",
        "Closure.Pushed",
        &parcel.version,
        KEY,
        "-Source",
        source,
    ];
    delete(bench, home, &client, &args)?;
    Ok(parcel)
}

pub fn nuget34(bench: &Bench, home: &Path) -> Result<(), Failure> {
    nuget_exe(bench, home, "nuget-3.4.4.exe").map(drop)
}

pub fn nuget47(bench: &Bench, home: &Path) -> Result<(), Failure> {
    nuget_exe(bench, home, "nuget-4.7.1.exe").map(drop)
}

/// With symbols beside the package, and with a version that exists and is skipped.
pub fn nuget58(bench: &Bench, home: &Path) -> Result<(), Failure> {
    let exe = "nuget-5.8.0.exe";
    let parcel = nuget_exe(bench, home, exe)?;
    let push = |parcel: &Parcel, more: &[&str]| {
        let args = ["push", parcel.path(), KEY, "-Source", bench.source.as_str()];
        bench.run(
            home,
            &["nuget58.sh", exe],
            &[args.as_slice(), more].concat(),
        )
    };
    let skipped = push(&parcel, &["-SkipDuplicate"])?;
    expect(&skipped, "already exists")?;
    let parcel = Parcel::pack()?;
    let symbols = parcel.file.with_extension("snupkg");
    fs::copy(&parcel.file, symbols).map_err(|error| error.to_string())?;
    push(&parcel, &[])?;
    drop(parcel.folder);
    if bench.has_symbols(PUSHED, &parcel.version) {
        Ok(())
    } else {
        Err("the feed has no symbols".to_owned())
    }
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
    let args = [
        "nuget",
        "delete",
        "Closure.Pushed",
        &parcel.version,
        "-s",
        source,
        "-k",
        KEY,
        "--non-interactive",
    ];
    delete(bench, home, &client, &args)
}
