//! State at a glance: what came from the cache, feeds, the store, restores, failures.

use std::sync::Arc;

use askama::Template;

use super::restore::Strip;
use super::words::{Moment, count, of, percent, size, who};
use super::{Frame, Tab, Tabs};
use crate::clock::Time;
use crate::jobs::command::{FeedState, SinceStart, Stats};
use crate::observe::journal::{Failure, LIVE, Restore};

/// Failures on the page.
const FAILURES_MAX: usize = 25;

/// The page about the state.
#[derive(Template)]
#[template(path = "state.html", config = "src/pages/askama.toml")]
pub struct StatePage {
    frame: Frame,
    alarm: Option<&'static str>,
    tiles: Vec<Tile>,
    feeds: Vec<FeedRow>,
    kinds: Vec<KindRow>,
    restores: Vec<RestoreRow>,
    failures: Vec<FailureRow>,
    since: Option<Moment>,
    at: Moment,
}

/// A figure that matters most.
struct Tile {
    name: &'static str,
    figure: String,
    note: String,
    /// Of a hundred.
    part: Option<u64>,
}

struct FeedRow {
    name: String,
    url: String,
    state: &'static str,
    text: &'static str,
    asked: String,
    failed: String,
    bytes: String,
    left_alone: u64,
}

struct KindRow {
    kind: String,
    count: String,
    size: String,
}

struct RestoreRow {
    id: String,
    who: String,
    agent: String,
    begun: Moment,
    is_live: bool,
    total: String,
    hits: String,
    strip: Strip,
}

struct FailureRow {
    at: Moment,
    method: String,
    path: String,
    status: u16,
    cache: &'static str,
    cause: String,
    who: String,
    restore: Option<String>,
}

/// What the page is made of.
pub struct Facts<'a> {
    /// What there is, and was.
    pub stats: &'a Stats,
    /// When the daemon started.
    pub started_at: Time,
    /// The URLs of the feeds, in the order of those of `stats`.
    pub urls: Vec<String>,
    /// Why the cache takes nothing, if so.
    pub alarm: Option<&'static str>,
    /// The latest first.
    pub restores: &'a [Arc<Restore>],
    /// The latest first.
    pub failures: &'a [Failure],
}

impl StatePage {
    /// The state at `now`.
    pub fn new(facts: &Facts<'_>, now: Time, tabs: Tabs) -> Self {
        let urls = facts.urls.iter().map(String::as_str);
        let urls = urls.chain(std::iter::repeat(""));
        let live = facts.restores.iter().filter(|it| it.is_live(now)).count();
        let failures = facts.failures.iter().take(FAILURES_MAX);
        Self {
            frame: Frame::below(1, Tab::State, tabs),
            alarm: facts.alarm,
            tiles: tiles(facts.stats, live),
            feeds: facts.stats.feeds.iter().zip(urls).map(feed).collect(),
            kinds: kinds(facts.stats),
            restores: facts.restores.iter().map(|it| restore(it, now)).collect(),
            failures: failures.map(|it| failure(it, now)).collect(),
            since: (facts.started_at > Time::default()).then(|| Moment::of(facts.started_at, now)),
            at: Moment::of(now, now),
        }
    }
}

fn tiles(stats: &Stats, live: usize) -> Vec<Tile> {
    let nothing = SinceStart::default();
    let since = stats.since_start.as_ref().unwrap_or(&nothing);
    let rate = percent(since.hits, since.hits + since.misses);
    let percents = |part: Option<u64>| part.map_or("–".to_owned(), |part| format!("{part} %"));
    let up = stats.feeds.iter().filter(|feed| feed.up == Some(true));
    let fetched = stats.feeds.iter().map(|feed| feed.bytes).sum::<u64>();
    let used = percent(stats.bytes, stats.bytes_max);
    vec![
        Tile {
            name: "Hit rate",
            figure: percents(rate),
            note: format!(
                "{}, {}",
                of(since.hits, "hit", "hits"),
                of(since.misses, "miss", "misses")
            ),
            part: rate,
        },
        Tile {
            name: "Spared the feeds",
            figure: size(since.saved_bytes),
            note: format!("{} came from them", size(fetched)),
            part: percent(since.saved_bytes, since.saved_bytes + fetched),
        },
        Tile {
            name: "Store",
            figure: size(stats.bytes),
            note: match stats.bytes_max {
                u64::MAX => "without a limit".to_owned(),
                most => format!("of {} that it may hold", size(most)),
            },
            part: used,
        },
        Tile {
            name: "Packages",
            figure: count(stats.package_versions),
            note: format!("of {}", of(stats.package_ids, "id", "ids")),
            part: None,
        },
        Tile {
            name: "Feeds that answer",
            figure: format!("{} of {}", up.count(), stats.feeds.len()),
            note: "at their last request".to_owned(),
            part: None,
        },
        Tile {
            name: "Live restores",
            figure: count(live as u64),
            note: format!("asked within {} s", LIVE.as_secs()),
            part: None,
        },
    ]
}

fn feed((feed, url): (&FeedState, &str)) -> FeedRow {
    let answered = |outcome: &str| matches!(outcome, "2xx" | "3xx" | "4xx");
    let sum = |wanted: bool| {
        let asked = feed.asked.iter();
        let those = asked.filter(|(outcome, _)| answered(outcome) == wanted);
        those.map(|(_, count)| count).sum::<u64>()
    };
    let (state, text) = match feed.up {
        Some(true) => ("good", "answers"),
        Some(false) => ("bad", "does not answer"),
        None => ("idle", "not asked yet"),
    };
    FeedRow {
        name: feed.name.clone(),
        url: url.to_owned(),
        state,
        text,
        asked: count(sum(true) + sum(false)),
        failed: count(sum(false)),
        bytes: size(feed.bytes),
        left_alone: feed.left_alone,
    }
}

fn kinds(stats: &Stats) -> Vec<KindRow> {
    let mut kinds: Vec<_> = stats.kinds.iter().collect();
    kinds.sort_by_key(|(_, amount)| std::cmp::Reverse(amount.bytes));
    let row = |(kind, amount): (&String, &crate::jobs::command::Amount)| KindRow {
        kind: kind.replace('_', " "),
        count: count(amount.count),
        size: size(amount.bytes),
    };
    kinds.into_iter().map(row).collect()
}

fn restore(restore: &Restore, now: Time) -> RestoreRow {
    RestoreRow {
        id: restore.id.to_string(),
        who: who(&restore.asker),
        agent: restore.agent.as_deref().unwrap_or_default().to_owned(),
        begun: Moment::of(restore.started_at, now),
        is_live: restore.is_live(now),
        total: count(restore.total()),
        hits: restore
            .hit_rate()
            .map_or("–".to_owned(), |rate| format!("{rate} %")),
        strip: Strip::of(restore),
    }
}

fn failure(failure: &Failure, now: Time) -> FailureRow {
    let asked = &failure.asked;
    FailureRow {
        at: Moment::of(asked.at.plus(asked.duration), now),
        method: failure.method.to_string(),
        path: asked.path.to_string(),
        status: asked.status,
        cache: asked.cache.name(),
        cause: failure.cause.as_deref().unwrap_or_default().to_owned(),
        who: who(&failure.asker),
        restore: failure.restore.map(|id| id.to_string()),
    }
}
