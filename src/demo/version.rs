//! Package versions as the feed writes them.
//!
//! Not `nuget`'s own rules on purpose: the feed is what those are tested against. It parses only
//! what [`super::Package`] is given, never input from the network. Invariant: two versions that
//! normalise alike are the same release.

use std::cmp::Ordering;

/// A NuGet version (docs: "Package versioning"): up to four numbers, label, build metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u32; 4],
    label: Option<String>,
    metadata: Option<String>,
}

impl Version {
    /// The version written `text`; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, metadata) = split(text, '+');
        let (core, label) = split(rest, '-');
        let mut numbers = [0; 4];
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > numbers.len() {
            return None;
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = part.parse().ok()?;
        }
        Some(Self {
            numbers,
            label,
            metadata,
        })
    }

    /// Without build metadata and superfluous zeros: `1.02.0.0` is `1.2.0`.
    pub fn normalized(&self) -> String {
        let [major, minor, patch, revision] = self.numbers;
        let mut text = match revision {
            0 => format!("{major}.{minor}.{patch}"),
            _ => format!("{major}.{minor}.{patch}.{revision}"),
        };
        if let Some(label) = &self.label {
            text.push('-');
            text.push_str(label);
        }
        text
    }

    /// The normalised version in lower case, as URLs have it.
    pub fn lower(&self) -> String {
        self.normalized().to_lowercase()
    }

    /// The normalised version with its build metadata, as documents have it.
    pub fn full(&self) -> String {
        match &self.metadata {
            Some(metadata) => format!("{}+{metadata}", self.normalized()),
            None => self.normalized(),
        }
    }

    /// Whether it has a label.
    pub const fn is_prerelease(&self) -> bool {
        self.label.is_some()
    }

    /// Whether clients before NuGet 4.3 cannot read it: a dotted label or build metadata.
    pub fn is_semver2(&self) -> bool {
        self.metadata.is_some() || self.label.as_ref().is_some_and(|l| l.contains('.'))
    }

    /// Precedence by `SemVer` 2.0.0 section 11 with four numbers and labels without case.
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| match (&self.label, &other.label) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(mine), Some(theirs)) => labels(mine, theirs),
            })
    }
}

fn split(text: &str, at: char) -> (&str, Option<String>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after.to_owned())),
        None => (text, None),
    }
}

fn labels(mine: &str, theirs: &str) -> Ordering {
    let (mut mine, mut theirs) = (mine.split('.'), theirs.split('.'));
    loop {
        let order = match (mine.next(), theirs.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.to_lowercase().cmp(&b.to_lowercase()),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_as_the_documentation_says() {
        for (text, lower, full, semver2) in [
            ("1", "1.0.0", "1.0.0", false),
            ("1.02.0.0", "1.2.0", "1.2.0", false),
            ("1.0.0.1", "1.0.0.1", "1.0.0.1", false),
            ("2.0.0-Beta.1", "2.0.0-beta.1", "2.0.0-Beta.1", true),
            ("1.0.0+Build.7", "1.0.0", "1.0.0+Build.7", true),
            (
                "4.0.11-beta-23516",
                "4.0.11-beta-23516",
                "4.0.11-beta-23516",
                false,
            ),
        ] {
            let version = Version::parse(text).unwrap();
            assert_eq!(version.lower(), lower);
            assert_eq!(version.full(), full);
            assert_eq!(version.is_semver2(), semver2, "{text}");
        }
        assert_eq!(Version::parse("1.x"), None);
        assert_eq!(Version::parse("1.2.3.4.5"), None);
    }

    #[test]
    fn versions_are_ordered_as_semver_says() {
        let ascending = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-Alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.1",
            "1.0.1",
            "1.10.0",
            "2.0.0",
        ];
        for pair in ascending.windows(2) {
            let [lower, upper] = [0, 1].map(|i| Version::parse(pair[i]).unwrap());
            assert_eq!(lower.precedence(&upper), Ordering::Less, "{pair:?}");
        }
    }
}
