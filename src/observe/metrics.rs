//! Counters: one field per series, its help beside it. `docs/metrics.md` lists them all; a test
//! compares.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::observe::StaleReason;

/// All series of a daemon, in a registry of its own so that several can live in one process.
pub struct Metrics {
    registry: Registry,
    described: Vec<(&'static str, &'static str)>,
    /// Requests by resource, cache status and status class.
    pub requests: IntCounterVec,
    /// Seconds from the request to the response head, by resource.
    pub request_seconds: HistogramVec,
    /// Body bytes sent to clients.
    pub client_bytes: IntCounter,
    /// Body bytes sent to clients that did not have to come from an upstream.
    pub saved_bytes: IntCounter,
    /// Requests to upstreams by feed, resource and outcome.
    pub upstream_requests: IntCounterVec,
    /// Body bytes received from upstreams, after decoding, by feed.
    pub upstream_bytes: IntCounterVec,
    /// Seconds from a request to an upstream to its response head, by feed.
    pub upstream_seconds: HistogramVec,
    /// Fills by outcome.
    pub fills: IntCounterVec,
    /// Requests that joined a fill already under way.
    pub joins: IntCounter,
    /// Revalidations by outcome.
    pub revalidations: IntCounterVec,
    /// Responses served stale, by reason.
    pub stale: IntCounterVec,
    /// Bodies refused by verification, by check.
    pub refused_bodies: IntCounterVec,
    /// Known versions for which the upstream sent other bytes.
    pub changed_bodies: IntCounter,
    /// Store operations that failed, by operation.
    pub store_errors: IntCounterVec,
    /// Bodies dropped, by tier.
    pub evictions: IntCounterVec,
    /// Bytes of stored bodies.
    pub store_bytes: IntGauge,
    /// Entries with a body.
    pub store_entries: IntGauge,
    /// Remembered 404s.
    pub store_absent: IntGauge,
    /// Open client connections.
    pub connections: IntGauge,
    /// Views rendered by kind.
    pub views: IntCounterVec,
    /// Links found under no known base of the upstream and left as they were.
    pub links_left: IntCounter,
    /// Whether the last request to the upstream succeeded.
    pub upstream_up: IntGauge,
}

/// Seconds; from a memory hit to a slow upstream.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

const FILLS: &[&str] = &[
    "stored",
    "passed",
    "confirmed",
    "absent",
    "stale",
    "refused",
    "failed",
];
const REVALIDATIONS: &[&str] = &["not-modified", "same-body", "changed", "missing", "failed"];
const STORE_OPERATIONS: &[&str] = &[
    "read", "write", "draft", "verify", "seal", "body", "discard", "forget", "note",
];
const ENCODINGS: &[&str] = &["identity", "gzip"];

struct Builder {
    registry: Registry,
    described: RefCell<Vec<(&'static str, &'static str)>>,
}

type Built<T> = prometheus::Result<T>;

impl Builder {
    fn add<C: Collector + Clone + 'static>(&self, collector: Built<C>) -> Built<C> {
        let collector = collector?;
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn options(&self, name: &'static str, help: &'static str) -> Opts {
        self.described.borrow_mut().push((name, help));
        Opts::new(name, help)
    }

    fn counter(&self, name: &'static str, help: &'static str) -> Built<IntCounter> {
        self.add(IntCounter::with_opts(self.options(name, help)))
    }

    fn counters(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&str],
    ) -> Built<IntCounterVec> {
        self.add(IntCounterVec::new(self.options(name, help), labels))
    }

    fn gauge(&self, name: &'static str, help: &'static str) -> Built<IntGauge> {
        self.add(IntGauge::with_opts(self.options(name, help)))
    }

    fn seconds(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&str],
    ) -> Built<HistogramVec> {
        let options = HistogramOpts::from(self.options(name, help)).buckets(BUCKETS.to_vec());
        self.add(HistogramVec::new(options, labels))
    }
}

