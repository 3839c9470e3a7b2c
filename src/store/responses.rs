//! The index's SQL of responses: what a shared HTTP cache remembers, several for one URI.
//!
//! Bodies lie in the same content store as those of entries and count into the same totals. Headers
//! are kept as one text, because nothing is searched by them. Everything here blocks and runs on one
//! connection.

use http::{HeaderMap, HeaderName, HeaderValue};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::table::{Totals, body, from_sql, named_by, statement, to_sql};
use crate::clock::Time;
use crate::entry::{Kept, Selecting, Stored};

/// How many responses for one URI are kept; the most recent ones.
pub const VARIANTS_MAX: usize = 32;

/// How many responses are kept in all; the most recent ones.
pub(super) const RESPONSES_MAX: u64 = 100_000;

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS responses (
        uri TEXT NOT NULL,
        variant TEXT NOT NULL,
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,
        requested_at INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        head TEXT NOT NULL,
        PRIMARY KEY (uri, variant)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS responses_by_digest ON responses (digest, size);
    CREATE INDEX IF NOT EXISTS responses_by_age ON responses (received_at);
    ";

const COLUMNS: &str = "variant, digest, size, requested_at, received_at, head";

/// Status, headers and selecting headers as they are written down. Bytes of values stand as the
/// characters of the same number, since values need not be UTF-8.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    selecting: Vec<(String, Option<String>)>,
}

impl Head {
    fn of(kept: &Kept) -> Self {
        let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
        let headers = kept.headers.iter();
        let selecting = kept.selecting.iter();
        Self {
            status: kept.status,
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            selecting: selecting
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        }
    }

    /// `None` for what no version of this program writes.
    fn read(self) -> Option<(u16, HeaderMap, Vec<Selecting>)> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bytes: Result<Vec<u8>, _> = value.chars().map(u8::try_from).collect();
            let value = HeaderValue::from_bytes(&bytes.ok()?).ok()?;
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        let selecting = self.selecting.into_iter();
        let selecting: Option<Vec<_>> = selecting
            .map(|(name, value)| Some((name.parse().ok()?, value)))
            .collect();
        Some((self.status, headers, selecting?))
    }
}

/// The responses of a URI, in no order; rows that cannot be read are left out.
pub(super) fn responses(db: &Connection, uri: &str) -> rusqlite::Result<Vec<Kept>> {
    let sql = format!("SELECT {COLUMNS} FROM responses WHERE uri = ?1");
    let mut statement = statement(db, &sql)?;
    let rows = statement.query_map([uri], read)?;
    let rows: Vec<Option<Kept>> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(rows.into_iter().flatten().collect())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Kept>> {
    let stored = body(row.get(1)?, row.get(2)?);
    let time = |millis| Time::from_millis(from_sql(millis));
    let (requested_at, received_at) = (time(row.get(3)?), time(row.get(4)?));
    let head: String = row.get(5)?;
    let head: Option<Head> = serde_json::from_str(&head).ok();
    let read = |((status, headers, selecting), body)| Kept {
        status,
        headers,
        selecting,
        body,
        requested_at,
        received_at,
    };
    Ok(head.and_then(Head::read).zip(stored).map(read))
}

/// Writes a response over the one of the same variant; drops the oldest of its URI and of all when
/// they become too many. Gives the bodies that none names any more.
pub(super) fn keep(
    db: &Connection,
    (uri, variant): (&str, &str),
    kept: &Kept,
    totals: &mut Totals,
) -> rusqlite::Result<Vec<Stored>> {
    let mut gone = drop_where(
        db,
        "uri = ?1 AND variant = ?2",
        params![uri, variant],
        totals,
    )?;
    let shared = named_by(db, Some(&kept.body))?;
    let sql = "INSERT INTO responses \
        (uri, variant, digest, size, requested_at, received_at, head) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let head = serde_json::to_string(&Head::of(kept))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    statement(db, sql)?.execute(params![
        uri,
        variant,
        kept.body.digest.as_bytes(),
        to_sql(kept.body.size),
        to_sql(kept.requested_at.as_millis()),
        to_sql(kept.received_at.as_millis()),
        head,
    ])?;
    totals.entries += 1;
    totals.responses += 1;
    if !shared {
        totals.bodies_bytes += kept.body.size;
    }
    let older = "uri = ?1 AND variant IN (SELECT variant FROM responses WHERE uri = ?1 \
        ORDER BY received_at DESC LIMIT -1 OFFSET ?2)";
    let most = i64::try_from(VARIANTS_MAX).unwrap_or(i64::MAX);
    gone.extend(drop_where(db, older, params![uri, most], totals)?);
    let excess = totals.responses.saturating_sub(RESPONSES_MAX);
    if excess > 0 {
        let oldest = "(uri, variant) IN (SELECT uri, variant FROM responses \
            ORDER BY received_at LIMIT ?1)";
        gone.extend(drop_where(db, oldest, params![to_sql(excess)], totals)?);
    }
    Ok(gone)
}

