//! What tells one state of a file from another without reading it, and times as documents write
//! them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Length, times and number of a file: another content has another stamp, unless somebody takes
/// pains to forge it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileStamp {
    /// Length in bytes.
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

impl FileStamp {
    /// The stamp of an open file or a path.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// All of it as a text that no other stamp has.
    pub(super) fn text(&self) -> String {
        let ((modified, modified_nanos), (changed, changed_nanos)) = (self.modified, self.changed);
        format!(
            "{:x}-{modified:x}.{modified_nanos:x}-{changed:x}.{changed_nanos:x}-{:x}",
            self.size, self.inode
        )
    }

    /// When the content was last written, in whole seconds since the Unix epoch; earlier is the
    /// epoch.
    pub(super) fn modified(&self) -> u64 {
        u64::try_from(self.modified.0).unwrap_or(0)
    }
}

/// A time as documents have it (RFC 3339), in UTC; beyond the year 9999 the epoch.
pub(super) fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// A time as header fields have it (RFC 9110 section 5.6.7).
pub(super) fn http_date(seconds: u64) -> String {
    // What headers cannot say is a file's mistake: such a date says nothing.
    let seconds = if seconds < 253_402_300_800 {
        seconds
    } else {
        0
    };
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_both_forms() {
        assert_eq!(rfc3339(1_772_326_860), "2026-03-01T01:01:00Z");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00Z");
        assert_eq!(http_date(1_772_326_860), "Sun, 01 Mar 2026 01:01:00 GMT");
        assert_eq!(http_date(u64::MAX), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
