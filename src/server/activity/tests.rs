//! The limit of each state, and when a connection is let go.

use super::*;

/// Limits that are over at once, or never.
fn patience(over: [bool; 4]) -> Patience {
    let limit = |over| {
        if over {
            Duration::ZERO
        } else {
            Duration::from_secs(3600)
        }
    };
    Patience {
        first_byte: limit(over[0]),
        head: limit(over[1]),
        idle: limit(over[2]),
        stall: limit(over[3]),
        last: limit(false),
        rest: limit(false),
    }
}

#[test]
fn each_state_has_a_limit_of_its_own() {
    let (first, head, idle, stall) = (
        patience([true, false, false, false]),
        patience([false, true, false, false]),
        patience([false, false, true, false]),
        patience([false, false, false, true]),
    );
    let later = |due| matches!(due, Due::Later(_));
    let activity = Activity::new();
    let all_later = |limits: &[&Patience]| limits.iter().all(|it| later(activity.judge(it, false)));
    assert_eq!(activity.judge(&first, false), Due::Cut(Reason::Silent));
    assert!(all_later(&[&head, &idle, &stall]));
    activity.heard(b"GET / HT");
    assert_eq!(activity.judge(&head, false), Due::Cut(Reason::SlowHead));
    assert!(all_later(&[&first, &idle, &stall]));
    activity.begin();
    // The client waits for us.
    assert!(all_later(&[&first, &head, &idle, &stall]));
    activity.polled(true, false);
    assert_eq!(activity.judge(&stall, false), Due::Cut(Reason::Stalled));
    activity.polled(false, true);
    assert!(later(activity.judge(&stall, false)));
    activity.end(true);
    assert_eq!(activity.judge(&idle, false), Due::Close(Reason::Idle));
    assert!(all_later(&[&first, &head, &stall]));
    activity.evict();
    assert_eq!(activity.judge(&first, false), Due::Close(Reason::Evicted));
}

#[test]
fn only_a_silent_connection_comes_to_rest() {
    let later = patience([false; 4]);
    let at_once = Patience {
        rest: Duration::ZERO,
        ..later
    };
    let waits = |activity: &Activity, patience, may_rest| {
        matches!(activity.judge(patience, may_rest), Due::Later(_))
    };
    let activity = Activity::new();
    activity.heard(b"GET / HTTP/1.1\r\n");
    // Half a head is not silence.
    assert!(waits(&activity, &at_once, true));
    activity.begin();
    assert!(waits(&activity, &at_once, true));
    activity.end(true);
    assert_eq!(activity.judge(&at_once, true), Due::Rest);
    // What is not sent yet keeps it awake.
    activity.behind(true);
    assert!(waits(&activity, &at_once, true));
    activity.behind(false);
    assert!(waits(&activity, &at_once, false) && waits(&activity, &later, true));
    // What is to be closed anyway is not put to rest first.
    let idle = patience([false, false, true, false]);
    assert_eq!(activity.judge(&idle, true), Due::Close(Reason::Idle));
}

#[test]
fn who_gives_up_more_than_is_answered_is_cut() {
    let never = patience([false; 4]);
    let activity = Activity::new();
    activity.begin();
    for _ in 0..3 * GIVEN_UP_MAX {
        activity.answered(false);
        activity.answered(true);
    }
    for _ in 0..GIVEN_UP_MAX {
        activity.answered(false);
    }
    assert!(matches!(activity.judge(&never, false), Due::Later(_)));
    activity.answered(false);
    assert_eq!(activity.judge(&never, false), Due::Cut(Reason::GivenUp));
}

#[tokio::test]
async fn an_eviction_waits_for_the_request_that_came_before_it() {
    use futures_util::FutureExt as _;
    let never = patience([false; 4]);
    let activity = Activity::new();
    activity.begin();
    activity.evict();
    let mut due = Box::pin(activity.due(&never, false));
    // Waiting, not going round: polled once, it has nothing to do.
    assert!(due.as_mut().now_or_never().is_none());
    activity.end(true);
    assert_eq!(due.await, Due::Close(Reason::Evicted));
}

#[test]
fn pings_of_http_2_are_no_heads_and_no_progress() {
    let head = patience([false, true, false, false]);
    for (pieces, is_http2) in [
        (&["PRI * HTTP/2.0\r\n"][..], true),
        (&["P", "RI", " * "], true),
        (&["PUT / HTTP/1.1\r\n"], false),
        (&["P", "OST / HTTP/1.1\r\n"], false),
        (&["GET / "], false),
        (&["GET", " PRI "], false),
    ] {
        let activity = Activity::new();
        for piece in pieces {
            activity.heard(piece.as_bytes());
        }
        let slow = activity.judge(&head, false) == Due::Cut(Reason::SlowHead);
        assert_eq!(slow, !is_http2, "{pieces:?}");
    }
}
