//! The texts of durations and sizes, as people write them: `90s`, `7d`, `64 MiB`.
//!
//! One whole number and one unit; no fractions and no sums, so every value has one obvious reading.
//! What is written by `Display` is read back as the same value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::policy::pacing::Rate;

/// Milliseconds of each unit of time, largest first.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Bytes of each unit of size, in the order in which equally short texts are preferred.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// Bits a second of each unit of speed.
const SPEEDS: [(&str, u64); 6] = [
    ("kbit/s", 1000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
    ("kB/s", 8000),
    ("MB/s", 8_000_000),
    ("GB/s", 8_000_000_000),
];

/// The least and the most bytes a second.
const SPEED_MIN: u64 = 1000;
const SPEED_MAX: u64 = 12_500_000_000;

/// A duration as written in the configuration, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    /// Reads a whole number followed by `ms`, `s`, `m`, `h` or `d`; the error says what is missing.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or("is not a duration")?;
        let Some((_, millis)) = TIMES.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() {
                "has no unit: ms, s, m, h or d".to_owned()
            } else {
                format!("has the unknown unit `{unit}`: use ms, s, m, h or d")
            });
        };
        let millis = number
            .checked_mul(*millis)
            .ok_or("is too long a duration")?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        TIMES
            .iter()
            .map(|(name, unit)| (name, u128::from(*unit)))
            .find(|(_, unit)| millis.is_multiple_of(*unit))
            .map_or(Ok(()), |(name, unit)| write!(f, "{}{name}", millis / unit))
    }
}

/// A size as written in the configuration, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    /// Reads a whole number, alone (bytes) or followed by a decimal (`MB`) or binary (`MiB`) unit
    /// in any case; `M` alone is refused because it is read both ways.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or("is not a size")?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let Some((_, bytes)) = SIZES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        else {
            return Err(format!(
                "has the unknown unit `{unit}`: use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB"
            ));
        };
        let bytes = number.checked_mul(*bytes).ok_or("is too large a size")?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0 B");
        }
        SIZES
            .iter()
            .filter(|(_, unit)| self.0.is_multiple_of(*unit))
            .min_by_key(|(_, unit)| (self.0 / unit).ilog10())
            .map_or(Ok(()), |(name, unit)| write!(f, "{} {name}", self.0 / unit))
    }
}

/// Bytes a second, as a speed is written in the configuration: in bits or bytes, powers of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Speed(pub Rate);

impl FromStr for Speed {
    type Err = String;

    /// Reads a whole number and a unit, spelt as it is told: `Mb/s` and `MB/s` differ eightfold.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or("is not a speed")?;
        let Some((_, bits)) = SPEEDS.iter().find(|(name, _)| *name == unit) else {
            let units = "kbit/s, Mbit/s, Gbit/s, kB/s, MB/s or GB/s";
            return Err(if unit.is_empty() {
                format!("has no unit: {units}")
            } else {
                format!("has the unknown unit `{unit}`: use {units}")
            });
        };
        let bytes = number.checked_mul(*bits).ok_or("is too large")? / 8;
        if bytes < SPEED_MIN {
            return Err("is less than 8 kbit/s".to_owned());
        }
        if bytes > SPEED_MAX {
            return Err("is more than 100 Gbit/s".to_owned());
        }
        Rate::new(bytes).map(Self).ok_or("is 0".to_owned())
    }
}

/// Splits a whole number from the unit behind it; the unit may be empty.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromStr<Err = String> + fmt::Display>(text: &str, expected: Result<&str, &str>) {
        let read = text.parse::<T>().map(|value| value.to_string());
        assert_eq!(
            read.as_ref().map(String::as_str).map_err(String::as_str),
            expected,
            "{text}"
        );
        if let Ok(written) = expected {
            check_again::<T>(written);
        }
    }

    #[track_caller]
    fn check_again<T: FromStr<Err = String> + fmt::Display>(text: &str) {
        assert_eq!(text.parse::<T>().unwrap().to_string(), text);
    }

    #[test]
    fn durations_are_read_and_written() {
        for (text, expected) in [
            ("90s", Ok("90s")),
            ("5m", Ok("5m")),
            ("120s", Ok("2m")),
            ("48h", Ok("2d")),
            ("500ms", Ok("500ms")),
            ("3 s", Ok("3s")),
            ("0s", Ok("0s")),
            ("0d", Ok("0s")),
            ("", Err("is not a duration")),
            ("soon", Err("is not a duration")),
            ("-5s", Err("is not a duration")),
            ("30", Err("has no unit: ms, s, m, h or d")),
            (
                "1.5h",
                Err("has the unknown unit `.5h`: use ms, s, m, h or d"),
            ),
            ("3w", Err("has the unknown unit `w`: use ms, s, m, h or d")),
            ("99999999999999999999s", Err("is not a duration")),
            ("9999999999999999d", Err("is too long a duration")),
        ] {
            check::<Period>(text, expected);
        }
    }

    #[test]
    fn speeds_are_read() {
        for (text, expected) in [
            ("2 Mbit/s", Ok(250_000)),
            ("8kbit/s", Ok(1000)),
            ("1 Gbit/s", Ok(125_000_000)),
            ("250 kB/s", Ok(250_000)),
            ("12 MB/s", Ok(12_000_000)),
            ("7 kbit/s", Err("is less than 8 kbit/s")),
            ("0 MB/s", Err("is less than 8 kbit/s")),
            ("101 Gbit/s", Err("is more than 100 Gbit/s")),
            ("99999999999999999 GB/s", Err("is too large")),
            ("fast", Err("is not a speed")),
            (
                "5",
                Err("has no unit: kbit/s, Mbit/s, Gbit/s, kB/s, MB/s or GB/s"),
            ),
            (
                "5 mbit/s",
                Err(
                    "has the unknown unit `mbit/s`: use kbit/s, Mbit/s, Gbit/s, kB/s, MB/s or GB/s",
                ),
            ),
        ] {
            let read = text.parse::<Speed>().map(|speed| speed.0.bytes());
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        let unit = "use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB";
        let short = format!("has the unknown unit `M`: {unit}");
        for (text, expected) in [
            ("64 MiB", Ok("64 MiB")),
            ("64mib", Ok("64 MiB")),
            ("10GB", Ok("10 GB")),
            ("1024", Ok("1 KiB")),
            ("1000 B", Ok("1 kB")),
            ("1023", Ok("1023 B")),
            ("2048 MiB", Ok("2 GiB")),
            ("0", Ok("0 B")),
            ("64M", Err(short.as_str())),
            ("", Err("is not a size")),
            ("big", Err("is not a size")),
            ("99999999999 TiB", Err("is too large a size")),
        ] {
            check::<Size>(text, expected);
        }
    }
}
