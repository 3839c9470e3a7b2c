//! Points the links of a V2 document of a feed at us, byte for byte otherwise.
//!
//! Links are `xml:base` anywhere, `href` of `link` and `collection`, `src` of `content`, `id`, and
//! properties whose name ends in `Url`. The package file of an entry is ours wherever the feed has
//! it, by the id and version of the entry. Texts that only mention a URL are no links. Invariant: the
//! result differs from the document only in these values.

use std::ops::Range;

use percent_encoding::utf8_percent_encode;
use url::Url;

use crate::nuget::id::PackageId;
use crate::nuget::link_map::{LinkMap, is_http};
use crate::nuget::service_index::{WebLinks, gallery};
use crate::nuget::v2::atom::{SEGMENT, escape};
use crate::nuget::v2::markup::{Attribute, Malformed, Part, text_of, walk};
use crate::nuget::version::PackageVersion;

/// Properties that are pages of the feed for people.
const PAGES: [&str; 2] = ["GalleryDetailsUrl", "ReportAbuseUrl"];

/// Says that a property has no value, under a prefix that no feed uses for something else.
const NULL: &str = " xmlns:nugate=\"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata\" \
                    nugate:null=\"true\"";

/// Where the links of a document shall point.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Our public base, ending in `/v3/`.
    pub base: &'a str,
    /// Which URLs lie below the feed's V2 endpoint; ours lie below our root.
    pub gallery: &'a LinkMap,
    /// Which URLs are V3 documents of the feed.
    pub documents: &'a LinkMap,
    /// What becomes of pages for people.
    pub web_links: WebLinks,
}

/// A document with our links.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The document.
    pub bytes: Vec<u8>,
    /// How many http(s) links are under no known base and were left.
    pub left: usize,
}

/// Copies a document with its links pointing at `place`. Linear in its length.
///
/// # Errors
/// [`Malformed`] as described there.
pub fn links(document: &[u8], place: Place<'_>) -> Result<Rewritten, Malformed> {
    let (text, marked) = text_of(document)?;
    let mut pen = Pen {
        place,
        frames: Vec::new(),
        entries: Vec::new(),
        edits: Vec::new(),
        left: 0,
    };
    walk(text, |part| pen.take(part))?;
    let mut bytes = Vec::with_capacity(document.len() + document.len() / 16);
    if marked {
        bytes.extend_from_slice("\u{feff}".as_bytes());
    }
    // The file of an entry is settled at its end, when its id and version are known.
    pen.edits.sort_by_key(|(at, _)| at.start);
    let mut copied = 0;
    for (at, new) in pen.edits {
        bytes.extend_from_slice(&text.as_bytes()[copied..at.start]);
        bytes.extend_from_slice(new.as_bytes());
        copied = at.end;
    }
    bytes.extend_from_slice(&text.as_bytes()[copied..]);
    Ok(Rewritten {
        bytes,
        left: pen.left,
    })
}

/// The URL of the package file that an entry names, against `base` if it is relative.
pub fn file_of(entry: &[u8], base: &Url) -> Option<Url> {
    let (text, _) = text_of(entry).ok()?;
    let mut found = None;
    let walked = walk(text, |part| {
        if let Part::Start {
            name: "content",
            attributes,
            ..
        } = part
        {
            let source = attributes.iter().find(|it| it.name == "src");
            found = found
                .take()
                .or(source.map(|it| it.value.clone().into_owned()));
        }
    });
    walked.ok()?;
    base.join(found?.trim()).ok()
}

/// What an element is to links.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Feed,
    Entry,
    Properties,
    /// `id` of a feed or entry.
    Identity,
    /// `title` of an entry: its id, where no property says it.
    Title,
    /// A property that is looked at.
    Id,
    Version,
    Link,
    /// A page of the feed for people.
    Page,
    Other,
}

struct Frame {
    kind: Kind,
    head: usize,
    content: usize,
    /// Its text, of the kinds that are looked at.
    text: String,
    /// Whether there is nothing but text in it.
    plain: bool,
}

/// What is known of an entry that is being read.
#[derive(Default)]
struct Entry {
    title: String,
    id: String,
    version: String,
    source: Option<(Range<usize>, String)>,
}

struct Pen<'a> {
    place: Place<'a>,
    frames: Vec<Frame>,
    entries: Vec<Entry>,
    edits: Vec<(Range<usize>, String)>,
    left: usize,
}

