//! Whose clock on the wall the times of the configuration are of.

use std::path::Path;

use tz::TimeZone;

use crate::clock::Time;

/// Where a machine says which zone it is in.
const LOCAL: &str = "/etc/localtime";

/// A time zone, with the hours that it changes in summer.
#[derive(Debug)]
pub struct Zone(TimeZone);

/// A zone that is not known on this machine.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is no time zone that this machine knows ({source}); allowed: local, an offset such as \
     +02:00, a name such as Europe/Berlin where the zone files are installed, or a POSIX rule such as \
     CET-1CEST,M3.5.0,M10.5.0/3"
)]
pub struct ZoneError {
    text: String,
    source: tz::Error,
}

impl Default for Zone {
    /// UTC.
    fn default() -> Self {
        Self(TimeZone::utc())
    }
}

impl Zone {
    /// The zone that `text` names. `local` is that of the machine, or UTC where it does not say. Reads
    /// the zone's file, once.
    ///
    /// # Errors
    /// [`ZoneError`] for a text that names none.
    pub fn named(text: &str) -> Result<Self, ZoneError> {
        let zone = match (text, offset(text)) {
            ("local", _) if !Path::new(LOCAL).exists() => Ok(TimeZone::utc()),
            ("local", _) => TimeZone::local(),
            (_, Some(offset)) => TimeZone::fixed(offset).map_err(Into::into),
            _ => TimeZone::from_posix_tz(text),
        };
        zone.map(Self).map_err(|source| ZoneError {
            text: text.to_owned(),
            source,
        })
    }

    /// How many seconds its clocks are ahead of UTC at this time.
    pub fn offset(&self, time: Time) -> i32 {
        let seconds = i64::try_from(time.as_millis() / 1000).unwrap_or(i64::MAX);
        let found = self.0.find_local_time_type(seconds);
        found.map_or(0, tz::LocalTimeType::ut_offset)
    }
}

/// `UTC`, `Z`, `+hh:mm` or `-hh:mm`, in seconds.
fn offset(text: &str) -> Option<i32> {
    if matches!(text, "UTC" | "Z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let number = |text: &str, max: i32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<i32>().ok().filter(|_| digits);
        number.filter(|number| *number <= max)
    };
    Some(sign * (number(hours, 14)? * 60 + number(minutes, 59)?) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-15 and 2026-07-15 at noon.
    const WINTER: Time = Time::from_millis(1_768_478_400_000);
    const SUMMER: Time = Time::from_millis(1_784_116_800_000);

    #[track_caller]
    fn check(text: &str, winter: i32, summer: i32) {
        let zone = Zone::named(text).unwrap();
        assert_eq!((zone.offset(WINTER), zone.offset(SUMMER)), (winter, summer));
    }

    #[test]
    fn zones_are_offsets_or_rules() {
        check("UTC", 0, 0);
        check("+02:00", 7200, 7200);
        check("-05:30", -19_800, -19_800);
        check("CET-1CEST,M3.5.0,M10.5.0/3", 3600, 7200);
        assert!(Zone::named("local").is_ok());
    }

    #[test]
    fn what_is_no_zone_is_told_with_what_is_allowed() {
        for text in ["", "Nowhere/City", "+2", "+15:00", "+02:60", "+1a:00"] {
            let error = Zone::named(text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{text:?} is no time zone")),
                "{error}"
            );
            assert!(error.contains("Europe/Berlin"), "{error}");
        }
    }
}
