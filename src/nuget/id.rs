//! Identity of a package, first half: its id.
//!
//! An id reaches us as one percent-decoded path segment or as a member of an upstream document; it
//! is parsed once, here, and only the folded form travels further. Display case is not kept:
//! documents carry it. Invariant: a [`PackageId`] is one safe path segment, so keys and upstream
//! URLs may be composed from it without further checks.

use std::fmt;

/// Longest id in characters. The official client allows 100; older packages of nuget.org were
/// admitted with up to 128.
pub const MAX_ID_CHARS: usize = 128;

/// A package id, lower-cased character by character.
///
/// The grammar is `^\w+([.-]\w+)*$` (`PackageIdValidator` of the official client), at most
/// [`MAX_ID_CHARS`] characters. The folding is that of .NET's `ToLowerInvariant`: simple case
/// mapping, one character to one, no locale.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(Box<str>);

impl PackageId {
    /// Parses one percent-decoded path segment; `None` when it is no package id.
    pub fn parse(segment: &str) -> Option<Self> {
        if segment.chars().nth(MAX_ID_CHARS).is_some() {
            return None;
        }
        let words = segment.split(['.', '-']);
        words
            .into_iter()
            .all(|word| !word.is_empty() && word.chars().all(is_word))
            .then(|| Self(segment.chars().map(fold).collect()))
    }

    /// The folded id, not percent-encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character is in .NET's `\w`: letters, marks, decimal digits, connector punctuation.
///
/// The standard library knows no general categories, so beyond ASCII this is wider: everything but
/// control characters, white space and the blocks of punctuation and symbols. None of the additions means
/// anything in a URL or a path, where every byte of them is escaped; an id that cannot be costs one
/// question to the feed.
fn is_word(char: char) -> bool {
    if char.is_ascii() {
        return char.is_ascii_alphanumeric() || char == '_';
    }
    let connector = matches!(
        char,
        '\u{203f}' | '\u{2040}' | '\u{2054}' | '\u{fe33}' | '\u{fe34}' | '\u{fe4d}'
            ..='\u{fe4f}' | '\u{ff3f}'
    );
    let punctuation = matches!(char,
        '\u{80}'..='\u{a9}' | '\u{ab}'..='\u{b4}' | '\u{b6}'..='\u{b9}' | '\u{bb}'..='\u{bf}'
        | '\u{2000}'..='\u{206f}' | '\u{20a0}'..='\u{20cf}' | '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{303f}'
        | '\u{fe10}'..='\u{fe1f}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff0f}'
        | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
        | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}');
    connector || char.is_alphanumeric() || !(punctuation || char.is_whitespace())
}

/// Simple lower-casing: a character whose full mapping is longer (`İ`) stays as it is.
fn fold(char: char) -> char {
    let mut lower = char.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) => only,
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(segment: &str, folded: Option<&str>) {
        let id = PackageId::parse(segment);
        assert_eq!(id.as_ref().map(PackageId::as_str), folded, "{segment:?}");
    }

    #[test]
    fn ids_fold_one_to_one() {
        check("Newtonsoft.Json", Some("newtonsoft.json"));
        check("a", Some("a"));
        check("A-b_C.9", Some("a-b_c.9"));
        check("_._", Some("_._"));
        check("Ünïcödé.パッケージ", Some("ünïcödé.パッケージ"));
        check("İstanbul.Core", Some("İstanbul.core"));
        check("ΑΣ", Some("ασ"));
        check("Cafe\u{301}", Some("cafe\u{301}"));
        check("हिन्दी.ไทยที่", Some("हिन्दी.ไทยที่"));
        check(&"X".repeat(128), Some(&"x".repeat(128)));
        check(&"Ж".repeat(128), Some(&"ж".repeat(128)));
    }

    #[test]
    fn anything_else_is_refused() {
        for segment in [
            "",
            ".",
            "..",
            "-",
            ".a",
            "a.",
            "a..b",
            "a.-b",
            "a--b",
            "-a",
            "a b",
            "a/b",
            "a\\b",
            "a%2e",
            "a+b",
            "a\0",
            "a\n",
            "a:b",
            "{id}",
            "a\u{202e}b",
            "\u{feff}a",
            &"x".repeat(129),
        ] {
            check(segment, None);
        }
    }

    #[test]
    fn folding_any_character_twice_changes_nothing_more() {
        for char in '\0'..=char::MAX {
            assert_eq!(fold(fold(char)), fold(char), "{char:?}");
            assert!(!is_word(char) || is_word(fold(char)), "{char:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_a_safe_segment_and_its_own_fold(segment in "[\\PC/\\\\.]{0,12}") {
            if let Some(id) = PackageId::parse(&segment) {
                let text = id.as_str();
                prop_assert!(!text.contains(['/', '\\', '%', '?', '#', ':']));
                prop_assert!(!text.contains("..") && !text.starts_with('.') && !text.ends_with('.'));
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert_eq!(text.chars().count(), segment.chars().count());
                prop_assert_eq!(PackageId::parse(text), Some(id.clone()));
            }
        }

        #[test]
        fn one_foreign_character_spoils_any_id(
            head in "[a-z]{1,5}", tail in "[a-z]{1,5}", at in "[/\\\\\\x00-\\x1f\\x7f %?#:+]"
        ) {
            let spoiled = format!("{head}{at}{tail}");
            prop_assert_eq!(PackageId::parse(&spoiled), None);
        }

        #[test]
        fn spelling_does_not_matter(id in "[a-z0-9]{1,8}([.-][a-z0-9_]{1,8}){0,3}") {
            prop_assert_eq!(PackageId::parse(&id.to_ascii_uppercase()), PackageId::parse(&id));
            prop_assert!(PackageId::parse(&id).is_some());
        }
    }
}
