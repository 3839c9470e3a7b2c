//! Ranges, and what is noticed when a body is cut short or changed under its readers.

use std::io::Write as _;

use super::*;

fn open(bytes: &[u8], verdict: Verdict) -> (File, Arc<OpenBlob>, Clock) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let (stamp, clock) = (Stamp::of(&file).unwrap(), Clock::manual(Time::default()));
    let copy = file.try_clone().unwrap();
    let open = OpenBlob::new(copy, stamp, clock.clone(), verdict);
    (file, Arc::new(open), clock)
}

async fn read(reader: &mut BlobReader) -> Result<Vec<u8>, StoreError> {
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

async fn check(bytes: &[u8], range: Range<u64>, expected: Range<usize>) {
    let blobs = [
        Blob::Bytes(Bytes::copy_from_slice(bytes)),
        Blob::File(open(bytes, Verdict::Good).1),
    ];
    for blob in blobs {
        let mut reader = blob.reader(range.clone());
        assert_eq!(reader.left(), expected.len() as u64);
        let all = read(&mut reader).await.unwrap();
        assert!(all == bytes[expected.clone()], "{range:?}");
    }
}

#[tokio::test]
async fn ranges_are_exact() {
    let bytes: Vec<u8> = (0..=250).cycle().take(400_000).collect();
    check(&bytes, 0..400_000, 0..400_000).await;
    check(&bytes, 0..1, 0..1).await;
    check(&bytes, 131_071..262_145, 131_071..262_145).await;
    check(&bytes, 399_999..u64::MAX, 399_999..400_000).await;
    check(&bytes, 500_000..600_000, 400_000..400_000).await;
    check(&bytes, 7..7, 7..7).await;
    check(b"", 0..10, 0..0).await;
}

#[tokio::test]
async fn a_file_cut_short_is_an_error_not_an_end() {
    let (file, blob, _) = open(b"0123456789", Verdict::Good);
    file.set_len(3).unwrap();
    let mut reader = Blob::File(blob).reader(0..10);
    assert!(read(&mut reader).await.is_err());
}

#[tokio::test]
async fn the_end_of_any_range_waits_for_the_verdict() {
    let bytes: Vec<u8> = (0..=250).cycle().take(400_000).collect();
    let last = usize::try_from(HOLD_BACK).unwrap();
    for (range, verdict) in [
        (0..400_000, Verdict::Good),
        (0..400_000, Verdict::Damaged),
        (100_000..300_000, Verdict::Good),
        (100_000..300_000, Verdict::Unread),
        (5..10, Verdict::Good),
        (5..10, Verdict::Damaged),
    ] {
        let (_, blob, _) = open(&bytes, Verdict::Pending);
        let mut reader = Blob::File(Arc::clone(&blob)).reader(range.clone());
        let expected = usize::try_from(range.end - range.start).unwrap();
        let mut early = Vec::new();
        while early.len() < expected.saturating_sub(last) {
            early.extend_from_slice(&reader.next().await.unwrap().unwrap());
        }
        assert_eq!(early.len(), expected.saturating_sub(last), "{range:?}");
        let next = futures_util::poll!(std::pin::pin!(reader.next()));
        assert!(next.is_pending(), "{range:?}");
        blob.settle(verdict);
        let rest = read(&mut reader).await;
        assert_eq!(rest.is_ok(), verdict == Verdict::Good, "{range:?}");
        early.extend(rest.unwrap_or_default());
        assert_eq!(early.len() == expected, verdict == Verdict::Good);
    }
}

#[tokio::test]
async fn a_file_that_is_changed_while_it_is_read_is_never_read_to_its_end() {
    let (mut file, blob, clock) = open(&vec![7; 400_000], Verdict::Good);
    let mut reader = Blob::File(Arc::clone(&blob)).reader(0..400_000);
    reader.next().await.unwrap().unwrap();
    let later = std::time::SystemTime::UNIX_EPOCH;
    file.write_all(b"x").unwrap();
    file.set_modified(later).unwrap();
    assert_eq!(blob.verdict(), Verdict::Good, "looked at a moment ago");
    clock.advance(LOOK);
    let error = read(&mut reader).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged);
    assert_eq!(blob.verdict(), Verdict::Changed);
}
#[test]
fn a_file_that_was_in_memory_is_not_looked_at_again_at_once() {
    let (file, blob, clock) = open(&vec![7; 400_000], Verdict::Good);
    clock.advance(RESIDENT);
    file.sync_all().unwrap();
    if blob.is_resident(0..100_000).is_none() {
        // A file system that cannot say.
        return;
    }
    blob.bring_in(0..400_000).unwrap();
    assert_eq!(blob.is_resident(0..100_000), Some(true));
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    if chunk::is_resident(&file, 0..400_000) == Some(true) {
        // One that has nothing but memory.
        return;
    }
    assert_eq!(blob.is_resident(0..100_000), Some(true));
    assert_eq!(blob.is_resident(300_000..400_000), Some(true));
    clock.advance(RESIDENT);
    assert_eq!(blob.is_resident(0..100_000), Some(false));
    assert_eq!(blob.is_resident(300_000..400_000), Some(false));
}

#[test]
fn a_part_in_memory_says_nothing_of_the_rest() {
    let (file, blob, _) = open(&vec![7; 400_000], Verdict::Good);
    file.sync_all().unwrap();
    blob.bring_in(0..400_000).unwrap();
    if blob.is_resident(300_000..400_000) != Some(true) {
        return;
    }
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let rest = chunk::is_resident(&file, 300_000..400_000);
    assert_eq!(blob.is_resident(300_000..400_000), rest);
}
