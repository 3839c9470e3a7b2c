//! The rewriter of links: only values of listed members change, and only http(s) ones; everything
//! else stays byte for byte; what has our links already is left alone.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::nuget::link_map::{LinkMap, is_http};
use nugate_fuzz::nuget::resource::{LinkRule, Orphans};
use nugate_fuzz::nuget::rewrite::{Place, links};
use nugate_fuzz::service_index;
use serde_json::Value;

static MAP: LazyLock<LinkMap> = LazyLock::new(|| service_index().link_map());

const OURS: Place<'_> = Place {
    base: "https://ours.example/v3/",
    slug: "registration",
};
const MEMBERS: &[&str] = &["@id", "packageContent", "registration", "items"];
const RULES: [LinkRule; 3] = [
    LinkRule {
        members: MEMBERS,
        context_base: true,
        orphans: Orphans::Leave,
    },
    LinkRule {
        members: MEMBERS,
        context_base: false,
        orphans: Orphans::PackageContent,
    },
    LinkRule {
        members: MEMBERS,
        context_base: true,
        orphans: Orphans::Page,
    },
];

/// How many values differ; panics for one that must not.
fn compare(member: &str, before: &Value, after: &Value) -> usize {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            assert!(before.keys().eq(after.keys()));
            let pairs = before.iter().zip(after.values());
            pairs
                .map(|((name, before), after)| compare(name, before, after))
                .sum()
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len());
            let pairs = before.iter().zip(after);
            pairs
                .map(|(before, after)| compare(member, before, after))
                .sum()
        }
        (Value::String(before), Value::String(after)) if before != after => {
            assert!(MEMBERS.contains(&member) || member == "@base", "{member}");
            assert!(is_http(before), "{before}");
            assert!(after.starts_with(OURS.base), "{after}");
            1
        }
        _ => {
            assert_eq!(before, after);
            0
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((which, document)) = data.split_first() else {
        return;
    };
    let rule = &RULES[usize::from(which.wrapping_sub(b'0')) % RULES.len()];
    let found = links(document, rule, &MAP, OURS);
    let text = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let before: Result<Value, _> = serde_json::from_slice(text);
    let Ok(found) = found else { return };
    // A number may be too long, and a lone surrogate be read past, by those who need no values.
    let Ok(before) = before else { return };
    let after = serde_json::from_slice(&found.bytes).expect("what was JSON is JSON");
    let differing = compare("", &before, &after);
    // Of members named twice only the last is compared.
    assert!(differing <= found.replaced);
    if found.replaced == 0 {
        assert_eq!(found.bytes, text);
    }
    assert!(found.pages.is_empty() || rule.orphans == Orphans::Page);
    if rule.orphans == Orphans::Leave {
        let again = links(&found.bytes, rule, &MAP, OURS).expect("it was valid");
        assert_eq!((again.replaced, again.bytes), (0, found.bytes));
    }
});
