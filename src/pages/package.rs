//! What is stored of packages: a listing, and all of one id.

use askama::Template;

use super::words::{Moment, count, of, size, who};
use super::{Frame, Tab, Tabs};
use crate::clock::Time;
use crate::jobs::command::{CachedPackage, Document, Listed, Listing};
use crate::observe::journal::Demand;

/// The page with a listing of ids.
#[derive(Template)]
#[template(path = "packages.html", config = "src/pages/askama.toml")]
pub struct ListingPage {
    frame: Frame,
    beginning: String,
    is_cut: bool,
    rows: Vec<ListedRow>,
}

struct ListedRow {
    id: String,
    versions: String,
    size: String,
    used: Moment,
}

impl ListingPage {
    /// The ids that begin with `beginning`, at `now`.
    pub fn new(beginning: &str, listing: &Listing, now: Time, tabs: Tabs) -> Self {
        let row = |listed: &Listed| ListedRow {
            id: listed.id.clone(),
            versions: count(listed.stored.count),
            size: size(listed.stored.bytes),
            used: Moment::of(listed.used_at, now),
        };
        Self {
            frame: Frame::below(1, Tab::Packages, tabs),
            beginning: beginning.to_owned(),
            is_cut: listing.is_cut,
            rows: listing.packages.iter().map(row).collect(),
        }
    }
}

/// What a form of the page has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Something was forgotten.
    Purged,
    /// Something was pinned.
    Pinned,
    /// A pin was removed.
    Unpinned,
}

impl Done {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Purged, Self::Pinned, Self::Unpinned];

    /// As it stands in a query.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Purged => "purged",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
        }
    }

    /// For people.
    const fn text(self) -> &'static str {
        match self {
            Self::Purged => "Removed from the cache. The next request asks the feed.",
            Self::Pinned => "Pinned. It stays when the cache makes room.",
            Self::Unpinned => "No longer pinned. It goes when the cache makes room.",
        }
    }
}

/// Who asked for a version.
pub type WhoAsked<'a> = &'a [Demand];

/// The page about a package.
#[derive(Template)]
#[template(path = "package.html", config = "src/pages/askama.toml")]
pub struct PackagePage {
    frame: Frame,
    id: String,
    done: Option<&'static str>,
    pin: Option<String>,
    is_pinned: bool,
    stored: String,
    archives: Vec<DocumentRow>,
    documents: Vec<DocumentRow>,
    left_out: u64,
    demands: Vec<DemandRow>,
    may_act: bool,
}

struct DocumentRow {
    kind: String,
    path: String,
    version: String,
    feed: String,
    url: String,
    size: String,
    digest: String,
    fetched: Moment,
    checked: Moment,
    used: Moment,
    pin: Option<String>,
    /// As forms name it.
    subject: String,
    is_pinned: bool,
}

struct DemandRow {
    version: String,
    who: String,
    at: Moment,
    count: String,
}

impl PackagePage {
    /// What is stored of `id` at `now`; `done` is what a form has just done. Without forms for whom
    /// they are not taken from.
    pub fn new(
        id: &str,
        (package, demands): (&CachedPackage, WhoAsked<'_>),
        (done, may_act): (Option<Done>, bool),
        now: Time,
        tabs: Tabs,
    ) -> Self {
        let row = |document: &Document| document_row(id, document, now);
        let demand = |demand: &Demand| DemandRow {
            version: demand.version.clone(),
            who: who(&demand.asker),
            at: Moment::of(demand.at, now),
            count: count(demand.count),
        };
        let documents = of(package.stored.count, "document", "documents");
        Self {
            frame: Frame::below(2, Tab::Packages, tabs),
            id: id.to_owned(),
            done: done.map(Done::text),
            is_pinned: package.pin.as_deref() == Some(id),
            pin: package.pin.clone(),
            stored: format!("{documents}, {}", size(package.stored.bytes)),
            archives: package.archives.iter().map(row).collect(),
            documents: package.documents.iter().map(row).collect(),
            left_out: package.left_out,
            demands: demands.iter().map(demand).collect(),
            may_act,
        }
    }
}

fn document_row(id: &str, document: &Document, now: Time) -> DocumentRow {
    let version = document.version.as_ref().map(ToString::to_string);
    let version = version.unwrap_or_default();
    let subject = format!("{id}@{version}");
    DocumentRow {
        kind: document.kind.replace('_', " "),
        path: document.path.clone(),
        feed: document.feed.clone(),
        url: document.url.clone(),
        size: size(document.size),
        digest: document.digest.to_hex(),
        fetched: Moment::of(document.fetched_at, now),
        checked: Moment::of(document.checked_at, now),
        used: Moment::of(document.used_at, now),
        is_pinned: document.pin.as_deref() == Some(subject.as_str()),
        pin: document.pin.clone(),
        version,
        subject,
    }
}
