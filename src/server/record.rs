//! What is told of a request: its identifier, counters, the line of the access log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::clock::Stopwatch;
use crate::observe::access_log::{Asker, Line};
use crate::observe::journal::session;
use crate::observe::texts::Texts;
use crate::observe::{Metrics, status_class};
use crate::policy::pacing::Payer;
use crate::server::answer::{Answer, Memory};
use crate::server::handle::{App, Ends, REQUEST_ID, SESSION};

impl App {
    /// The client's own identifier if it is a plain word, else one of ours.
    pub(super) fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if let Some(given) = headers.get(REQUEST_ID) {
            let bytes = given.as_bytes();
            if (1..=64).contains(&bytes.len()) && bytes.iter().all(plain) {
                return given.clone();
            }
        }
        identifier(self.run, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts an answered request, and puts its line into the access log.
    pub(super) fn record(
        &self,
        (ends, asker): (Ends, Payer),
        parts: &Parts,
        id: &HeaderValue,
        (answer, started): (&Answer, Stopwatch),
    ) {
        let status = answer.response.status();
        let elapsed = started.elapsed();
        match &answer.memory {
            Memory::Hot(hot) if status == StatusCode::OK => hot.count(elapsed),
            _ => count(self.group.metrics(), answer, elapsed),
        }
        let Some(log) = self.log.as_ref().filter(|log| log.is_on()) else {
            return;
        };
        let agent = parts.headers.get(USER_AGENT).map(HeaderValue::as_bytes);
        log.put(Line {
            time: self.group.clock().now(),
            client: ends.peer.ip(),
            asker: asker_of(ends, asker),
            session: parts.headers.get(SESSION).and_then(session),
            method: parts.method.clone(),
            texts: Texts::new(id.as_bytes(), parts.uri.path(), agent),
            resource: answer.resource,
            status: status.as_u16(),
            cache: answer.cache,
            bytes: answer.response.body().length(),
            duration: elapsed,
            warning: answer.warning().cloned(),
        });
    }
}

/// Both in hexadecimal digits, with a hyphen in between.
fn identifier(run: u64, number: u64) -> HeaderValue {
    let mut text = [0; 33];
    let mut start = text.len();
    for (number, is_last) in [(number, true), (run, false)] {
        let mut left = number;
        while left > 0 || text.get(start).is_none_or(|byte| *byte == b'-') {
            start -= 1;
            text[start] = b"0123456789abcdef"[(left & 0xf) as usize];
            left >>= 4;
        }
        if is_last {
            start -= 1;
            text[start] = b'-';
        }
    }
    HeaderValue::from_bytes(&text[start..]).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

fn count(metrics: &Metrics, answer: &Answer, elapsed: Duration) {
    let class = status_class(answer.response.status().as_u16());
    let labels = [answer.resource, answer.cache.name(), class];
    metrics.requests.with_label_values(&labels).inc();
    let seconds = metrics
        .request_seconds
        .with_label_values(&[answer.resource]);
    seconds.observe(elapsed.as_secs_f64());
}

fn asker_of(ends: Ends, payer: Payer) -> Asker {
    let (name, address) = match payer {
        Payer::User(name) => (Some(name), None),
        Payer::Client(address) => (None, Some(address)),
        Payer::Background | Payer::Shared => (None, None),
    };
    let address = address.unwrap_or_else(|| ends.peer.ip());
    Asker { name, address }
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn an_identifier_is_both_numbers() {
        for (run, number) in [(0, 0), (0x1a0, 0xf), (1, 0x10), (u64::MAX, u64::MAX)] {
            assert_eq!(identifier(run, number), format!("{run:x}-{number:x}"));
        }
    }
}
