//! Whose turn it is.
//!
//! Clients take turns, however many requests each has waiting; a turn is a slice (deficit round
//! robin). Within its turn a client's requests go in the order in which they came, except that those
//! near their end go every other time: the end of a package is held back until it is verified, and a
//! client that has many packages under way must not wait for all of them at once. What nobody waits
//! for has the rest of the line, and one turn in eight when there is none.
//!
//! Invariants: what is granted keeps to the rates, whoever asks; a client that waits has its turn
//! after at most one turn of each other client.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::valve::{Valve, Valves};
use super::{Payer, Quota};

/// Turns of clients between two of the background, when both wait.
const PASSED_OVER_MAX: u32 = 7;

/// How long a round may take, in seconds: a third of what clients wait for the next byte.
const ROUND: u64 = 20;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This ticket gets so many units, and is done.
    Grant {
        /// As [`Turns::join`] gave it.
        ticket: u64,
        /// At most what was wanted, at least one.
        units: u64,
    },
    /// Nothing before this time is over.
    Wait(Duration),
    /// Nobody waits.
    Idle,
}

/// A queue in front of a line.
#[derive(Debug)]
pub struct Turns {
    line: Option<Valve>,
    each: Option<Valves>,
    /// Most tickets of one client at a time.
    queue_max: usize,
    /// Units of one turn where neither says so.
    slice: u64,
    /// Clients whose turn may come: those that are waited for, then the background.
    rings: [VecDeque<Payer>; 2],
    /// Clients whose own rate is used up, by the time when it is not.
    resting: BTreeMap<(Duration, u64), Payer>,
    flows: HashMap<Payer, Flow>,
    passed_over: u32,
    tickets: u64,
}

/// What one client wants.
#[derive(Debug, Default)]
struct Flow {
    ordered: VecDeque<Want>,
    ending: VecDeque<Want>,
    /// Whether the last grant was for one that is ending.
    ended: bool,
    /// Left of its turn.
    turn: u64,
    /// Taken from its own rate and not yet from that of the line.
    paid: u64,
    /// Where it rests.
    rest: Option<(Duration, u64)>,
}

#[derive(Debug)]
struct Want {
    ticket: u64,
    units: u64,
}

impl Flow {
    fn queue(&mut self) -> &mut VecDeque<Want> {
        let ending = !self.ending.is_empty() && (!self.ended || self.ordered.is_empty());
        if ending {
            &mut self.ending
        } else {
            &mut self.ordered
        }
    }

    fn len(&self) -> usize {
        self.ordered.len() + self.ending.len()
    }

    /// Takes the next one off its queue.
    fn pop(&mut self) -> Option<Want> {
        let both = !self.ending.is_empty() && !self.ordered.is_empty();
        let want = self.queue().pop_front();
        self.ended = both && !self.ended;
        want
    }
}

impl Turns {
    /// Nobody waits yet; `line` is for all together, `each` for one client. At most `queue_max`
    /// tickets of one client wait.
    pub fn new(line: Option<Quota>, each: Option<Quota>, queue_max: usize) -> Self {
        Self {
            line: line.map(|quota| Valve::new(quota, Duration::ZERO)),
            each: each.map(Valves::new),
            queue_max,
            slice: u64::MAX,
            rings: Default::default(),
            resting: BTreeMap::new(),
            flows: HashMap::new(),
            passed_over: 0,
            tickets: 0,
        }
    }

    /// A queue without a line: one unit is a turn.
    pub fn one_by_one(queue_max: usize) -> Self {
        Self {
            slice: 1,
            ..Self::new(None, None, queue_max)
        }
    }

    /// From now on this is what all together get.
    pub fn set_line(&mut self, quota: Option<Quota>, now: Duration) {
        if self.line.as_ref().map(Valve::quota) != quota.as_ref() {
            self.line = quota.map(|quota| Valve::new(quota, now));
        }
    }

    /// Whether there is no limit at all for now.
    pub const fn is_open(&self) -> bool {
        self.line.is_none() && self.each.is_none()
    }

    /// Queues a request for units, one at least; `ending` says that little is left of what they are
    /// for. None when too many of its client wait already.
    pub fn join(&mut self, payer: &Payer, units: u64, ending: bool) -> Option<u64> {
        let known = self.flows.contains_key(payer);
        let flow = self.flows.entry(payer.clone()).or_default();
        if flow.len() >= self.queue_max {
            return None;
        }
        self.tickets += 1;
        let want = Want {
            ticket: self.tickets,
            units: units.max(1),
        };
        if ending {
            flow.ending.push_back(want);
        } else {
            flow.ordered.push_back(want);
        }
        if !known {
            self.rings[rank(payer)].push_back(payer.clone());
        }
        Some(self.tickets)
    }

