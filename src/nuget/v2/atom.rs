//! Rows as Atom (RFC 4287) with the properties of OData 2.0 inside.
//!
//! Elements, namespaces and the places where clients look for things are those of nuget.org: id in
//! `title`, authors in `author/name`, the package file in `content@src`, the next page in
//! `link[rel=next]`. Invariant: whatever a fact contains, the document is well-formed.

use std::borrow::Cow;
use std::io;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::nuget::v2::property::{PROPERTIES, Property, Value};
use crate::nuget::v2::rows::Row;

/// `Content-Type` of a list.
pub const FEED_TYPE: &str = "application/atom+xml; type=feed; charset=utf-8";

/// `Content-Type` of one version.
pub const ENTRY_TYPE: &str = "application/atom+xml; type=entry; charset=utf-8";

const DATA: &str = "http://schemas.microsoft.com/ado/2007/08/dataservices";
const METADATA: &str = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata";
const SCHEME: &str = "http://schemas.microsoft.com/ado/2007/08/dataservices/scheme";

/// Everything that is not unreserved (RFC 3986 section 2.3).
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

type Xml = Writer<Vec<u8>>;

/// What is said of a list besides its entries.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Our base, ending in a slash.
    pub base: &'a str,
    /// Name of the set or function.
    pub name: &'a str,
    /// How many entries there are in all, if that was asked.
    pub count: Option<usize>,
    /// Path and query of the next page below the base.
    pub next: Option<&'a str>,
    /// The properties to show; `None` for all.
    pub select: Option<&'a [&'static Property]>,
}

/// A list.
///
/// # Errors
/// None in practice: memory takes everything.
pub fn feed(head: &Head<'_>, rows: &[Row]) -> io::Result<Vec<u8>> {
    let mut xml = start()?;
    let updated = rows.iter().map(|row| &*row.release().updated).max();
    xml.create_element("feed")
        .with_attributes(namespaces(head.base))
        .write_inner_content(|xml| {
            if let Some(count) = head.count {
                text(xml, "m:count", &count.to_string())?;
            }
            text(xml, "id", &format!("{}{}", head.base, head.name))?;
            titled(xml, "title", head.name)?;
            text(
                xml,
                "updated",
                &instant(updated.unwrap_or("1970-01-01T00:00:00")),
            )?;
            let this = [("rel", "self"), ("title", head.name), ("href", head.name)];
            empty(xml, "link", &this)?;
            for row in rows {
                entry_element(xml, head, row, false)?;
            }
            if let Some(next) = head.next {
                let href = format!("{}{next}", head.base);
                empty(xml, "link", &[("rel", "next"), ("href", &href)])?;
            }
            Ok(())
        })?;
    Ok(xml.into_inner())
}

/// One version.
///
/// # Errors
/// None in practice: memory takes everything.
pub fn entry(head: &Head<'_>, row: &Row) -> io::Result<Vec<u8>> {
    let mut xml = start()?;
    entry_element(&mut xml, head, row, true)?;
    Ok(xml.into_inner())
}

/// Text for an attribute or element: escaped, without what XML 1.0 section 2.2 does not allow.
pub fn escape(text: &str) -> String {
    quick_xml::escape::escape(&*allowed(text)).into_owned()
}

fn start() -> io::Result<Xml> {
    let mut xml = Writer::new(Vec::with_capacity(16 * 1024));
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    Ok(xml)
}

fn namespaces(base: &str) -> [(&'static str, &str); 4] {
    [
        ("xml:base", base),
        ("xmlns", "http://www.w3.org/2005/Atom"),
        ("xmlns:d", DATA),
        ("xmlns:m", METADATA),
    ]
}

fn entry_element(xml: &mut Xml, head: &Head<'_>, row: &Row, root: bool) -> io::Result<()> {
    let release = row.release();
    let id = utf8_percent_encode(&release.id, SEGMENT).to_string();
    let version = utf8_percent_encode(&release.version, SEGMENT);
    let own = format!("Packages(Id='{id}',Version='{version}')");
    let normalized = utf8_percent_encode(&release.normalized, SEGMENT);
    let source = format!("{}package/{id}/{normalized}", head.base);
    let mut element = xml.create_element("entry");
    if root {
        element = element.with_attributes(namespaces(head.base));
    }
    element.write_inner_content(|xml| {
        text(xml, "id", &format!("{}{own}", head.base))?;
        let term = "NuGetGallery.OData.V2FeedPackage";
        empty(xml, "category", &[("term", term), ("scheme", SCHEME)])?;
        let edit = [("rel", "edit"), ("title", "V2FeedPackage"), ("href", &own)];
        empty(xml, "link", &edit)?;
        titled(xml, "title", &release.id)?;
        titled(xml, "summary", &release.summary)?;
        text(xml, "updated", &instant(&release.updated))?;
        xml.create_element("author")
            .write_inner_content(|xml| text(xml, "name", &release.authors))?;
        let media = format!("{own}/$value");
        let media = [
            ("rel", "edit-media"),
            ("title", "V2FeedPackage"),
            ("href", &media),
        ];
        empty(xml, "link", &media)?;
        empty(
            xml,
            "content",
            &[("type", "application/zip"), ("src", &source)],
        )?;
        xml.create_element("m:properties")
            .write_inner_content(|xml| properties(xml, head.select, row))?;
        Ok(())
    })?;
    Ok(())
}

fn properties(xml: &mut Xml, select: Option<&[&'static Property]>, row: &Row) -> io::Result<()> {
    let shown = |property: &&Property| {
        select.is_none_or(|some| some.iter().any(|one| one.name == property.name))
    };
    for property in PROPERTIES.iter().filter(shown) {
        let mut element = xml.create_element(format!("d:{}", property.name));
        if property.kind.edm() != "Edm.String" {
            element = element.with_attribute(("m:type", property.kind.edm()));
        }
        let value = match (property.of)(row) {
            Value::Null => {
                element.with_attribute(("m:null", "true")).write_empty()?;
                continue;
            }
            Value::Text(value) | Value::Time(value) => value,
            Value::Version(value, _) => Cow::Borrowed(value),
            Value::Switch(switch) => Cow::Borrowed(if switch { "true" } else { "false" }),
            Value::Number(number) => Cow::Owned(number.to_string()),
        };
        if value.trim().len() != value.len() {
            element = element.with_attribute(("xml:space", "preserve"));
        }
        element.write_text_content(BytesText::new(&allowed(&value)))?;
    }
    Ok(())
}

fn text(xml: &mut Xml, name: &str, value: &str) -> io::Result<()> {
    let element = xml.create_element(name);
    element.write_text_content(BytesText::new(&allowed(value)))?;
    Ok(())
}

/// A text construct (RFC 4287 section 3.1).
fn titled(xml: &mut Xml, name: &str, value: &str) -> io::Result<()> {
    let element = xml.create_element(name).with_attribute(("type", "text"));
    element.write_text_content(BytesText::new(&allowed(value)))?;
    Ok(())
}

fn empty(xml: &mut Xml, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    let element = xml.create_element(name);
    element
        .with_attributes(attributes.iter().copied())
        .write_empty()?;
    Ok(())
}

/// `Edm.DateTime` as Atom wants it (RFC 4287 section 3.3).
fn instant(time: &str) -> String {
    format!("{time}Z")
}

/// Without the characters that XML 1.0 has no way to write.
fn allowed(text: &str) -> Cow<'_, str> {
    let is_allowed =
        |char: char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(is_allowed) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|char| is_allowed(*char)).collect())
    }
}

#[cfg(test)]
mod tests;
