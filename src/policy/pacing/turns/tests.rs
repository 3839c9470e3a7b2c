//! Turns in simulated time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::policy::pacing::Rate;

const MBIT: u64 = 125_000;

fn client(number: usize) -> Payer {
    Payer::Client(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()))
}

fn bytes(rate: u64) -> Quota {
    Quota::bytes(Rate::new(rate).unwrap())
}

/// A body that asks for more as soon as it gets some.
struct Body {
    payer: Payer,
    left: u64,
    got: u64,
    last: Duration,
    longest: Duration,
    done: Option<Duration>,
}

impl Body {
    fn new(payer: Payer, size: u64) -> Self {
        Self {
            payer,
            left: size,
            got: 0,
            last: Duration::ZERO,
            longest: Duration::ZERO,
            done: None,
        }
    }
}

/// Lets bodies through a line until `end`; timers are a millisecond late.
fn run(turns: &mut Turns, bodies: &mut [Body], end: Duration) {
    let mut tickets = HashMap::new();
    let join =
        |turns: &mut Turns, bodies: &[Body], tickets: &mut HashMap<u64, usize>, at: usize| {
            let body = &bodies[at];
            let ending = body.left <= 64 * 1024;
            let ticket = turns.join(&body.payer, body.left, ending).unwrap();
            tickets.insert(ticket, at);
        };
    for at in 0..bodies.len() {
        join(turns, bodies, &mut tickets, at);
    }
    let mut now = Duration::ZERO;
    while now < end {
        match turns.next(now) {
            Next::Grant { ticket, units } => {
                let at = tickets.remove(&ticket).unwrap();
                let body = &mut bodies[at];
                body.longest = body.longest.max(now.saturating_sub(body.last));
                body.last = now;
                body.got += units;
                body.left -= units;
                if body.left > 0 {
                    join(turns, bodies, &mut tickets, at);
                } else {
                    body.done = Some(now);
                }
            }
            Next::Wait(wait) => now += wait.max(Duration::from_millis(1)),
            Next::Idle => return,
        }
    }
}

#[test]
fn two_hundred_clients_get_the_same_and_none_stalls() {
    for rate in [MBIT / 4, MBIT, 100 * MBIT, 1000 * MBIT] {
        let mut turns = Turns::new(Some(bytes(rate)), None, usize::MAX);
        // Some have many bodies under way, some one.
        let many = |number| if number % 10 == 0 { 20 } else { 1 };
        let mut bodies: Vec<_> = (0..200)
            .flat_map(|number| (0..many(number)).map(move |_| client(number)))
            .map(|payer| Body::new(payer, u64::MAX / 2))
            .collect();
        let end = Duration::from_secs(120);
        run(&mut turns, &mut bodies, end);
        let mut got: HashMap<&Payer, u64> = HashMap::new();
        for body in &bodies {
            *got.entry(&body.payer).or_default() += body.got;
        }
        let (least, most) = (got.values().min().unwrap(), got.values().max().unwrap());
        assert!(*most <= *least * 3 / 2, "{rate}: {least} to {most}");
        let all: u64 = got.values().sum();
        assert!(all.abs_diff(rate * 120) <= rate * 120 / 50, "{rate}: {all}");
        let alone = bodies.iter().filter(|body| bodies_of(&bodies, body) == 1);
        let longest = alone.map(|body| body.longest).max().unwrap();
        assert!(longest < Duration::from_secs(45), "{rate}: {longest:?}");
    }
}

fn bodies_of(bodies: &[Body], of: &Body) -> usize {
    bodies.iter().filter(|body| body.payer == of.payer).count()
}

#[test]
fn a_restore_beside_eight_greedy_clients_ends_without_a_stall() {
    let mut turns = Turns::new(Some(bytes(2 * MBIT)), None, usize::MAX);
    let mut bodies: Vec<_> = (1..=8)
        .flat_map(|number| (0..8).map(move |_| client(number)))
        .map(|payer| Body::new(payer, 1 << 30))
        .collect();
    // Thirty packages at a time, most of them small.
    let sizes = (0..30).map(|number| if number % 6 == 0 { 200_000 } else { 20_000 });
    bodies.extend(sizes.map(|size| Body::new(client(9), size)));
    run(&mut turns, &mut bodies, Duration::from_secs(200));
    for body in bodies.iter().filter(|body| body.payer == client(9)) {
        // 1.5 MB at a ninth of 250 kB/s are 54 seconds.
        assert!(
            body.done.unwrap() < Duration::from_secs(60),
            "{:?}",
            body.done
        );
        assert!(body.longest < Duration::from_secs(30), "{:?}", body.longest);
    }
}

