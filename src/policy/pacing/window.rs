//! Limits that hold at some times of the week.

use super::Rate;
use crate::clock::Time;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From all feeds to nugate.
    Upstream,
    /// From nugate to all clients.
    Clients,
}

/// Days of the week, Monday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days([bool; 7]);

impl Days {
    /// No day.
    pub const NONE: Self = Self([false; 7]);
    /// Each day.
    pub const ALL: Self = Self([true; 7]);

    /// Also the days from the first to the last, over the end of the week if need be; Monday is 0.
    #[must_use]
    pub fn with(mut self, first: usize, last: usize) -> Self {
        let count = (last + 7 - first) % 7;
        for day in first..=first + count {
            self.0[day % 7] = true;
        }
        self
    }

    fn has(self, day: usize) -> bool {
        self.0[day % 7]
    }
}

/// A point of the week on the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// 0 is Monday.
    weekday: usize,
    /// Since midnight.
    minute: u16,
}

impl Moment {
    /// What it is where clocks are `offset` seconds ahead of UTC.
    pub fn of(time: Time, offset: i32) -> Self {
        let seconds = i64::try_from(time.as_millis() / 1000).unwrap_or(0) + i64::from(offset);
        let (day, second) = (
            seconds.div_euclid(DAY_SECONDS),
            seconds.rem_euclid(DAY_SECONDS),
        );
        Self {
            // The first day of 1970 was a Thursday.
            weekday: usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0),
            minute: u16::try_from(second / 60).unwrap_or(0),
        }
    }
}

/// A limit that holds from one time of the day to another, on some days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How much passes while it holds.
    pub rate: Rate,
    /// Which way.
    pub direction: Direction,
    /// When it begins, in minutes since midnight.
    pub from: u16,
    /// When it ends: on the next day when that is not later than `from`.
    pub to: u16,
    /// The days on which it begins.
    pub days: Days,
}

impl Window {
    fn holds(&self, now: Moment) -> bool {
        let yesterday = now.weekday + 6;
        if self.from < self.to {
            return self.days.has(now.weekday) && (self.from..self.to).contains(&now.minute);
        }
        (now.minute >= self.from && self.days.has(now.weekday))
            || (now.minute < self.to && self.days.has(yesterday))
    }
}

/// The limit of a direction: the lowest of those that hold.
pub fn rate_at(windows: &[Window], direction: Direction, now: Moment) -> Option<Rate> {
    let holding = windows
        .iter()
        .filter(|window| window.direction == direction && window.holds(now));
    holding.map(|window| window.rate).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 was a Friday; its first minute in UTC.
    const FRIDAY: u64 = 1_795_132_800_000;

    fn at(day: u64, hour: u64, minute: u64) -> Time {
        Time::from_millis(FRIDAY + ((day * 24 + hour) * 60 + minute) * 60_000)
    }

    fn window(rate: u64, from: u16, to: u16, days: Days) -> Window {
        Window {
            rate: Rate::new(rate).unwrap(),
            direction: Direction::Upstream,
            from: from * 60,
            to: to * 60,
            days,
        }
    }

    #[track_caller]
    fn check(windows: &[Window], time: Time, offset: i32, expected: Option<u64>) {
        let rate = rate_at(windows, Direction::Upstream, Moment::of(time, offset));
        assert_eq!(rate.map(Rate::bytes), expected);
    }

    #[test]
    fn office_hours_are_local() {
        let workdays = Days::NONE.with(0, 4);
        let windows = [window(250, 8, 18, workdays)];
        check(&windows, at(0, 7, 59), 0, None);
        check(&windows, at(0, 8, 0), 0, Some(250));
        check(&windows, at(0, 17, 59), 0, Some(250));
        check(&windows, at(0, 18, 0), 0, None);
        check(&windows, at(1, 12, 0), 0, None);
        check(&windows, at(3, 12, 0), 0, Some(250));
        // One hour ahead of UTC, and five and a half behind.
        check(&windows, at(0, 7, 0), 3600, Some(250));
        check(&windows, at(0, 8, 0), -19_800, None);
        // Friday evening there is Saturday here.
        check(&windows, at(1, 1, 0), -28_800, Some(250));
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on() {
        let nights = [window(9, 22, 6, Days::NONE.with(4, 4))];
        check(&nights, at(0, 5, 0), 0, None);
        check(&nights, at(0, 22, 0), 0, Some(9));
        check(&nights, at(1, 5, 59), 0, Some(9));
        check(&nights, at(1, 6, 0), 0, None);
        check(&nights, at(1, 22, 0), 0, None);
        let always = [window(9, 0, 0, Days::ALL)];
        check(&always, at(5, 0, 0), 0, Some(9));
        check(&always, at(5, 23, 59), 0, Some(9));
    }

    #[test]
    fn the_lowest_counts_and_days_go_over_the_weekend() {
        let windows = [
            window(9, 0, 0, Days::ALL),
            window(5, 12, 13, Days::NONE.with(5, 0)),
        ];
        check(&windows, at(1, 12, 30), 0, Some(5));
        check(&windows, at(3, 12, 30), 0, Some(5));
        check(&windows, at(4, 12, 30), 0, Some(9));
        assert_eq!(
            rate_at(&windows, Direction::Clients, Moment::of(at(1, 12, 30), 0)),
            None
        );
    }
}
