//! The store as its users see it: what survives reopening, what heals, what is refused.

use std::fs;

use super::*;
use prometheus::IntCounter;

mod damage;
mod lost_index;
mod room;

use crate::clock::Time;
use crate::entry::{Digest, Validators};

pub(super) fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        dir: dir.join("store"),
        memory: 1 << 20,
        open_files: 8,
        quota: Quota::NONE,
        clock: Clock::System,
        evictions: IntCounter::new("evictions", "x").unwrap(),
        damaged: IntCounter::new("damaged", "x").unwrap(),
        unsynced: IntCounter::new("unsynced", "x").unwrap(),
    }
}

async fn open(dir: &Path) -> Store {
    Store::open(options(dir)).await.unwrap()
}

async fn reopen(store: Store, dir: &Path) -> Store {
    store.close().await;
    drop(store);
    open(dir).await
}

fn entry(body: Option<Stored>, checked_at: u64) -> Entry {
    Entry {
        body,
        url: "https://example.org/a".to_owned(),
        validators: Validators::default(),
        content_type: None,
        fetched_at: Time::from_millis(1),
        checked_at: Time::from_millis(checked_at),
        missing_since: None,
    }
}

fn pattern(size: usize) -> Bytes {
    (0..=250).cycle().take(size).collect::<Vec<u8>>().into()
}

async fn finish(store: &Store, bytes: &Bytes) -> Finished {
    let (mut writer, _draft) = store.draft(Some(bytes.len() as u64));
    writer.append(vec![bytes.clone()]).await.unwrap();
    writer.finish().unwrap()
}

async fn seal(store: &Store, bytes: &Bytes) -> Stored {
    let finished = finish(store, bytes).await;
    let stored = store.seal(&finished).await.unwrap();
    finished.draft.release();
    stored.stored()
}

async fn read(blob: &Blob) -> Vec<u8> {
    let mut reader = blob.reader(0..u64::MAX);
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    all
}

fn path_of(dir: &Path, stored: &Stored) -> PathBuf {
    content::path_of(&options(dir).dir.join("bodies-v1"), &stored.digest)
}

#[tokio::test]
async fn a_sealed_body_is_read_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).await;
    for size in [0, 1, 32 * 1024, 32 * 1024 + 1, 700_000] {
        let bytes = pattern(size);
        let stored = seal(&store, &bytes).await;
        assert_eq!(stored.digest, Digest::of(&bytes));
        assert!(store.hot_body(&stored).is_none());
        for _ in 0..2 {
            let blob = store.body(&stored).await.unwrap();
            assert_eq!(matches!(blob, Blob::Bytes(_)), size <= 32 * 1024, "{size}");
            assert!(read(&blob).await == bytes, "{size}");
            assert!(store.hot_body(&stored).is_some(), "{size}");
            assert!(store.document(&stored).await.unwrap() == bytes);
        }
        store = reopen(store, dir.path()).await;
        assert!(store.document(&stored).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_body_that_is_stored_intact_is_not_written_again() {
    use std::os::unix::fs::MetadataExt as _;

    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let bytes = pattern(100_000);
    let first = seal(&store, &bytes).await;
    let inode = || fs::metadata(path_of(dir.path(), &first)).unwrap().ino();
    let before = inode();
    assert_eq!(seal(&store, &bytes).await, first);
    assert_eq!(inode(), before);
}

#[tokio::test]
async fn a_missing_or_damaged_body_is_said_to_be_so_and_heals_by_sealing_again() {
    type Harm = fn(&Path);
    let truncate: Harm = |path| fs::write(path, b"short").unwrap();
    let remove: Harm = |path| fs::remove_file(path).unwrap();
    let flip: Harm = |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[9] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cases = [
        (remove, StoreErrorKind::Missing),
        (truncate, StoreErrorKind::Damaged),
        (flip, StoreErrorKind::Damaged),
    ];
    for (harm, kind) in cases {
        for size in [10, 100_000] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path()).await;
            let bytes = pattern(size);
            let stored = seal(&store, &bytes).await;
            harm(&path_of(dir.path(), &stored));
            assert_eq!(store.body(&stored).await.unwrap_err().kind, kind);
            let missing = store.document(&stored).await.unwrap_err();
            assert_eq!(missing.kind, StoreErrorKind::Missing);
            assert_eq!(seal(&store, &bytes).await, stored);
            assert!(store.document(&stored).await.unwrap() == bytes);
            assert!(read(&store.body(&stored).await.unwrap()).await == bytes);
        }
    }
}

#[tokio::test]
async fn a_discarded_body_is_missing_but_its_readers_go_on() {
    for size in [10, 100_000] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        let bytes = pattern(size);
        let stored = seal(&store, &bytes).await;
        let blob = store.body(&stored).await.unwrap();
        store.discard(&stored).await.unwrap();
        store.discard(&stored).await.unwrap();
        let error = store.body(&stored).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Missing);
        assert!(read(&blob).await == bytes);
    }
}

