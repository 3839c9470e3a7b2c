//! Which packages a file of a project says it needs.
//!
//! What kind of file it is, is told by what is in it, not by its name. Conditions of `MSBuild` are
//! not evaluated: what stands under one is wanted too. Invariants: nothing is guessed, what cannot be
//! resolved is told; no I/O.

mod json;
mod project;

use std::collections::BTreeSet;
use std::fmt;

use super::id::PackageId;
use super::range::VersionRange;
use super::version::PackageVersion;

/// Most packages and messages of one file.
const MEMBERS_MAX: usize = 100_000;

/// A package that is wanted. Ordered, so that a list of them is the same each time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Want {
    /// Its id.
    pub id: String,
    /// Which version will do, in interval notation; the newest when there is none.
    pub range: Option<String>,
}

impl Want {
    /// A package of exactly this version.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn exact(id: &str, version: &str) -> Result<Self, String> {
        let parsed = PackageVersion::parse(version.trim())
            .ok_or_else(|| format!("{id} {version}: {version:?} is no version"))?;
        Self::within(id, &format!("[{}]", parsed.as_str()))
    }

    /// A package of the lowest version in a range.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn within(id: &str, range: &str) -> Result<Self, String> {
        let range = range.trim();
        let why = if range.contains("$(") {
            "has a property in it, which only MSBuild knows"
        } else if range.contains('*') {
            "floats: which version that is, only a restore decides"
        } else if VersionRange::parse(range).is_none() {
            "is no version and no range of versions"
        } else {
            return Self::any(id).map(|want| Self {
                range: Some(range.to_owned()),
                ..want
            });
        };
        Err(format!("{id}: {range:?} {why}"))
    }

    /// The newest version of a package.
    ///
    /// # Errors
    /// What is wrong with the id.
    pub fn any(id: &str) -> Result<Self, String> {
        let id = PackageId::parse(id.trim()).ok_or_else(|| format!("{id:?} is no package id"))?;
        let id = id.as_str().to_owned();
        Ok(Self { id, range: None })
    }
}

impl std::str::FromStr for Want {
    type Err = String;

    /// `ID`, `ID@VERSION` for exactly that version, or `ID@RANGE` in interval notation.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('@') {
            None => Self::any(text),
            Some((id, range)) if range.starts_with(['[', '(']) => Self::within(id, range),
            Some((id, version)) => Self::exact(id, version),
        }
    }
}

impl fmt::Display for Want {
    /// As it is parsed: `ID`, or `ID@RANGE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.id;
        match self.range.as_deref() {
            None => f.write_str(id),
            Some(range) if range.starts_with(['[', '(']) => write!(f, "{id}@{range}"),
            Some(lowest) => write!(f, "{id}@[{lowest}, )"),
        }
    }
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The packages.
    pub wants: BTreeSet<Want>,
    /// What it names and cannot be resolved, and why.
    pub unresolved: BTreeSet<String>,
}

impl Wanted {
    /// Reads a file: `packages.lock.json`, `project.assets.json`, a `CycloneDX` document in JSON,
    /// `packages.config`, a project or a `.props` file. `central` is the `Directory.Packages.props`
    /// of a project.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn read(text: &str, central: Option<&str>) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with('<') {
            project::read(text, central)
        } else {
            json::read(text)
        }
    }

    /// Adds what was parsed, or why it was not.
    fn add(&mut self, want: Result<Want, String>) {
        if self.wants.len() + self.unresolved.len() >= MEMBERS_MAX {
            return;
        }
        match want {
            Ok(want) => drop(self.wants.insert(want)),
            Err(why) => drop(self.unresolved.insert(why)),
        }
    }
}

#[cfg(test)]
mod tests;