    /// Forgets a ticket whose holder is gone.
    pub fn leave(&mut self, payer: &Payer, ticket: u64) {
        let Some(flow) = self.flows.get_mut(payer) else {
            return;
        };
        flow.ordered.retain(|want| want.ticket != ticket);
        flow.ending.retain(|want| want.ticket != ticket);
        if flow.len() == 0 {
            if let Some(rest) = flow.rest {
                self.resting.remove(&rest);
            } else {
                self.rings[rank(payer)].retain(|other| other != payer);
            }
            self.flows.remove(payer);
        }
    }

    /// Says what happens next; `now` never goes back.
    pub fn next(&mut self, now: Duration) -> Next {
        self.rouse(now);
        loop {
            let Some(rank) = self.next_rank() else {
                let first = self.resting.first_key_value();
                return first.map_or(Next::Idle, |((ready, _), _)| {
                    Next::Wait(ready.saturating_sub(now))
                });
            };
            let quantum = self.quantum();
            let Some(payer) = self.rings[rank].front().cloned() else {
                return Next::Idle;
            };
            let flow = self.flows.entry(payer.clone()).or_default();
            if flow.turn == 0 {
                flow.turn = quantum;
            }
            let wanted = flow.queue().front().map_or(1, |want| want.units);
            let units = wanted.min(flow.turn).min(quantum);
            if let Err(wait) = take_own(self.each.as_mut(), (&payer, flow), units, now) {
                let rest = (now + wait, self.tickets);
                self.tickets += 1;
                flow.rest = Some(rest);
                self.rings[rank].pop_front();
                self.resting.insert(rest, payer);
                continue;
            }
            if let Some(line) = &self.line
                && let Err(wait) = line.take(units, now)
            {
                return Next::Wait(wait);
            }
            return self.grant(rank, &payer, units);
        }
    }

    fn grant(&mut self, rank: usize, payer: &Payer, units: u64) -> Next {
        let background = !self.rings[1].is_empty();
        self.passed_over = if rank == 0 && background {
            self.passed_over + 1
        } else {
            0
        };
        let flow = self.flows.entry(payer.clone()).or_default();
        flow.paid = flow.paid.saturating_sub(units);
        flow.turn = flow.turn.saturating_sub(units);
        let ticket = flow.pop().map_or(0, |want| want.ticket);
        if flow.len() == 0 {
            self.flows.remove(payer);
            self.rings[rank].pop_front();
        } else if flow.turn == 0 {
            self.rings[rank].rotate_left(1);
        }
        Next::Grant { ticket, units }
    }

    /// Those whose rest is over take their places behind the others.
    fn rouse(&mut self, now: Duration) {
        while let Some(entry) = self.resting.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let payer = entry.remove();
            if let Some(flow) = self.flows.get_mut(&payer) {
                flow.rest = None;
                self.rings[rank(&payer)].push_back(payer);
            }
        }
    }

    fn next_rank(&self) -> Option<usize> {
        match (self.rings[0].is_empty(), self.rings[1].is_empty()) {
            (true, true) => None,
            (false, false) => Some(usize::from(self.passed_over >= PASSED_OVER_MAX)),
            (waited_for, _) => Some(usize::from(waited_for)),
        }
    }

    fn quantum(&self) -> u64 {
        let many = self.rings[0].len() + self.rings[1].len();
        let line = self.line.as_ref();
        let line = line.map_or(self.slice, |line| line.quota().slice_of(many, ROUND));
        let each = self.each.as_ref();
        line.min(each.map_or(u64::MAX, |each| each.quota().slice))
    }
}

/// Takes from a client's own rate what was not taken yet.
fn take_own(
    each: Option<&mut Valves>,
    (payer, flow): (&Payer, &mut Flow),
    units: u64,
    now: Duration,
) -> Result<(), Duration> {
    let missing = units.saturating_sub(flow.paid);
    if let Some(each) = each.filter(|_| missing > 0) {
        each.take(payer, missing, now)?;
        flow.paid += missing;
    }
    Ok(())
}

fn rank(payer: &Payer) -> usize {
    usize::from(*payer == Payer::Background)
}

#[cfg(test)]
mod tests;
