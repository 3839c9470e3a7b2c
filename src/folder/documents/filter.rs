//! The parameters that search and autocomplete share (NuGet documentation, "Search", "Autocomplete").

use std::sync::Arc;

use super::super::inventory::{Package, Release};

/// Results of an answer unless told otherwise, as nuget.org has it.
const TAKE: usize = 20;

/// Which versions count, and which part of the results is wanted.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    prerelease: bool,
    semver2: bool,
    package_type: &'a str,
    skip: usize,
    take: usize,
}

/// The value of a parameter: the last one counts, names in any case.
pub(super) fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut backwards = parameters.iter().rev();
    let found = backwards.find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

impl<'a> Filter<'a> {
    /// Reads the parameters; of numbers beyond `take_max` the default is taken, as nuget.org does.
    pub(super) fn new(parameters: &'a [(String, String)], take_max: usize) -> Self {
        let number = |name: &str| value(parameters, name)?.trim().parse::<usize>().ok();
        let is_two = |level: &str| level.trim().starts_with('2');
        let named = |name| value(parameters, name).filter(|own: &&str| !own.trim().is_empty());
        let package_type = named("packageType").or_else(|| named("packageTypeFilter"));
        Self {
            prerelease: value(parameters, "prerelease")
                .is_some_and(|own| own.trim().eq_ignore_ascii_case("true")),
            semver2: value(parameters, "semVerLevel").is_some_and(is_two),
            package_type: package_type.unwrap_or_default().trim(),
            skip: number("skip").unwrap_or(0),
            take: number("take")
                .filter(|own| *own <= take_max)
                .unwrap_or(TAKE),
        }
    }

    /// Whether versions of `SemVer` 2.0.0 count.
    pub(super) const fn semver2(&self) -> bool {
        self.semver2
    }

    /// The versions that count, ascending.
    pub(super) fn releases<'p>(&self, package: &'p Package) -> Vec<&'p Arc<Release>> {
        let admitted = |release: &&Arc<Release>| {
            let manifest = &release.manifest;
            let mut types = manifest.types.iter();
            (self.prerelease || !manifest.is_prerelease())
                && (self.semver2 || !manifest.semver2)
                && (self.package_type.is_empty()
                    || manifest.types.is_empty()
                    || types.any(|own| own.eq_ignore_ascii_case(self.package_type)))
        };
        package.releases.iter().filter(admitted).collect()
    }

    /// The wanted part of all results.
    pub(super) fn part<'s, T>(&self, results: &'s [T]) -> &'s [T] {
        let from = self.skip.min(results.len());
        let to = from.saturating_add(self.take).min(results.len());
        &results[from..to]
    }
}
