//! The `Range` of a request: a part lies within the body and is not empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::server::range::{Wanted, parse};
use nugate_fuzz::two_texts;

fuzz_target!(|data: &[u8]| {
    let Some((length, value)) = two_texts(data) else {
        return;
    };
    let length = length.trim().parse().unwrap_or(100);
    match parse(value, length) {
        Wanted::Part(part) => {
            assert!(
                part.start < part.end && part.end <= length,
                "{part:?} of {length}"
            );
            assert!(!value.contains(','));
            // The same bytes, spelled out.
            let spelled = format!("bytes={}-{}", part.start, part.end - 1);
            assert_eq!(parse(&spelled, length), Wanted::Part(part));
        }
        Wanted::Unsatisfiable => assert!(value.contains('=') && value.contains('-')),
        Wanted::Whole => {}
    }
});
