//! Paths: no key and no upstream URL has a dot segment, a control character, or leaves its base,
//! and each document has one spelling.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::nuget::service_index::ServiceIndex;
use nugate_fuzz::nuget::{publish, route};
use nugate_fuzz::{feed, service_index, two_texts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

static INDEX: LazyLock<ServiceIndex> = LazyLock::new(service_index);

fn is_safe(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && !segment.contains(|char: char| char.is_control() || char == '\\')
}

fuzz_target!(|data: &[u8]| {
    let Some((path, query)) = two_texts(data) else {
        return;
    };
    let query = (!query.is_empty()).then_some(query);
    if let Some(Ok(place)) = publish::parse(path) {
        let url = place.upstream_url(&INDEX).map(String::from);
        assert!(url.is_none_or(|url| !url.contains("/../") && url.is_ascii()));
    }
    let Ok(target) = route::parse(path, query) else {
        return;
    };
    let key = target.key("feed");
    let query = target.query();
    let end = query.map_or(0, |query| query.len() + 1);
    let path = &key.as_str()[..key.as_str().len() - end];
    assert!(path.split('/').all(is_safe), "{path:?}");
    assert!(
        !query
            .unwrap_or_default()
            .contains(|char: char| char.is_control() || char == ' ')
    );
    for url in target.upstream_urls(&feed(), &INDEX) {
        assert_eq!(url.origin(), feed().origin(), "{url}");
        let segments: Vec<_> = url.path_segments().expect("it has a path").collect();
        assert!(
            segments
                .iter()
                .all(|segment| !matches!(*segment, "" | "." | "..")),
            "{url}"
        );
        assert!(
            url.as_str().bytes().all(|byte| byte.is_ascii_graphic()),
            "{url}"
        );
        assert!(
            url.fragment().is_none() && url.username().is_empty(),
            "{url}"
        );
        assert_eq!(url.query().unwrap_or_default(), query.unwrap_or_default());
    }
    // The canonical spelling means the same.
    let own = path
        .strip_prefix("feed/")
        .expect("keys begin with the feed");
    let encoded: Vec<_> = own
        .split('/')
        .map(|segment| utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string())
        .collect();
    let again = route::parse(&encoded.join("/"), query).expect("a key is a path");
    assert_eq!(again.key("feed"), key);
});
