//! Bodies that were harmed behind the store's back, and when it is noticed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, SystemTime};

use super::*;

/// More than is verified before the head.
const LARGE: usize = 5 << 20;

async fn with_clock(dir: &Path) -> (Store, Clock) {
    let clock = Clock::manual(Time::from_millis(1_000_000));
    let options = StoreOptions {
        clock: clock.clone(),
        ..options(dir)
    };
    (Store::open(options).await.unwrap(), clock)
}

/// Changes one byte and leaves everything else of the file as it was.
fn flip_unseen(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(modified).unwrap();
}

async fn read_to_end(blob: &Blob) -> Result<usize, (usize, StoreErrorKind)> {
    let mut reader = blob.reader(0..u64::MAX);
    let mut read = 0;
    while let Some(chunk) = reader.next().await {
        read += chunk.map_err(|error| (read, error.kind))?.len();
    }
    Ok(read)
}

#[tokio::test]
async fn damage_done_while_nobody_looked_is_found_at_the_first_use() {
    for size in [100, 33_000, 700_000] {
        for at in [0, size as u64 / 2, size as u64 - 1] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path()).await;
            let stored = seal(&store, &pattern(size)).await;
            store.close().await;
            drop(store);
            flip_unseen(&path_of(dir.path(), &stored), at);
            let store = open(dir.path()).await;
            let error = store.body(&stored).await.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Damaged, "{size} {at}");
            let error = store.body(&stored).await.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Missing, "{size} {at}");
            assert_eq!(store.0.bodies.damaged.get(), 1);
            seal(&store, &pattern(size)).await;
            assert!(read(&store.body(&stored).await.unwrap()).await == pattern(size));
        }
    }
}

#[tokio::test]
async fn the_end_of_a_large_damaged_body_is_never_given() {
    for at in [0, LARGE as u64 - 1] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        let stored = seal(&store, &pattern(LARGE)).await;
        let store = reopen(store, dir.path()).await;
        flip_unseen(&path_of(dir.path(), &stored), at);
        let blob = store.body(&stored).await.unwrap();
        let (read, kind) = read_to_end(&blob).await.unwrap_err();
        assert!(read <= LARGE - 65_536, "{read}");
        assert_eq!(kind, StoreErrorKind::Damaged);
        assert_eq!(read_to_end(&blob).await, Err((0, kind)));
        let error = store.body(&stored).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Missing);
    }
}

#[tokio::test]
async fn a_body_is_verified_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let stored = [33_000, LARGE].map(|size| (size, pattern(size)));
    let sealed = [
        seal(&store, &stored[0].1).await,
        seal(&store, &stored[1].1).await,
    ];
    let store = reopen(store, dir.path()).await;
    for stored in &sealed {
        assert!(store.0.bodies.verified.get(&stored.digest).is_none());
        let blob = store.body(stored).await.unwrap();
        let all = read_to_end(&blob).await;
        assert_eq!(all, Ok(usize::try_from(stored.size).unwrap()));
        assert!(store.0.bodies.verified.get(&stored.digest).is_some());
        store.0.bodies.open.invalidate(&stored.digest);
        let Blob::File(again) = store.body(stored).await.unwrap() else {
            panic!("not a file");
        };
        assert_eq!(again.verdict(), blob::Verdict::Good, "by its stamp");
        assert!(again.is_at_hand());
    }
}

#[tokio::test]
async fn a_hot_body_that_is_written_to_is_verified_anew() {
    for (size, harms) in [(33_000, true), (33_000, false), (700_000, true)] {
        let dir = tempfile::tempdir().unwrap();
        let (store, clock) = with_clock(dir.path()).await;
        let stored = seal(&store, &pattern(size)).await;
        let before = store.body(&stored).await.unwrap();
        let path = path_of(dir.path(), &stored);
        if harms {
            flip_unseen(&path, 5);
        }
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        clock.advance(Duration::from_secs(1));
        match store.body(&stored).await {
            Ok(blob) => assert!(!harms && read(&blob).await == pattern(size)),
            Err(error) => assert!(harms && error.kind == StoreErrorKind::Damaged),
        }
        // Whoever had it open cannot know what was read.
        assert!(read_to_end(&before).await.is_err());
    }
}

#[tokio::test]
async fn readers_of_a_body_that_makes_room_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = with_clock(dir.path()).await;
    let stored = seal(&store, &pattern(700_000)).await;
    let blob = store.body(&stored).await.unwrap();
    store.0.bodies.unlink(&stored.digest).unwrap();
    clock.advance(Duration::from_secs(5));
    assert_eq!(read_to_end(&blob).await, Ok(700_000));
}

#[tokio::test]
async fn many_who_ask_for_an_unverified_body_share_one_look() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let stored = seal(&store, &pattern(LARGE)).await;
    let store = reopen(store, dir.path()).await;
    let blobs = futures_util::future::join_all((0..20).map(|_| store.body(&stored))).await;
    let mut files = blobs.into_iter().map(|blob| match blob.unwrap() {
        Blob::File(open) => open,
        Blob::Bytes(_) => panic!("not a file"),
    });
    let first = files.next().unwrap();
    assert!(files.all(|open| Arc::ptr_eq(&first, &open)));
}