#[test]
fn what_is_near_its_end_goes_every_other_time() {
    let mut turns = Turns::new(None, None, usize::MAX);
    for (units, ending) in [(1, false), (2, false), (3, true), (4, true), (5, false)] {
        turns.join(&client(1), units, ending).unwrap();
    }
    let order = std::iter::from_fn(|| match turns.next(Duration::ZERO) {
        Next::Grant { units, .. } => Some(units),
        _ => None,
    });
    assert_eq!(order.collect::<Vec<_>>(), [3, 1, 4, 2, 5]);
}

#[test]
fn the_background_has_what_is_left_and_an_eighth() {
    let mut turns = Turns::new(Some(bytes(MBIT)), None, usize::MAX);
    let mut bodies = [
        Body::new(Payer::Background, 1 << 40),
        Body::new(client(1), 1 << 40),
        Body::new(client(2), 1 << 20),
    ];
    run(&mut turns, &mut bodies, Duration::from_secs(100));
    let [background, first, second] = &bodies;
    assert!(second.done.is_some());
    let share = background.got * 100 / (background.got + first.got + second.got);
    assert!((11..=14).contains(&share), "{share} %");
    // Alone it has all of it.
    let mut turns = Turns::new(Some(bytes(MBIT)), None, usize::MAX);
    let mut alone = [Body::new(Payer::Background, 1 << 40)];
    run(&mut turns, &mut alone, Duration::from_secs(100));
    assert!(alone[0].got >= MBIT * 98, "{}", alone[0].got);
}

#[test]
fn each_client_has_its_own_rate_and_all_share_the_line() {
    let mut turns = Turns::new(Some(bytes(10 * MBIT)), Some(bytes(2 * MBIT)), usize::MAX);
    let mut bodies: Vec<_> = (0..3).map(|n| Body::new(client(n), 1 << 40)).collect();
    run(&mut turns, &mut bodies, Duration::from_secs(20));
    for body in &bodies {
        let expected = 2 * MBIT * 20;
        assert!(body.got.abs_diff(expected) <= expected / 50, "{}", body.got);
    }
    let mut turns = Turns::new(Some(bytes(10 * MBIT)), Some(bytes(2 * MBIT)), usize::MAX);
    let mut bodies: Vec<_> = (0..10).map(|n| Body::new(client(n), 1 << 40)).collect();
    run(&mut turns, &mut bodies, Duration::from_secs(20));
    for body in &bodies {
        let expected = MBIT * 20;
        assert!(body.got.abs_diff(expected) <= expected / 25, "{}", body.got);
    }
}

#[test]
fn a_limit_that_ends_or_changes_counts_at_once() {
    let mut turns = Turns::new(Some(bytes(MBIT)), None, usize::MAX);
    let now = Duration::from_secs(1);
    let join = |turns: &mut Turns| turns.join(&client(1), 12_500, false).unwrap();
    while matches!(
        {
            join(&mut turns);
            turns.next(now)
        },
        Next::Grant { .. }
    ) {}
    turns.set_line(None, now);
    assert!(turns.is_open());
    assert!(matches!(turns.next(now), Next::Grant { .. }));
    turns.set_line(Some(bytes(MBIT)), now);
    join(&mut turns);
    assert!(matches!(turns.next(now), Next::Grant { units: 12_500, .. }));
}

#[test]
fn who_leaves_is_forgotten_and_queues_have_an_end() {
    let mut turns = Turns::new(None, Quota::events(1, 1), 2);
    let now = Duration::from_secs(1);
    let first = turns.join(&client(1), 1, false).unwrap();
    let second = turns.join(&client(1), 1, false).unwrap();
    assert_eq!(turns.join(&client(1), 1, false), None);
    assert_eq!(
        turns.next(now),
        Next::Grant {
            ticket: first,
            units: 1
        }
    );
    assert!(matches!(turns.next(now), Next::Wait(_)));
    // It rests; gone, nothing is left of it.
    turns.leave(&client(1), second);
    assert_eq!(turns.next(now), Next::Idle);
    assert!(turns.flows.is_empty() && turns.resting.is_empty());
    let third = turns.join(&client(1), 1, false).unwrap();
    let fourth = turns.join(&client(2), 1, false).unwrap();
    turns.leave(&client(2), fourth);
    assert!(turns.rings[0].len() == 1);
    let later = now + Duration::from_secs(1);
    assert_eq!(
        turns.next(later),
        Next::Grant {
            ticket: third,
            units: 1
        }
    );
}
