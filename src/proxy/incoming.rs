//! A body that is being received: its bytes, and what is known of it.
//!
//! Does not ask for anything; `resume` does when it breaks off. Invariant: bytes that arrived before
//! a break are handed over before the break is told.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use url::Url;

use crate::entry::Entry;
use crate::nuget::resource::View;
use crate::proxy::along::Follower;
use crate::proxy::error::Error;
use crate::proxy::fill::Fill;
use crate::proxy::locate::Located;
use crate::proxy::parts::Part;
use crate::proxy::verify::Said;
use crate::store::DraftWriter;
use crate::upstream::{Fetched, Kind, UpstreamBody, UpstreamError, checksums, validator};

/// Bytes gathered before they are written: one hop to the blocking pool for each.
const BATCH: usize = 256 * 1024;

/// Most requests in a row that bring no byte of the rest; a client that has something stored need
/// not wait for them.
const BARREN_MAX: u32 = 3;
const BARREN_MAX_STORED: u32 = 1;

/// Most requests that bring less than [`PROGRESS`] together.
const SLOW_MAX: u32 = 10;

/// What a body must grow by for its earlier breaks to be forgotten.
const PROGRESS: u64 = 1 << 20;

/// The rest between two requests that bring nothing; doubled for each.
const PAUSE: Duration = Duration::from_millis(100);

/// A body that is being received.
pub(super) struct Incoming<'a> {
    /// Where it may come from.
    pub(super) located: &'a Located,
    /// Where it comes from.
    pub(super) url: Url,
    /// The response of the moment.
    pub(super) body: UpstreamBody,
    /// Received behind what was compared.
    pub(super) pending: Option<Bytes>,
    /// Met behind bytes that are to be written first.
    met: Option<UpstreamError>,
    /// The requests made for its rest.
    pub(super) tries: Tries,
    /// Of the whole, in bytes.
    pub(super) length: Option<u64>,
    /// What the rest may be asked for with.
    pub(super) validator: Option<HeaderValue>,
    /// What the first response said of the body.
    pub(super) said: Said,
    /// Reads what is there already.
    pub(super) follower: Follower,
    /// Whether clients may have seen some of it.
    pub(super) shown: bool,
    /// Whether what has come is right as far as it goes, although the rest does not come.
    pub(super) sound: bool,
}

/// Why no more bytes came.
pub(super) struct Broken {
    /// What a request makes of it.
    pub(super) cause: Error,
    /// Whether the rest may still come.
    pub(super) passing: bool,
}

/// The requests for the rest of one body.
pub(super) struct Tries {
    barren_max: u32,
    from: u64,
    barren: u32,
    mark: u64,
    slow: u32,
}

impl Tries {
    /// At most `barren_max` requests in a row that bring nothing.
    const fn new(barren_max: u32) -> Self {
        Self {
            barren_max,
            from: 0,
            barren: 0,
            mark: 0,
            slow: 0,
        }
    }

    /// The pause before the next request, for what follows `from`; `None` to give up.
    pub(super) fn next(&mut self, from: u64) -> Option<Duration> {
        if from > self.from {
            (self.from, self.barren) = (from, 0);
        }
        if from >= self.mark.saturating_add(PROGRESS) {
            (self.mark, self.slow) = (from, 0);
        }
        if self.barren == self.barren_max || self.slow == SLOW_MAX {
            return None;
        }
        self.barren += 1;
        self.slow += 1;
        Some(match self.barren {
            1 => Duration::ZERO,
            again => PAUSE * (1 << (again - 2)),
        })
    }
}

impl<'a> Incoming<'a> {
    /// The body of a whole response.
    pub(super) fn whole(fill: &Fill, located: &'a Located, fetched: Fetched) -> Self {
        let length = fetched.body.length();
        let headers = &fetched.headers;
        let (check, places) = (fill.target.rule.check, &fill.engine.verifiers);
        let mut digests = checksums(headers);
        digests.extend(fill.engine.stated.of(&fill.target));
        Self {
            located,
            url: fetched.url,
            pending: None,
            met: None,
            tries: Tries::new(match fill.stored_body() {
                None => BARREN_MAX,
                Some(_) => BARREN_MAX_STORED,
            }),
            length,
            validator: validator(headers, length),
            said: Said {
                content_type: None,
                framed: fetched.body.framed(),
            },
            follower: Follower::new(places, check, digests),
            shown: false,
            sound: false,
            body: fetched.body,
        }
    }

