//! Counters: one line per series, of which field, registration and documentation are made.
//! `docs/metrics.md` lists them all; a test compares.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::observe::StaleReason;

/// Seconds; from a memory hit to a slow upstream.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// What the scrub finds.
const SCRUBBED: &[&str] = &["good", "orphan", "damaged", "gone"];

const FILLS: &[&str] = &[
    "stored",
    "confirmed",
    "absent",
    "stale",
    "passed",
    "refused",
    "abandoned",
    "failed",
];
const RESUMES: &[&str] = &[
    "continued",
    "compared",
    "taken-up",
    "changed",
    "refused",
    "failed",
];
const REVALIDATIONS: &[&str] = &[
    "not-modified",
    "same-body",
    "changed",
    "missing",
    "older",
    "failed",
];
const PUBLISHED: &[&str] = &[
    "accepted", "exists", "denied", "rejected", "failed", "refused", "unsent",
];
const STORE_OPERATIONS: &[&str] = &[
    "read", "write", "draft", "verify", "seal", "body", "discard", "remove", "note",
];
const ENDS: &[&str] = &[
    "silent",
    "slow-head",
    "idle",
    "stalled",
    "evicted",
    "refused",
    "handshake",
    "given-up",
    "slow-handshake",
];
const ACCESS: &[&str] = &[
    "known",
    "anonymous",
    "open",
    "challenged",
    "failed",
    "forbidden",
    "limited",
    "busy",
];
const PACED: &[&str] = &["clients", "feed", "upstream", "requests", "fetches"];
const THROTTLED: &[&str] = &["searches", "pushes", "requests", "fetches"];
const RELOADS: &[&str] = &["used", "refused"];
const ENCODINGS: &[&str] = &["identity", "gzip"];

/// The type of a series and how one is made.
macro_rules! kind {
    (type counter) => {
        IntCounter
    };
    (type counters) => {
        IntCounterVec
    };
    (type gauge) => {
        IntGauge
    };
    (type gauges) => {
        IntGaugeVec
    };
    (type seconds) => {
        HistogramVec
    };
    (make counter $options:expr, $labels:expr) => {
        IntCounter::with_opts($options)
    };
    (make counters $options:expr, $labels:expr) => {
        IntCounterVec::new($options, $labels)
    };
    (make gauge $options:expr, $labels:expr) => {
        IntGauge::with_opts($options)
    };
    (make gauges $options:expr, $labels:expr) => {
        IntGaugeVec::new($options, $labels)
    };
    (make seconds $options:expr, $labels:expr) => {
        HistogramVec::new(
            HistogramOpts::from($options).buckets(BUCKETS.to_vec()),
            $labels,
        )
    };
}

macro_rules! series {
    ($($field:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// All series of a daemon, in a registry of its own so that several can live in one process.
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: kind!(type $kind),)*
        }

        /// Name, labels and help of every series of nugate's own, in the order of the documentation.
        pub const SERIES: &[(&str, &[&str], &str)] = &[$(($name, &[$($label),*], $help),)*];

        impl Metrics {
            /// All series; those whose labels are known beforehand at zero, because a rate that
            /// begins with the first event misses it.
            ///
            /// # Errors
            /// Only when two series have one name, which the tests rule out.
            pub fn new() -> prometheus::Result<Self> {
                let registry = Registry::new();
                register_process(&registry)?;
                let metrics = Self {
                    $($field: add(
                        &registry,
                        kind!(make $kind Opts::new($name, $help), &[$($label),*]),
                    )?,)*
                    registry,
                };
                metrics.begin_at_zero();
                Ok(metrics)
            }
        }
    };
}

