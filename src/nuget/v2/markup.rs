//! XML of an upstream, read within limits and without building a tree.
//!
//! Tells where each part lies in the text, so that a part can be changed and everything else stays
//! as it was written. Names lose their prefix. Invariant: what is read to the end is well-formed;
//! there is no document type definition, so no entity but the five predefined ones exists.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// Deepest nesting; an answer with packages has five levels.
pub const DEPTH_MAX: usize = 64;

/// Most attributes of one element: looking for repeated ones takes the square of their number.
const ATTRIBUTES_MAX: usize = 64;

/// Why a document is not read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not well-formed.
    #[error("not well-formed xml, at byte {at}: {why}")]
    NotXml {
        /// Where.
        at: usize,
        /// What is wrong.
        why: String,
    },
    /// Beyond a limit.
    #[error(
        "xml nested deeper than {DEPTH_MAX} levels, or an element with more than {ATTRIBUTES_MAX} attributes"
    )]
    TooMuch,
    /// It could define entities.
    #[error("xml with a document type definition")]
    Definitions,
    /// Not UTF-8, or says so.
    #[error("xml that is not utf-8")]
    NotUtf8,
    /// Something else than was asked for.
    #[error("xml with the root element {0:?}")]
    Root(String),
}

/// An attribute.
#[derive(Debug)]
pub(in super::super) struct Attribute<'a> {
    /// Its name as it is written, prefix included.
    pub(super) name: &'a str,
    /// Its value, references resolved.
    pub(super) value: Cow<'a, str>,
    /// Where the value is between its quotes.
    pub(super) at: Range<usize>,
}

/// A part of a document; of empty elements begin and end are told one after the other.
#[derive(Debug)]
pub(in super::super) enum Part<'a> {
    /// An element begins.
    Start {
        /// Its name without prefix.
        name: &'a str,
        /// Its attributes, in their order.
        attributes: &'a [Attribute<'a>],
        /// Where another attribute can be added.
        head: usize,
        /// Where its contents begin.
        content: usize,
    },
    /// Text, references resolved; an element may have it in several parts.
    Text(&'a str),
    /// The innermost open element ends.
    End {
        /// Where its contents end.
        content: usize,
    },
}

/// The text of a document without its byte order mark, and whether there was one.
pub(in super::super) fn text_of(document: &[u8]) -> Result<(&str, bool), Malformed> {
    let text = std::str::from_utf8(document).map_err(|_| Malformed::NotUtf8)?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map_or((text, false), |text| (text, true)))
}

/// Whether a document is well-formed, within the limits, and has one of these roots.
///
/// # Errors
/// [`Malformed`] as described there.
pub fn check(document: &[u8], roots: &[&str]) -> Result<(), Malformed> {
    let (text, _) = text_of(document)?;
    let mut root = None;
    walk(text, |part| {
        if let (Part::Start { name, .. }, None) = (part, &root) {
            root = Some((*name).to_owned());
        }
    })?;
    let root = root.unwrap_or_default();
    if roots.contains(&&*root) {
        Ok(())
    } else {
        Err(Malformed::Root(root.chars().take(64).collect()))
    }
}

