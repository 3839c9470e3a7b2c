//! Figures and times as people read them.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};

use crate::clock::Time;
use crate::jobs::command::date;
use crate::observe::access_log::Asker;

/// Who asked: the name, else the address.
pub(super) fn who(asker: &Asker) -> String {
    match &asker.name {
        Some(name) => name.to_string(),
        None => asker.address.to_string(),
    }
}

/// A size, such as `1.50 MiB`.
pub(super) fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A number and what it is of.
pub(super) fn of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// How many of a hundred; nothing of nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<u64> {
    let part = u128::from(part) * 100;
    u64::try_from(part.checked_div(u128::from(whole))?).ok()
}

/// How long something took, to two or three digits.
pub(super) fn span(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => {
            format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000)
        }
        _ => coarse(duration),
    }
}

/// A long time in its largest unit.
fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A moment, for the element of HTML.
pub(super) struct Moment {
    /// RFC 3339.
    pub(super) machine: String,
    /// In UTC, to the second.
    pub(super) exact: String,
    /// How long ago it was.
    pub(super) ago: String,
}

impl Moment {
    /// A time as it is seen at `now`.
    pub(super) fn of(time: Time, now: Time) -> Self {
        let machine = date(time).unwrap_or_default();
        let passed = now.since(time);
        Self {
            exact: machine.replace('T', " ").replace('Z', ""),
            machine,
            ago: if passed < Duration::from_secs(1) {
                "just now".to_owned()
            } else {
                format!("{} ago", coarse(passed))
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_few_digits() {
        for (micros, expected) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_940, "1.9 ms"),
            (12_999, "12 ms"),
            (2_450_000, "2.4 s"),
            (59_999_999, "59.9 s"),
            (60_000_000, "1 min"),
            (7_200_000_000, "2 h"),
            (200_000_000_000, "2 days"),
        ] {
            assert_eq!(span(Duration::from_micros(micros)), expected);
        }
    }

    #[test]
    fn moments_are_told_exactly_and_as_people_do() {
        let now = Time::from_millis(1_795_258_325_892);
        let then = now.minus(Duration::from_secs(125));
        let moment = Moment::of(then, now);
        assert_eq!(moment.machine, "2026-11-21T10:50:00Z");
        assert_eq!(moment.exact, "2026-11-21 10:50:00");
        assert_eq!(moment.ago, "2 min ago");
        assert_eq!(Moment::of(now, then).ago, "just now");
    }

    #[test]
    fn nothing_of_nothing_is_no_part() {
        assert_eq!(percent(1, 3), Some(33));
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(u64::MAX, u64::MAX), Some(100));
    }
}
