//! Times and numbers as text, made sooner than `std::fmt` makes them: a line of the access log has
//! several.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::clock::Time;

/// Writes times in RFC 3339 with milliseconds. All but the last change once a second, and so are made
/// as often.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    /// Of that second, up to its point.
    text: String,
}

impl Stamp {
    pub(super) fn write(&mut self, time: Time, out: &mut Vec<u8>) {
        let (second, millis) = (time.as_millis() / 1000, time.as_millis() % 1000);
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = text_of(second);
        }
        out.extend_from_slice(self.text.as_bytes());
        if millis < 100 {
            out.push(b'0');
        }
        if millis < 10 {
            out.push(b'0');
        }
        number(millis, out);
        out.push(b'Z');
    }
}

fn text_of(second: u64) -> String {
    let mut text = String::new();
    let second = i64::try_from(second).unwrap_or(i64::MAX);
    if let Ok(at) = time::OffsetDateTime::from_unix_timestamp(second) {
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        let (hour, minute, second) = (at.hour(), at.minute(), at.second());
        // Writing to memory does not fail.
        let _ = write!(
            text,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}."
        );
    }
    text
}

pub(super) fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(first, out);
            for octet in rest {
                out.push(b'.');
                number(octet, out);
            }
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_to_the_millisecond() {
        let mut stamp = Stamp::default();
        for (millis, expected) in [
            (1_795_258_325_892, "2026-11-21T10:52:05.892Z"),
            (1_795_258_325_007, "2026-11-21T10:52:05.007Z"),
            (1_795_258_326_070, "2026-11-21T10:52:06.070Z"),
            (0, "1970-01-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            stamp.write(Time::from_millis(millis), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn addresses_are_as_anywhere() {
        for text in ["127.0.0.1", "255.10.0.200", "::1", "2001:db8::1"] {
            let mut out = Vec::new();
            address(text.parse().unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
