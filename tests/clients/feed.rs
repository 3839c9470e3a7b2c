//! What the real clients are given: a closure of 21 packages with awkward ids, versions and ranges,
//! an id of 300 versions and a package of 60 MB.
//!
//! The expected versions are written down, not computed: they are what NuGet's rules give.

use nugate::demo::{ExampleFeed, Package};

/// Size of the big package.
pub const BIG: usize = 60 * 1024 * 1024;

/// Number of versions of `Closure.Many`.
pub const MANY: usize = 300;

/// Advisory of the vulnerable package of the closure, which is critical.
const ADVISORY: &str = "https://example.test/advisories/2";

/// What a package needs: ids and ranges.
type Needs = &'static [(&'static str, &'static str)];

/// Everything below the two roots: id, version, and what it needs.
const LIBRARIES: &[(&str, &str, Needs)] = &[
    (
        "Closure.Web",
        "1.02.0.0",
        &[
            ("closure.net.http", "4.0.11-beta-23516"),
            ("Closure.Routing", "1.0.0.1"),
            ("Closure.Html", "[5.0, 6.0)"),
        ],
    ),
    (
        "Closure.Logging",
        "1.0",
        &[
            ("Closure.Core", "[1.0.0, 2.0.0)"),
            ("Closure.Time", "2026.1.0"),
            ("Closure.IO", "3.0.0.0"),
        ],
    ),
    (
        "Closure.Net.Http",
        "4.0.11-beta-23516",
        &[("Closure.Crypto", "1.0.0")],
    ),
    (
        "Closure.Routing",
        "1.0.0.1",
        &[("CLOSURE.CORE", "[1.0.0, 2.0.0)")],
    ),
    (
        "Closure.Html",
        "5.0.0",
        &[
            ("Closure.Text", "[1.0, 2.0)"),
            ("CLOSURE.UPPER", "1.0.0"),
            ("closure-dash.lower", "[1.0.0]"),
        ],
    ),
    ("Closure.Data.Sql", "10.2.30", &[("Closure.Pool", "0.0.1")]),
    (
        "Closure.Time",
        "2026.11.21",
        &[("Closure.Maths", "1.0.0-rc1")],
    ),
    (
        "Closure.Pool",
        "0.0.1",
        &[("Closure.Threads", "(0.9, 1.0]")],
    ),
    (
        "Closure.Crypto",
        "1.0.0",
        &[("Closure_Under.Score", "1.0.0")],
    ),
    ("Closure_Under.Score", "1.0.0", &[]),
    ("CLOSURE.UPPER", "1.0.0", &[]),
    ("closure-dash.lower", "1.0.0", &[]),
    ("Closure.IO", "3.0", &[]),
    ("Closure.Threads", "1.0.0", &[]),
    (
        "Closure.Maths",
        "1.0.0-rc1",
        &[("Closure.Deep.Nested.Name", "1.2.3.4")],
    ),
    ("Closure.Deep.Nested.Name", "1.2.3.4", &[]),
    ("Closure.Core", "1.0.0", &[]),
];

/// Versions that no range of the closure chooses.
const OTHERS: &[(&str, &str)] = &[
    ("Closure.Core", "0.1.0"),
    ("Closure.Core", "1.5.0"),
    ("Closure.Core", "2.0.0"),
    ("Closure.Text", "0.9.0"),
    ("Closure.Text", "2.0.0"),
    ("Closure.Threads", "0.9.0"),
];

const DATA: Needs = &[
    ("Closure.Data.Sql", "10.2.30"),
    ("Closure.Core", "[1.0.0, 2.0.0)"),
];
const JSON: Needs = &[("Closure.Text", "[1.0, 2.0)")];

/// Version of the root whose closure contains `SemVer` 2.0.0 versions, which clients before NuGet
/// 4.3 cannot see.
pub const MODERN: &str = "2.0.0";
/// Version of the root whose closure has none.
pub const CLASSIC: &str = "1.0.0";

/// The feed.
pub fn feed() -> ExampleFeed {
    let library = |&(id, version, needs): &(&str, &str, Needs)| package(id, version, needs);
    let mut packages: Vec<Package> = LIBRARIES.iter().map(library).collect();
    packages.extend(
        OTHERS
            .iter()
            .map(|&(id, version)| Package::new(id, version)),
    );
    packages.extend([
        package("Closure.Text", "1.1", &[]).vulnerable(3, ADVISORY),
        package("Closure.Data", "1.0.0", DATA),
        package("Closure.DATA", "2.0.0-Beta.1", DATA),
        package("closure.json", "3.0.0", JSON),
        package("closure.json", "3.1.4+build.5", JSON),
        root(CLASSIC, "[1.0.0]", "[3.0.0]"),
        root(MODERN, "[2.0.0-beta.1]", "[3.1.4]"),
        Package::new("Closure.Big", "1.0.0").padded(BIG),
    ]);
    packages.extend((0..MANY).map(|minor| Package::new("Closure.Many", format!("1.{minor}.0"))));
    ExampleFeed::new(packages).unwrap()
}

fn package(id: &str, version: &str, needs: &[(&str, &str)]) -> Package {
    let start = Package::new(id, version).mentioning_feed();
    needs
        .iter()
        .fold(start, |package, (id, range)| package.needs(id, range))
}

fn root(version: &str, data: &str, json: &str) -> Package {
    let needs = [
        ("Closure.Web", "1.2"),
        ("Closure.Data", data),
        ("Closure.JSON", json),
        ("Closure.Logging", "[1.0, )"),
    ];
    package("Closure.App", version, &needs).with_extras()
}

/// What a client must install for the root of this version: lower-case ids and versions.
pub fn closure(root: &str) -> Vec<(String, String)> {
    let (data, json) = match root {
        MODERN => ("2.0.0-beta.1", "3.1.4"),
        _ => ("1.0.0", "3.0.0"),
    };
    let rest = [
        ("closure.app", root),
        ("closure.data", data),
        ("closure.json", json),
        ("closure.text", "1.1.0"),
    ];
    let libraries = LIBRARIES.iter().map(|&(id, version, _)| (id, version));
    let mut all: Vec<(String, String)> = libraries
        .chain(rest)
        .map(|(id, version)| (id.to_lowercase(), normal(version)))
        .collect();
    all.sort();
    all
}

fn normal(version: &str) -> String {
    match version {
        "1.02.0.0" => "1.2.0",
        "1.0" => "1.0.0",
        "3.0" => "3.0.0",
        other => other,
    }
    .to_owned()
}
