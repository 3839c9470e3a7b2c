//! Places that clients take by turns.
//!
//! A place that becomes free goes to the next client, however many requests another has waiting.
//! Invariant: a place is held once, or free, or on its way to who waits for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::policy::pacing::{Next, Payer, Turns};

/// A number of places.
#[derive(Clone)]
pub(super) struct Places(Arc<Mutex<State>>);

struct State {
    free: usize,
    turns: Turns,
    waiting: HashMap<u64, oneshot::Sender<Place>>,
}

/// A place that is held; dropped, it is the next one's.
pub(super) struct Place(Places);

/// Someone in the queue.
struct Waiting<'a> {
    places: &'a Places,
    payer: &'a Payer,
    ticket: u64,
}

impl Places {
    /// So many places; at most `queue_max` requests of one client wait.
    pub(super) fn new(count: usize, queue_max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: count,
            turns: Turns::one_by_one(queue_max),
            waiting: HashMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place; none when too many requests of the same client wait.
    pub(super) async fn take(&self, payer: &Payer) -> Option<Place> {
        let (ticket, receiver) = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Some(Place(self.clone()));
            }
            let ticket = state.turns.join(payer, 1, false)?;
            let (sender, receiver) = oneshot::channel();
            state.waiting.insert(ticket, sender);
            (ticket, receiver)
        };
        let _waiting = Waiting {
            places: self,
            payer,
            ticket,
        };
        receiver.await.ok()
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.state().free
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.places.state();
        if state.waiting.remove(&self.ticket).is_some() {
            state.turns.leave(self.payer, self.ticket);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state();
            let next = match state.turns.next(Duration::ZERO) {
                Next::Grant { ticket, .. } => state.waiting.remove(&ticket),
                Next::Wait(_) | Next::Idle => None,
            };
            if next.is_none() {
                state.free += 1;
            }
            next
        };
        if let Some(next) = next {
            // One that has just left gives it on in turn: the place comes back and is dropped.
            drop(next.send(Self(self.0.clone())));
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Places").field(&self.state().free).finish()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;

    use super::*;

    fn client(number: u8) -> Payer {
        Payer::Client(IpAddr::from([10, 0, 0, number]))
    }

    #[tokio::test]
    async fn clients_take_turns_and_who_leaves_is_passed_over() {
        let places = Places::new(1, 100);
        let (greedy, other) = (client(1), client(2));
        let held = places.take(&greedy).await.unwrap();
        let mut greedy: Vec<_> = (0..3).map(|_| Box::pin(places.take(&greedy))).collect();
        for one in &mut greedy {
            assert!(one.now_or_never().is_none());
        }
        let mut other = Box::pin(places.take(&other));
        assert!((&mut other).now_or_never().is_none());
        drop(held);
        let first = (&mut greedy[0]).now_or_never().unwrap().unwrap();
        drop(first);
        // The client that came last is second, not fourth.
        assert!((&mut greedy[1]).now_or_never().is_none());
        let second = (&mut other).now_or_never().unwrap().unwrap();
        drop(greedy.remove(1));
        drop(second);
        let third = (&mut greedy[1]).now_or_never().unwrap().unwrap();
        assert_eq!(places.free(), 0);
        drop(third);
        assert_eq!(places.free(), 1);
        assert!(places.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_place_on_its_way_to_one_who_left_is_not_lost() {
        let places = Places::new(1, 1);
        let payer = client(1);
        let held = places.take(&payer).await.unwrap();
        let mut waiting = Box::pin(places.take(&payer));
        assert!((&mut waiting).now_or_never().is_none());
        assert!(places.take(&payer).await.is_none(), "the queue is full");
        drop(held);
        drop(waiting);
        assert_eq!(places.free(), 1);
    }
}
