//! A manifest's XML as a small tree of elements.
//!
//! Names lose their prefix: every version of NuGet has a namespace of its own for the same
//! elements. Invariant: a document type definition is refused, so no entity can be defined; depth
//! and number of elements are bounded.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// Deepest nesting; a manifest has five levels.
const DEPTH_MAX: usize = 32;

/// Most elements of a document.
const ELEMENTS_MAX: usize = 20_000;

/// An element, its attributes and what is in it.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Its name without prefix.
    pub(super) name: String,
    /// All text directly in it, entities resolved.
    pub(super) text: String,
    /// The elements directly in it.
    pub(super) children: Vec<Self>,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The first child of this name, in any case, as the official client compares.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.all(name).next()
    }

    /// The children of this name, in any case.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        let same = move |child: &&Self| child.name.eq_ignore_ascii_case(name);
        self.children.iter().filter(same)
    }

    /// The trimmed text of the first child of this name, unless it is empty.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        let text = self.child(name)?.text.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The trimmed value of an attribute, unless it is empty.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .attributes
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        let value = value.trim();
        (!value.is_empty()).then_some(value)
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| error.to_string())?;
            let name = attribute.key.local_name();
            attributes.push((name.as_ref().to_owned(), value.into_owned()));
        }
        Ok(Self {
            name: start.local_name().as_ref().to_owned(),
            attributes,
            ..Self::default()
        })
    }
}

/// The root element of a whole document.
///
/// # Errors
/// Text for people when it is not well-formed, defines entities, or is beyond the limits.
pub(super) fn parse(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    let mut elements = 0;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                elements += 1;
                open.push(Element::begin(&start)?);
            }
            Event::Empty(start) => {
                elements += 1;
                let element = Element::begin(&start)?;
                last(&mut open)?.children.push(element);
            }
            Event::End(_) => {
                let element = open.pop().unwrap_or_default();
                last(&mut open)?.children.push(element);
            }
            Event::Text(text) => last(&mut open)?.text.push_str(&text.xml10_content()),
            Event::CData(text) => last(&mut open)?.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let named =
                    || resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned);
                let char = reference
                    .resolve_char_ref()
                    .map_err(|error| error.to_string())?;
                let text = char.map(String::from).or_else(named);
                let text = text.ok_or("it refers to an entity that is not predefined")?;
                last(&mut open)?.text.push_str(&text);
            }
            Event::DocType(_) => return Err("it has a document type definition".to_owned()),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        if open.len() > DEPTH_MAX || elements > ELEMENTS_MAX {
            return Err(format!(
                "it is nested deeper than {DEPTH_MAX} levels or has more than {ELEMENTS_MAX} elements"
            ));
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(mut document), true) if document.children.len() == 1 => {
            Ok(document.children.remove(0))
        }
        _ => Err("it ends inside an element, or has no single root".to_owned()),
    }
}

fn last(open: &mut [Element]) -> Result<&mut Element, String> {
    open.last_mut()
        .ok_or_else(|| "it ends an element twice".to_owned())
}

/// The text of a document, by its byte order mark UTF-16 or else UTF-8.
///
/// # Errors
/// Text for people when the bytes are not of that encoding.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units = pairs.iter().map(|pair| unit(*pair));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        match text {
            Ok(text) if rest.is_empty() => Ok(text),
            _ => Err("it is not valid UTF-16".to_owned()),
        }
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = str::from_utf8(bytes).map_err(|_| "it is not valid UTF-8".to_owned())?;
            Ok(text.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_entities_are_read() {
        let root = parse(
            "<?xml version=\"1.0\"?><!-- c --><p:a xmlns:p=\"urn:x\"><B k=\" 1 &amp; 2 \"/>\
             <b>x &lt; &#65;<![CDATA[&raw;]]></b></p:a>",
        )
        .unwrap();
        assert_eq!(root.name, "a");
        assert_eq!(root.child("b").unwrap().attribute("K"), Some("1 & 2"));
        assert_eq!(root.all("b").nth(1).unwrap().text, "x < A&raw;");
    }

    #[test]
    fn what_could_grow_is_refused() {
        let check = |text: &str, why: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        check(
            "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>",
            "document type",
        );
        check("<a>&b;</a>", "not predefined");
        check(&"<a>".repeat(400_000), "deeper");
        check(&format!("<a>{}</a>", "<b/>".repeat(30_000)), "elements");
        check("<a><b></a>", "b");
        check("<a>", "ends inside");
        check("", "no single root");
        check("<a/><b/>", "no single root");
    }

    #[test]
    fn encodings_are_told_by_their_mark() {
        let wide = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
            let units = "<é/>".encode_utf16().flat_map(unit);
            mark.into_iter().chain(units).collect::<Vec<u8>>()
        };
        assert_eq!(
            decode(&wide([0xff, 0xfe], u16::to_le_bytes)).unwrap(),
            "<é/>"
        );
        assert_eq!(
            decode(&wide([0xfe, 0xff], u16::to_be_bytes)).unwrap(),
            "<é/>"
        );
        assert_eq!(decode(b"\xef\xbb\xbf<a/>").unwrap(), "<a/>");
        assert!(decode(b"<\xff>").is_err());
        assert!(decode(b"\xff\xfe<").is_err());
    }
}
