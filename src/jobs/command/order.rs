//! What commands and a daemon say to each other, as JSON.
//!
//! Sizes are bytes, times RFC 3339 in UTC. Members are only ever added: a command may be of another
//! version than the daemon.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bundle::{Export, Import};
use crate::clock::Time;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Tell what there is.
    Stats,
    /// Make room.
    Gc {
        /// Only tell what would go.
        #[serde(default)]
        dry_run: bool,
        /// Bytes of bodies to come below, in place of the limit of the configuration.
        #[serde(default)]
        size_max: Option<u64>,
        /// Also remove bodies that no entry names, and what was put aside as damaged.
        #[serde(default)]
        damaged: bool,
    },
    /// Read every body and compare it with its digest.
    Verify {
        /// Put damaged ones aside; beside a daemon, fetch them again.
        #[serde(default)]
        repair: bool,
    },
    /// Forget a package.
    Purge {
        /// `ID`, `ID@VERSION` or `BEGINNING*`.
        subject: String,
        /// Only tell what would go.
        #[serde(default)]
        dry_run: bool,
    },
    /// Pin packages.
    Pin {
        /// As in [`Order::Purge`].
        subjects: Vec<String>,
    },
    /// Remove pins.
    Unpin {
        /// As in [`Order::Purge`].
        subjects: Vec<String>,
    },
    /// Tell what is pinned.
    Pins,
    /// Fetch ahead what clients will ask for; a daemon must run.
    Warm(Warm),
    /// Write a bundle.
    Export(Export),
    /// Take a bundle over.
    Import(Import),
}

impl Order {
    /// Its name, as in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Gc { .. } => "gc",
            Self::Verify { .. } => "verify",
            Self::Purge { .. } => "purge",
            Self::Pin { .. } => "pin",
            Self::Unpin { .. } => "unpin",
            Self::Pins => "pins",
            Self::Warm(_) => "warm",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
        }
    }
}

/// What to fetch ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    /// The packages: `ID`, `ID@VERSION`, or `ID@RANGE` in interval notation, of which the lowest is
    /// taken that a feed has.
    pub packages: Vec<String>,
    /// Also what they need, and what that needs, on any framework.
    #[serde(default)]
    pub closure: bool,
    /// Also their registrations.
    #[serde(default)]
    pub registrations: bool,
    /// Packages at a time.
    #[serde(default)]
    pub parallel: u32,
}

/// What happens while an order is carried out. Exactly one of the last two ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// So much is done of what is to do: bytes, of [`Order::Warm`] packages.
    Progress {
        /// Done.
        done: u64,
        /// To do in all.
        of: u64,
    },
    /// A body that is not as it should be.
    Found(Finding),
    /// Nothing happened for some time, and it goes on.
    Alive,
    /// It is done.
    Done(Report),
    /// It is not done: why.
    Failed(String),
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// What there is.
    Stats(Box<Stats>),
    /// What made room.
    Room(Room),
    /// What a look at all bodies found.
    Verified(Verified),
    /// What was forgotten.
    Purged(Purged),
    /// What is pinned.
    Pins(Vec<PinReport>),
    /// What was fetched ahead.
    Warmed(Warmed),
    /// What a bundle has.
    Exported(Exported),
    /// What of a bundle was kept.
    Imported(Imported),
}

/// A number of things and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their bytes; a body that several entries name counts for each.
    pub bytes: u64,
}

impl Amount {
    /// Adds one of so many bytes.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// Amounts by kind of document.
pub type Amounts = BTreeMap<String, Amount>;

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Documents and packages, by kind.
    pub kinds: Amounts,
    /// All of them.
    pub entries: u64,
    /// Bytes of their bodies, each body once.
    pub bytes: u64,
    /// Bytes that may be kept.
    pub bytes_max: u64,
    /// Bytes of the answers to queries, and how many those may be.
    pub queries_bytes: u64,
    /// See above.
    pub queries_bytes_max: u64,
    /// Bytes that the disk has left, and that are left to others.
    pub disk_free: Option<u64>,
    /// See above.
    pub disk_free_min: u64,
    /// Remembered 404s.
    pub absent: u64,
    /// Responses of raw routes.
    pub responses: u64,
    /// Ids with a stored package, those of each feed counted for themselves.
    pub package_ids: u64,
    /// Stored packages.
    pub package_versions: u64,
    /// The use that is longest ago.
    pub oldest_use: Option<String>,
    /// The latest use.
    pub newest_use: Option<String>,
    /// Pins, and the entries they cover.
    pub pins: u64,
    /// See above.
    pub pinned: Amount,
    /// Bodies found damaged and put aside.
    pub damaged: Amount,
    /// What the daemon did; nothing when none runs.
    pub since_start: Option<SinceStart>,
    /// The feeds, in the order of precedence.
    pub feeds: Vec<FeedState>,
}

