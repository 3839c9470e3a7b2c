//! Whether a host is asked at all: the circuit breaker of one host, as a pure state machine.
//!
//! It knows no URLs, no network and no clock. A host that fails again and again is left alone and
//! asked once in a while by one request (the probe); one that asked to be left alone
//! (`Retry-After`) is, until then. Invariants: while it is not closed at most one request is under
//! way because of it; no rest is longer than [`WISH_MAX`], whatever the clock does.

use std::time::Duration;

use crate::clock::Time;

/// Failures in a row after which a host is left alone.
const FAILURES: u32 = 5;

/// How long a host that fails is left alone before the next probe; up to a quarter more.
const PAUSE: Duration = Duration::from_secs(5);

/// A probe that is due for so long is no news: nobody asked, and the host is tried as if it were
/// well, but left alone again after the first failure.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// Of at least this many requests begun in [`WINDOW`], four fifths failing is failing too.
const SAMPLE: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// The longest rest a host can ask for.
pub(super) const WISH_MAX: Duration = Duration::from_mins(5);

/// What became of a request to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It was answered by a host in working order.
    Answered,
    /// The host could not be reached: it fails for every document.
    Unreachable,
    /// It failed for the document with this number; others may do.
    Failed(u64),
    /// The host asked to be left alone this long.
    Wished(Duration),
}

/// Why a host is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It failed.
    Failing,
    /// It asked for it.
    Wished,
}

/// A host is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// Why.
    pub(super) cause: Cause,
    /// How long until the next probe; zero while one is under way.
    pub(super) wait: Duration,
}

/// Whether a request may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It may.
    Free,
    /// It may, as the probe.
    Probe,
    /// It may not.
    Barred(Rest),
}

/// How a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is asked.
    Closed,
    /// It is left alone after failures.
    Open,
    /// It is asked by one request.
    Probing,
    /// It is left alone because it asked for it.
    Resting,
}

impl State {
    /// All states, in the order of the documentation.
    pub(super) const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::Probing, Self::Resting];

    /// The metric label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
            Self::Resting => "resting",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open(Cause, Time),
    Probing(Cause),
}

/// Which documents failed since the last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Failed {
    #[default]
    None,
    One(u64),
    Many,
}

impl Failed {
    fn and(self, event: Event) -> Self {
        match (self, event) {
            (Self::None, Event::Failed(document)) => Self::One(document),
            (Self::One(known), Event::Failed(document)) if known == document => self,
            _ => Self::Many,
        }
    }
}

/// Requests of the last seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Time,
    asked: u32,
    failed: u32,
}

impl Window {
    fn count(&mut self, failed: bool, now: Time) {
        if now < self.since || now.since(self.since) >= WINDOW {
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
        self.asked = self.asked.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(failed));
    }

    const fn is_failing(self) -> bool {
        self.asked >= SAMPLE && self.failed / 4 >= self.asked.saturating_sub(self.failed)
    }
}

/// What is remembered of one host.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    phase: Phase,
    streak: u32,
    failed: Failed,
    window: Window,
}