/// Removes the responses received first, at most `limit`, and gives the bodies that none names now.
pub(super) fn drop_oldest(
    db: &Connection,
    limit: u64,
    totals: &mut Totals,
) -> rusqlite::Result<Vec<Stored>> {
    let oldest = "(uri, variant) IN (SELECT uri, variant FROM responses \
        ORDER BY received_at LIMIT ?1)";
    drop_where(db, oldest, params![to_sql(limit)], totals)
}

/// Removes all responses of a URI and gives the bodies that none names now.
pub(super) fn forget(
    db: &Connection,
    uri: &str,
    totals: &mut Totals,
) -> rusqlite::Result<Vec<Stored>> {
    drop_where(db, "uri = ?1", params![uri], totals)
}

fn drop_where(
    db: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
    totals: &mut Totals,
) -> rusqlite::Result<Vec<Stored>> {
    let sql = format!("DELETE FROM responses WHERE {condition} RETURNING digest, size");
    let bodies: Vec<Option<Stored>> = statement(db, &sql)?
        .query_map(values, |row| Ok(body(row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let removed = bodies.len() as u64;
    totals.entries = totals.entries.saturating_sub(removed);
    totals.responses = totals.responses.saturating_sub(removed);
    let mut gone: Vec<Stored> = Vec::new();
    for body in bodies.into_iter().flatten() {
        if !gone.contains(&body) && !named_by(db, Some(&body))? {
            totals.bodies_bytes = totals.bodies_bytes.saturating_sub(body.size);
            gone.push(body);
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use crate::entry::{Digest, Entry, Key, Validators};

    fn kept(body: &str, at: u64) -> Kept {
        let value = HeaderValue::from_bytes(b"x\xff\"").unwrap();
        Kept {
            status: 404,
            headers: HeaderMap::from_iter([(http::header::ETAG, value)]),
            selecting: vec![
                (http::header::ACCEPT, Some("a\u{e4}".to_owned())),
                (http::header::RANGE, None),
            ],
            body: Stored {
                digest: Digest::of(body.as_bytes()),
                size: body.len() as u64,
            },
            requested_at: Time::from_millis(at),
            received_at: Time::from_millis(at + 1),
        }
    }

    #[test]
    fn responses_are_kept_as_they_were_and_counted() {
        let db = Connection::open_in_memory().unwrap();
        table::prepare(&db).unwrap();
        let mut totals = Totals::default();
        let entry = Entry {
            body: Some(kept("abc", 0).body),
            validators: Validators::default(),
            ..Entry::absent(String::new(), Time::default())
        };
        table::put(&db, &Key::new("f/x"), &entry, &mut totals).unwrap();
        for (variant, body) in [("1", "abc"), ("2", "defg"), ("2", "hi"), ("3", "hi")] {
            keep(&db, ("u", variant), &kept(body, 5), &mut totals).unwrap();
            assert_eq!(totals, table::count(&db).unwrap(), "{variant} {body}");
        }
        assert_eq!((totals.responses, totals.bodies_bytes), (3, 5));
        let mut found = responses(&db, "u").unwrap();
        found.sort_by_key(|one| one.body.size);
        assert_eq!(found, [kept("hi", 5), kept("hi", 5), kept("abc", 5)]);
        let gone = forget(&db, "u", &mut totals).unwrap();
        assert_eq!(gone, [kept("hi", 5).body]);
        assert_eq!(totals, table::count(&db).unwrap());
        assert_eq!((totals.entries, totals.bodies_bytes), (1, 3));
        assert!(responses(&db, "u").unwrap().is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let db = Connection::open_in_memory().unwrap();
        table::prepare(&db).unwrap();
        let mut totals = Totals::default();
        for number in 0..VARIANTS_MAX as u64 + 3 {
            let one = kept(&number.to_string(), number);
            keep(&db, ("u", &number.to_string()), &one, &mut totals).unwrap();
        }
        let oldest = responses(&db, "u").unwrap();
        let oldest = oldest.iter().map(|one| one.requested_at.as_millis()).min();
        assert_eq!((oldest, totals.responses), (Some(3), VARIANTS_MAX as u64));
        totals.responses = RESPONSES_MAX;
        keep(&db, ("w", "1"), &kept("w", 100), &mut totals).unwrap();
        assert_eq!(totals.responses, RESPONSES_MAX);
        assert_eq!(responses(&db, "u").unwrap().len(), VARIANTS_MAX - 1);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let db = Connection::open_in_memory().unwrap();
        table::prepare(&db).unwrap();
        keep(&db, ("u", "1"), &kept("a", 1), &mut Totals::default()).unwrap();
        db.execute("UPDATE responses SET head = '{}'", []).unwrap();
        assert!(responses(&db, "u").unwrap().is_empty());
    }
}