series! {
    requests = counters "nugate_requests_total" ["resource", "cache", "status"]
        "Requests, by kind of document, cache status and status class";
    hot_answers = counter "nugate_hot_answers_total" []
        "Requests for fresh documents that were answered as the same request a moment before";
    request_seconds = seconds "nugate_request_duration_seconds" ["resource"]
        "Seconds from a request to the head of its response";
    client_bytes = counter "nugate_client_bytes_total" []
        "Body bytes sent to clients";
    saved_bytes = counter "nugate_saved_bytes_total" []
        "Body bytes sent to clients that did not have to come from an upstream";
    log_lines_dropped = counter "nugate_log_lines_dropped_total" []
        "Lines of the access log that were dropped because it could not be written fast enough";
    journal_skipped = counter "nugate_journal_lines_skipped_total" []
        "Requests that the pages for people do not tell of, because there were more than 5000 in a second";
    connections = gauge "nugate_connections" []
        "Open client connections";
    connections_silent = gauge "nugate_connections_silent" []
        "Open client connections that have no request and hold no memory for one: new, or silent for 2 s";
    connections_ended = counters "nugate_connections_ended_total" ["reason"]
        "Client connections that nugate ended, by reason: silent, slow-head, idle, stalled, evicted, refused, given-up, handshake, slow-handshake";
    access = counters "nugate_access_total" ["outcome"]
        "Requests while access is restricted, by outcome: known, anonymous, open, challenged, failed, forbidden, limited, busy";
    reloads = counters "nugate_reloads_total" ["outcome"]
        "Changes of the configuration, of the files of the certificate and of the users, by outcome: used, refused";
    upstream_requests = counters "nugate_upstream_requests_total" ["feed", "resource", "outcome"]
        "Requests to upstreams, by status class or kind of failure";
    upstream_seconds = seconds "nugate_upstream_duration_seconds" ["feed"]
        "Seconds from a request to an upstream to the head of its response";
    upstream_bytes = counters "nugate_upstream_bytes_total" ["feed"]
        "Body bytes received from upstreams, after decoding";
    upstream_up = gauges "nugate_upstream_up" ["feed"]
        "1 when the last request to the feed was answered, else 0";
    breaker_hosts = gauges "nugate_upstream_breaker_hosts" ["feed", "state"]
        "Hosts of the feed by state of their circuit breaker: closed, open (left alone after failures), probing (asked by one request), resting (asked to be left alone)";
    breaker_changes = counters "nugate_upstream_breaker_changes_total" ["feed", "state"]
        "Changes of a host's circuit breaker to this state: open, resting, closed";
    upstream_held = gauges "nugate_upstream_held" ["feed"]
        "Requests that wait because the feed asked to be left alone";
    pacing_waiting = gauges "nugate_pacing_waiting" ["line"]
        "Bodies and requests that wait for their share, by line: clients (bytes to clients), feed (bytes of a feed), upstream (bytes of all feeds), requests, fetches";
    pacing_seconds = seconds "nugate_pacing_wait_seconds" ["line"]
        "Seconds that a slice of a body or a request waited for its share; what did not wait is not counted";
    throttled = counters "nugate_throttled_total" ["reason"]
        "Requests refused because their client asks too much, by reason: searches, pushes (429), requests, fetches (503)";
    upstream_retries = counters "nugate_upstream_retries_total" ["feed", "outcome"]
        "Requests to be made again, by outcome: made, denied (the budget for retries was spent)";
    fills = counters "nugate_fills_total" ["outcome"]
        "Questions to the upstream that are over, by outcome: stored, confirmed, absent, stale, passed, refused, abandoned, failed";
    resumes = counters "nugate_resumes_total" ["outcome"]
        "Bodies of upstreams that broke off, by outcome: continued (by the rest), compared (with a second copy, which was the same), taken-up (a part kept from before), changed (the upstream has something else now), refused, failed";
    joins = counter "nugate_joins_total" []
        "Requests that joined a fill already under way";
    revalidations = counters "nugate_revalidations_total" ["outcome"]
        "Revalidations, by outcome: not-modified, same-body, changed, missing, older, failed";
    stale = counters "nugate_stale_total" ["reason"]
        "Responses served stale, by reason";
    refused_bodies = counters "nugate_refused_bodies_total" ["resource"]
        "Upstream bodies that failed verification";
    published = counters "nugate_published_total" ["outcome"]
        "Pushes, deletions and relistings, by outcome: accepted, exists (409), denied (401, 403), rejected (another 4xx), failed (the feed failed or did not answer), refused (by nugate), unsent (the client did not finish)";
    changed_bodies = counter "nugate_changed_bodies_total" []
        "Known versions for which the upstream sent other bytes; the first are kept";
    views = counters "nugate_views_total" ["encoding"]
        "Documents rendered for clients; a hit renders nothing";
    links_left = counter "nugate_links_left_total" []
        "Links of rendered documents that are under no known base of the upstream and were left as they are";
    evictions = counters "nugate_evictions_total" ["tier"]
        "Things dropped to make room, by tier: views (rendered documents in memory), entries (stored documents and packages)";
    scrubbed = counters "nugate_scrubbed_bodies_total" ["outcome"]
        "Stored bodies looked at for damage, by outcome: good, orphan (removed), damaged (put aside), gone";
    damaged_bodies = counter "nugate_damaged_bodies_total" []
        "Stored bodies found damaged, in use or by the weekly look; they are put aside and fetched anew";
    unsynced_bodies = counter "nugate_unsynced_bodies_total" []
        "Stored bodies that the disk was too slow to confirm within a second; a power cut may cost them";
    store_bytes = gauge "nugate_store_bytes" []
        "Bytes of stored bodies";
    store_entries = gauge "nugate_store_entries" []
        "Stored documents and packages";
    store_absent = gauge "nugate_store_absent" []
        "Remembered 404s";
    store_degraded = gauges "nugate_store_degraded" ["reason"]
        "1 while the cache takes nothing and all is passed on, by reason: full, read-only, folder, descriptors, io, index, off";
    store_errors = counters "nugate_store_errors_total" ["operation"]
        "Store operations that failed";
}

