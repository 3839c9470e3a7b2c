//! Ranges of versions: the version chosen is in the range, and no eligible one is lower.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::nuget::range::VersionRange;
use nugate_fuzz::nuget::version::PackageVersion;
use nugate_fuzz::two_texts;

fuzz_target!(|data: &[u8]| {
    let Some((range, versions)) = two_texts(data) else {
        return;
    };
    let versions: Vec<_> = versions
        .split(' ')
        .filter_map(PackageVersion::parse)
        .collect();
    let Some(range) = VersionRange::parse(range) else {
        return;
    };
    match range.lowest(&versions) {
        Some(lowest) => {
            assert!(range.contains(lowest));
            let stable = versions.iter().filter(|version| version.label().is_none());
            let mut below = stable.filter(|version| *version < lowest);
            assert!(below.all(|version| !range.contains(version)));
        }
        None => {
            let mut stable = versions.iter().filter(|version| version.label().is_none());
            assert!(!stable.any(|version| range.contains(version)));
        }
    }
});
