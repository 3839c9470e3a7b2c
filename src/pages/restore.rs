//! A restore and its requests as a waterfall: when each began, and how long its client waited.

use std::time::Duration;

use askama::Template;

use super::words::{Moment, count, of, size, span, who};
use super::{Frame, Tab, Tabs};
use crate::clock::Time;
use crate::observe::Outcome;
use crate::observe::journal::{Asked, Restore};

/// The width of a waterfall, in its own units.
const WIDTH: u32 = 1000;

/// The narrowest bar that is seen.
const BAR_MIN: u32 = 6;

/// The height of all bars of a small picture, and how high one is at least and at most.
const HEIGHT: u32 = 100;
const BAR_HEIGHTS: (u32, u32) = (4, 14);

/// The place of a request in a waterfall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) outcome: &'static str,
}

/// A whole waterfall in one small picture.
pub(super) struct Strip {
    pub(super) bars: Vec<Bar>,
    /// Of each bar.
    pub(super) height: u32,
    /// What it shows, in words.
    pub(super) text: String,
}

/// The page about a restore.
#[derive(Template)]
#[template(path = "restore.html", config = "src/pages/askama.toml")]
pub struct RestorePage {
    frame: Frame,
    id: String,
    who: String,
    agent: String,
    begun: Moment,
    took: String,
    is_live: bool,
    total: String,
    bytes: String,
    outcomes: Vec<(&'static str, &'static str, String)>,
    rows: Vec<Row>,
    left_out: u64,
}

struct Row {
    path: String,
    status: u16,
    outcome: &'static str,
    cache: &'static str,
    begun: String,
    took: String,
    size: String,
    bar: Bar,
}

impl RestorePage {
    /// The page as it is at `now`.
    pub fn new(restore: &Restore, now: Time, tabs: Tabs) -> Self {
        let scale = Scale::of(restore);
        let mut requests: Vec<&Asked> = restore.requests.iter().collect();
        requests.sort_by_key(|asked| asked.at);
        let counted = restore.outcomes.iter().zip(Outcome::ALL);
        let counted = counted.filter(|(number, _)| **number > 0);
        Self {
            frame: Frame::below(2, Tab::State, tabs),
            id: restore.id.to_string(),
            who: who(&restore.asker),
            agent: restore.agent.as_deref().unwrap_or_default().to_owned(),
            begun: Moment::of(restore.started_at, now),
            took: span(scale.whole),
            is_live: restore.is_live(now),
            total: count(restore.total()),
            bytes: size(restore.bytes),
            outcomes: counted
                .map(|(number, outcome)| (outcome.name(), outcome.text(), count(*number)))
                .collect(),
            rows: requests.iter().map(|asked| scale.row(asked)).collect(),
            left_out: restore.total() - requests.len() as u64,
        }
    }
}

impl Strip {
    /// The waterfall of a restore, as high as it has requests.
    pub(super) fn of(restore: &Restore) -> Self {
        let scale = Scale::of(restore);
        let mut requests: Vec<&Asked> = restore.requests.iter().collect();
        requests.sort_by_key(|asked| asked.at);
        let rows = u32::try_from(requests.len()).unwrap_or(u32::MAX).max(1);
        let height = (HEIGHT * 9 / 10 / rows).clamp(BAR_HEIGHTS.0, BAR_HEIGHTS.1);
        let place = |(number, asked): (u32, &&Asked)| Bar {
            y: number.saturating_mul(HEIGHT - height) / (rows - 1).max(1),
            ..scale.bar(asked)
        };
        Self {
            bars: (0..).zip(&requests).map(place).collect(),
            height,
            text: format!(
                "{} in {}",
                of(restore.total(), "request", "requests"),
                span(scale.whole)
            ),
        }
    }
}

/// From time to width.
struct Scale {
    begun: Time,
    whole: Duration,
}

impl Scale {
    fn of(restore: &Restore) -> Self {
        Self {
            begun: restore.started_at,
            whole: restore.ended_at.since(restore.started_at),
        }
    }

    fn bar(&self, asked: &Asked) -> Bar {
        let whole = self.whole.as_micros().max(1);
        let place = |duration: Duration| {
            let place = duration.as_micros() * u128::from(WIDTH) / whole;
            u32::try_from(place).unwrap_or(WIDTH).min(WIDTH)
        };
        let x = place(asked.at.since(self.begun)).min(WIDTH - BAR_MIN);
        Bar {
            x,
            y: 0,
            width: place(asked.duration).clamp(BAR_MIN, WIDTH - x),
            outcome: Outcome::of(asked.status, asked.cache).name(),
        }
    }

    fn row(&self, asked: &Asked) -> Row {
        let outcome = Outcome::of(asked.status, asked.cache);
        Row {
            path: asked.path.to_string(),
            status: asked.status,
            outcome: outcome.name(),
            cache: asked.cache.name(),
            begun: format!("+{}", span(asked.at.since(self.begun))),
            took: span(asked.duration),
            size: asked.bytes.map_or("–".to_owned(), size),
            bar: self.bar(asked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::CacheStatus;

    fn asked(at: u64, millis: u64) -> Asked {
        Asked {
            path: "/a".into(),
            resource: "nupkg",
            status: 200,
            cache: CacheStatus::Hit,
            at: Time::from_millis(at),
            duration: Duration::from_millis(millis),
            bytes: None,
        }
    }

    #[test]
    fn bars_lie_where_they_were_and_are_seen() {
        let scale = Scale {
            begun: Time::from_millis(1000),
            whole: Duration::from_millis(2000),
        };
        for (at, millis, expected) in [
            (1000, 2000, (0, 1000)),
            (1500, 500, (250, 250)),
            (1000, 0, (0, BAR_MIN)),
            (3000, 0, (WIDTH - BAR_MIN, BAR_MIN)),
            (2900, 5000, (950, 50)),
            (0, 100, (0, 50)),
        ] {
            let bar = scale.bar(&asked(at, millis));
            assert_eq!((bar.x, bar.width), expected, "{at} {millis}");
        }
    }
}