fn add<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// CPU, memory, descriptors and start time of the process, where the platform tells them.
fn register_process(registry: &Registry) -> prometheus::Result<()> {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    Ok(())
}

fn label<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    let mut labels = metric.get_label().iter();
    Some(labels.find(|label| label.name() == name)?.value())
}

/// The counts of the series that are `wanted`, summed by the values of a label.
fn tally(
    counters: &IntCounterVec,
    name: &str,
    wanted: impl Fn(&Metric) -> bool,
) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let families = counters.collect();
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    for metric in metrics.filter(|metric| wanted(metric)) {
        if let Some(value) = label(metric, name) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counts of events are whole, and far below 2^52"
            )]
            let count = metric.get_counter().get_value() as u64;
            *counts.entry(value.to_owned()).or_default() += count;
        }
    }
    counts
}

impl Metrics {
    fn begin_at_zero(&self) {
        let begin = |series: &IntCounterVec, labels: &[&str]| {
            for label in labels {
                drop(series.with_label_values(&[label]));
            }
        };
        begin(&self.stale, &StaleReason::ALL.map(StaleReason::name));
        begin(&self.connections_ended, ENDS);
        begin(&self.access, ACCESS);
        begin(&self.reloads, RELOADS);
        begin(&self.throttled, THROTTLED);
        for line in PACED {
            drop(self.pacing_waiting.with_label_values(&[line]));
            drop(self.pacing_seconds.with_label_values(&[line]));
        }
        begin(&self.fills, FILLS);
        begin(&self.resumes, RESUMES);
        begin(&self.published, PUBLISHED);
        begin(&self.revalidations, REVALIDATIONS);
        begin(&self.store_errors, STORE_OPERATIONS);
        begin(&self.scrubbed, SCRUBBED);
        begin(&self.views, ENCODINGS);
    }

    /// Requests by cache status.
    pub fn requests_by_cache(&self) -> BTreeMap<String, u64> {
        tally(&self.requests, "cache", |_| true)
    }

    /// Requests to a feed, by status class or kind of failure.
    pub fn asked_of_feed(&self, feed: &str) -> BTreeMap<String, u64> {
        tally(&self.upstream_requests, "outcome", |metric| {
            label(metric, "feed") == Some(feed)
        })
    }

    /// Hosts of a feed that are left alone.
    pub fn hosts_left_alone(&self, feed: &str) -> u64 {
        let hosts = |state| self.breaker_hosts.with_label_values(&[feed, state]).get();
        u64::try_from(hosts("open") + hosts("resting")).unwrap_or_default()
    }

    /// Whether a feed answered the last request; nothing when it was never asked.
    pub fn feed_is_up(&self, feed: &str) -> Option<bool> {
        let families = self.upstream_up.collect();
        let mut metrics = families.iter().flat_map(MetricFamily::get_metric);
        let of_feed = |metric: &&Metric| label(metric, "feed") == Some(feed);
        let up = metrics.find(of_feed)?.get_gauge().get_value();
        Some(up > 0.5)
    }

    /// The text exposition format of all series.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_can_be_registered_and_is_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.joins.inc();
        let text = metrics.render();
        assert!(text.contains("nugate_joins_total 1\n"), "{text}");
        assert!(text.contains("# HELP nugate_store_bytes Bytes of stored bodies\n"));
    }
}
