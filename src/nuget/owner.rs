//! Which feed a package id belongs to: patterns of ids, and the most specific of them.
//!
//! The rules are those of package source mapping (NuGet documentation, "Package Source Mapping",
//! section "Package pattern requirements"): an exact id, or a prefix that ends in `*`; without
//! regard to case; an exact id wins over any prefix, a longer prefix over a shorter one. Several
//! feeds with the very same pattern own its ids together.

use std::fmt;
use std::str::FromStr;

use crate::nuget::id::{MAX_ID_CHARS, PackageId};

/// An exact package id, or all ids that begin with a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdPattern {
    /// The folded id or prefix.
    text: Box<str>,
    exact: bool,
}

impl IdPattern {
    /// Whether it is for this id, which is folded.
    pub fn matches(&self, id: &PackageId) -> bool {
        self.matches_text(id.as_str())
    }

    /// The folded id, or how ids begin.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is for one id alone.
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether it is for all ids.
    pub fn is_all(&self) -> bool {
        !self.exact && self.text.is_empty()
    }

    fn matches_text(&self, folded: &str) -> bool {
        if self.exact {
            *self.text == *folded
        } else {
            folded.starts_with(&*self.text)
        }
    }

    /// Patterns that are more specific are greater.
    fn specificity(&self) -> (bool, usize) {
        (self.exact, self.text.len())
    }
}

impl FromStr for IdPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(prefix) = text.strip_suffix('*') {
            let folded = fold_prefix(prefix).ok_or("is no beginning of a package id")?;
            return Ok(Self {
                text: folded,
                exact: false,
            });
        }
        if text.contains('*') {
            return Err("has a `*` that is not at its end".to_owned());
        }
        let id = PackageId::parse(text).ok_or("is no package id")?;
        Ok(Self {
            text: id.as_str().into(),
            exact: true,
        })
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.exact { "" } else { "*" };
        write!(f, "{}{star}", self.text)
    }
}

/// The folded prefix; `None` when no id begins so. An id made of it by a letter at its end is an id
/// exactly when the prefix can begin one.
fn fold_prefix(prefix: &str) -> Option<Box<str>> {
    if prefix.chars().count() >= MAX_ID_CHARS {
        return None;
    }
    let id = PackageId::parse(&format!("{prefix}a"))?;
    id.as_str().strip_suffix('a').map(Into::into)
}

/// Who owns an id: the places in `patterns` of those with the most specific pattern that is for
/// it, in order; empty when nobody does.
pub fn owners_of(patterns: &[Vec<IdPattern>], id: &PackageId) -> Vec<usize> {
    most_specific(patterns, |pattern| pattern.matches(id))
}

/// Who owns what a search for `text` is about, if it is the id or the beginning of an id that
/// somebody owns; a pattern for all ids says nothing about a text.
pub fn owners_of_text(patterns: &[Vec<IdPattern>], text: &str) -> Vec<usize> {
    let folded = text.trim().to_lowercase();
    most_specific(patterns, |pattern| {
        !pattern.is_all() && pattern.matches_text(&folded)
    })
}

fn most_specific(patterns: &[Vec<IdPattern>], matches: impl Fn(&IdPattern) -> bool) -> Vec<usize> {
    let best_of = |own: &Vec<IdPattern>| {
        let fitting = own.iter().filter(|pattern| matches(pattern));
        fitting.map(IdPattern::specificity).max()
    };
    let bests: Vec<_> = patterns.iter().map(best_of).collect();
    let Some(best) = bests.iter().flatten().max() else {
        return Vec::new();
    };
    let places = bests.iter().enumerate();
    places
        .filter(|(_, own)| own.as_ref() == Some(best))
        .map(|(place, _)| place)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(texts: &[&[&str]]) -> Vec<Vec<IdPattern>> {
        let list = |own: &&[&str]| own.iter().map(|text| text.parse().unwrap()).collect();
        texts.iter().map(list).collect()
    }

    #[track_caller]
    fn check(texts: &[&[&str]], id: &str, expected: &[usize]) {
        let id = PackageId::parse(id).unwrap();
        assert_eq!(owners_of(&patterns(texts), &id), expected, "{id}");
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let texts: &[&[&str]] = &[
            &["*"],
            &["Contoso.*"],
            &["Contoso.Public.*", "Exact.Id"],
            &["contoso.public.thing"],
        ];
        check(texts, "Newtonsoft.Json", &[0]);
        check(texts, "contoso.core", &[1]);
        check(texts, "CONTOSO.PUBLIC.Core", &[2]);
        check(texts, "Contoso.Public.Thing", &[3]);
        check(texts, "exact.id", &[2]);
        check(texts, "exact.id2", &[0]);
        check(texts, "contoso", &[0]);
        check(&[&["A.*"], &["b.*"]], "C", &[]);
        check(&[&["A.*"], &["a.*"], &["a*"]], "a.b", &[0, 1]);
    }

    #[test]
    fn texts_of_searches_are_owned_by_name_only() {
        let patterns = patterns(&[&["Contoso.*"], &["*"]]);
        for (text, expected) in [
            ("Contoso.", &[0][..]),
            (" CONTOSO.Core ", &[0]),
            ("Contoso", &[]),
            ("json", &[]),
        ] {
            assert_eq!(owners_of_text(&patterns, text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, expected) in [
            ("", "is no package id"),
            ("a.*b", "has a `*` that is not at its end"),
            ("a**", "is no beginning of a package id"),
            ("a..*", "is no beginning of a package id"),
            ("a b*", "is no beginning of a package id"),
            ("a/b", "is no package id"),
        ] {
            assert_eq!(
                text.parse::<IdPattern>(),
                Err(expected.to_owned()),
                "{text}"
            );
        }
        for text in ["*", "a*", "a.*", "a.b", "a-*"] {
            assert_eq!(text.parse::<IdPattern>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_prefix_is_for_all_ids_that_begin_with_it(
            head in "[a-zA-Z0-9]{1,5}[.-]?", tail in "[a-zA-Z0-9]{1,5}"
        ) {
            let id = PackageId::parse(&format!("{head}{tail}")).unwrap();
            let prefix: IdPattern = format!("{}*", head.to_uppercase()).parse().unwrap();
            prop_assert!(prefix.matches(&id));
            let exact: IdPattern = id.as_str().to_uppercase().parse().unwrap();
            prop_assert!(exact.matches(&id) && exact.specificity() > prefix.specificity());
        }
    }
}
