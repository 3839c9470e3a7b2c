//! What makes room when there is too much, and what never does.

use super::*;

#[tokio::test]
async fn what_was_not_used_for_longest_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time::from_millis(0));
    let store = Store::open(StoreOptions {
        quota: Quota {
            size_max: 100_000,
            queries_max: 10_000,
            free_min: 0,
        },
        clock: clock.clone(),
        ..options(dir.path())
    })
    .await
    .unwrap();
    let (first, _) = keep(&store, "f/1", 30_000, 1).await;
    let (second, gone) = keep(&store, "f/2", 30_000, 2).await;
    keep(&store, "f/3", 30_000, 3).await;
    keep(&store, "f/q?1", 6_000, 4).await;
    clock.advance(std::time::Duration::from_secs(3600));
    assert!(store.hot(&first).is_some());
    settle(&store).await;
    assert_eq!(store.totals().entries, 4);
    keep(&store, "f/q?2", 6_000, 3_600_000).await;
    settle(&store).await;
    let queries = |totals: Totals| (totals.entries, totals.queries_bytes);
    assert_eq!(queries(store.totals()), (4, 6_000));
    keep(&store, "f/4", 10_000, 3_600_001).await;
    settle(&store).await;
    assert_eq!(store.totals().bodies_bytes, 76_000);
    assert!(store.entry(&second).await.unwrap().is_none());
    assert!(store.entry(&first).await.unwrap().is_some());
    let missing = store.body(&gone).await.unwrap_err();
    assert_eq!(missing.kind, StoreErrorKind::Missing);
}

#[tokio::test]
async fn a_new_limit_counts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_limit(dir.path(), 100_000).await;
    for number in 1..=3 {
        keep(&store, &format!("f/{number}"), 30_000, number).await;
    }
    let smaller = Quota {
        size_max: 40_000,
        ..Quota::NONE
    };
    store.limit(smaller).await.unwrap();
    settle(&store).await;
    assert_eq!(store.totals().bodies_bytes, 30_000);
    store.limit(Quota::NONE).await.unwrap();
    keep(&store, "f/4", 30_000, 4).await;
    settle(&store).await;
    assert_eq!(store.totals().bodies_bytes, 60_000);
}

async fn with_limit(dir: &Path, size_max: u64) -> Store {
    let quota = Quota {
        size_max,
        ..Quota::NONE
    };
    let options = StoreOptions {
        quota,
        ..options(dir)
    };
    Store::open(options).await.unwrap()
}

#[tokio::test]
async fn what_is_pinned_never_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_limit(dir.path(), 100_000).await;
    for number in 0..600 {
        keep(&store, &format!("f/a/{number:03}"), 100, 1).await;
    }
    let prefixes = vec!["f/a/".to_owned()];
    assert!(!store.pin("a", prefixes.clone()).await.unwrap());
    let (pinned, old) = keep(&store, "f/a/large", 60_000, 2).await;
    let (other, _) = keep(&store, "f/b", 30_000, 3).await;
    keep(&store, "f/c", 30_000, 4).await;
    // There are more pinned ones than are passed over in one step.
    for _ in 0..4 {
        settle(&store).await;
    }
    assert!(store.entry(&other).await.unwrap().is_none());
    assert!(store.entry(&pinned).await.unwrap().is_some());
    assert_eq!(store.totals().entries, 602);

    let store = {
        store.close().await;
        drop(store);
        with_limit(dir.path(), 50_000).await
    };
    let pin = Pin {
        name: "a".to_owned(),
        prefixes,
    };
    assert_eq!(store.pins().await.unwrap(), [pin]);
    // More than the limit is pinned: the rest goes, and the store goes on.
    for _ in 0..4 {
        settle(&store).await;
    }
    assert_eq!(store.keys("", 1000).await.unwrap().len(), 601);
    assert!(store.body(&old).await.is_ok());
    assert!(store.unpin("a").await.unwrap());
    assert!(!store.unpin("a").await.unwrap());
    for _ in 0..20 {
        settle(&store).await;
    }
    assert!(store.entry(&pinned).await.unwrap().is_none());
    assert!(store.body(&old).await.is_err());
}

#[tokio::test]
async fn evicting_one_key_leaves_the_body_to_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (first, body) = keep(&store, "f/a", 30_000, 1).await;
    let (second, same) = keep(&store, "g/a", 30_000, 1).await;
    assert_eq!(body, same);
    let (third, _) = keep(&store, "f/b", 30_000, 2).await;
    store.pin("g", vec!["g/".to_owned()]).await.unwrap();
    let quota = Quota {
        size_max: 31_000,
        ..Quota::NONE
    };
    let goals = store.too_much(&quota).await.unwrap();
    let [goal] = goals.as_slice() else {
        panic!("{goals:?}")
    };
    let went = store.evict(goal.clone()).await.unwrap();
    let keys: Vec<&Key> = went.entries.iter().map(|(key, _)| key).collect();
    assert_eq!((keys, went.bytes), (vec![&first, &third], 30_000));
    assert!(store.entry(&second).await.unwrap().is_some());
    assert_eq!(read(&store.body(&body).await.unwrap()).await.len(), 30_000);
    assert_eq!(store.named(vec![body.digest]).await.unwrap(), [1]);
    assert!(!store.remove_unnamed(body.digest).await.unwrap());
    store.remove(&second).await.unwrap();
    assert!(store.remove_unnamed(body.digest).await.unwrap());
    assert!(store.body(&body).await.is_err());
}
