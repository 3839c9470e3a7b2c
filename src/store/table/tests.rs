//! The rows and their totals: what comes back, what forgetting takes, what goes first.

use super::*;

fn open() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    prepare(&db).unwrap();
    prepare(&db).unwrap();
    db
}

fn stored(content: &[u8]) -> Entry {
    Entry {
        body: Some(Stored {
            digest: Digest::of(content),
            size: content.len() as u64,
        }),
        url: "https://example.org/x".to_owned(),
        validators: Validators {
            etag: Some(HeaderValue::from_bytes(b"unquoted\xe9").unwrap()),
            last_modified: Some(HeaderValue::from_static("yesterday")),
        },
        content_type: Some("text/plain".to_owned()),
        fetched_at: Time::from_millis(1_700_000_000_001),
        checked_at: Time::from_millis(1_700_000_000_002),
        missing_since: Some(Time::from_millis(3)),
    }
}

fn absent(checked_at: u64) -> Entry {
    Entry::absent(
        "https://example.org/y".to_owned(),
        Time::from_millis(checked_at),
    )
}

#[test]
fn an_entry_comes_back_unchanged() {
    let db = open();
    let mut bare = stored(b"bare");
    bare.validators = Validators::default();
    (bare.content_type, bare.missing_since) = (None, None);
    for written in [stored(b"x"), absent(5), bare] {
        let key = Key::new("feed/x");
        put(&db, &key, &written, &mut Totals::default()).unwrap();
        assert_eq!(entry(&db, &key).unwrap(), Some(written));
    }
    assert_eq!(entry(&db, &Key::new("feed/y")).unwrap(), None);
}

#[test]
fn totals_kept_by_the_way_equal_totals_counted() {
    let db = open();
    let mut totals = Totals::default();
    let steps = [
        ("a", stored(b"one")),
        ("b", stored(b"one")),
        ("c", absent(1)),
        ("a", stored(b"three")),
        ("a", stored(b"three")),
        ("b", absent(2)),
        ("c", stored(b"three")),
        ("a", absent(3)),
        ("b", absent(4)),
        ("d", stored(b"four")),
        ("q?x", stored(b"four")),
        ("q?y", stored(b"seven")),
        ("q?x", absent(5)),
    ];
    for (key, entry) in steps {
        put(&db, &Key::new(key), &entry, &mut totals).unwrap();
        assert_eq!(totals, count(&db).unwrap(), "{key}");
    }
    let expected = Totals {
        entries: 6,
        bodies_bytes: 14,
        absent: 3,
        queries_bytes: 5,
        responses: 0,
    };
    assert_eq!(totals, expected);
}

#[test]
fn forgetting_takes_the_prefix_and_nothing_else() {
    let db = open();
    let mut totals = Totals::default();
    let all = [
        "f/a",
        "f/a/1",
        "f/a/\u{e9}",
        "f/a/\u{10fffe}",
        "f/a0",
        "f/b",
        "f/%",
        "g/a/1",
    ];
    for key in all {
        put(&db, &Key::new(key), &stored(b"x"), &mut totals).unwrap();
    }
    assert_eq!(keys(&db, "f/a/", 2).unwrap().len(), 2);
    assert_eq!(forget(&db, "f/a/", &mut totals).unwrap().len(), 3);
    let left = |prefix| {
        let keys = keys(&db, prefix, 100).unwrap();
        keys.iter()
            .map(|key| key.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(left(""), ["f/%", "f/a", "f/a0", "f/b", "g/a/1"]);
    assert_eq!(left("f/%"), ["f/%"]);
    assert_eq!(totals.entries, 5);
    assert_eq!(forget(&db, "", &mut totals).unwrap().len(), 5);
    assert_eq!(totals, Totals::default());
}

#[test]
fn totals_are_right_whether_few_entries_are_forgotten_or_many() {
    let db = open();
    let mut totals = Totals::default();
    for number in 0..=FEW {
        let body = stored(format!("{}", number / 2).as_bytes());
        let key = Key::new(format!("many/{number}?"));
        put(&db, &key, &body, &mut totals).unwrap();
    }
    for (key, entry) in [("few/1", stored(b"1")), ("few/2", stored(b"other"))] {
        put(&db, &Key::new(key), &entry, &mut totals).unwrap();
    }
    put(&db, &Key::new("few/3"), &absent(1), &mut totals).unwrap();
    for (prefix, gone) in [("few/", 3), ("many/", FEW + 1)] {
        assert_eq!(forget(&db, prefix, &mut totals).unwrap().len(), gone);
        assert_eq!(totals, count(&db).unwrap(), "{prefix}");
    }
    assert_eq!(totals, Totals::default());
}

/// How a query is answered, as SQLite tells it.
fn plan(db: &Connection, sql: &str) -> String {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let lines = statement.query_map(params![0, "", 9], |row| row.get::<_, String>(3));
    let lines: Result<Vec<_>> = lines.unwrap().collect();
    lines.unwrap().join("\n")
}

#[test]
fn what_is_to_be_evicted_is_found_without_looking_at_the_rest() {
    let db = open();
    for (queries, index) in [(true, "queries_by_use"), (false, "entries_by_use")] {
        let found = plan(&db, &least_used_sql(queries));
        assert!(found.contains(index) && !found.contains("TEMP"), "{found}");
    }
}

#[test]
fn what_was_not_used_for_longest_comes_first() {
    let db = open();
    let mut totals = Totals::default();
    for (age, key) in ["a", "q?1", "b", "q?2"].into_iter().enumerate() {
        let mut entry = stored(key.as_bytes());
        entry.checked_at = Time::from_millis(age as u64);
        put(&db, &Key::new(key), &entry, &mut totals).unwrap();
    }
    put(&db, &Key::new("absent"), &absent(0), &mut totals).unwrap();
    touch(&db, &Key::new("a"), Time::from_millis(9)).unwrap();
    touch(&db, &Key::new("gone"), Time::from_millis(9)).unwrap();
    let order = |queries, limit| {
        let keys = least_used(&db, queries, &(0, String::new()), limit).unwrap();
        keys.iter()
            .map(|(key, ..)| key.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(order(false, 9), ["q?1", "b", "q?2", "a"]);
    assert_eq!(order(false, 1), ["q?1"]);
    assert_eq!(order(true, 9), ["q?1", "q?2"]);
}

#[test]
fn the_oldest_absent_entries_go_first() {
    let db = open();
    let mut totals = Totals::default();
    put(&db, &Key::new("stored"), &stored(b"x"), &mut totals).unwrap();
    for age in [5, 3, 9, 1, 7] {
        put(
            &db,
            &Key::new(format!("absent/{age}")),
            &absent(age),
            &mut totals,
        )
        .unwrap();
    }
    bound_absent(&db, 2, &mut totals).unwrap();
    assert_eq!(totals, count(&db).unwrap());
    let left = keys(&db, "", 10).unwrap();
    assert_eq!(left, ["absent/7", "absent/9", "stored"].map(Key::new));
}