#[tokio::test]
async fn readers_of_a_sealed_draft_go_on_and_the_draft_folder_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let bytes = pattern(500_000);
    let finished = finish(&store, &bytes).await;
    let mut reader = finished.draft.reader().unwrap();
    let mut all = reader.next().await.unwrap().unwrap().to_vec();
    store.seal(&finished).await.unwrap();
    finished.draft.release();
    drop(finished);
    while let Some(chunk) = reader.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    assert!(all == bytes);
    let drafts = options(dir.path()).dir.join("drafts-v1");
    assert_eq!(fs::read_dir(drafts).unwrap().count(), 0);
}

#[tokio::test]
async fn entries_and_notes_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let key = Key::new("f/flat/a");
    let body = seal(&store, &pattern(10)).await;
    store.put(&key, entry(Some(body), 1)).await.unwrap();
    let put = store.put(&key, entry(Some(body), 2)).await.unwrap();
    assert_eq!(store.hot(&key), Some(Arc::clone(&put)));
    store.remember("bases", b"one").await.unwrap();
    store.remember("bases", b"two").await.unwrap();
    let totals = store.totals();
    assert_eq!((totals.entries, totals.bodies_bytes), (1, 10));

    let store = reopen(store, dir.path()).await;
    assert_eq!(store.hot(&key), None);
    assert_eq!(store.entry(&key).await.unwrap(), Some(put.clone()));
    assert_eq!(store.hot(&key), Some(put));
    assert_eq!(store.recall("bases").await.unwrap().unwrap(), b"two");
    assert_eq!(store.recall("other").await.unwrap(), None);
    store.remember("after", b"counting").await.unwrap();
    assert_eq!(store.totals(), totals);
}

#[tokio::test]
async fn forgetting_reaches_memory_and_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let keys = ["f/a/1", "f/a/2", "f/ab"].map(Key::new);
    for key in &keys {
        store.put(key, entry(None, 1)).await.unwrap();
    }
    assert_eq!(store.keys("f/a", 10).await.unwrap(), keys);
    assert_eq!(store.forget("f/a/").await.unwrap(), 2);
    assert_eq!(store.hot(&keys[0]), None);
    assert_eq!(store.entry(&keys[1]).await.unwrap(), None);
    assert!(store.entry(&keys[2]).await.unwrap().is_some());
    assert_eq!(store.totals().absent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_entries_larger_than_the_queue_is_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut puts = tokio::task::JoinSet::new();
    for i in 0..3000 {
        let store = store.clone();
        puts.spawn(async move {
            let key = Key::new(format!("f/{i}"));
            store.put(&key, entry(None, i)).await.map(drop)
        });
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap().unwrap();
    }
    let store = reopen(store, dir.path()).await;
    assert_eq!(store.keys("f/", 5000).await.unwrap().len(), 3000);
}

#[tokio::test]
async fn a_second_daemon_is_told_who_is_in_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let error = Store::open(options(dir.path())).await.err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Locked);
    let name = options(dir.path()).dir.display().to_string();
    assert!(error.to_string().contains(&name), "{error}");
    store.close().await;
    drop(store);
    open(dir.path()).await;
}

#[tokio::test]
async fn a_closed_store_refuses_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.close().await;
    store.close().await;
    let error = store.put(&Key::new("f/a"), entry(None, 1)).await;
    assert_eq!(error.unwrap_err().kind, StoreErrorKind::Closed);
}

#[tokio::test]
async fn a_damaged_index_is_put_aside_and_the_store_starts() {
    let foreign = |path: &Path| {
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch("CREATE TABLE entries (x)").unwrap();
    };
    let garbage = |path: &Path| fs::write(path, [0x55; 8192]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let index = options(dir.path()).dir.join("index-v2.sqlite3");
    let harms: [&dyn Fn(&Path); 2] = [&garbage, &foreign];
    for (number, harm) in harms.iter().enumerate() {
        let store = open(dir.path()).await;
        let body = seal(&store, &pattern(10)).await;
        store
            .put(&Key::new("f/a"), entry(Some(body), 1))
            .await
            .unwrap();
        store.close().await;
        drop(store);
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", index.display()));
        }
        harm(&index);
        let store = open(dir.path()).await;
        assert_eq!(store.entry(&Key::new("f/a")).await.unwrap(), None);
        store
            .put(&Key::new("f/a"), entry(Some(body), 1))
            .await
            .unwrap();
        assert!(store.document(&body).await.is_ok(), "bodies are untouched");
        let aside = format!("{}.damaged-{}", index.display(), number + 1);
        assert!(Path::new(&aside).exists(), "{aside}");
        store.close().await;
    }
}