impl Breaker {
    /// How it stands.
    pub(super) const fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open(Cause::Failing, _) => State::Open,
            Phase::Open(Cause::Wished, _) => State::Resting,
            Phase::Probing(_) => State::Probing,
        }
    }

    /// Whether a request for `document` may be made at `now`. Changes nothing.
    pub(super) fn way(&self, document: u64, now: Time) -> Way {
        // One broken document is no broken host: only it is left alone.
        let spared = matches!(self.failed, Failed::One(culprit) if culprit != document);
        match self.phase {
            Phase::Closed => Way::Free,
            Phase::Open(_, until) if now.since(until) >= FORGOTTEN => Way::Free,
            Phase::Open(Cause::Failing, _) | Phase::Probing(Cause::Failing) if spared => Way::Free,
            Phase::Probing(cause) => Way::Barred(Rest {
                cause,
                wait: Duration::ZERO,
            }),
            Phase::Open(cause, until) => {
                let wait = until.since(now);
                // A clock that was set back would make it wait for ever.
                if wait.is_zero() || wait > WISH_MAX {
                    Way::Probe
                } else {
                    Way::Barred(Rest { cause, wait })
                }
            }
        }
    }

    /// The same, and the probe is now under way if it may be made as that.
    pub(super) fn enter(&mut self, document: u64, now: Time) -> Way {
        let way = self.way(document, now);
        if matches!(self.phase, Phase::Open(_, until) if now.since(until) >= FORGOTTEN) {
            self.phase = Phase::Closed;
            self.streak = FAILURES - 1;
        }
        if let (Way::Probe, Phase::Open(cause, _)) = (way, self.phase) {
            self.phase = Phase::Probing(cause);
        }
        way
    }

    /// Takes note of what became of a request. `jitter` lengthens a pause by so many 512ths.
    pub(super) fn tell(&mut self, event: Event, probe: bool, (now, jitter): (Time, u8)) {
        match event {
            Event::Answered => self.answered(probe, now),
            Event::Wished(wish) => {
                let mut until = now.plus(wish.min(WISH_MAX));
                if let Phase::Open(Cause::Wished, known) = self.phase {
                    until = until.max(known);
                }
                self.phase = Phase::Open(Cause::Wished, until);
            }
            Event::Unreachable | Event::Failed(_) => {
                self.window.count(true, now);
                self.streak = self.streak.saturating_add(1);
                self.failed = self.failed.and(event);
                let failing = self.streak >= FAILURES || self.window.is_failing();
                if probe || (self.phase == Phase::Closed && failing) {
                    let pause = PAUSE + PAUSE / 512 * u32::from(jitter & 127);
                    self.phase = Phase::Open(Cause::Failing, now.plus(pause));
                }
            }
        }
    }

    fn answered(&mut self, probe: bool, now: Time) {
        self.window.count(false, now);
        self.streak = 0;
        self.failed = Failed::None;
        // What was asked before the wish says nothing about it.
        let wished = matches!(
            self.phase,
            Phase::Open(Cause::Wished, _) | Phase::Probing(Cause::Wished)
        );
        if probe || !wished {
            if self.phase != Phase::Closed {
                self.window = Window::default();
            }
            self.phase = Phase::Closed;
        }
    }

    /// The probe was given up without a result: the next request is one.
    pub(super) fn abandon(&mut self, now: Time) {
        if let Phase::Probing(cause) = self.phase {
            self.phase = Phase::Open(cause, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_millis(1_000_000_000);

    fn at(millis: u64) -> Time {
        START.plus(Duration::from_millis(millis))
    }

    fn tell(breaker: &mut Breaker, event: Event, probe: bool, now: Time) {
        breaker.tell(event, probe, (now, 0));
    }

    fn failing() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert_eq!(breaker.enter(1, START), Way::Free);
            tell(&mut breaker, Event::Unreachable, false, START);
        }
        breaker
    }

    const fn barred(cause: Cause, millis: u64) -> Way {
        let wait = Duration::from_millis(millis);
        Way::Barred(Rest { cause, wait })
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_probe_at_a_time_closes_it() {
        let mut breaker = failing();
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.enter(2, START), barred(Cause::Failing, 5000));
        assert_eq!(breaker.enter(2, at(4999)), barred(Cause::Failing, 1));
        assert_eq!(breaker.enter(2, at(5000)), Way::Probe);
        assert_eq!(breaker.enter(3, at(5000)), barred(Cause::Failing, 0));
        tell(&mut breaker, Event::Unreachable, true, at(5001));
        assert_eq!(breaker.enter(2, at(10_000)), barred(Cause::Failing, 1));
        assert_eq!(breaker.enter(2, at(10_001)), Way::Probe);
        tell(&mut breaker, Event::Answered, true, at(10_002));
        assert_eq!(breaker.state(), State::Closed);
        for _ in 0..FAILURES - 1 {
            tell(&mut breaker, Event::Unreachable, false, at(10_003));
            assert_eq!(breaker.enter(2, at(10_003)), Way::Free);
        }
    }

    #[test]
    fn a_probe_nobody_made_is_forgotten_and_the_next_failure_opens_it_again() {
        let mut breaker = failing();
        assert_eq!(breaker.way(1, at(34_999)), Way::Probe);
        for _ in 0..3 {
            assert_eq!(breaker.enter(1, at(35_000)), Way::Free);
        }
        tell(&mut breaker, Event::Unreachable, false, at(35_000));
        assert_eq!(breaker.enter(1, at(35_000)), barred(Cause::Failing, 5000));
    }

    #[test]
    fn a_late_answer_closes_it_and_late_failures_do_not_prolong_it() {
        let mut breaker = failing();
        tell(&mut breaker, Event::Unreachable, false, at(4000));
        assert_eq!(breaker.way(1, at(4000)), barred(Cause::Failing, 1000));
        tell(&mut breaker, Event::Answered, false, at(4000));
        assert_eq!(breaker.way(1, at(4000)), Way::Free);
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_anew() {
        let mut breaker = Breaker::default();
        for round in 0..100 {
            for _ in 0..FAILURES - 1 {
                tell(
                    &mut breaker,
                    Event::Failed(round),
                    false,
                    at(round * 10_000),
                );
            }
            tell(&mut breaker, Event::Answered, false, at(round * 10_000));
            assert_eq!(breaker.state(), State::Closed);
        }
    }

    #[test]
    fn four_failures_of_five_open_it_and_every_second_one_does_not() {
        let run = |good_each: u64| {
            let mut breaker = Breaker::default();
            for number in 0..1000 {
                let answered = number % good_each == 0;
                let event = [Event::Failed(number), Event::Answered][usize::from(answered)];
                tell(&mut breaker, event, false, at(number));
                if breaker.state() != State::Closed {
                    return Some(number);
                }
            }
            None
        };
        assert_eq!(run(2), None);
        assert_eq!(run(4), None);
        assert_eq!(run(5), Some(19));
    }

    #[test]
    fn one_broken_document_is_left_alone_alone() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            tell(&mut breaker, Event::Failed(7), false, START);
        }
        assert_eq!(breaker.enter(7, START), barred(Cause::Failing, 5000));
        assert_eq!(breaker.enter(8, START), Way::Free);
        tell(&mut breaker, Event::Failed(8), false, START);
        assert_eq!(breaker.enter(9, START), barred(Cause::Failing, 5000));
    }

    #[test]
    fn a_wish_is_heard_to_its_end_and_no_longer_than_five_minutes() {
        let mut breaker = Breaker::default();
        let wish = |seconds| Event::Wished(Duration::from_secs(seconds));
        tell(&mut breaker, wish(30), false, START);
        tell(&mut breaker, wish(10), false, START);
        tell(&mut breaker, Event::Answered, false, START);
        assert_eq!(breaker.state(), State::Resting);
        assert_eq!(breaker.enter(1, at(29_999)), barred(Cause::Wished, 1));
        assert_eq!(breaker.enter(1, at(30_000)), Way::Probe);
        tell(&mut breaker, Event::Answered, false, at(30_000));
        assert_eq!(breaker.enter(2, at(30_000)), barred(Cause::Wished, 0));
        tell(&mut breaker, wish(3600), true, at(30_000));
        assert_eq!(breaker.way(1, at(329_999)), barred(Cause::Wished, 1));
        assert_eq!(breaker.way(1, at(330_000)), Way::Probe);
    }

    #[test]
    fn a_probe_that_is_given_up_makes_way_and_a_clock_set_back_does_too() {
        let mut breaker = failing();
        assert_eq!(breaker.enter(1, at(6000)), Way::Probe);
        breaker.abandon(at(6001));
        assert_eq!(breaker.enter(1, at(6001)), Way::Probe);
        breaker.abandon(at(6001));
        assert_eq!(breaker.way(1, Time::from_millis(5)), Way::Probe);
    }

    #[test]
    fn jitter_lengthens_a_pause_by_a_quarter_at_most() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.tell(Event::Unreachable, false, (START, 255));
        }
        assert_eq!(breaker.way(1, at(6200)), barred(Cause::Failing, 40));
    }
}
