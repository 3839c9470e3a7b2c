//! Random histories against a model of what a client may see.
//!
//! - a 200 has a body the feed gave for that document at some time, whole or not at all
//! - it is no older than the lifetime of its class, unless the upstream is in trouble and
//!   `Cache-Status` says so
//! - a 404 says what the feed said within the lifetime of a 404; failures say nothing of absence
//! - failures happen only while the upstream is in trouble
//! - a restart changes nothing that is stored
//!
//! `NGTEST_SEED` adds a history of one's own. A failure names its seed and the steps that led to it.

mod judge;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;

use nugate::clock::Time;
use nugate::demo::{ExampleFeed, Package};

use crate::lost::body_files;
use crate::support::World;
use crate::support::client::try_get;

const STEPS: usize = 300;

/// Seconds a body is fresh, and served while it is refreshed, by class.
const VERSIONS: (u64, u64) = (60, 120);
const METADATA: (u64, u64) = (300, 600);
const QUERY: (u64, u64) = (30, 60);
const FOR_EVER: (u64, u64) = (EVER, 0);
/// Longer than any history, in seconds.
const EVER: u64 = u64::MAX / 4000;

/// Longest pause after a failure before the upstream is asked again.
const BACKOFF: u64 = 60;

const IDS: &[&str] = &["A.One", "B.Two", "C.Three", "D.Four"];

/// Ours, the upstream's, lifetime, whether a 404 is remembered.
type Document = (&'static str, &'static str, (u64, u64), bool);

const DOCUMENTS: &[Document] = &[
    (
        "flat/a.one/index.json",
        "/v3-flatcontainer/a.one/index.json",
        VERSIONS,
        true,
    ),
    (
        "flat/b.two/index.json",
        "/v3-flatcontainer/b.two/index.json",
        VERSIONS,
        true,
    ),
    (
        "flat/c.three/index.json",
        "/v3-flatcontainer/c.three/index.json",
        VERSIONS,
        true,
    ),
    (
        "flat/d.four/index.json",
        "/v3-flatcontainer/d.four/index.json",
        VERSIONS,
        true,
    ),
    (
        "flat/a.one/1.0.0/a.one.1.0.0.nupkg",
        "/v3-flatcontainer/a.one/1.0.0/a.one.1.0.0.nupkg",
        FOR_EVER,
        false,
    ),
    (
        "flat/b.two/1.1.0/b.two.1.1.0.nupkg",
        "/v3-flatcontainer/b.two/1.1.0/b.two.1.1.0.nupkg",
        FOR_EVER,
        false,
    ),
    (
        "registration-gz-semver2/a.one/index.json",
        "/v3/registration5-gz-semver2/a.one/index.json",
        METADATA,
        true,
    ),
    (
        "registration-gz-semver2/b.two/index.json",
        "/v3/registration5-gz-semver2/b.two/index.json",
        METADATA,
        true,
    ),
    ("query?q=a.one", "/search-usnc/query?q=a.one", QUERY, false),
    ("query?q=b.two", "/search-usnc/query?q=b.two", QUERY, false),
];

/// `SplitMix64`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// What the feed said for a document, each from a time on.
type Said = Vec<(Time, Option<Vec<u8>>)>;