    /// The rest of a body that begins with `part`.
    pub(super) fn rest(
        fill: &Fill,
        located: &'a Located,
        (fetched, part): (Fetched, &Part),
    ) -> Self {
        let (check, places) = (fill.target.rule.check, &fill.engine.verifiers);
        Self {
            length: part.length,
            validator: Some(part.validator.clone()),
            said: Said {
                content_type: None,
                framed: true,
            },
            follower: Follower::new(places, check, part.checksums.clone()),
            ..Self::whole(fill, located, fetched)
        }
    }

    /// What has arrived, waiting for one byte at least; nothing at the end of the whole body.
    pub(super) async fn gather(&mut self, fill: &Fill, written: u64) -> Result<Vec<Bytes>, Broken> {
        let mut blocks: Vec<Bytes> = self.pending.take().into_iter().collect();
        let mut size = blocks.iter().map(Bytes::len).sum();
        let mut next = match self.met.take() {
            Some(error) => Some(Err(error)),
            None if blocks.is_empty() => self.body.next().await,
            None => self.body.try_next(),
        };
        while let Some(block) = next {
            match block {
                Ok(block) => {
                    size += block.len();
                    blocks.push(block);
                }
                Err(error) if blocks.is_empty() => return Err(Broken::new(fill, &error)),
                Err(error) => {
                    self.met = Some(error);
                    break;
                }
            }
            next = if size < BATCH {
                self.body.try_next()
            } else {
                None
            };
        }
        fill.engine.count_upstream_bytes(size);
        match self.length {
            // Only one that was put together of several responses can be.
            Some(length) if blocks.is_empty() && written < length => Err(Broken::short(fill)),
            Some(length) if written + size as u64 > length => Err(Broken::long(fill)),
            _ => Ok(blocks),
        }
    }

    /// Keeps what has come of a package for whoever asks for it next, if it is right and the rest
    /// can be asked for.
    pub(super) fn put_by(self, fill: &Fill, writer: DraftWriter, entry: Entry) {
        let raw = fill.target.rule.view == View::Raw;
        let Some(validator) = self.validator.filter(|_| self.sound && raw) else {
            return;
        };
        let Some(body) = writer.into_part() else {
            return;
        };
        let part = Part {
            body,
            entry,
            validator,
            length: self.length,
            checksums: self.follower.checksums().to_vec(),
        };
        fill.engine.parts.keep(fill.pilot.key(), part);
    }
}

impl Broken {
    fn new(fill: &Fill, error: &UpstreamError) -> Self {
        Self {
            cause: fill.engine.upstream_failed(error),
            passing: matches!(error.kind, Kind::Cut | Kind::Timeout),
        }
    }

    fn short(fill: &Fill) -> Self {
        let feed = fill.engine.feed.name();
        Self {
            cause: Error::unusable(format!("feed {feed}: response body cut")),
            passing: true,
        }
    }

    fn long(fill: &Fill) -> Self {
        let feed = fill.engine.feed.name();
        Self {
            cause: Error::unusable(format!("feed {feed}: response body longer than announced")),
            passing: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_bring_nothing_are_few() {
        let mut tries = Tries::new(BARREN_MAX);
        let pauses: Vec<_> = std::iter::from_fn(|| tries.next(5)).collect();
        assert_eq!(pauses, [Duration::ZERO, PAUSE, PAUSE * 2]);
        assert_eq!(tries.next(6), Some(Duration::ZERO));
    }

    #[test]
    fn progress_is_worth_more_requests_but_not_any_number() {
        let mut tries = Tries::new(BARREN_MAX);
        let small = (1..).map_while(|at| tries.next(at)).count();
        assert_eq!(small, 10);
        let mut tries = Tries::new(BARREN_MAX);
        let large = (1..=100).map_while(|at| tries.next(at * PROGRESS)).count();
        assert_eq!(large, 100);
    }
}
