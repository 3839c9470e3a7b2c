//! One question for a URI at a time, as long as its answer may be for all who ask.
//!
//! Unlike with NuGet documents, only the head of the answer tells whether others may have it: those
//! who joined wait for it and fetch for themselves where it is not for them. When the pilot is
//! dropped before the head, the flight fails and its URI is free again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::entry::Kept;
use crate::proxy::error::Error;
use crate::store::Draft;

/// URI, and variant of the stored response that is being confirmed; empty where there is none.
pub(super) type FlightKey = (String, String);

/// What is known of the answer.
#[derive(Clone)]
pub(super) enum Phase {
    /// Nothing yet.
    Boarding,
    /// The stored response is confirmed, with these fields.
    Confirmed(Arc<Kept>),
    /// A body arrives that may be stored.
    Arriving(Arrival),
    /// The answer, of this status, is for the one who asked alone.
    Unshared(u16),
    /// There is no answer.
    Failed(Error),
}

/// A response that is received and read at once.
#[derive(Clone)]
pub(super) struct Arrival {
    /// The response without its body's digest.
    pub(super) kept: Arc<Kept>,
    /// Its growing body.
    pub(super) draft: Arc<Draft>,
    /// The body's length, if it was announced.
    pub(super) length: Option<u64>,
}

/// A place on a flight.
pub(super) type Seat = watch::Receiver<Phase>;

/// All flights under way, and how many tasks still have something to write down.
pub(super) struct Flights {
    map: Mutex<HashMap<FlightKey, Arc<watch::Sender<Phase>>>>,
    busy: watch::Sender<usize>,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            map: Mutex::default(),
            busy: watch::Sender::new(0),
        }
    }
}

impl Flights {
    /// Takes a seat; whoever comes first gets the pilot's seat too.
    pub(super) fn board(self: &Arc<Self>, key: FlightKey) -> (Seat, Option<Pilot>) {
        let mut map = self.lock();
        if let Some(flight) = map.get(&key) {
            return (flight.subscribe(), None);
        }
        let flight = Arc::new(watch::Sender::new(Phase::Boarding));
        map.insert(key.clone(), Arc::clone(&flight));
        let seat = flight.subscribe();
        let pilot = Pilot {
            flights: Arc::clone(self),
            key,
            flight,
        };
        (seat, Some(pilot))
    }

    /// Waits until what has arrived whole for a URI, and is not being confirmed, is stored.
    pub(super) async fn published(&self, uri: &str) {
        let key = (uri.to_owned(), String::new());
        let Some(mut seat) = self.lock().get(&key).map(|flight| flight.subscribe()) else {
            return;
        };
        let whole = match &*seat.borrow() {
            Phase::Arriving(arrival) => arrival.draft.file().is_ok(),
            _ => false,
        };
        // The pilot is dropped when all is written down, and its end of the channel with it.
        while whole && seat.changed().await.is_ok() {}
    }

    /// Lets nobody board the flights of a URI any more: what they bring is out of date.
    pub(super) fn detach(&self, uri: &str) {
        self.lock().retain(|(of, _), _| of != uri);
    }

    /// Counts a task until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.send_modify(|busy| *busy += 1);
        Busy(Arc::clone(self))
    }

    /// Waits until no task has anything to write down.
    pub(super) async fn quiet(&self) {
        // The sender lives as long as `self`: the wait cannot fail.
        let _ = self.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FlightKey, Arc<watch::Sender<Phase>>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Flights::begin`].
pub(super) struct Busy(Arc<Flights>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}

/// The hold of the one who asks on a flight.
pub(super) struct Pilot {
    flights: Arc<Flights>,
    key: FlightKey,
    flight: Arc<watch::Sender<Phase>>,
}

impl Pilot {
    /// Says what the answer is.
    pub(super) fn announce(&self, phase: Phase) {
        self.flight.send_replace(phase);
    }

    /// Gives the flight up if nobody waits for its head or reads its body any more: whoever comes
    /// from now on boards a new one.
    pub(super) fn give_up_if_deserted(&self, draft: &Draft) -> bool {
        let mut map = self.flights.lock();
        // Seats are taken under the lock, and readers made before a seat is left.
        let deserted = self.flight.receiver_count() == 0 && draft.readers() == 0;
        if deserted {
            self.remove(&mut map);
        }
        deserted
    }

    fn remove(&self, map: &mut HashMap<FlightKey, Arc<watch::Sender<Phase>>>) {
        let ours = |flight: &Arc<_>| Arc::ptr_eq(flight, &self.flight);
        if map.get(&self.key).is_some_and(ours) {
            map.remove(&self.key);
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.remove(&mut self.flights.lock());
        self.flight.send_if_modified(|phase| {
            let lost = matches!(phase, Phase::Boarding);
            if lost {
                let error = Error::internal("the request ended without an answer");
                *phase = Phase::Failed(error);
            }
            lost
        });
    }
}