/// What a daemon did since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceStart {
    /// When that was.
    pub started_at: String,
    /// Requests, by cache status.
    pub requests: BTreeMap<String, u64>,
    /// Requests for documents and packages that the feed was not asked for.
    pub hits: u64,
    /// Those that it was asked for.
    pub misses: u64,
    /// Body bytes sent to clients.
    pub client_bytes: u64,
    /// Those of them that did not have to come from a feed.
    pub saved_bytes: u64,
    /// Entries that made room.
    pub evictions: u64,
}

/// A feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// Its name.
    pub name: String,
    /// Whether it answered the last request; nothing when it was not asked since the start.
    pub up: Option<bool>,
    /// Requests to it since the start, by status class or kind of failure.
    #[serde(default)]
    pub asked: BTreeMap<String, u64>,
    /// Body bytes received from it since the start, after decoding.
    #[serde(default)]
    pub bytes: u64,
    /// Hosts of it that are left alone at the moment, because they failed or asked to be.
    #[serde(default)]
    pub left_alone: u64,
}

/// What made room, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Bytes that had to go.
    pub wanted: u64,
    /// Bytes of bodies that went.
    pub bytes: u64,
    /// Entries that went, by kind.
    pub kinds: Amounts,
    /// Responses of raw routes that went.
    pub responses: u64,
    /// Bodies that no entry named.
    pub entry_less: Amount,
    /// Bodies that had been put aside.
    pub damaged: Amount,
}

/// What a look at all bodies found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Bodies that were read.
    pub checked: Amount,
    /// Those that are not what their digest says.
    pub damaged: Amount,
    /// Those that an entry names and that are not there.
    pub missing: Amount,
    /// Those that no entry names; no damage.
    pub entry_less: Amount,
    /// Damaged bodies that were put aside.
    pub put_aside: u64,
    /// Documents and packages that were fetched again.
    pub fetched: u64,
    /// Those that could not be.
    pub not_fetched: u64,
}

/// A body that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `damaged` or `missing`.
    pub state: String,
    /// SHA-256 of what it should be.
    pub digest: String,
    /// How long it should be; for a damaged one, how long it is.
    pub bytes: u64,
    /// Keys and URLs it is stored for, at most 64 of each.
    pub names: Vec<String>,
    /// What was done about it, one text for each step.
    pub done: Vec<String>,
}

/// What was forgotten, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// What was asked for.
    pub subject: String,
    /// Entries, by kind; remembered 404s included.
    pub kinds: Amounts,
    /// All of them.
    pub entries: u64,
    /// Bytes of bodies that are gone, since nothing else names them.
    pub bytes: u64,
}

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinReport {
    /// What is pinned.
    pub subject: String,
    /// What is stored of it.
    pub stored: Amount,
}

/// What was fetched ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmed {
    /// Ids that are there.
    pub ids: u64,
    /// Their versions that are there.
    pub packages: u64,
    /// Documents and packages that were there already.
    pub stored: Amount,
    /// Those that a feed was asked for.
    pub fetched: Amount,
    /// What is not there although it was wanted.
    pub missing: u64,
    /// The first 1,000 of them.
    pub failures: Vec<NotWarmed>,
}

/// What is not there although it was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotWarmed {
    /// A package, or the path of a document.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What a bundle has, or would have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Documents and packages.
    pub entries: u64,
    /// Their bodies in the file, each once.
    pub bodies: Amount,
    /// Entries whose body the earlier bundle has.
    pub left_out: Amount,
    /// Bodies that are lost or damaged here, and left out for that.
    pub damaged: u64,
}

/// What of a bundle was kept, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Whether nothing was kept.
    pub dry_run: bool,
    /// When the bundle was made.
    pub made_at: String,
    /// Documents and packages that were kept.
    pub entries: u64,
    /// Their bodies that were in the file.
    pub bodies: Amount,
    /// Those that were confirmed here later than there, and stay as they are.
    pub newer_here: u64,
}

/// RFC 3339 in UTC, to the second; nothing for what no calendar has.
pub fn date(time: Time) -> Option<String> {
    let seconds = i64::try_from(time.as_millis() / 1000).ok()?;
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    date.format(&Rfc3339).ok()
}
