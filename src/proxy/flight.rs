//! At most one fill for a key, however many ask.
//!
//! A flight belongs to the fill that pilots it, not to the request that started it: requests only
//! take seats. When the pilot is dropped without having landed — a panic, a cancelled task — the
//! flight fails and its key is free again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock::Time;
use crate::entry::{Entry, Key};
use crate::observe::StaleReason;
use crate::proxy::error::Error;
use crate::store::Draft;

/// How far a flight is.
#[derive(Clone)]
pub enum Phase {
    /// Nothing is known yet.
    Boarding,
    /// A body is arriving, and some of it that is not held back.
    Streaming(Arrival),
    /// It is over.
    Landed(Outcome),
}

/// A body that can be read while it arrives.
#[derive(Clone)]
pub struct Arrival {
    /// The growing body.
    pub draft: Arc<Draft>,
    /// What is known of it: everything but the body's digest.
    pub entry: Arc<Entry>,
    /// Its length, if the upstream announced one.
    pub length: Option<u64>,
}

/// How a flight ended.
#[derive(Clone)]
pub enum Outcome {
    /// The document is as the upstream has it now.
    Body {
        /// What is remembered of it.
        entry: Arc<Entry>,
        /// Its body, until it can be had from the store; `None` when it was stored before and the
        /// upstream confirmed it.
        draft: Option<Arc<Draft>>,
    },
    /// What is stored is served although the upstream did not confirm it.
    Stale {
        /// What is stored.
        entry: Arc<Entry>,
        /// Why.
        reason: StaleReason,
        /// What happened, for the client.
        cause: Arc<str>,
    },
    /// There is no document.
    Failed(Error),
}

impl Outcome {
    /// Whether it brought a body that was passed on and cannot be read from its beginning any more.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Body {
                draft: Some(draft), ..
            } => draft.is_passed_on() && draft.file().is_err(),
            _ => false,
        }
    }
}

/// All flights under way. A plain map with drop guards: a bounded cache could drop a flight.
pub struct Flights {
    map: Mutex<HashMap<Key, Arc<Flight>>>,
    count: watch::Sender<usize>,
}

/// One fill and those who wait for it.
struct Flight {
    began: Time,
    phase: watch::Sender<Phase>,
    seats: AtomicUsize,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            map: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Flights {
    /// Takes a seat on the flight for `key`; whoever comes first gets the pilot's seat too, and
    /// must see to it that a fill flies. A flight that begins does so at `now`.
    pub fn board(self: &Arc<Self>, key: &Key, now: Time) -> (Seat, Option<Pilot>) {
        let mut map = self.lock();
        if let Some(flight) = map.get(key) {
            return (Seat::take(flight), None);
        }
        let flight = Arc::new(Flight {
            began: now,
            phase: watch::Sender::new(Phase::Boarding),
            seats: 0.into(),
        });
        map.insert(key.clone(), Arc::clone(&flight));
        self.count.send_replace(map.len());
        let seat = Seat::take(&flight);
        (
            seat,
            Some(Pilot {
                flights: Arc::clone(self),
                key: key.clone(),
                flight,
            }),
        )
    }

    /// Lets nobody board the flight for `key` any more if it is outdated by the time it began:
    /// whoever comes next boards a new one.
    pub fn retire(&self, key: &Key, outdated: impl FnOnce(Time) -> bool) {
        let mut map = self.lock();
        if map.get(key).is_some_and(|flight| outdated(flight.began)) {
            map.remove(key);
            self.count.send_replace(map.len());
        }
    }

    /// Lets nobody board the flight that this seat is on any more.
    pub fn leave(&self, key: &Key, seat: &Seat) {
        let mut map = self.lock();
        if map
            .get(key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &seat.flight))
        {
            map.remove(key);
            self.count.send_replace(map.len());
        }
    }