struct Run {
    seed: u64,
    random: Random,
    world: World,
    said: Vec<Said>,
    /// Until when a document may suffer from what the upstream did, by its place.
    trouble: BTreeMap<usize, Time>,
    down: bool,
    scripted: Vec<usize>,
    published: u64,
    /// The place asked for last, which is asked for more often than others.
    last: usize,
    history: String,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let feed = ExampleFeed::new([Package::new("A.One", "1.0.0").padded(200_000)]).unwrap();
        let world = World::with(feed, |settings| {
            settings.bases.public_url = Some("http://cache.test".parse().unwrap());
            if seed.is_multiple_of(2) {
                // Room for some of it: what had to go is fetched anew.
                settings.quota.size_max = 250_000;
                settings.quota.queries_max = 5000;
            }
        })
        .await;
        let mut run = Self {
            seed,
            random: Random(seed),
            world,
            said: vec![Vec::new(); DOCUMENTS.len()],
            trouble: BTreeMap::new(),
            down: false,
            scripted: Vec::new(),
            published: 0,
            last: 0,
            history: String::new(),
        };
        run.note();
        run
    }

    /// Writes down what the feed says from now on.
    fn note(&mut self) {
        let now = self.world.clock.now();
        let base = self.world.up.base_url().to_owned();
        for (said, (_, theirs, ..)) in self.said.iter_mut().zip(DOCUMENTS) {
            let (path, query) = theirs.split_once('?').unwrap_or((theirs, ""));
            let document = self
                .world
                .up
                .change(|feed| feed.document(&base, path, query));
            let body = document.map(|document| {
                let mut body = Vec::new();
                if document.gzip {
                    let mut decoder = flate2::read::GzDecoder::new(&document.body[..]);
                    decoder.read_to_end(&mut body).unwrap();
                } else {
                    body.extend_from_slice(&document.body);
                }
                body
            });
            if said.last().is_none_or(|(_, last)| *last != body) {
                said.push((now, body));
            }
        }
    }

    #[track_caller]
    fn holds(&self, condition: bool, what: &str) {
        assert!(
            condition,
            "seed {}: {what}; reproduce with NGTEST_SEED={}\n{}",
            self.seed, self.seed, self.history
        );
    }

    async fn step(&mut self, number: usize) {
        let chosen = self.random.below(100);
        write!(self.history, "{number}: ").unwrap();
        match chosen {
            0..=54 => self.ask().await,
            55..=69 => self.later(),
            70..=75 => self.publish(),
            76..=83 => self.misbehave(),
            84..=86 => self.go_down().await,
            87..=94 => self.recover(),
            95..=97 => self.lose_bodies(),
            _ => self.restart().await,
        }
    }

    fn later(&mut self) {
        let seconds = [1, 5, 15, 25, 40, 90, 700, 4000][self.random.below(8)];
        writeln!(self.history, "{seconds} s later").unwrap();
        self.world.later(seconds);
        self.mark_trouble();
    }

    fn publish(&mut self) {
        let last = DOCUMENTS[self.last].1;
        let wanted = IDS.iter().find(|id| last.contains(&id.to_lowercase()));
        let other = &IDS[self.random.below(IDS.len())];
        let id = *[wanted.unwrap_or(other), other][self.random.below(2)];
        self.published += 1;
        let version = format!("1.{}.0", self.published);
        writeln!(self.history, "publish {id} {version}").unwrap();
        let package = Package::new(id, version).padded(100_000);
        self.world.up.change(|feed| feed.add(package)).unwrap();
        self.note();
    }

    fn misbehave(&mut self) {
        let place = self.random.below(DOCUMENTS.len());
        let how = self.random.below(4);
        let theirs = DOCUMENTS[place].1;
        writeln!(self.history, "misbehaviour {how} at {theirs}").unwrap();
        let on = self.world.up.on(theirs);
        match how {
            0 => drop(on.reply(500, "")),
            1 => drop(on.cut_after(100).times(1)),
            2 => drop(on.cut_after(70_000).times(1)),
            _ => drop(on.reply(200, "<html>Sign in</html>").times(1)),
        }
        self.scripted.push(place);
        self.mark_trouble();
    }

    async fn go_down(&mut self) {
        writeln!(self.history, "down").unwrap();
        self.world.up.down().await;
        self.down = true;
        self.mark_trouble();
    }

    fn recover(&mut self) {
        writeln!(self.history, "up and well").unwrap();
        self.mark_trouble();
        self.world.up.up();
        self.world.up.behave();
        self.down = false;
        self.scripted.clear();
    }

    /// Documents whose upstream is in trouble now may suffer from it until the pause is over.
    fn mark_trouble(&mut self) {
        let until = self.world.clock.now().plus(Duration::from_secs(BACKOFF));
        for place in 0..DOCUMENTS.len() {
            if self.down || self.scripted.contains(&place) {
                self.trouble.insert(place, until);
            }
        }
    }

    /// Removes every other stored body behind nugate's back.
    fn lose_bodies(&mut self) {
        writeln!(self.history, "bodies lost").unwrap();
        for file in body_files(self.world.path()) {
            if self.random.below(2) == 0 {
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    async fn restart(&mut self) {
        writeln!(self.history, "restart").unwrap();
        // The first one settles what is under way and finds the bodies that are lost.
        self.world.restart().await;
        self.stored().await;
        let before = self.stored().await;
        self.world.restart().await;
        let after = self.stored().await;
        self.holds(before == after, "a restart changed what is stored");
    }

    /// What is stored of every document.
    async fn stored(&self) -> Vec<(u16, Vec<u8>)> {
        let mut all = Vec::new();
        for (ours, ..) in DOCUMENTS {
            let only = [("cache-control", "only-if-cached")];
            let response = self.world.get_with(ours, &only).await;
            let body = if response.status == 200 {
                response.body.to_vec()
            } else {
                Vec::new()
            };
            // A lost body is asked for again, or not while the host is left alone.
            let status = response.status.as_u16().min(500);
            all.push((status, body));
        }
        all
    }

    /// Asks once or three times at once, and waits until nothing is under way.
    async fn ask(&mut self) {
        let place = [self.last, self.random.below(DOCUMENTS.len())][self.random.below(2)];
        self.last = place;
        let ours = DOCUMENTS[place].0;
        write!(self.history, "GET {ours}:").unwrap();
        let path = format!("/v3/{ours}");
        let get = || try_get(self.world.addr, &path, &[]);
        let answers = if self.random.below(4) == 0 {
            let (one, two, three) = tokio::join!(get(), get(), get());
            vec![one, two, three]
        } else {
            vec![get().await]
        };
        for answer in answers {
            self.judge(place, answer);
        }
        self.world.quiet().await;
        self.history.push('\n');
    }
}

async fn history(seed: u64) {
    let mut run = Run::new(seed).await;
    for number in 0..STEPS {
        run.step(number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_history_shows_a_client_what_the_feed_did_not_say() {
    for seed in [1, 302, 308, 315] {
        history(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_history_of_ones_own() {
    let seed = std::env::var("NGTEST_SEED").map_or(2026, |seed| seed.parse().unwrap());
    history(seed).await;
}
