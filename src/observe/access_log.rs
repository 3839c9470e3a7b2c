//! The access log: a line for each request, formatted and written by a thread of its own.
//!
//! A request only puts what is to be said into a queue. The queue is bounded: when the log cannot
//! be written as fast as requests come, lines are dropped and counted, and no request waits. The same
//! thread keeps the [`Journal`], if there is one.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam_queue::SegQueue;
use http::{HeaderValue, Method};
use prometheus::IntCounter;
use serde_json::json;
use uuid::Uuid;

use crate::clock::Time;
use crate::observe::CacheStatus;
use crate::observe::journal::Journal;
use crate::observe::stamp::{Stamp, address, number};
use crate::observe::texts::Texts;

/// Lines that wait at most: what a busy second brings.
const WAITING_MAX: usize = 65_536;

/// Lines written at once.
const BATCH: usize = 1024;

/// How long lines wait for company: a busy server has the lines of so long written in one go, and who
/// shares its core waits for that.
const PAUSE: Duration = Duration::from_millis(2);

/// What is said of a request.
#[derive(Debug)]
pub struct Line {
    /// When it was answered.
    pub time: Time,
    /// The other end of the connection.
    pub client: IpAddr,
    /// Who asked; the log does not say it.
    pub asker: Asker,
    /// The restore it is part of, as the client says; the log does not say it.
    pub session: Option<Uuid>,
    /// Its method.
    pub method: Method,
    /// Its identifier, its path, and what the client says it is.
    pub texts: Texts,
    /// The kind of document.
    pub resource: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// How the answer came about.
    pub cache: CacheStatus,
    /// Length of the body, if it is known.
    pub bytes: Option<u64>,
    /// Until the answer's head was known.
    pub duration: Duration,
    /// What the client was told of a failure; the log does not say it.
    pub warning: Option<HeaderValue>,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The name of the user or key, if there is one.
    pub name: Option<Arc<str>>,
    /// The address behind trusted proxies (IPv6: the network), or of the connection.
    pub address: IpAddr,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: fields as `name=value`.
    Text = 1,
    /// A JSON object a line.
    Json = 2,
}

/// In place of a format: nothing is written.
const OFF: u8 = 0;

/// Where lines are put. Dropping it writes what waits.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Thread,
    joined: Option<JoinHandle<()>>,
    dropped: IntCounter,
}

#[derive(Debug)]
struct Shared {
    /// Grows with what waits, so that a log that is kept up with takes little memory, and the same.
    waiting: SegQueue<Line>,
    /// A [`Format`], or [`OFF`].
    format: AtomicU8,
    journal: OnceLock<Arc<Journal>>,
    asleep: AtomicBool,
    over: AtomicBool,
}