impl Kind {
    fn of(name: &str, parent: Option<Self>) -> Self {
        match (parent, name) {
            (_, "feed") => Self::Feed,
            (_, "entry") => Self::Entry,
            (_, "properties") => Self::Properties,
            (Some(Self::Feed | Self::Entry), "id") => Self::Identity,
            (Some(Self::Entry), "title") => Self::Title,
            (Some(Self::Properties), "Id") => Self::Id,
            (Some(Self::Properties), "Version") => Self::Version,
            (Some(Self::Properties), name) if PAGES.contains(&name) => Self::Page,
            (Some(Self::Properties), name) if name.ends_with("Url") => Self::Link,
            _ => Self::Other,
        }
    }

    const fn is_read(self) -> bool {
        !matches!(
            self,
            Self::Feed | Self::Entry | Self::Properties | Self::Other
        )
    }
}

impl Pen<'_> {
    fn take(&mut self, part: &Part<'_>) {
        match *part {
            Part::Start {
                name,
                attributes,
                head,
                content,
            } => {
                let parent = self.frames.last_mut().map(|frame| {
                    frame.plain = false;
                    frame.kind
                });
                let kind = Kind::of(name, parent);
                if kind == Kind::Entry {
                    self.entries.push(Entry::default());
                }
                self.attributes(name, attributes);
                self.frames.push(Frame {
                    kind,
                    head,
                    content,
                    text: String::new(),
                    plain: true,
                });
            }
            Part::Text(text) => {
                if let Some(frame) = self.frames.last_mut().filter(|it| it.kind.is_read()) {
                    frame.text.push_str(text);
                }
            }
            Part::End { content } => {
                if let Some(frame) = self.frames.pop() {
                    self.end(&frame, content);
                }
            }
        }
    }

    fn attributes(&mut self, element: &str, attributes: &[Attribute<'_>]) {
        for attribute in attributes {
            let value = attribute.value.trim();
            match (element, attribute.name) {
                (_, "xml:base") | ("link" | "collection", "href") => {
                    self.link(attribute.at.clone(), value);
                }
                ("content", "src") => {
                    let source = Some((attribute.at.clone(), value.to_owned()));
                    match self.entries.last_mut() {
                        Some(entry) if entry.source.is_none() => entry.source = source,
                        _ => self.link(attribute.at.clone(), value),
                    }
                }
                _ => {}
            }
        }
    }

    fn end(&mut self, frame: &Frame, end: usize) {
        let at = frame.content..end;
        let text = frame.text.trim();
        let entry = self.entries.last_mut();
        match (frame.kind, entry) {
            (Kind::Title, Some(entry)) => text.clone_into(&mut entry.title),
            (Kind::Id, Some(entry)) => text.clone_into(&mut entry.id),
            (Kind::Version, Some(entry)) => text.clone_into(&mut entry.version),
            (Kind::Entry, _) => self.file(),
            // Some feeds name themselves after a namespace; most properties are pages of authors.
            (Kind::Identity | Kind::Link, _) if frame.plain => {
                let ours = self.ours(text);
                self.edits.extend(ours.map(|ours| (at, escape(&ours))));
            }
            (Kind::Page, _)
                if frame.plain && !text.is_empty() && self.place.web_links == WebLinks::Drop =>
            {
                self.edits.push((frame.head..frame.head, NULL.to_owned()));
                self.edits.push((at, String::new()));
            }
            _ => {}
        }
    }

    /// The package file of the entry that has just ended.
    fn file(&mut self) {
        let Some(entry) = self.entries.pop() else {
            return;
        };
        let Some((at, source)) = entry.source else {
            return;
        };
        let id = if entry.id.is_empty() {
            &entry.title
        } else {
            &entry.id
        };
        if PackageId::parse(id).is_none() || PackageVersion::parse(&entry.version).is_none() {
            return self.link(at, &source);
        }
        let id = utf8_percent_encode(id, SEGMENT);
        let version = utf8_percent_encode(&entry.version, SEGMENT);
        let ours = format!("{}/package/{id}/{version}", gallery(self.place.base));
        self.edits.push((at, escape(&ours)));
    }

    fn link(&mut self, at: Range<usize>, url: &str) {
        match self.ours(url) {
            Some(ours) => self.edits.push((at, escape(&ours))),
            None if is_http(url) => self.left += 1,
            None => {}
        }
    }

    fn ours(&self, url: &str) -> Option<String> {
        let base = self.place.base;
        let root = base.strip_suffix("v3/").unwrap_or(base);
        let in_gallery = self.place.gallery.resolve(url);
        in_gallery.map(|path| format!("{root}{path}")).or_else(|| {
            let path = self.place.documents.resolve(url)?;
            Some(format!("{base}{path}"))
        })
    }
}

#[cfg(test)]
mod tests;
