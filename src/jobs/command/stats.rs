//! What there is, what happened since the start, and how the feeds are.

use super::order::date;
use super::{Amount, Cache, Failure, FeedState, Running, SinceStart, Stats, kind_of};
use crate::nuget::subject::ARCHIVE;
use crate::observe::CacheStatus;
use crate::store::{Pinned, Row};

/// What is gathered from row to row.
#[derive(Default)]
struct Tally {
    stats: Stats,
    pinned: Pinned,
    oldest: Option<crate::clock::Time>,
    newest: Option<crate::clock::Time>,
    /// Feed, slug and id of the package before; rows come in the order of keys.
    last_package: String,
}

impl Cache {
    pub(super) async fn stats(&self) -> Result<Stats, Failure> {
        let totals = self.store.counted().await?;
        let pins = self.store.pins().await?;
        let mut tally = Tally::default();
        tally.stats.pins = pins.len() as u64;
        tally.pinned = Pinned::new(pins.into_iter().flat_map(|pin| pin.prefixes).collect());
        self.for_each_row("", |row| tally.count(row)).await?;
        let aside = self.store.aside().await?;
        let quota = **self.quota.load();
        let date_of = |time: Option<_>| time.and_then(date);
        Ok(Stats {
            entries: totals.entries,
            bytes: totals.bodies_bytes,
            bytes_max: quota.size_max,
            queries_bytes: totals.queries_bytes,
            queries_bytes_max: quota.queries_max,
            disk_free: self.store.free().await?,
            disk_free_min: quota.free_min,
            absent: totals.absent,
            responses: totals.responses,
            oldest_use: date_of(tally.oldest),
            newest_use: date_of(tally.newest),
            damaged: Amount {
                count: aside.files,
                bytes: aside.bytes,
            },
            since_start: self.running.as_ref().map(since_start),
            feeds: self.feeds.iter().map(|name| self.feed(name)).collect(),
            ..tally.stats
        })
    }

    fn feed(&self, name: &str) -> FeedState {
        let metrics = self.running.as_ref().map(|running| running.group.metrics());
        let asked = metrics.map(|metrics| metrics.asked_of_feed(name));
        FeedState {
            name: name.to_owned(),
            up: metrics.and_then(|metrics| metrics.feed_is_up(name)),
            asked: asked.unwrap_or_default(),
            bytes: metrics.map_or(0, |metrics| {
                metrics.upstream_bytes.with_label_values(&[name]).get()
            }),
            left_alone: metrics.map_or(0, |metrics| metrics.hosts_left_alone(name)),
        }
    }
}

impl Tally {
    fn count(&mut self, row: &Row) {
        let Some(body) = row.body else {
            return;
        };
        let kind = kind_of(row);
        let kinds = &mut self.stats.kinds;
        kinds.entry(kind.to_owned()).or_default().add(body.size);
        if self.pinned.covers(row.key.as_str()) {
            self.stats.pinned.add(body.size);
        }
        let earlier = self.oldest.is_none_or(|oldest| row.used_at < oldest);
        self.oldest = if earlier {
            Some(row.used_at)
        } else {
            self.oldest
        };
        self.newest = self.newest.max(Some(row.used_at));
        if kind == ARCHIVE {
            self.stats.package_versions += 1;
            let mut folders = row.key.as_str().rsplitn(3, '/');
            let package = folders.nth(2).unwrap_or_default();
            if package != self.last_package {
                self.stats.package_ids += 1;
                package.clone_into(&mut self.last_package);
            }
        }
    }
}

fn since_start(running: &Running) -> SinceStart {
    let metrics = running.group.metrics();
    let requests = metrics.requests_by_cache();
    let sum = |wanted: &dyn Fn(&str) -> bool| {
        let counted = requests.iter().filter(|(name, _)| wanted(name));
        counted.map(|(_, count)| count).sum::<u64>()
    };
    let asked = |name: &str| CacheStatus::ASKS.iter().any(|status| status.name() == name);
    let own = |name: &str| name == CacheStatus::Own.name();
    let refused = |name: &str| name == CacheStatus::Refused.name();
    SinceStart {
        started_at: date(running.started_at).unwrap_or_default(),
        hits: sum(&|name| !asked(name) && !own(name) && !refused(name)),
        misses: sum(&asked),
        client_bytes: metrics.client_bytes.get(),
        saved_bytes: metrics.saved_bytes.get(),
        evictions: metrics.evictions.with_label_values(&["entries"]).get(),
        requests,
    }
}