impl AccessLog {
    /// A log of this format into `out`; `dropped` counts lines that found no place.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<W>(out: W, format: Format, dropped: IntCounter) -> io::Result<Self>
    where
        W: Write + Send + 'static,
    {
        let shared = Arc::new(Shared {
            waiting: SegQueue::new(),
            format: AtomicU8::new(format as u8),
            journal: OnceLock::new(),
            asleep: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let name = "access-log".to_owned();
        let joined = std::thread::Builder::new()
            .name(name)
            .spawn(move || write_all(&theirs, out))?;
        Ok(Self {
            shared,
            writer: joined.thread().clone(),
            joined: Some(joined),
            dropped,
        })
    }

    /// The same, also keeping a journal.
    #[must_use]
    pub fn with_journal(self, journal: Arc<Journal>) -> Self {
        self.shared.journal.get_or_init(|| journal);
        self
    }

    /// Writes lines of this format from now on, or none.
    pub fn set(&self, format: Option<Format>) {
        let format = format.map_or(OFF, |format| format as u8);
        self.shared.format.store(format, Ordering::Relaxed);
    }

    /// Whether lines are of use: written, or kept in a journal.
    pub fn is_on(&self) -> bool {
        self.shared.format.load(Ordering::Relaxed) != OFF || self.shared.journal.get().is_some()
    }

    /// Puts a line into the queue.
    pub fn put(&self, line: Line) {
        // Of several at once who find the last place, each takes it.
        if self.shared.waiting.len() < WAITING_MAX {
            self.shared.waiting.push(line);
        } else {
            self.dropped.inc();
        }
        // Waking costs a system call: only who finds the writer asleep pays it.
        if self.shared.asleep.load(Ordering::SeqCst)
            && self.shared.asleep.swap(false, Ordering::SeqCst)
        {
            self.writer.unpark();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.writer.unpark();
        if let Some(joined) = self.joined.take() {
            // It panicked: there is nothing to wait for.
            let _ = joined.join();
        }
    }
}

fn write_all(shared: &Shared, mut out: impl Write) {
    let (mut block, mut stamp) = (Vec::new(), Stamp::default());
    loop {
        let over = shared.over.load(Ordering::SeqCst);
        let mut lines = 0;
        while lines < BATCH
            && let Some(line) = shared.waiting.pop()
        {
            if let Some(journal) = shared.journal.get() {
                journal.keep(&line);
            }
            match shared.format.load(Ordering::Relaxed) {
                OFF => {}
                json if json == Format::Json as u8 => line.json(&mut stamp, &mut block),
                _ => line.text(&mut stamp, &mut block),
            }
            lines += 1;
        }
        if !block.is_empty() {
            // A log that cannot be written is no reason to stop serving.
            let _ = out.write_all(&block);
            block.clear();
        }
        match lines {
            BATCH => {}
            0 if over => return,
            0 => {
                shared.asleep.store(true, Ordering::SeqCst);
                // A line put in before that has not woken anybody.
                if shared.waiting.is_empty() && !shared.over.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                shared.asleep.store(false, Ordering::SeqCst);
            }
            _ if over => {}
            _ => std::thread::park_timeout(PAUSE),
        }
    }
}

impl Line {
    fn text(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        stamp.write(self.time, out);
        out.extend_from_slice(b"  INFO request request_id=");
        quoted(self.texts.id(), out);
        out.extend_from_slice(b" client=");
        address(self.client, out);
        out.extend_from_slice(b" method=");
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.extend_from_slice(b" path=");
        quoted(self.texts.path_bytes(), out);
        out.extend_from_slice(b" resource=");
        quoted(self.resource.as_bytes(), out);
        out.extend_from_slice(b" status=");
        number(self.status, out);
        out.extend_from_slice(b" cache=");
        quoted(self.cache.name().as_bytes(), out);
        if let Some(bytes) = self.bytes {
            out.extend_from_slice(b" bytes=");
            number(bytes, out);
        }
        out.extend_from_slice(b" duration_ms=");
        number(self.duration.as_millis(), out);
        if let Some(agent) = self.texts.agent() {
            out.extend_from_slice(b" user_agent=");
            quoted(agent, out);
        }
        out.push(b'\n');
    }

    fn json(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        let mut time = Vec::new();
        stamp.write(self.time, &mut time);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut line = json!({
            "timestamp": String::from_utf8_lossy(&time),
            "level": "INFO",
            "message": "request",
            "request_id": text(self.texts.id()),
            "client": self.client.to_string(),
            "method": self.method.as_str(),
            "path": self.texts.path(),
            "resource": self.resource,
            "status": self.status,
            "cache": self.cache.name(),
            "duration_ms": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
        });
        if let Some(bytes) = self.bytes {
            line["bytes"] = bytes.into();
        }
        if let Some(agent) = self.texts.agent() {
            line["user_agent"] = text(agent).into();
        }
        line["target"] = "nugate::access".into();
        // What is not plain ASCII could move a terminal's cursor or turn its text around.
        for char in line.to_string().chars() {
            if matches!(char, ' '..='~') {
                out.push(char as u8);
                continue;
            }
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        out.push(b'\n');
    }
}

/// What a client sent, with nothing in it that could end the value or the line.
fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    // Counted, not searched, so that many bytes are looked at together.
    if bytes.iter().filter(|byte| !plain(byte)).count() == 0 {
        out.extend_from_slice(bytes);
    } else {
        let _ = write!(out, "{}", bytes.escape_ascii());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(path: &str) -> Line {
        Line {
            time: Time::from_millis(1_795_258_325_892),
            client: IpAddr::from([127, 0, 0, 1]),
            asker: Asker {
                name: None,
                address: IpAddr::from([127, 0, 0, 1]),
            },
            session: None,
            method: Method::GET,
            texts: Texts::new(b"a-1", path, Some(b"x \"y\"\xff")),
            resource: "nupkg",
            status: 200,
            cache: CacheStatus::Hit,
            bytes: Some(7),
            duration: Duration::from_millis(3),
            warning: None,
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "help").unwrap()
    }

    fn written(format: Format) -> String {
        let out = Written::default();
        let log = AccessLog::start(out.clone(), format, counter()).unwrap();
        log.put(line("/v3/a"));
        drop(log);
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_has_all_there_is_to_say_and_nothing_that_ends_it_early() {
        assert_eq!(
            written(Format::Text),
            "2026-11-21T10:52:05.892Z  INFO request request_id=\"a-1\" client=127.0.0.1 method=GET \
             path=\"/v3/a\" resource=\"nupkg\" status=200 cache=\"hit\" bytes=7 duration_ms=3 \
             user_agent=\"x \\\"y\\\"\\xff\"\n"
        );
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!(json["timestamp"], "2026-11-21T10:52:05.892Z");
        assert_eq!(json["path"], "/v3/a");
        assert_eq!(json["bytes"], 7);
        assert_eq!(json["target"], "nugate::access");
    }

    #[test]
    fn every_line_is_written_however_many_put_them() {
        let out = Written::default();
        let log = AccessLog::start(out.clone(), Format::Text, counter()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5000).for_each(|_| log.put(line("/"))));
            }
        });
        assert_eq!(log.dropped.get(), 0);
        drop(log);
        let all = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(all.lines().count(), 20_000);
        assert!(all.lines().all(|line| line.ends_with("\\xff\"")));
    }

    /// A writer that is stuck until it is let go.
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.0.lock());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_stuck() {
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        let log = AccessLog::start(Stuck(Arc::clone(&gate)), Format::Text, counter()).unwrap();
        for _ in 0..WAITING_MAX + BATCH + 10 {
            log.put(line("/"));
        }
        assert!(log.dropped.get() >= 10);
        drop(held);
    }
}
