//! Drafts: hold-back, many readers, and every way a draft can end.

use std::io::{Read as _, Seek as _, SeekFrom};

use super::*;
use crate::store::StoreErrorKind;

const HOLD: usize = 64 * 1024;

fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| u8::try_from((i * 7 + i / 251) % 256).unwrap())
        .collect()
}

fn new_in(dir: &tempfile::TempDir) -> (DraftWriter, Arc<Draft>) {
    DraftWriter::new(dir.path().into(), None)
}

async fn write_in_blocks(writer: &mut DraftWriter, bytes: &[u8], block: usize) {
    for part in bytes.chunks(block) {
        writer
            .append(vec![Bytes::copy_from_slice(part)])
            .await
            .unwrap();
    }
}

async fn read_to_end(mut reader: DraftReader) -> Result<Vec<u8>, StoreError> {
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await {
        let chunk = chunk?;
        assert!((1..=HOLD).contains(&chunk.len()), "{}", chunk.len());
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Reads until the reader has to wait.
async fn read_available(reader: &mut DraftReader, expected: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < expected {
        all.extend_from_slice(&reader.next().await.unwrap().unwrap());
    }
    let mut more = std::pin::pin!(reader.next());
    assert!(futures_util::poll!(more.as_mut()).is_pending());
    all
}

#[tokio::test]
async fn readers_that_come_early_and_late_get_the_same_bytes() {
    for size in [0, 1, HOLD - 1, HOLD, HOLD + 1, 300_000] {
        for block in [1000, HOLD, 1 << 20] {
            let dir = tempfile::tempdir().unwrap();
            let bytes = pattern(size);
            let (mut writer, draft) = new_in(&dir);
            let early = tokio::spawn(read_to_end(draft.reader().unwrap()));
            write_in_blocks(&mut writer, &bytes, block).await;
            let finished = writer.finish().unwrap();
            assert_eq!(finished.size, size as u64);
            assert_eq!(finished.digest, Digest::of(&bytes));
            finished.draft.release();
            assert!(
                early.await.unwrap().unwrap() == bytes,
                "early {size} {block}"
            );
            let late = read_to_end(draft.reader().unwrap()).await.unwrap();
            assert!(late == bytes, "late {size} {block}");
            assert_eq!(draft.released().await.unwrap(), size as u64);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_concurrent_readers_are_byte_equal() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = pattern(3_000_001);
    let (mut writer, draft) = new_in(&dir);
    let mut readers = Vec::new();
    for (index, part) in bytes.chunks(bytes.len() / 49).enumerate() {
        readers.push(tokio::spawn(read_to_end(draft.reader().unwrap())));
        write_in_blocks(&mut writer, part, 10_000 + index).await;
    }
    let finished = writer.finish().unwrap();
    finished.draft.release();
    assert_eq!(readers.len(), 50);
    for reader in readers {
        assert!(reader.await.unwrap().unwrap() == bytes);
    }
    assert_eq!(draft.readers(), 0);
}

#[tokio::test]
async fn exactly_the_last_64_kib_wait_for_the_release() {
    for extra in [0, 1, 70_000, 500_000] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = pattern(HOLD + extra);
        let (mut writer, draft) = new_in(&dir);
        let mut reader = draft.reader().unwrap();
        write_in_blocks(&mut writer, &bytes, 50_000).await;
        let mut got = read_available(&mut reader, extra).await;
        assert_eq!(got.len(), extra, "before the end is known");
        let finished = writer.finish().unwrap();
        assert!(read_available(&mut reader, 0).await.is_empty());
        finished.draft.release();
        drop(finished);
        got.extend(read_to_end(reader).await.unwrap());
        assert!(got == bytes, "{extra}");
    }
}

#[tokio::test]
async fn of_an_announced_length_only_the_last_64_kib_wait() {
    // Announced, and what comes: as much, less, and more.
    for (announced, size) in [
        (300_000, 300_000),
        (HOLD + 1, HOLD + 1),
        (300_000, 120_000),
        (70_000, 200_000),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = pattern(size);
        let (mut writer, draft) =
            DraftWriter::new(dir.path().into(), Some(u64::try_from(announced).unwrap()));
        let mut reader = draft.reader().unwrap();
        let mut got = Vec::new();
        for block in bytes.chunks(20_000) {
            write_in_blocks(&mut writer, block, block.len()).await;
            let written = usize::try_from(draft.written()).unwrap();
            let open = written
                .min(announced - HOLD)
                .max(written.saturating_sub(HOLD));
            assert_eq!(draft.shown(), open as u64, "{announced} {size}");
            got.extend(read_available(&mut reader, open - got.len()).await);
        }
        let finished = writer.finish().unwrap();
        assert!(read_available(&mut reader, 0).await.is_empty());
        finished.draft.release();
        got.extend(read_to_end(reader).await.unwrap());
        assert!(got == bytes, "{announced} {size}");
    }
}

#[tokio::test]
async fn a_draft_that_ends_badly_is_an_error_for_every_reader() {
    type End = fn(DraftWriter, &Draft);
    let ends: [(&str, End, &str); 3] = [
        ("writer dropped", |writer, _| drop(writer), "abandoned"),
        (
            "verdict dropped",
            |writer, _| drop(writer.finish().unwrap()),
            "abandoned",
        ),
        (
            "failed",
            |writer, draft| {
                let finished = writer.finish().unwrap();
                draft.fail("wrong length");
                finished.draft.release();
            },
            "wrong length",
        ),
    ];
    for (name, end, reason) in ends {
        for size in [10, 200_000] {
            let dir = tempfile::tempdir().unwrap();
            let (mut writer, draft) = new_in(&dir);
            let waiting = tokio::spawn(read_to_end(draft.reader().unwrap()));
            write_in_blocks(&mut writer, &pattern(size), 80_000).await;
            end(writer, &draft);
            for reader in [waiting, tokio::spawn(read_to_end(draft.reader().unwrap()))] {
                let error = reader.await.unwrap().unwrap_err();
                assert_eq!(error.kind, StoreErrorKind::Failed, "{name}");
                assert_eq!(error.context, reason, "{name}");
            }
            assert!(draft.released().await.is_err(), "{name}");
            assert!(draft.whole(u64::MAX).await.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_released_draft_cannot_fail_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, draft) = new_in(&dir);
    write_in_blocks(&mut writer, b"body", 4).await;
    draft.release();
    assert!(
        read_available(&mut draft.reader().unwrap(), 0)
            .await
            .is_empty()
    );
    let finished = writer.finish().unwrap();
    draft.release();
    draft.fail("too late");
    drop(finished);
    assert_eq!(read_to_end(draft.reader().unwrap()).await.unwrap(), b"body");
}

#[tokio::test]
async fn a_draft_that_finds_no_folder_goes_through_memory() {
    let dir: Arc<Path> = Path::new("/nonexistent/drafts").into();
    let (mut small, draft) = DraftWriter::new(Arc::clone(&dir), Some(HOLD_BACK));
    small.append(vec![pattern(HOLD).into()]).await.unwrap();
    small.finish().unwrap();
    assert!(!draft.is_passed_on());

    let bytes = pattern(3 * HOLD);
    let (mut large, draft) = DraftWriter::new(dir, None);
    let reading = tokio::spawn(read_to_end(draft.reader().unwrap()));
    write_in_blocks(&mut large, &bytes, 50_000).await;
    let finished = large.finish().unwrap();
    assert!(draft.is_passed_on());
    assert_eq!(finished.digest, Digest::of(&bytes));
    assert!(draft.whole(bytes.len() as u64).await.unwrap() == bytes);
    assert!(draft.tail() == bytes[2 * HOLD..]);
    draft.release();
    assert!(reading.await.unwrap().unwrap() == bytes);
}

#[tokio::test]
async fn what_is_passed_on_waits_for_its_readers_and_for_no_more() {
    let dir: Arc<Path> = Path::new("/nonexistent/drafts").into();
    let bytes = pattern(40 * HOLD);
    let (mut writer, draft) = DraftWriter::new(dir, None);
    writer.keep(Keep::Window);
    let moment = Duration::from_millis(1);
    let (mut fast, mut slow) = (draft.reader().unwrap(), draft.reader().unwrap());
    let mut got = Vec::new();
    for block in bytes.chunks(HOLD) {
        writer
            .append(vec![Bytes::copy_from_slice(block)])
            .await
            .unwrap();
        while got.len() + HOLD < usize::try_from(draft.written()).unwrap() {
            got.extend(fast.next().await.unwrap().unwrap());
        }
        if !writer.has_room(moment).await {
            // The slow one alone is in the way; it finds that it was left behind.
            writer.cast_off();
            assert!(writer.has_room(moment).await);
        }
    }
    assert!(draft.reader().is_none(), "its beginning is gone");
    assert!(draft.file().is_err());
    let _finished = writer.finish().unwrap();
    draft.release();
    got.extend(read_to_end(fast).await.unwrap());
    assert!(got == bytes);
    assert_eq!(
        slow.next().await.unwrap().unwrap_err().kind,
        StoreErrorKind::Behind
    );
}

#[tokio::test]
async fn without_a_reader_the_writer_waits_for_the_first() {
    let dir: Arc<Path> = Path::new("/nonexistent/drafts").into();
    let (mut writer, draft) = DraftWriter::new(dir, None);
    writer.keep(Keep::Window);
    writer
        .append(vec![pattern(20 * HOLD).into()])
        .await
        .unwrap();
    assert!(!writer.has_room(Duration::from_millis(1)).await);
    let mut reader = draft.reader().unwrap();
    assert!(!writer.has_room(Duration::from_millis(1)).await);
    while reader.next().await.is_some_and(|piece| piece.is_ok())
        && !writer.has_room(Duration::ZERO).await
    {}
    assert!(writer.has_room(Duration::from_secs(10)).await);
}

#[test]
fn an_append_dropped_half_way_poisons_the_writer() {
    crate::store::error::with_busy_pool(|free_pool| async move {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _draft) = new_in(&dir);
        {
            let mut append = std::pin::pin!(writer.append(vec![pattern(HOLD + 1).into()]));
            assert!(futures_util::poll!(append.as_mut()).is_pending());
        }
        drop(free_pool);
        assert!(writer.append(vec![Bytes::from_static(b"x")]).await.is_err());
        assert!(writer.finish().is_err());
    });
}

#[tokio::test]
async fn a_file_draft_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, draft) = new_in(&dir);
    write_in_blocks(&mut writer, &pattern(200_000), 50_000).await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    drop((writer, draft));
}

#[tokio::test]
async fn the_verifier_sees_every_byte_before_the_release() {
    for size in [0, 1000, 150_000] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = pattern(size);
        let (mut writer, draft) = new_in(&dir);
        write_in_blocks(&mut writer, &bytes, 40_000).await;
        assert!(draft.file().is_err(), "not before the end");
        let finished = writer.finish().unwrap();
        assert!(draft.whole(size as u64).await.unwrap() == bytes);
        if size > 0 {
            assert!(draft.whole(size as u64 - 1).await.is_err());
        }

        let mut file = finished.draft.file().unwrap();
        let mut all = Vec::new();
        file.read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        let tail = i64::try_from(size.min(22)).unwrap();
        file.seek(SeekFrom::End(-tail)).unwrap();
        all.clear();
        file.read_to_end(&mut all).unwrap();
        assert!(all == bytes[size - size.min(22)..]);
        assert!(
            file.seek(SeekFrom::Current(-1 - i64::try_from(size).unwrap()))
                .is_err()
        );
    }
}

#[tokio::test]
async fn a_part_goes_on_as_another_draft() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = pattern(300_000);
    let (mut writer, draft) = new_in(&dir);
    write_in_blocks(&mut writer, &bytes[..200_000], 60_000).await;
    let reader = draft.reader().unwrap();
    let part = writer.into_part().unwrap();
    assert_eq!(part.length(), 200_000);
    assert!(read_to_end(reader).await.is_err(), "the first draft failed");

    let (mut writer, draft) = DraftWriter::from_part(dir.path().into(), part);
    let mut reader = draft.reader().unwrap();
    let mut got = read_available(&mut reader, 200_000 - HOLD).await;
    write_in_blocks(&mut writer, &bytes[200_000..], 60_000).await;
    let finished = writer.finish().unwrap();
    assert_eq!(finished.digest, Digest::of(&bytes));
    finished.draft.release();
    got.extend(read_to_end(reader).await.unwrap());
    assert!(got == bytes);
}

#[tokio::test]
async fn what_was_written_is_compared() {
    for size in [1000, 200_000] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = pattern(size);
        let (mut writer, _draft) = new_in(&dir);
        write_in_blocks(&mut writer, &bytes, 80_000).await;
        let check = async |offset: usize, block: &[u8], expected| {
            let block = Bytes::copy_from_slice(block);
            let same = writer.matches(offset as u64, &block).await.unwrap();
            assert_eq!(same, expected, "{size} {offset}");
        };
        check(0, &bytes, true).await;
        check(500, &bytes[500..], true).await;
        let longer = [&bytes[500..], b"more"].concat();
        check(500, &longer, true).await;
        check(size, b"more", true).await;
        check(499, &bytes[500..], false).await;
        let mut other = bytes.clone();
        other[size - 1] ^= 1;
        check(0, &other, false).await;
        assert_eq!(writer.into_part().is_some(), size > HOLD);
    }
}
