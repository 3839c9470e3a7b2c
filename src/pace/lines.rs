//! The lines that clients and feeds share, as they are configured.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::ClientsConfig;
use crate::observe::Metrics;
use crate::pace::{Allowance, Calendar, Clients, Line, QUEUE_MAX, Upstream, Zone, ZoneError};
use crate::policy::pacing::{Direction, Quota, Rate, Turns, Window};

/// How many seconds' worth of requests a client has at once after a rest: a restore asks for
/// hundreds of documents in a second, and then for none.
const EVENTS_BURST: u32 = 10;

/// What is limited.
#[derive(Clone, Debug)]
pub struct Options {
    /// What one client may take.
    pub clients: ClientsConfig,
    /// Limits of all bytes in a direction.
    pub windows: Vec<Window>,
    /// Whose time of the day they mean, as [`Zone::named`] reads it.
    pub time_zone: String,
}

impl Default for Options {
    /// Nothing.
    fn default() -> Self {
        Self {
            clients: ClientsConfig::default(),
            windows: Vec::new(),
            time_zone: "UTC".to_owned(),
        }
    }
}

/// The lines of a daemon.
pub struct Lines {
    metrics: Arc<Metrics>,
    all: Option<Line>,
    fetches: Option<Line>,
    searches: Option<Arc<Allowance>>,
    /// Towards clients.
    pub clients: Clients,
}

impl Lines {
    /// Reads the time zone if there is a limit that needs it; the time is that of `clock`.
    ///
    /// # Errors
    /// [`ZoneError`] for a zone that is not known.
    pub fn new(config: &Options, clock: &Clock, metrics: &Arc<Metrics>) -> Result<Self, ZoneError> {
        let windows: Arc<[Window]> = config.windows.as_slice().into();
        let zone = if windows.is_empty() {
            Zone::default()
        } else {
            Zone::named(&config.time_zone)?
        };
        let zone = Arc::new(zone);
        let calendar = |direction| {
            let some = windows.iter().any(|window| window.direction == direction);
            some.then(|| Calendar {
                windows: Arc::clone(&windows),
                direction,
                zone: Arc::clone(&zone),
                clock: clock.clone(),
            })
        };
        let bytes = |calendar: Option<Calendar>, each: Option<Rate>, name| {
            let limited = calendar.is_some() || each.is_some();
            let turns = || Turns::new(None, each.map(Quota::bytes), usize::MAX);
            limited.then(|| Line::new(turns(), calendar, name, metrics))
        };
        let events = |per_second, name| {
            let quota = Quota::events(per_second, EVENTS_BURST)?;
            let turns = Turns::new(None, Some(quota), QUEUE_MAX);
            Some(Line::new(turns, None, name, metrics))
        };
        let searches = Quota::events(config.clients.searches_per_second, EVENTS_BURST);
        let searches =
            searches.map(|quota| Arc::new(Allowance::new(quota, "clients.searches_per_second")));
        Ok(Self {
            all: bytes(calendar(Direction::Upstream), None, "upstream"),
            fetches: events(config.clients.fetches_per_second, "fetches"),
            clients: Clients {
                bytes: bytes(calendar(Direction::Clients), config.clients.rate, "clients"),
                requests: events(config.clients.requests_per_second, "requests"),
                searches: searches.clone(),
            },
            searches,
            metrics: Arc::clone(metrics),
        })
    }

    /// Towards a feed of this rate.
    pub fn towards(&self, rate: Option<Rate>) -> Upstream {
        let line = |rate| {
            let turns = Turns::new(Some(Quota::bytes(rate)), None, usize::MAX);
            Line::new(turns, None, "feed", &self.metrics)
        };
        Upstream {
            feed: rate.map(line),
            all: self.all.clone(),
            fetches: self.fetches.clone(),
            searches: self.searches.clone(),
        }
    }
}
