//! Times of commits: fixed, counted from the start of 2026, never the present.
//!
//! Invariant: a later commit has a later stamp.

use std::time::{Duration, SystemTime};

const START: u64 = 1_767_225_600;

/// When the feed committed something, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

impl Stamp {
    /// The stamp of commit `number`: one a minute from 2026-01-01.
    pub const fn of(number: u64) -> Self {
        Self(START + number * 60)
    }

    /// `2026-01-01T00:01:00`, to which documents add fractions and a zone.
    fn civil(self) -> String {
        let (year, month, day) = date(self.0 / 86_400);
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }

    /// As `commitTimeStamp` has it.
    pub fn commit(self) -> String {
        format!("{}.0000000Z", self.civil())
    }

    /// As `published` has it.
    pub fn published(self) -> String {
        format!("{}+00:00", self.civil())
    }

    /// As the path of a catalog leaf has it: `2026.01.01.00.01.00`.
    pub fn path(self) -> String {
        self.civil().replace(['-', 'T', ':'], ".")
    }

    /// As `Last-Modified` has it (RFC 9110 section 5.6.7).
    pub fn http_date(self) -> String {
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.0))
    }

    /// A GUID that goes with it, as `commitId` has it.
    pub fn commit_id(self) -> String {
        let hex = crate::entry::Digest::of(&self.0.to_be_bytes()).to_hex();
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..32],
        ]
        .join("-")
    }
}

/// Year, month and day of a day since 1970-01-01 (proleptic Gregorian calendar, from 2000 on).
fn date(days: u64) -> (u64, u64, u64) {
    let since = days - 11_017;
    let era = since / 146_097;
    let of_era = since % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (2000 + era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_written_in_every_form() {
        let stamp = Stamp::of(60 * 24 * 59 + 61);
        assert_eq!(stamp.commit(), "2026-03-01T01:01:00.0000000Z");
        assert_eq!(stamp.published(), "2026-03-01T01:01:00+00:00");
        assert_eq!(stamp.path(), "2026.03.01.01.01.00");
        assert_eq!(stamp.http_date(), "Sun, 01 Mar 2026 01:01:00 GMT");
        assert_eq!(stamp.commit_id().len(), 36);
        assert_eq!(Stamp::of(0).path(), "2026.01.01.00.00.00");
    }
}