#[tokio::test]
async fn leftovers_of_an_unclean_end_are_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let root = options(dir.path()).dir;
    let leftovers = [root.join("drafts-v1/x"), root.join("bodies-v1/tmp/y")];
    for path in &leftovers {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"half").unwrap();
    }
    open(dir.path()).await;
    assert!(leftovers.iter().all(|path| !path.exists()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("store"), b"a file").unwrap();
    let error = Store::open(options(dir.path())).await.err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Io);
    assert!(error.to_string().contains("/store"), "{error}");
}

async fn keep(store: &Store, key: &str, size: usize, at: u64) -> (Key, Stored) {
    let body = Bytes::from(vec![at.to_le_bytes()[0]; size]);
    let sealed = store.seal(&finish(store, &body).await).await.unwrap();
    let key = Key::new(key);
    let entry = entry(Some(sealed.stored()), at);
    store.put(&key, entry).await.unwrap();
    (key, sealed.stored())
}

/// Everything that is ordered before this is done after it.
async fn settle(store: &Store) {
    store.remember("settled", b"").await.unwrap();
}

#[tokio::test]
async fn a_body_goes_when_the_last_entry_that_names_it_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (_, old) = keep(&store, "f/list", 30_000, 1).await;
    let (_, shared) = keep(&store, "f/a", 20_000, 2).await;
    keep(&store, "f/b", 20_000, 2).await;
    keep(&store, "f/list", 30_000, 3).await;
    keep(&store, "f/a", 30_000, 4).await;
    let store = reopen(store, dir.path()).await;
    assert!(store.body(&shared).await.is_ok());
    let missing = store.body(&old).await.unwrap_err();
    assert_eq!(missing.kind, StoreErrorKind::Missing);
}

#[tokio::test]
async fn a_body_whose_entry_is_on_the_way_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (key, old) = keep(&store, "f/a", 30_000, 1).await;
    let finished = finish(&store, &Bytes::from(vec![1; 30_000])).await;
    let again = store.seal(&finished).await.unwrap();
    assert_eq!(again.stored(), old);
    store.0.bodies.unlink(&old.digest).unwrap();
    assert!(store.body(&old).await.is_ok());
    store.put(&key, entry(Some(old), 2)).await.unwrap();
    drop(again);
    store.0.bodies.unlink(&old.digest).unwrap();
    assert!(store.body(&old).await.is_err());
}

#[tokio::test]
async fn a_scrub_finds_what_is_damaged_and_what_nobody_needs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (_, good) = keep(&store, "f/good", 30_000, 1).await;
    let (_, bad) = keep(&store, "f/bad", 30_000, 2).await;
    let orphan = seal(&store, &Bytes::from(vec![3; 30_000])).await;
    let on_the_way = finish(&store, &Bytes::from(vec![4; 30_000])).await;
    let on_the_way = store.seal(&on_the_way).await.unwrap();
    let file = store.0.bodies.path(&bad.digest);
    let mut bytes = fs::read(&file).unwrap();
    bytes[15_000] ^= 1;
    fs::write(&file, bytes).unwrap();

    let mut found = Vec::new();
    for first in 0..SHARDS {
        found.extend(store.shard(first.to_be_bytes()[1]).await.unwrap());
    }
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|(_, size)| *size == 30_000));
    for (body, expected) in [
        (good, Inspected::Good),
        (bad, Inspected::Damaged),
        (bad, Inspected::Gone),
        (orphan, Inspected::Orphan),
        (orphan, Inspected::Gone),
        (on_the_way.stored(), Inspected::Good),
    ] {
        assert_eq!(store.inspect(body.digest).await.unwrap(), expected);
    }
    assert!(store.body(&good).await.is_ok());
    let missing = store.body(&bad).await.unwrap_err();
    assert_eq!(missing.kind, StoreErrorKind::Missing);
    let aside = options(dir.path()).dir.join("damaged-v1");
    assert_eq!(fs::read_dir(aside).unwrap().count(), 1);
}

#[tokio::test]
async fn bodies_are_told_by_their_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut all = Vec::new();
    for number in 0..600_u64 {
        let text = Bytes::from(number.to_string());
        let stored = seal(&store, &text).await;
        let key = Key::new(format!("f/{number}"));
        store.put(&key, entry(Some(stored), 1)).await.unwrap();
        all.push(stored);
    }
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        let [_, first] = shard.to_be_bytes();
        let bodies = store.named_shard(first).await.unwrap();
        assert!(bodies.iter().all(|it| it.digest.as_bytes()[0] == first));
        found.extend(bodies);
    }
    let order = |body: &Stored| body.digest.to_hex();
    all.sort_by_key(order);
    found.sort_by_key(order);
    assert_eq!(found, all);
}
