//! The packages of the demonstration.

use super::{ExampleFeed, Package};

impl ExampleFeed {
    /// A handful of small packages: dependencies, two versions of one, prereleases, one with an
    /// icon and a readme, one vulnerable, one unlisted, one deprecated.
    #[expect(clippy::expect_used, reason = "the set is fixed and tested")]
    pub fn demo() -> Self {
        Self::new([
            Package::new("Example.Core", "1.0.0")
                .described("What every example builds on.")
                .mentioning_feed(),
            Package::new("Example.Core", "1.1.0").described("What every example builds on."),
            Package::new("Example.Core", "2.0.0-beta.1").described("The next core."),
            Package::new("Example.Json", "1.2.0")
                .described("Reads and writes JSON.")
                .needs("Example.Core", "[1.0.0, 2.0.0)")
                .tagged(&["example", "json"])
                .with_extras(),
            Package::new("Example.Http", "0.9.0")
                .described("Talks to servers, not always safely.")
                .needs("Example.Core", "1.0.0")
                .vulnerable(2, "https://example.test/advisories/1"),
            Package::new("Example.Http", "1.0.0")
                .described("Talks to servers.")
                .needs("Example.Core", "1.1.0")
                .needs_on("net8.0", "Example.Json", "1.2.0"),
            Package::new("Example.Legacy", "0.1.0").unlisted(),
            Package::new("Example.Legacy", "0.2.0")
                .described("Kept for those who need it.")
                .deprecated("Legacy", "Example.Core"),
            Package::new("Example.App", "1.0.0")
                .described("Needs all the others.")
                .needs("Example.Http", "[1.0.0]")
                .needs("example.json", "1.0.0"),
        ])
        .expect("the set is fixed")
    }
}
