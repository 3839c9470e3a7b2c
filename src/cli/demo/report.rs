//! What the demonstration saw, as text, as JSON, and measured against what is promised.
//!
//! Text and JSON have the same facts. Nothing here asks anybody anything.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::ROOT;
use super::restore::{Line, Restore, Restored, Vulnerability};
use crate::demo::ExampleFeed;
use crate::nuget::range::VersionRange;

/// Names of severities (NuGet documentation, "Vulnerability info").
const SEVERITIES: [&str; 4] = ["low", "moderate", "high", "critical"];

/// One restore, and how many requests reached the feed meanwhile.
pub struct Pass {
    /// What the client saw.
    pub restore: Restore,
    /// Requests the feed had.
    pub reached: u64,
}

/// Both restores.
pub struct Report {
    /// URL of the feed, without a path.
    pub feed: String,
    /// URL of nugate, without a path.
    pub nugate: String,
    /// With an empty cache.
    pub cold: Pass,
    /// Right after that.
    pub warm: Pass,
}

impl Report {
    /// The promises that did not hold; empty is success.
    pub fn broken(&self, example: &ExampleFeed) -> Vec<String> {
        let mut broken = Vec::new();
        for (name, pass) in self.passes() {
            for package in &pass.restore.packages {
                if !is_equal(package, example) {
                    let (id, version) = (&package.id, package.version.as_str());
                    broken.push(format!("{name}: {id} {version} is not the feed's package"));
                }
            }
            for (id, advisory) in advisories(example) {
                let known = &pass.restore.vulnerable;
                if !known
                    .iter()
                    .any(|one| one.id == id && one.advisory == advisory)
                {
                    broken.push(format!("{name}: {advisory} about {id} is not known"));
                }
            }
        }
        if self.cold.reached == 0 {
            broken.push("cold: nothing was asked of the feed".to_owned());
        }
        if self.warm.reached != 0 {
            broken.push(format!(
                "warm: {} requests reached the feed",
                self.warm.reached
            ));
        }
        broken
    }

    /// For people: a line a request, then the sums.
    pub fn text(&self, example: &ExampleFeed) -> String {
        let mut text = format!(
            "{} {} restored through nugate, without a network\n\
             \x20 feed    {}/v3/index.json\n\
             \x20 nugate  {}/v3/index.json\n\n",
            ROOT.0, ROOT.1, self.feed, self.nugate,
        );
        for (name, pass) in self.passes() {
            table(&mut text, name, &pass.restore.lines);
        }
        for (name, pass) in self.passes() {
            let _ = writeln!(
                text,
                "{name}: {} requests, {} bytes, {:.1} ms; {} requests reached the feed",
                pass.restore.lines.len(),
                bytes(pass),
                millis(pass.restore.time),
                pass.reached,
            );
        }
        let packages = self.all_packages();
        let equal = packages
            .iter()
            .filter(|package| is_equal(package, example))
            .count();
        let _ = writeln!(
            text,
            "packages: {equal} of {} downloads equal the feed's, byte for byte",
            packages.len()
        );
        for one in &self.warm.restore.vulnerable {
            let _ = writeln!(
                text,
                "vulnerable: {} {} ({}), {}; {}",
                one.id,
                one.versions,
                severity(one),
                one.advisory,
                if self.is_used(one) {
                    "used here"
                } else {
                    "not used here"
                },
            );
        }
        text.push('\n');
        text
    }

    /// For programs: the same facts.
    pub fn json(&self, example: &ExampleFeed) -> Value {
        let broken = self.broken(example);
        json!({
            "root": { "id": ROOT.0, "version": ROOT.1 },
            "feed": format!("{}/v3/index.json", self.feed),
            "nugate": format!("{}/v3/index.json", self.nugate),
            "cold": pass_json(&self.cold, example),
            "warm": pass_json(&self.warm, example),
            "vulnerable": self.warm.restore.vulnerable.iter().map(|one| json!({
                "id": one.id,
                "versions": one.versions,
                "severity": severity(one),
                "advisory": one.advisory,
                "used": self.is_used(one),
            })).collect::<Vec<_>>(),
            "held": broken.is_empty(),
            "broken": broken,
        })
    }

