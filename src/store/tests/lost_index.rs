//! An index that was lost or damaged: what is found again, and that nobody is told anything wrong.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use super::*;

const PACKAGES: u64 = 300;

fn index_of(dir: &Path) -> PathBuf {
    options(dir).dir.join("index-v2.sqlite3")
}

fn key_of(number: u64) -> Key {
    Key::new(format!(
        "f/flat/package.{number}/1.0.0/package.{number}.1.0.0.nupkg"
    ))
}

fn body_of(number: u64) -> Bytes {
    Bytes::from(format!("package {number}").repeat(10))
}

/// A closed store with packages and one list.
async fn filled(dir: &Path) -> Vec<Entry> {
    filled_with(dir, PACKAGES).await
}

async fn filled_with(dir: &Path, packages: u64) -> Vec<Entry> {
    let store = open(dir).await;
    let mut entries = Vec::new();
    for number in 0..packages {
        let body = seal(&store, &body_of(number)).await;
        let entry = entry(Some(body), number);
        let key = key_of(number);
        store.put_lasting(&key, entry.clone()).await.unwrap();
        entries.push(entry);
    }
    let list = seal(&store, &pattern(50)).await;
    let list = entry(Some(list), 5);
    store.put(&Key::new("f/flat/list"), list).await.unwrap();
    store.close().await;
    entries
}

/// Waits until all packages are known.
async fn wait_for(store: &Store, entries: &[Entry]) {
    let all = async {
        for (number, entry) in (0..).zip(entries) {
            loop {
                match store.entry(&key_of(number)).await.unwrap() {
                    Some(found) => break assert_eq!(*found, *entry),
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), all).await;
    in_time.expect("packages are not found again");
}

async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    in_time.unwrap_or_else(|_| panic!("never came true: {what}"));
}

fn aside(dir: &Path, number: u32) -> bool {
    Path::new(&format!("{}.damaged-{number}", index_of(dir).display())).exists()
}

#[tokio::test]
async fn packages_of_a_removed_index_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let entries = filled(dir.path()).await;
    fs::remove_file(index_of(dir.path())).unwrap();
    let store = open(dir.path()).await;
    wait_for(&store, &entries).await;
    assert_eq!(store.entry(&Key::new("f/flat/list")).await.unwrap(), None);
    assert_eq!(store.totals().entries, PACKAGES);
    let bodies: u64 = (0..PACKAGES)
        .map(|number| body_of(number).len() as u64)
        .sum();
    assert_eq!(store.totals().bodies_bytes, bodies);
    let store = reopen(store, dir.path()).await;
    wait_for(&store, &entries).await;
    assert!(!aside(dir.path(), 1));
}

#[tokio::test]
async fn a_search_for_packages_that_was_cut_off_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let entries = filled(dir.path()).await;
    fs::remove_file(index_of(dir.path())).unwrap();
    let db = rusqlite::Connection::open(index_of(dir.path())).unwrap();
    table::prepare(&db).unwrap();
    table::remember(&db, rebuild::NOTE, rebuild::DUE).unwrap();
    drop(db);
    let store = open(dir.path()).await;
    wait_for(&store, &entries).await;
}

#[tokio::test]
async fn what_was_stored_anew_or_removed_is_not_undone_by_its_record() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let store = open(dir.path()).await;
    store.remove(&key_of(0)).await.unwrap();
    store.forget(key_of(1).as_str()).await.unwrap();
    let newer = seal(&store, &pattern(77)).await;
    let newer = entry(Some(newer), 1_000_000);
    store.put_lasting(&key_of(2), newer.clone()).await.unwrap();
    store.close().await;
    drop(store);
    fs::remove_file(index_of(dir.path())).unwrap();
    let store = open(dir.path()).await;
    wait_until("all but two are there", || {
        store.totals().entries == PACKAGES - 2
    })
    .await;
    assert_eq!(store.entry(&key_of(0)).await.unwrap(), None);
    assert_eq!(store.entry(&key_of(1)).await.unwrap(), None);
    let found = store.entry(&key_of(2)).await.unwrap();
    assert_eq!(found.as_deref(), Some(&newer));
}

#[tokio::test]
async fn a_damaged_page_gives_no_wrong_answer_and_costs_no_package() {
    let dir = tempfile::tempdir().unwrap();
    let entries = filled_with(dir.path(), 100).await;
    let whole = fs::read(index_of(dir.path())).unwrap();
    for (number, start) in (0..whole.len()).step_by(4096).enumerate() {
        let mut bytes = whole.clone();
        bytes[start..start + 4096].fill([0, 0xa7][number % 2]);
        fs::write(index_of(dir.path()), bytes).unwrap();
        let store = open(dir.path()).await;
        wait_for(&store, &entries).await;
        let key = Key::new(format!("f/{number}"));
        store.put(&key, entry(None, 1)).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn an_index_that_is_damaged_while_it_is_used_is_replaced() {
    for whole in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let entries = filled(dir.path()).await;
        let store = open(dir.path()).await;
        store.counted().await.unwrap();
        let hot = Key::new("f/flat/list");
        assert!(store.entry(&hot).await.unwrap().is_some());
        if whole {
            let file = fs::File::options().write(true).open(index_of(dir.path()));
            let length = fs::metadata(index_of(dir.path())).unwrap().len();
            let garbage = vec![0x55; usize::try_from(length).unwrap()];
            file.unwrap().write_all_at(&garbage, 0).unwrap();
            store.0.index.forget_readers();
        } else {
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{suffix}", index_of(dir.path()).display()));
            }
            store.0.index.forget_readers();
        }
        wait_for(&store, &entries).await;
        assert_eq!(aside(dir.path(), 1), whole);
        let store = reopen(store, dir.path()).await;
        assert!(store.entry(&hot).await.unwrap().is_some(), "was in memory");
        wait_for(&store, &entries).await;
    }
}

#[tokio::test]
async fn after_an_unclean_end_the_index_is_looked_through() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let store = open(dir.path()).await;
    assert!(!store.was_cut_off());
    store.close().await;
    drop(store);
    let whole = fs::read(index_of(dir.path())).unwrap();
    fs::write(options(dir.path()).dir.join("running"), "").unwrap();
    // A page that nobody asks for: the last of the table of bodies by age.
    let mut bytes = whole.clone();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0);
    fs::write(index_of(dir.path()), bytes).unwrap();
    let store = open(dir.path()).await;
    assert!(store.was_cut_off());
    wait_until("it is put aside", || aside(dir.path(), 1)).await;
    wait_until("all are back", || store.totals().entries >= PACKAGES).await;
}

#[tokio::test]
async fn a_body_without_an_entry_stays_as_long_as_packages_are_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let orphan = seal(&store, &pattern(100)).await;
    let running = store.0.index.rebuilding();
    running.store(true, std::sync::atomic::Ordering::Release);
    let found = store.inspect(orphan.digest).await.unwrap();
    assert_eq!(found, Inspected::Good);
    running.store(false, std::sync::atomic::Ordering::Release);
    let found = store.inspect(orphan.digest).await.unwrap();
    assert_eq!(found, Inspected::Orphan);
}
