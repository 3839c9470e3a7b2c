//! Identity of a package, second half: its version.
//!
//! Parses what clients and feeds write and keeps only NuGet's normalised, lower-case form, in which
//! two spellings of one package are equal (NuGet documentation, "Package versioning", section
//! "Normalized version numbers"). It knows nothing of version ranges. Invariant: a
//! [`PackageVersion`] is one safe path segment and parses to itself.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Longest version in bytes, build metadata included, as written and as normalised; nuget.org admits
/// 64.
pub const MAX_VERSION_BYTES: usize = 256;

/// A normalised version: three numbers, or four when the last is not 0, and a lower-cased
/// prerelease label. Build metadata is checked and dropped.
///
/// Equality is that of the normalised text. The order is NuGet's precedence; labels that differ
/// only in leading zeros (`-01`, `-1`), which precedence calls equal, are ordered by their text.
#[derive(Clone, Debug)]
pub struct PackageVersion {
    text: Box<str>,
    numbers: [u64; 4],
    label_at: usize,
}

impl PackageVersion {
    /// Parses a version as NuGet does; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_VERSION_BYTES {
            return None;
        }
        let (text, metadata) = cut(text, '+');
        let (core, label) = cut(text, '-');
        if !metadata.is_none_or(is_labels) || !label.is_none_or(is_labels) {
            return None;
        }
        let numbers = parse_numbers(core)?;
        let mut text = match numbers {
            [major, minor, patch, 0] => format!("{major}.{minor}.{patch}"),
            [major, minor, patch, revision] => format!("{major}.{minor}.{patch}.{revision}"),
        };
        let label_at = text.len();
        if let Some(label) = label {
            text.push('-');
            text.push_str(&label.to_ascii_lowercase());
        }
        // Missing numbers make it longer.
        (text.len() <= MAX_VERSION_BYTES).then(|| Self {
            text: text.into(),
            numbers,
            label_at,
        })
    }

    /// The normalised form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first number.
    pub const fn major(&self) -> u64 {
        self.numbers[0]
    }

    /// The prerelease label without its hyphen; `None` for a release.
    pub fn label(&self) -> Option<&str> {
        self.text[self.label_at..].strip_prefix('-')
    }
}

/// The text before the first `mark`, and what follows it.
fn cut(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((head, tail)) => (head, Some(tail)),
        None => (text, None),
    }
}

/// Dot-separated identifiers of Semantic Versioning 2.0.0, items 9 and 10. Leading zeros are
/// allowed, as NuGet allows them.
fn is_labels(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// One to four numbers; missing ones are 0.
fn parse_numbers(core: &str) -> Option<[u64; 4]> {
    let mut numbers = [0; 4];
    let mut slots = numbers.iter_mut();
    for part in core.split('.') {
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *slots.next()? = part.parse().ok()?;
    }
    Some(numbers)
}

/// Precedence of two prerelease labels (Semantic Versioning 2.0.0, item 11.4), already lower-cased.
fn compare_labels(left: &str, right: &str) -> Ordering {
    let mut left = left.split('.');
    let mut right = right.split('.');
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => match compare_identifiers(left, right) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

/// Numbers by value and of any length, before words, which go by ASCII.
fn compare_identifiers(left: &str, right: &str) -> Ordering {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match (is_number(left), is_number(right)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => left.cmp(right),
        (true, true) => {
            let left = left.trim_start_matches('0');
            let right = right.trim_start_matches('0');
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        }
    }
}

impl PartialEq for PackageVersion {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PackageVersion {}

impl Hash for PackageVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Ord for PackageVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| match (self.label(), other.label()) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(left), Some(right)) => compare_labels(left, right),
            })
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for PackageVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, normalised: Option<&str>) {
        let version = PackageVersion::parse(text);
        assert_eq!(
            version.as_ref().map(PackageVersion::as_str),
            normalised,
            "{text:?}"
        );
    }

    #[test]
    fn spellings_normalise() {
        for text in [
            "1",
            "1.0",
            "1.0.0",
            "1.0.0.0",
            "01.00.00",
            "1+x",
            "1.0+a-b.c",
        ] {
            check(text, Some("1.0.0"));
        }
        check("1.02.0.0", Some("1.2.0"));
        check("1.0.0.1", Some("1.0.0.1"));
        check("1.0.01.010", Some("1.0.1.10"));
        check("2.0.0-Beta.1+Build.7", Some("2.0.0-beta.1"));
        check("4.0.11-beta-23516", Some("4.0.11-beta-23516"));
        check("1-RC", Some("1.0.0-rc"));
        check("1.0.0.0-01.00", Some("1.0.0-01.00"));
        check("1.0.0---", Some("1.0.0---"));
        check("18446744073709551615.0", Some("18446744073709551615.0.0"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "v1.0",
            "1.",
            ".1",
            "1..0",
            "1.0.0.0.0",
            "1.0-",
            "1.0-a..b",
            "1.0-a.",
            "1.0+",
            "1.0+a..b",
            "1.0-a_b",
            "1.0-ä",
            "1.0+a+b",
            "-1.0",
            "+1.0",
            "1.+0",
            "1.0/..",
            "1.0\\",
            " 1.0",
            "1.0 ",
            "1.*",
            "[1.0,2.0)",
            "٣.0.0",
            "18446744073709551616.0",
            "index",
            &format!("1.0.0-{}", "a".repeat(MAX_VERSION_BYTES)),
            // Short enough as written, too long as normalised.
            &format!("1-{}", "a".repeat(MAX_VERSION_BYTES - 2)),
        ] {
            check(text, None);
        }
    }

    #[test]
    fn order_is_precedence() {
        let ascending = [
            "0.9",
            "1.0.0-0",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-99999999999999999999999",
            "1.0.0-ALPHA",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-Beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc-1",
            "1.0",
            "1.0.0.1-a",
            "1.0.0.1",
            "1.0.2",
            "1.0.10",
            "10.0",
        ];
        let parsed: Vec<_> = ascending
            .iter()
            .filter_map(|text| PackageVersion::parse(text))
            .collect();
        assert_eq!(parsed.len(), ascending.len());
        assert!(parsed.is_sorted_by(|left, right| left < right));
    }

    fn version() -> impl Strategy<Value = String> {
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(-[0-9A-Za-z-]{1,3}(\\.[0-9A-Za-z-]{1,3}){0,2})?(\\+[0-9A-Za-z]{1,3})?"
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in version()) {
            let once = PackageVersion::parse(&text).unwrap();
            let twice = PackageVersion::parse(once.as_str()).unwrap();
            prop_assert_eq!(once.as_str(), twice.as_str());
            prop_assert!(once.as_str().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'-')));
        }

        #[test]
        fn order_is_total_and_agrees_with_equality(
            a in version(), b in version(), c in version()
        ) {
            let mut all = [a, b, c].map(|text| PackageVersion::parse(&text).unwrap());
            all.sort();
            let [a, b, c] = &all;
            prop_assert!(a <= b && b <= c && a <= c);
            prop_assert_eq!(a.cmp(b) == Ordering::Equal, a == b);
            prop_assert_eq!(b.cmp(a), a.cmp(b).reverse());
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,20}") {
            if let Some(version) = PackageVersion::parse(&text) {
                prop_assert!(!version.as_str().contains("..") && !version.as_str().contains('/'));
            }
        }
    }
}
