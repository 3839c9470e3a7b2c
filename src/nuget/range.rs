//! Which versions of a dependency will do.
//!
//! Parses NuGet's interval notation and chooses as restore does (NuGet documentation, "Package
//! versioning", sections "Version ranges" and "Pre-release versions"). Floating ranges (`1.*`) are
//! refused: manifests of packages do not have them. Invariant: the version chosen is in the range,
//! and no eligible one is lower.

use super::version::PackageVersion;

/// A range of versions; each end is open, included or excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    low: Option<Bound>,
    high: Option<Bound>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    version: PackageVersion,
    included: bool,
}

impl VersionRange {
    /// Parses `1.0` (that or later), `[1.0]`, `[1.0, 2.0)`, `(,1.0]` and the like. `None` for
    /// anything else: floating ranges, `(1.0)`, and intervals that contain nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some((low_included, rest)) = strip_low(text) else {
            return Some(Self {
                low: Some(Bound::parse(text, true)?),
                high: None,
            });
        };
        let (rest, high_included) = strip_high(rest)?;
        let Some((low, high)) = rest.split_once(',') else {
            let exact = Bound::parse(rest, true).filter(|_| low_included && high_included)?;
            return Some(Self {
                low: Some(exact.clone()),
                high: Some(exact),
            });
        };
        let range = Self {
            low: optional(low, low_included)?,
            high: optional(high, high_included)?,
        };
        range.has_members().then_some(range)
    }

    /// The only version in the range, where it says so: `[1.0]`.
    pub fn only(&self) -> Option<&PackageVersion> {
        let (low, high) = (self.low.as_ref()?, self.high.as_ref()?);
        (low.version == high.version).then_some(&low.version)
    }

    /// Whether a version lies between the ends, by precedence alone: `2.0.0-beta` is in
    /// `[1.0, 2.0)`.
    pub fn contains(&self, version: &PackageVersion) -> bool {
        let above = self
            .low
            .as_ref()
            .is_none_or(|low| *version > low.version || (low.included && *version == low.version));
        let below = self.high.as_ref().is_none_or(|high| {
            *version < high.version || (high.included && *version == high.version)
        });
        above && below
    }

    /// The version restore takes: the lowest in the range, prereleases only where an end of the
    /// range is one (`VersionRange.FindBestMatch` of the official client). `None` when none will do.
    pub fn lowest<'a>(
        &self,
        versions: impl IntoIterator<Item = &'a PackageVersion>,
    ) -> Option<&'a PackageVersion> {
        let prereleases = [&self.low, &self.high]
            .into_iter()
            .flatten()
            .any(|bound| bound.version.label().is_some());
        versions
            .into_iter()
            .filter(|version| prereleases || version.label().is_none())
            .filter(|version| self.contains(version))
            .min()
    }

    fn has_members(&self) -> bool {
        match (&self.low, &self.high) {
            (None, None) => false,
            (Some(low), Some(high)) => {
                low.version < high.version
                    || (low.version == high.version && low.included && high.included)
            }
            _ => true,
        }
    }
}

impl Bound {
    fn parse(text: &str, included: bool) -> Option<Self> {
        PackageVersion::parse(text.trim()).map(|version| Self { version, included })
    }
}

/// Whether the low end is included, and the rest; `None` for a text that is no interval.
fn strip_low(text: &str) -> Option<(bool, &str)> {
    let included = text.strip_prefix('[').map(|rest| (true, rest));
    included.or_else(|| text.strip_prefix('(').map(|rest| (false, rest)))
}

fn strip_high(text: &str) -> Option<(&str, bool)> {
    let included = text.strip_suffix(']').map(|rest| (rest, true));
    included.or_else(|| text.strip_suffix(')').map(|rest| (rest, false)))
}

