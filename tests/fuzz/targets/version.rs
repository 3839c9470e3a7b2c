//! Versions: what is printed is parsed to the same, and the order is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::nuget::version::PackageVersion;
use nugate_fuzz::two_texts;

fuzz_target!(|data: &[u8]| {
    let Some((one, other)) = two_texts(data) else {
        return;
    };
    let Some(version) = PackageVersion::parse(one) else {
        return;
    };
    let text = version.as_str();
    let again = PackageVersion::parse(text).expect("what is printed is a version");
    assert_eq!(again.as_str(), text);
    assert_eq!(again, version);
    assert!(again.cmp(&version).is_eq());
    // One safe path segment.
    assert!(
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
    );
    assert!(text != "." && text != ".." && text == text.to_ascii_lowercase());
    // Letter case and build metadata make no difference.
    let upper = PackageVersion::parse(&one.to_ascii_uppercase());
    assert_eq!(upper.as_ref(), Some(&version));
    if let Some(other) = PackageVersion::parse(other) {
        assert_eq!(version.cmp(&other), other.cmp(&version).reverse());
        assert_eq!(version == other, version.cmp(&other).is_eq());
    }
});