    /// Whether a fill for this key is under way.
    pub fn is_under_way(&self, key: &Key) -> bool {
        self.lock().contains_key(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the key of a pilot's flight, unless another flight has it by now.
    fn remove(&self, map: &mut HashMap<Key, Arc<Flight>>, pilot: &Pilot) {
        if map
            .get(&pilot.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &pilot.flight))
        {
            map.remove(&pilot.key);
        }
        self.count.send_replace(map.len());
    }

    /// Waits until no fill is under way.
    pub async fn quiet(&self) {
        // The sender lives as long as `self`: the wait cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// A place on a flight, kept as long as its holder wants the document.
pub struct Seat {
    flight: Arc<Flight>,
    phase: watch::Receiver<Phase>,
}

impl Seat {
    fn take(flight: &Arc<Flight>) -> Self {
        flight.seats.fetch_add(1, Ordering::AcqRel);
        Self {
            flight: Arc::clone(flight),
            phase: flight.phase.subscribe(),
        }
    }

    /// Whether the flight has landed already.
    pub fn has_landed(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Landed(_))
    }

    /// Waits until the flight has landed, or until a body arrives if `streaming` is welcome.
    pub async fn wait(&mut self, streaming: bool) -> Phase {
        let ready = |phase: &Phase| match phase {
            Phase::Boarding => false,
            // What is passed on has to be read while it comes.
            Phase::Streaming(arrival) => streaming || arrival.draft.is_passed_on(),
            Phase::Landed(_) => true,
        };
        match self.phase.wait_for(ready).await {
            Ok(phase) => phase.clone(),
            Err(_) => Phase::Landed(lost()),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flight.seats.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The fill's hold on its flight.
pub struct Pilot {
    flights: Arc<Flights>,
    key: Key,
    flight: Arc<Flight>,
}

impl Pilot {
    /// The key of the flight.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// When the flight began: its answer is at least as new as this.
    pub fn began(&self) -> Time {
        self.flight.began
    }

    /// Whether its flight is still the one of the key: what a retired one brings must not replace
    /// what a newer one stored.
    pub fn is_current(&self) -> bool {
        let map = self.flights.lock();
        map.get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }

    /// Says that a body is arriving.
    pub fn announce(&self, arrival: Arrival) {
        self.flight.phase.send_replace(Phase::Streaming(arrival));
    }

    /// Says how it ended, and frees the key first: whoever asks after he was told that it failed
    /// must not be told the same without the upstream being asked.
    pub fn land(self, outcome: Outcome) {
        self.flights.remove(&mut self.flights.lock(), &self);
        self.land_before_publishing(outcome);
    }

    /// Says how it ended. The key stays taken until the pilot is dropped, so that nobody fetches
    /// again what is about to be published.
    pub fn land_before_publishing(&self, outcome: Outcome) {
        self.flight.phase.send_replace(Phase::Landed(outcome));
    }

    /// Gives the flight up if nobody waits for it any more: whoever comes from now on boards a new
    /// one.
    pub fn give_up_if_deserted(&self) -> bool {
        let mut map = self.flights.lock();
        // Seats are taken under the lock: nobody boards between the look and the removal.
        let deserted = self.flight.seats.load(Ordering::Acquire) == 0;
        if deserted {
            self.flights.remove(&mut map, self);
        }
        deserted
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.flight.phase.send_if_modified(|phase| {
            let lost_now = !matches!(phase, Phase::Landed(_));
            if lost_now {
                *phase = Phase::Landed(lost());
            }
            lost_now
        });
        self.flights.remove(&mut self.flights.lock(), self);
    }
}

fn lost() -> Outcome {
    Outcome::Failed(Error::internal("the fill ended without a result"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1000);

    #[tokio::test]
    async fn one_pilot_and_many_seats() {
        let flights = Arc::new(Flights::default());
        let key = Key::new("k");
        let (mut first, pilot) = flights.board(&key, NOW);
        let (mut second, none) = flights.board(&key, NOW);
        assert!(none.is_none());
        let pilot = pilot.unwrap();
        pilot.land_before_publishing(Outcome::Failed(Error::NotFound));
        for seat in [&mut first, &mut second] {
            let landed = seat.wait(true).await;
            assert!(matches!(
                landed,
                Phase::Landed(Outcome::Failed(Error::NotFound))
            ));
        }
        assert!(
            flights.board(&key, NOW).1.is_none(),
            "taken until the pilot is gone"
        );
        drop(pilot);
        assert!(flights.board(&key, NOW).1.is_some());
    }

    #[tokio::test]
    async fn a_key_is_free_before_anybody_knows_that_its_flight_is_over() {
        let flights = Arc::new(Flights::default());
        let key = Key::new("k");
        let (mut seat, pilot) = flights.board(&key, NOW);
        pilot.unwrap().land(Outcome::Failed(Error::NotFound));
        assert!(matches!(seat.wait(true).await, Phase::Landed(_)));
        assert!(flights.board(&key, NOW).1.is_some());
    }

    #[tokio::test]
    async fn a_panicking_fill_fails_its_flight_and_frees_the_key() {
        let flights = Arc::new(Flights::default());
        let key = Key::new("k");
        let (mut seat, pilot) = flights.board(&key, NOW);
        let fill = tokio::spawn(async move {
            let _pilot = pilot;
            panic!("planned");
        });
        assert!(matches!(
            seat.wait(false).await,
            Phase::Landed(Outcome::Failed(Error::Internal(_)))
        ));
        assert!(fill.await.is_err());
        let (_seat, pilot) = flights.board(&key, NOW);
        assert!(pilot.is_some());
    }

    #[tokio::test]
    async fn a_deserted_flight_can_be_given_up_and_boarded_anew() {
        let flights = Arc::new(Flights::default());
        let key = Key::new("k");
        let (seat, first) = flights.board(&key, NOW);
        let first = first.unwrap();
        assert!(!first.give_up_if_deserted());
        drop(seat);
        assert!(first.give_up_if_deserted());
        let (_seat, second) = flights.board(&key, NOW);
        assert!(second.is_some());
        drop(first);
        assert!(
            flights.board(&key, NOW).1.is_none(),
            "the newer flight stays"
        );
    }

    #[tokio::test]
    async fn nobody_boards_a_flight_that_is_outdated() {
        let flights = Arc::new(Flights::default());
        let key = Key::new("k");
        let (mut early, old) = flights.board(&key, NOW);
        let old = old.unwrap();
        flights.retire(&key, |began| began < NOW);
        assert!(flights.board(&key, NOW).1.is_none() && old.is_current());
        flights.retire(&key, |began| began <= NOW);
        assert!(!old.is_current());
        let (_seat, new) = flights.board(&key, NOW);
        let new = new.unwrap();
        assert!(new.is_current());
        old.land(Outcome::Failed(Error::NotFound));
        assert!(matches!(early.wait(true).await, Phase::Landed(_)));
        assert!(new.is_current(), "the newer flight keeps the key");
    }
}