impl Metrics {
    /// All series; those whose labels are known beforehand at zero, because a rate that begins with
    /// the first event misses it.
    ///
    /// # Errors
    /// Only when two series have one name, which the tests rule out.
    #[expect(clippy::too_many_lines, reason = "one line per series")]
    pub fn new() -> Built<Self> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let build = Builder {
            registry: registry.clone(),
            described: RefCell::new(Vec::new()),
        };
        let metrics = Self {
            requests: build.counters(
                "nugate_requests_total",
                "Requests by resource, cache status and status class",
                &["resource", "cache", "status"],
            )?,
            request_seconds: build.seconds(
                "nugate_request_duration_seconds",
                "Seconds from a request to the head of its response",
                &["resource"],
            )?,
            client_bytes: build
                .counter("nugate_client_bytes_total", "Body bytes sent to clients")?,
            saved_bytes: build.counter(
                "nugate_saved_bytes_total",
                "Body bytes sent to clients that did not have to come from an upstream",
            )?,
            upstream_requests: build.counters(
                "nugate_upstream_requests_total",
                "Requests to upstreams by feed, resource and status class or kind of failure",
                &["feed", "resource", "outcome"],
            )?,
            upstream_bytes: build.counters(
                "nugate_upstream_bytes_total",
                "Body bytes received from upstreams, after decoding",
                &["feed"],
            )?,
            upstream_seconds: build.seconds(
                "nugate_upstream_duration_seconds",
                "Seconds from a request to an upstream to the head of its response",
                &["feed"],
            )?,
            fills: build.counters(
                "nugate_fills_total",
                "Fills by outcome: stored, passed, confirmed, absent, stale, refused, failed",
                &["outcome"],
            )?,
            joins: build.counter(
                "nugate_joins_total",
                "Requests that joined a fill already under way",
            )?,
            revalidations: build.counters(
                "nugate_revalidations_total",
                "Revalidations by outcome: not-modified, same-body, changed, missing, failed",
                &["outcome"],
            )?,
            stale: build.counters(
                "nugate_stale_total",
                "Responses served stale, by reason",
                &["reason"],
            )?,
            refused_bodies: build.counters(
                "nugate_refused_bodies_total",
                "Upstream bodies that failed verification, by resource",
                &["resource"],
            )?,
            changed_bodies: build.counter(
                "nugate_changed_bodies_total",
                "Known versions for which the upstream sent other bytes; the first stay",
            )?,
            store_errors: build.counters(
                "nugate_store_errors_total",
                "Store operations that failed, by operation",
                &["operation"],
            )?,
            evictions: build.counters(
                "nugate_evictions_total",
                "Bodies dropped, by tier",
                &["tier"],
            )?,
            store_bytes: build.gauge("nugate_store_bytes", "Bytes of stored bodies")?,
            store_entries: build.gauge("nugate_store_entries", "Stored documents and packages")?,
            store_absent: build.gauge("nugate_store_absent", "Remembered 404s")?,
            connections: build.gauge("nugate_connections", "Open client connections")?,
            views: build.counters(
                "nugate_views_total",
                "Documents rendered for clients, by encoding; a hit renders nothing",
                &["encoding"],
            )?,
            links_left: build.counter(
                "nugate_links_left_total",
                "Links under no known base of the upstream, left as they were",
            )?,
            upstream_up: build.gauge(
                "nugate_upstream_up",
                "1 when the last request to the upstream was answered, else 0",
            )?,
            described: build.described.into_inner(),
            registry,
        };
        metrics.begin_at_zero();
        Ok(metrics)
    }

    fn begin_at_zero(&self) {
        let begin = |series: &IntCounterVec, labels: &[&str]| {
            for label in labels {
                drop(series.with_label_values(&[label]));
            }
        };
        begin(&self.stale, &StaleReason::ALL.map(StaleReason::name));
        begin(&self.fills, FILLS);
        begin(&self.revalidations, REVALIDATIONS);
        begin(&self.store_errors, STORE_OPERATIONS);
        begin(&self.views, ENCODINGS);
    }

    /// The text exposition format of all series.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }

    /// Name and help of every series of nugate's own, in the order of the documentation.
    pub fn described(&self) -> &[(&'static str, &'static str)] {
        &self.described
    }
}