    const fn passes(&self) -> [(&'static str, &Pass); 2] {
        [("cold", &self.cold), ("warm", &self.warm)]
    }

    fn all_packages(&self) -> Vec<&Restored> {
        let passes = self.passes().into_iter();
        passes
            .flat_map(|(_, pass)| &pass.restore.packages)
            .collect()
    }

    fn is_used(&self, one: &Vulnerability) -> bool {
        let range = VersionRange::parse(&one.versions);
        self.warm.restore.packages.iter().any(|package| {
            package.id.as_str() == one.id
                && range
                    .as_ref()
                    .is_some_and(|range| range.contains(&package.version))
        })
    }
}

fn table(text: &mut String, name: &str, lines: &[Line]) {
    let mut row = |columns: [&str; 6]| {
        let [kind, name, status, cache, bytes, time] = columns;
        let _ = writeln!(
            text,
            "{kind:<21}{name:<21}{status:>6}  {cache:<8}{bytes:>8}{time:>10}"
        );
    };
    row([name, "", "status", "cache", "bytes", "ms"]);
    for line in lines {
        row([
            &format!("  {}", line.kind),
            &line.name,
            &line.status.to_string(),
            &line.cache,
            &line.bytes.to_string(),
            &format!("{:.2}", millis(line.time)),
        ]);
    }
    text.push('\n');
}

fn pass_json(pass: &Pass, example: &ExampleFeed) -> Value {
    let lines = pass.restore.lines.iter().map(|line| {
        json!({
            "kind": line.kind,
            "name": line.name,
            "status": line.status,
            "cache": line.cache,
            "bytes": line.bytes,
            "ms": millis(line.time),
        })
    });
    let packages = pass.restore.packages.iter().map(|package| {
        json!({
            "id": package.id.as_str(),
            "version": package.version.as_str(),
            "bytes": package.nupkg.len(),
            "equal": is_equal(package, example),
        })
    });
    json!({
        "requests": pass.restore.lines.len(),
        "bytes": bytes(pass),
        "ms": millis(pass.restore.time),
        "reached_feed": pass.reached,
        "documents": lines.collect::<Vec<_>>(),
        "packages": packages.collect::<Vec<_>>(),
    })
}

fn is_equal(package: &Restored, example: &ExampleFeed) -> bool {
    example.nupkg(package.id.as_str(), package.version.as_str()) == Some(package.nupkg.clone())
}

/// Ids in lower case and advisories of the feed's vulnerable packages.
fn advisories(example: &ExampleFeed) -> impl Iterator<Item = (String, &str)> {
    let packages = example.by_id().flatten().map(|release| &release.package);
    packages.flat_map(|package| {
        let about = package.advisories.iter();
        about.map(|advisory| (package.id.to_lowercase(), advisory.url.as_str()))
    })
}

fn bytes(pass: &Pass) -> usize {
    pass.restore.lines.iter().map(|line| line.bytes).sum()
}

/// Milliseconds to the microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn severity(one: &Vulnerability) -> &'static str {
    let at = usize::try_from(one.severity).unwrap_or(usize::MAX);
    SEVERITIES.get(at).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::nuget::id::PackageId;
    use crate::nuget::version::PackageVersion;

    fn pass(example: &ExampleFeed, reached: u64) -> Pass {
        let restored = Restored {
            id: PackageId::parse("Example.Http").unwrap(),
            version: PackageVersion::parse("0.9").unwrap(),
            nupkg: example.nupkg("example.http", "0.9.0").unwrap(),
        };
        let vulnerability = Vulnerability {
            id: "example.http".to_owned(),
            versions: "[0.9.0, 0.9.0]".to_owned(),
            severity: 2,
            advisory: "https://example.test/advisories/1".to_owned(),
        };
        let restore = Restore {
            packages: vec![restored],
            vulnerable: vec![vulnerability],
            ..Restore::default()
        };
        Pass { restore, reached }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Report), expected: &[&str]) {
        let example = ExampleFeed::demo();
        let mut report = Report {
            feed: "http://feed.test".to_owned(),
            nugate: "http://nugate.test".to_owned(),
            cold: pass(&example, 3),
            warm: pass(&example, 0),
        };
        change(&mut report);
        assert_eq!(report.broken(&example), expected);
        let json = report.json(&example);
        assert_eq!(json["held"], expected.is_empty());
        assert_eq!(json["broken"], json!(expected));
    }

    #[test]
    fn every_promise_can_be_seen_to_break() {
        check(|_| {}, &[]);
        check(
            |report| report.warm.reached = 2,
            &["warm: 2 requests reached the feed"],
        );
        check(
            |report| report.cold.reached = 0,
            &["cold: nothing was asked of the feed"],
        );
        check(
            |report| report.warm.restore.packages[0].nupkg = Bytes::from_static(b"PK"),
            &["warm: example.http 0.9.0 is not the feed's package"],
        );
        check(
            |report| report.cold.restore.vulnerable.clear(),
            &["cold: https://example.test/advisories/1 about example.http is not known"],
        );
    }

    #[test]
    fn a_vulnerable_package_in_use_is_told_from_one_that_is_not() {
        let example = ExampleFeed::demo();
        let mut report = Report {
            feed: String::new(),
            nugate: String::new(),
            cold: pass(&example, 3),
            warm: pass(&example, 0),
        };
        let line =
            "vulnerable: example.http [0.9.0, 0.9.0] (high), https://example.test/advisories/1";
        let text = report.text(&example);
        assert!(text.contains(&format!("{line}; used here\n")), "{text}");
        report.warm.restore.packages.clear();
        let text = report.text(&example);
        assert!(text.contains(&format!("{line}; not used here\n")), "{text}");
    }
}