/// Calls `visit` for each part of a document, in their order.
pub(in super::super) fn walk(
    text: &str,
    mut visit: impl FnMut(&Part<'_>),
) -> Result<(), Malformed> {
    let mut reader = Reader::from_str(text);
    let mut depth = 0_usize;
    let mut roots = 0;
    loop {
        let before = position(&reader);
        let event = reader.read_event();
        let after = position(&reader);
        let wrong = |why: &str| Malformed::NotXml {
            at: before,
            why: why.to_owned(),
        };
        let event = event.map_err(|error| wrong(&error.to_string()))?;
        match event {
            Event::Start(_) | Event::Empty(_) if depth == 0 && roots == 1 => {
                return Err(wrong("a second root element"));
            }
            Event::Start(_) if depth == DEPTH_MAX => return Err(Malformed::TooMuch),
            Event::Start(start) => {
                roots = 1;
                depth += 1;
                begin(text, &start, (after - 1, after), &mut visit)
                    .map_err(|why| why.at(before))?;
            }
            Event::Empty(start) => {
                roots = 1;
                begin(text, &start, (after - 2, after), &mut visit)
                    .map_err(|why| why.at(before))?;
                visit(&Part::End { content: after });
            }
            Event::End(_) => {
                depth = depth.checked_sub(1).ok_or_else(|| wrong("an end tag"))?;
                visit(&Part::End { content: before });
            }
            Event::Text(text) if depth == 0 => {
                if !text.into_inner().trim_ascii().is_empty() {
                    return Err(wrong("text outside of the root element"));
                }
            }
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                return Err(wrong("text outside of the root element"));
            }
            Event::Text(text) => visit(&Part::Text(&text.xml10_content())),
            Event::CData(text) => visit(&Part::Text(&text.xml10_content())),
            Event::GeneralRef(reference) => {
                let written = text.get(before..after).unwrap_or_default();
                let resolved = quick_xml::escape::unescape(written)
                    .map_err(|_| wrong("a reference to what is not predefined"))?;
                drop(reference);
                visit(&Part::Text(&resolved));
            }
            Event::DocType(_) => return Err(Malformed::Definitions),
            Event::Decl(declared) => match declared.encoding() {
                Some(Ok(name)) if !is_utf8(&name) => return Err(Malformed::NotUtf8),
                Some(Err(error)) => return Err(wrong(&error.to_string())),
                _ => {}
            },
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if depth > 0 || roots == 0 => return Err(wrong("it ends too early")),
            Event::Eof => return Ok(()),
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn is_utf8(encoding: &str) -> bool {
    let names = ["utf-8", "utf8", "us-ascii"];
    names.iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

/// Why an element is refused.
enum Unfit {
    TooMuch,
    Wrong(String),
}

impl Unfit {
    fn at(self, at: usize) -> Malformed {
        match self {
            Self::TooMuch => Malformed::TooMuch,
            Self::Wrong(why) => Malformed::NotXml { at, why },
        }
    }
}

fn begin(
    text: &str,
    start: &BytesStart<'_>,
    (head, content): (usize, usize),
    visit: &mut impl FnMut(&Part<'_>),
) -> Result<(), Unfit> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        if attributes.len() == ATTRIBUTES_MAX {
            return Err(Unfit::TooMuch);
        }
        let attribute = attribute.map_err(|error| Unfit::Wrong(error.to_string()))?;
        if attribute.value.contains('<') {
            return Err(Unfit::Wrong("`<` in an attribute".to_owned()));
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| Unfit::Wrong(error.to_string()))?;
        let at = place_in(text, &attribute.value)
            .ok_or_else(|| Unfit::Wrong("an attribute that cannot be placed".to_owned()))?;
        let name = attribute.key.0;
        attributes.push(Attribute { name, value, at });
    }
    visit(&Part::Start {
        name: start.local_name().as_ref(),
        attributes: &attributes,
        head,
        content,
    });
    Ok(())
}

/// Where `part`, which is a piece of `text` itself, lies in it.
fn place_in(text: &str, part: &str) -> Option<Range<usize>> {
    let from = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let at = from..from.checked_add(part.len())?;
    (text.get(at.clone()) == Some(part)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a text, in one line.
    fn told(text: &str) -> String {
        let mut line = String::new();
        let mut open = Vec::new();
        let walked = walk(text, |part| match part {
            Part::Start {
                name,
                attributes,
                head,
                content,
            } => {
                assert!(matches!(&text[*head..*content], ">" | "/>"), "{text}");
                open.push(*content);
                line.extend(["<", name]);
                for attribute in *attributes {
                    let quotes = [
                        &text[attribute.at.start - 1..attribute.at.start],
                        &text[attribute.at.end..=attribute.at.end],
                    ];
                    assert!(matches!(quotes, ["'", "'"] | ["\"", "\""]), "{quotes:?}");
                    line.extend([" ", attribute.name, "=", &attribute.value]);
                }
                line.push('>');
            }
            Part::Text(part) => line += part,
            Part::End { content } => line.extend(["|", &text[open.pop().unwrap()..*content], "|"]),
        });
        match walked {
            Ok(()) => line,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn parts_are_told_with_their_places() {
        let text = "<?xml version=\"1.0\" encoding='UTF-8'?>\n<p:a xmlns:p='u' q=\"&lt;\u{e9}\"><b/>\
                    x&amp;&#65;<![CDATA[<c>]]><!-- c --></p:a>\n";
        let expected =
            "<a xmlns:p=u q=<\u{e9}><b>||x&A<c>|<b/>x&amp;&#65;<![CDATA[<c>]]><!-- c -->|";
        assert_eq!(told(text), expected);
    }

    #[test]
    fn what_is_not_well_formed_or_could_grow_is_refused() {
        let deep = "<a>".repeat(200_000);
        let many: Vec<_> = (0..100_000).map(|n| format!(" a{n}=''")).collect();
        let many = many.concat();
        let many = format!("<a{many}/>");
        for (text, why) in [
            ("<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>", "definition"),
            ("<a>&b;</a>", "not predefined"),
            ("<a b='&c;'/>", "at byte 0"),
            ("<a b='1' b='2'/>", "at byte 0"),
            ("<a b='<'/>", "`<`"),
            ("<a b=1/>", "at byte 0"),
            ("<a><b></a>", "at byte"),
            ("<a>", "too early"),
            ("<a", "at byte"),
            ("", "too early"),
            ("x", "outside"),
            ("<a/>x", "outside"),
            ("<a/>&amp;", "outside"),
            ("<a/><b/>", "second root"),
            ("<a></a></a>", "at byte"),
            ("<a>&</a>", "at byte"),
            ("<?xml version='1.0' encoding='utf-16'?><a/>", "utf-8"),
            (&deep, "deeper"),
            (&many, "more than"),
        ] {
            let error = told(text);
            let shown: String = text.chars().take(60).collect();
            assert!(error.contains(why), "{shown}: {error}");
        }
        assert_eq!(check(b"<a>\xff</a>", &["a"]), Err(Malformed::NotUtf8));
    }

    #[test]
    fn the_root_must_be_what_was_asked_for() {
        assert_eq!(
            check("\u{feff}<f:feed xmlns:f='u'/>".as_bytes(), &["feed"]),
            Ok(())
        );
        let other = Err(Malformed::Root("html".to_owned()));
        assert_eq!(check(b"<html><feed/></html>", &["feed"]), other);
    }
}
