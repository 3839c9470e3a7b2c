//! Finds the string values of listed members in a JSON text without building a tree.
//!
//! One pass, one frame per open container. The text must already be valid JSON: the scanner trusts
//! the syntax and only keeps track of where it is. It decides by place alone (member name,
//! `@context`), never by what a value looks like.

use std::borrow::Cow;

use memchr::memchr2;

use crate::nuget::resource::LinkRule;

/// Deepest nesting of containers; that of `serde_json`'s own parser.
pub const MAX_DEPTH: usize = 128;

/// A string value at a place where links are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Site<'a> {
    /// Offset of the opening quote.
    pub(super) start: usize,
    /// Offset behind the closing quote.
    pub(super) end: usize,
    /// Offset of the object that has the member.
    pub(super) object: usize,
    /// The name of the member.
    pub(super) member: &'static str,
    /// The value, unescaped.
    pub(super) value: Cow<'a, str>,
}

/// The text is nested deeper than [`MAX_DEPTH`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// What the current member of an object is to the rule.
#[derive(Clone, Copy)]
enum Member {
    Listed(&'static str),
    Context,
    Base,
    Other,
}

/// Where a container is with respect to `@context`.
#[derive(Clone, Copy, PartialEq)]
enum Zone {
    Body,
    RootContext,
    Context,
}

struct Frame {
    start: usize,
    is_object: bool,
    wants_name: bool,
    member: Member,
    zone: Zone,
}

/// Calls `visit` for each string value of a member the rule lists, in the order of the text.
///
/// Values inside `@context` are skipped, except `@base` of the root's when the rule says so. A value
/// whose escapes are no text (a lone surrogate) is skipped as well.
pub(super) fn scan<'a>(
    text: &'a str,
    rule: &LinkRule,
    mut visit: impl FnMut(Site<'a>),
) -> Result<(), TooDeep> {
    let bytes = text.as_bytes();
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'{' | b'[' if frames.len() == MAX_DEPTH => return Err(TooDeep),
            b'{' | b'[' => {
                let frame = Frame::open(&frames, start, byte == b'{');
                frames.push(frame);
            }
            b'}' | b']' => {
                frames.pop();
            }
            b',' => {
                if let Some(frame) = frames.last_mut() {
                    frame.wants_name = frame.is_object;
                }
            }
            b'"' => {
                at = string_end(bytes, at);
                let Some(frame) = frames.last_mut() else {
                    continue;
                };
                let raw = &text[start + 1..at - 1];
                if frame.wants_name {
                    frame.wants_name = false;
                    frame.member = classify(raw, rule);
                } else if let Some(member) = frame.link(rule)
                    && let Some(value) = unescape(raw)
                {
                    visit(Site {
                        start,
                        end: at,
                        object: frame.start,
                        member,
                        value,
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Frame {
    fn open(frames: &[Self], start: usize, is_object: bool) -> Self {
        let zone = match frames.last() {
            None => Zone::Body,
            Some(parent) if parent.zone != Zone::Body => Zone::Context,
            Some(parent) if !parent.is_object => Zone::Body,
            Some(parent) => match parent.member {
                Member::Context if frames.len() == 1 && is_object => Zone::RootContext,
                Member::Context => Zone::Context,
                _ => Zone::Body,
            },
        };
        Self {
            start,
            is_object,
            wants_name: is_object,
            member: Member::Other,
            zone,
        }
    }

    /// The name of the current member if its string value is a link.
    fn link(&self, rule: &LinkRule) -> Option<&'static str> {
        match (self.zone, self.member) {
            _ if !self.is_object => None,
            (Zone::Body, Member::Listed(name)) => Some(name),
            (Zone::RootContext, Member::Base) if rule.context_base => Some("@base"),
            _ => None,
        }
    }
}

fn classify(raw: &str, rule: &LinkRule) -> Member {
    let Some(name) = unescape(raw) else {
        return Member::Other;
    };
    match name.as_ref() {
        "@context" => Member::Context,
        name => match rule.members.iter().find(|listed| **listed == name) {
            Some(listed) => Member::Listed(listed),
            None if name == "@base" => Member::Base,
            None => Member::Other,
        },
    }
}

/// Offset behind the closing quote of a string whose contents begin at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        if bytes[at + found] == b'"' {
            return at + found + 1;
        }
        at += found + 2;
    }
    bytes.len()
}

/// The text of a JSON string without its quotes.
fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    serde_json::from_str(&format!("\"{raw}\""))
        .ok()
        .map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nuget::resource::Orphans;

    const RULE: LinkRule = LinkRule {
        members: &["@id", "url"],
        context_base: true,
        orphans: Orphans::Leave,
    };

    fn check(text: &str, expected: &[(&str, &str)]) {
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_ok() || text.contains("\\ud800")
        );
        let mut found = Vec::new();
        let scanned = scan(text, &RULE, |site| {
            assert_eq!(&text[site.start..=site.start], "\"");
            assert_eq!(&text[site.end - 1..site.end], "\"");
            assert_eq!(&text[site.object..=site.object], "{");
            found.push((site.member, site.value.into_owned()));
        });
        assert_eq!(scanned, Ok(()), "{text}");
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values_of_listed_members_are_found_at_any_depth() {
        check(
            r#"{"@id":"a","x":{"url":"b"},"y":[{"@id":"c"},[{"url":"d"}]]}"#,
            &[("@id", "a"), ("url", "b"), ("@id", "c"), ("url", "d")],
        );
        check(
            r#"[ {"@id" : "a" , "n" : -1.5e3 , "@id":"b"} ]"#,
            &[("@id", "a"), ("@id", "b")],
        );
        check(r#"{"x":"@id","@id":"x","":"y"}"#, &[("@id", "x")]);
    }

    #[test]
    fn strings_elsewhere_are_not() {
        check(r#"{"@ID":"a","id":"b","URL":"c","@id ":"d"}"#, &[]);
        check(r#"{"@id":["a","b",["c"]],"url":{"x":"y"}}"#, &[]);
        check(r#"{"@id":null,"url":7,"x":"\"@id\":\"a\""}"#, &[]);
        check(r#""@id""#, &[]);
        check(r#"["@id","a"]"#, &[]);
        check(r#"{"@id":"a\ud800"}"#, &[]);
    }

    #[test]
    fn after_a_container_the_member_is_a_new_one() {
        check(
            r#"{"@id":{"x":1},"y":"z","@id":[1],"url":"u"}"#,
            &[("url", "u")],
        );
        check(
            r#"{"url":["a",{"@id":"in"},"b"],"x":"c"}"#,
            &[("@id", "in")],
        );
    }

    #[test]
    fn escapes_in_names_and_values_are_undone() {
        check(
            r#"{"\u0040id":"a\/b","u\u0072l":"\u0068\"\\"}"#,
            &[("@id", "a/b"), ("url", "h\"\\")],
        );
        check(r#"{"x\\":"@id","@id\\":"x"}"#, &[]);
        check(
            r#"{"\u0040context":{"@id":"a"},"@id":"b"}"#,
            &[("@id", "b")],
        );
    }

    #[test]
    fn context_is_left_but_for_the_base_of_the_root() {
        check(
            r#"{"@context":{"@base":"b","@id":"i","t":{"@id":"catalog:item","@base":"n"}},"@id":"a"}"#,
            &[("@base", "b"), ("@id", "a")],
        );
        check(r#"{"@context":[{"@base":"b","@id":"i"}]}"#, &[]);
        check(
            r#"{"x":{"@context":{"@base":"b","url":"u"},"url":"v"}}"#,
            &[("url", "v")],
        );
        check(r#"[{"@context":{"@base":"b"}}]"#, &[]);
        check(r#"{"@base":"b","@context":"c"}"#, &[]);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(scan(&nested(MAX_DEPTH), &RULE, |_| {}), Ok(()));
        assert_eq!(scan(&nested(MAX_DEPTH + 1), &RULE, |_| {}), Err(TooDeep));
    }
}
