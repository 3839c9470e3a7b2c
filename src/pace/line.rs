//! A line with a queue in front of it, and those who wait there.
//!
//! Whoever comes looks after the queue himself; a task does while all wait, and ends when nobody
//! does. Invariant: a ticket is given up when its [`Turn`] is dropped.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use prometheus::{Histogram, IntGauge};
use tokio::sync::Notify;

use crate::clock::{Clock, Stopwatch};
use crate::observe::Metrics;
use crate::pace::zone::Zone;
use crate::policy::pacing::{Direction, Moment, Next, Payer, Quota, Turns, Window, rate_at};

/// How often a line whose limit depends on the time looks at the clock while somebody waits.
const LOOK: Duration = Duration::from_secs(1);

/// What a line lets through at which times of the week.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// The limits; those of other directions do not count.
    pub windows: Arc<[Window]>,
    /// Which way its bytes go.
    pub direction: Direction,
    /// Whose time of the day it is.
    pub zone: Arc<Zone>,
    /// Where the time is from.
    pub clock: Clock,
}

/// A line: cheap to clone, all clones are one.
#[derive(Clone)]
pub struct Line(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    started: Stopwatch,
    calendar: Option<Calendar>,
    sooner: Notify,
    waiting: IntGauge,
    seconds: Histogram,
}

struct State {
    turns: Turns,
    waiters: HashMap<u64, Waiter>,
    /// Until when the task sleeps that looks after the queue; none when there is no such task.
    due: Option<Duration>,
    /// When the calendar was looked at, in seconds.
    looked: Option<u64>,
}

struct Waiter {
    waker: Waker,
    since: Duration,
    granted: Option<u64>,
}

impl Line {
    /// A line through which `turns` lets; `name` is its metric label.
    pub fn new(turns: Turns, calendar: Option<Calendar>, name: &str, metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                turns,
                waiters: HashMap::new(),
                due: None,
                looked: None,
            }),
            started: Stopwatch::start(),
            calendar,
            sooner: Notify::new(),
            waiting: metrics.pacing_waiting.with_label_values(&[name]),
            seconds: metrics.pacing_seconds.with_label_values(&[name]),
        }))
    }

    /// A place in its queue, for one request or body of `payer`.
    pub fn turn(&self, payer: Payer) -> Turn {
        Turn {
            line: self.clone(),
            payer,
            ticket: None,
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the limit of the moment.
    fn look(&self, state: &mut State, now: Duration) {
        let Some(calendar) = &self.calendar else {
            return;
        };
        let time = calendar.clock.now();
        let second = time.as_millis() / 1000;
        if state.looked == Some(second) {
            return;
        }
        state.looked = Some(second);
        let moment = Moment::of(time, calendar.zone.offset(time));
        let rate = rate_at(&calendar.windows, calendar.direction, moment);
        state.turns.set_line(rate.map(Quota::bytes), now);
    }

    /// Sees to it that the queue is looked after when `wait` is over.
    fn tend(self: &Arc<Self>, state: &mut State, now: Duration, wait: Duration) {
        let due = now + wait;
        match state.due {
            None => {
                state.due = Some(due);
                drop(tokio::spawn(Arc::clone(self).look_after(wait)));
            }
            Some(known) if due < known => {
                state.due = Some(due);
                self.sooner.notify_one();
            }
            Some(_) => {}
        }
    }

    async fn look_after(self: Arc<Self>, mut wait: Duration) {
        loop {
            let limit = self.calendar.as_ref().map_or(wait, |_| wait.min(LOOK));
            tokio::select! {
                () = tokio::time::sleep(limit) => {}
                () = self.sooner.notified() => {}
            }
            let mut state = self.state();
            let now = self.started.elapsed();
            self.look(&mut state, now);
            let Some(next) = state.dispatch(now) else {
                state.due = None;
                return;
            };
            state.due = Some(now + next);
            wait = next;
        }
    }
}

impl State {
    /// Grants what there is, and says how long there is nothing more while somebody waits.
    fn dispatch(&mut self, now: Duration) -> Option<Duration> {
        loop {
            match self.turns.next(now) {
                Next::Idle => return None,
                Next::Wait(wait) => return Some(wait),
                Next::Grant { ticket, units } => {
                    if let Some(waiter) = self.waiters.get_mut(&ticket) {
                        waiter.granted = Some(units);
                        waiter.waker.wake_by_ref();
                    }
                }
            }
        }
    }
}

/// A place in the queue of a line.
pub struct Turn {
    line: Line,
    payer: Payer,
    ticket: Option<u64>,
}

impl Turn {
    /// Takes up to `units`, one at least, when it is this one's turn; `ending` says that little is
    /// left of what they are for. None when too many of the same client wait. May be asked anew with
    /// other numbers; those of the first count.
    pub fn poll(&mut self, cx: &mut Context<'_>, units: u64, ending: bool) -> Poll<Option<u64>> {
        let inner = &self.line.0;
        let mut guard = inner.state();
        let state = &mut *guard;
        let now = inner.started.elapsed();
        if let Some(ticket) = self.ticket {
            let granted = state.waiters.get_mut(&ticket).and_then(|waiter| {
                waiter.waker.clone_from(cx.waker());
                waiter.granted
            });
            if granted.is_none() && state.waiters.contains_key(&ticket) {
                return Poll::Pending;
            }
            self.ticket = None;
            inner.done(state, ticket, now);
            return Poll::Ready(granted);
        }
        inner.look(state, now);
        if state.turns.is_open() && state.waiters.is_empty() {
            return Poll::Ready(Some(units));
        }
        let Some(ticket) = state.turns.join(&self.payer, units, ending) else {
            return Poll::Ready(None);
        };
        let waiter = Waiter {
            waker: cx.waker().clone(),
            since: now,
            granted: None,
        };
        state.waiters.insert(ticket, waiter);
        if let Some(wait) = state.dispatch(now) {
            inner.tend(state, now, wait);
        }
        let granted = state.waiters.get(&ticket).and_then(|waiter| waiter.granted);
        if granted.is_some() {
            state.waiters.remove(&ticket);
            return Poll::Ready(granted);
        }
        self.ticket = Some(ticket);
        inner.waiting.inc();
        Poll::Pending
    }

    /// [`Turn::poll`] as a future; nothing is lost when it is dropped.
    pub async fn take(&mut self, units: u64, ending: bool) -> Option<u64> {
        poll_fn(|cx| self.poll(cx, units, ending)).await
    }
}

impl Inner {
    /// Counts a ticket that has waited, and forgets it.
    fn done(&self, state: &mut State, ticket: u64, now: Duration) {
        self.waiting.dec();
        if let Some(waiter) = state.waiters.remove(&ticket) {
            let waited = now.saturating_sub(waiter.since);
            self.seconds.observe(waited.as_secs_f64());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let inner = &self.line.0;
        let mut state = inner.state();
        let now = inner.started.elapsed();
        state.turns.leave(&self.payer, ticket);
        inner.done(&mut state, ticket, now);
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.payer).finish()
    }
}
