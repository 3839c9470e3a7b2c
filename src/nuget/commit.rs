//! When a registration was last changed, by its own words.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `commitTimeStamp` of a registration index or page in nanoseconds since the Unix epoch (NuGet
/// documentation, "Package metadata", registration index: the time of the last change).
pub fn commit_time(document: &[u8]) -> Option<i128> {
    #[derive(Deserialize)]
    struct Registration {
        #[serde(rename = "commitTimeStamp")]
        committed: String,
    }
    let registration: Registration = serde_json::from_slice(document).ok()?;
    let time = OffsetDateTime::parse(&registration.committed, &Rfc3339).ok()?;
    Some(time.unix_timestamp_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_whatever_their_form() {
        let time =
            |text: &str| commit_time(format!(r#"{{"commitTimeStamp":"{text}"}}"#).as_bytes());
        let whole = time("2015-02-01T06:22:45Z").unwrap();
        assert_eq!(time("2015-02-01T06:22:45.0000000+00:00"), Some(whole));
        assert_eq!(
            time("2015-02-01T08:22:45.5+02:00"),
            Some(whole + 500_000_000)
        );
        assert_eq!(time("yesterday"), None);
        assert_eq!(commit_time(b"{}"), None);
        assert_eq!(commit_time(b"<html>"), None);
    }
}