/// An end that may be left out; the outer `None` is a mistake.
#[expect(clippy::option_option, reason = "a missing end and a wrong one differ")]
fn optional(text: &str, included: bool) -> Option<Option<Bound>> {
    if text.trim().is_empty() {
        Some(None)
    } else {
        Bound::parse(text, included).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> PackageVersion {
        PackageVersion::parse(text).unwrap()
    }

    #[track_caller]
    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let parsed = VersionRange::parse(range).unwrap();
        for text in inside {
            assert!(parsed.contains(&version(text)), "{text} is not in {range}");
        }
        for text in outside {
            assert!(!parsed.contains(&version(text)), "{text} is in {range}");
        }
    }

    #[test]
    fn the_table_of_the_documentation() {
        check("1.0", &["1.0.0", "1.0.0.1", "99.0"], &["0.9", "1.0.0-rc"]);
        check("[1.0,)", &["1.0.0", "2.0"], &["0.9"]);
        check("(1.0,)", &["1.0.0.1", "2.0-rc"], &["1.0", "1.0.0-rc"]);
        check(
            "[1.0]",
            &["1", "1.0.0.0", "1.0+build"],
            &["1.0.1", "1.0-rc"],
        );
        check("(,1.0]", &["0.1", "1.0", "1.0-rc"], &["1.0.1"]);
        check("(,1.0)", &["0.9", "1.0-rc"], &["1.0"]);
        check("[1.0,2.0]", &["1.0", "2.0"], &["0.9", "2.0.1"]);
        check("(1.0,2.0)", &["1.0.1", "2.0-rc"], &["1.0", "2.0"]);
        check(" [ 1.0.0 , 2.0.0 ) ", &["1.0", "1.9"], &["2.0", "0.9"]);
        check("[1.0-RC,1.0]", &["1.0-rc", "1.0-rc.2"], &["1.0-beta"]);
        check("[1.0,1.0]", &["1.0"], &["1.0.1"]);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "*",
            "1.*",
            "1.0.*",
            "[1.*,2)",
            "(1.0)",
            "[1.0)",
            "(1.0]",
            "[1.0",
            "1.0]",
            "[]",
            "[,]",
            "(,)",
            "(2.0,1.0)",
            "(1.0,1.0)",
            "[1.0,1.0)",
            "[1,2,3]",
            "a",
            "[a,b]",
            ">=1.0",
            "(",
            "[",
        ] {
            assert_eq!(VersionRange::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_lowest_is_taken_and_prereleases_only_when_asked_for() {
        let versions = ["2.0", "1.5-rc", "1.5", "0.9", "1.10", "3.0-beta"].map(version);
        for (range, expected) in [
            ("1.0", Some("1.5.0")),
            ("[1.6,2.0)", Some("1.10.0")),
            ("1.5-alpha", Some("1.5.0-rc")),
            ("(,2.0]", Some("0.9.0")),
            ("(1.5,2.0-rc]", Some("1.10.0")),
            ("2.5", None),
            ("[3.0-a,)", Some("3.0.0-beta")),
            ("[1.0]", None),
        ] {
            let found = VersionRange::parse(range).unwrap().lowest(&versions);
            assert_eq!(found.map(PackageVersion::as_str), expected, "{range}");
        }
    }

    fn any_version() -> impl Strategy<Value = PackageVersion> {
        "[0-3](\\.[0-3]){0,3}(-[ab1])?".prop_map(|text| version(&text))
    }

    proptest! {
        #[test]
        fn the_lowest_is_contained_and_minimal(
            low in any_version(), high in any_version(),
            brackets in ("[\\[(]", "[\\])]"),
            versions in proptest::collection::vec(any_version(), 0..12),
        ) {
            let text = format!("{}{}, {}{}", brackets.0, low.as_str(), high.as_str(), brackets.1);
            let Some(range) = VersionRange::parse(&text) else {
                prop_assert!(low >= high, "{text}");
                return Ok(());
            };
            let eligible = |version: &&PackageVersion| {
                let stable = low.label().is_none() && high.label().is_none();
                range.contains(version) && !(stable && version.label().is_some())
            };
            match range.lowest(&versions) {
                None => prop_assert!(!versions.iter().any(|version| eligible(&version))),
                Some(found) => {
                    prop_assert!(range.contains(found) && versions.contains(found));
                    prop_assert!(versions.iter().filter(eligible).all(|other| found <= other));
                }
            }
        }

        #[test]
        fn nothing_panics(text in "[\\[\\](), .0-9a\\-*]{0,12}|\\PC{0,12}") {
            if let Some(range) = VersionRange::parse(&text) {
                prop_assert!(range.low.is_some() || range.high.is_some());
            }
        }
    }
}
