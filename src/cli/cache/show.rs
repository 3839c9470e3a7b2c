//! Reports as text for people and as JSON.

use std::fmt::Write as _;

use indicatif::BinaryBytes;
use serde_json::{Value, json};

use crate::config::Config;
use crate::jobs::command::{
    Amounts, Exported, Finding, Imported, Order, PinReport, Purged, Report, Room, SinceStart,
    Stats, Verified, Warmed,
};

/// A report as JSON, with the findings or what could not be resolved: its members, which cache, and whether a daemon runs on it.
pub(super) fn json(
    report: &Report,
    (findings, unresolved): (&[Finding], &[String]),
    config: &Config,
    beside: bool,
) -> Result<String, String> {
    let value = match report {
        Report::Stats(stats) => serde_json::to_value(stats),
        Report::Room(room) => serde_json::to_value(room),
        Report::Purged(purged) => serde_json::to_value(purged),
        Report::Verified(found) => serde_json::to_value(found).map(|mut value| {
            value["findings"] = json!(findings);
            value
        }),
        Report::Pins(pins) => Ok(json!({ "pins": pins })),
        Report::Warmed(found) => serde_json::to_value(found).map(|mut value| {
            value["unresolved"] = json!(unresolved);
            value
        }),
        Report::Exported(found) => serde_json::to_value(found),
        Report::Imported(found) => serde_json::to_value(found),
    };
    let mut value: Value = value.map_err(|error| error.to_string())?;
    value["cache"] = json!(config.cache.dir.display().to_string());
    value["daemon"] = json!(beside);
    Ok(format!("{value:#}\n"))
}

/// A report for people.
pub(super) fn text(report: &Report, order: &Order, config: &Config, beside: bool) -> String {
    let text = match report {
        Report::Stats(found) => {
            let dir = config.cache.dir.display();
            let state = if beside { "running" } else { "not running" };
            stats(found, &format!("{dir}, daemon {state}"))
        }
        Report::Room(found) => room(found),
        Report::Verified(found) => {
            let repair = matches!(order, Order::Verify { repair: true });
            verified(found, repair, beside)
        }
        Report::Purged(found) => purged(found),
        Report::Pins(found) => pins(found, order),
        Report::Warmed(found) => warmed(found),
        Report::Exported(found) => exported(found),
        Report::Imported(found) => imported(found),
    };
    // Writing to a text does not fail.
    text.unwrap_or_default()
}

/// A finding of `verify`.
pub(super) fn finding(finding: &Finding) -> String {
    let mut text = format!(
        "{} {} ({})\n",
        finding.state,
        finding.digest,
        BinaryBytes(finding.bytes)
    );
    for line in finding.names.iter().chain(&finding.done) {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

type Text = Result<String, std::fmt::Error>;

fn stats(stats: &Stats, place: &str) -> Text {
    let mut out = format!("cache         {place}\n");
    let size = |bytes| BinaryBytes(bytes).to_string();
    writeln!(
        out,
        "size          {} of {} ({} %)",
        size(stats.bytes),
        size(stats.bytes_max),
        percent(stats.bytes, stats.bytes_max)
    )?;
    writeln!(
        out,
        "searches      {} of {}",
        size(stats.queries_bytes),
        size(stats.queries_bytes_max)
    )?;
    if let Some(free) = stats.disk_free {
        let least = size(stats.disk_free_min);
        writeln!(
            out,
            "disk          {} free, at least {least} is left",
            size(free)
        )?;
    }
    writeln!(
        out,
        "packages      {} versions of {} ids",
        stats.package_versions, stats.package_ids
    )?;
    writeln!(
        out,
        "entries       {}, of which {} remembered 404s and {} responses of raw routes",
        stats.entries, stats.absent, stats.responses
    )?;
    let never = || "never".to_owned();
    writeln!(
        out,
        "used          from {} to {}",
        stats.oldest_use.clone().unwrap_or_else(never),
        stats.newest_use.clone().unwrap_or_else(never)
    )?;
    writeln!(
        out,
        "pins          {}, {} entries, {}",
        stats.pins,
        stats.pinned.count,
        size(stats.pinned.bytes)
    )?;
    writeln!(
        out,
        "damaged       {} bodies put aside, {}",
        stats.damaged.count,
        size(stats.damaged.bytes)
    )?;
    for feed in &stats.feeds {
        let answers = match feed.up {
            Some(true) => " answers",
            Some(false) => " does not answer",
            None if stats.since_start.is_some() => " was not asked yet",
            None => "",
        };
        writeln!(out, "feed          {}{answers}", feed.name)?;
    }
    if let Some(since) = &stats.since_start {
        since_start(&mut out, since)?;
    }
    table(&mut out, &stats.kinds)?;
    Ok(out)
}

fn since_start(out: &mut String, since: &SinceStart) -> std::fmt::Result {
    writeln!(
        out,
        "since start   {}: {} hits, {} misses ({} %), {} made room",
        since.started_at,
        since.hits,
        since.misses,
        percent(since.hits, since.hits + since.misses),
        since.evictions
    )?;
    writeln!(
        out,
        "saved         {} of {} sent",
        BinaryBytes(since.saved_bytes),
        BinaryBytes(since.client_bytes)
    )
}

fn percent(part: u64, of: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(of.max(1))).unwrap_or(u64::MAX)
}

fn table(out: &mut String, kinds: &Amounts) -> std::fmt::Result {
    if kinds.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{:<24} {:>9} {:>12}", "kind", "entries", "size")?;
    for (kind, amount) in kinds {
        let size = BinaryBytes(amount.bytes).to_string();
        writeln!(out, "{kind:<24} {:>9} {size:>12}", amount.count)?;
    }
    Ok(())
}

fn room(room: &Room) -> Text {
    let mut out = String::new();
    let went = if room.dry_run { "would go" } else { "went" };
    if room.wanted == 0 {
        writeln!(out, "the cache is within its limits")?;
    } else {
        let entries: u64 = room.kinds.values().map(|amount| amount.count).sum();
        writeln!(
            out,
            "{} {went}: {entries} entries and {} responses of raw routes",
            BinaryBytes(room.bytes),
            room.responses
        )?;
        if room.bytes < room.wanted {
            let short = BinaryBytes(room.wanted - room.bytes);
            writeln!(
                out,
                "{short} too much: all that is left is pinned or in use"
            )?;
        }
    }
    for (amount, what) in [
        (room.entry_less, "bodies that no entry names"),
        (room.damaged, "bodies put aside as damaged"),
    ] {
        if amount.count > 0 {
            let size = BinaryBytes(amount.bytes);
            writeln!(out, "{} {what} {went}: {size}", amount.count)?;
        }
    }
    table(&mut out, &room.kinds)?;
    Ok(out)
}

fn verified(found: &Verified, repair: bool, beside: bool) -> Text {
    let mut out = format!(
        "{} bodies checked, {}: {} damaged, {} missing, {} that no entry names\n",
        found.checked.count,
        BinaryBytes(found.checked.bytes),
        found.damaged.count,
        found.missing.count,
        found.entry_less.count
    );
    if found.damaged.count + found.missing.count == 0 {
        return Ok(out);
    }
    if !repair {
        writeln!(out, "nothing was changed; `nugate verify --repair` does")?;
    } else if beside {
        writeln!(
            out,
            "{} put aside, {} fetched again, {} could not be fetched",
            found.put_aside, found.fetched, found.not_fetched
        )?;
    } else {
        let aside = found.put_aside;
        writeln!(
            out,
            "{aside} put aside; no daemon runs, so they are fetched when they are next asked for"
        )?;
    }
    Ok(out)
}

fn purged(purged: &Purged) -> Text {
    let went = if purged.dry_run {
        "would be forgotten"
    } else {
        "forgotten"
    };
    let size = BinaryBytes(purged.bytes);
    let mut out = format!(
        "{}: {} entries {went}, {size}\n",
        purged.subject, purged.entries
    );
    table(&mut out, &purged.kinds)?;
    Ok(out)
}

fn warmed(found: &Warmed) -> Text {
    let mut out = String::new();
    for failure in &found.failures {
        writeln!(out, "missing  {}: {}", failure.what, failure.why)?;
    }
    let more = found.missing - (found.failures.len() as u64).min(found.missing);
    if more > 0 {
        writeln!(out, "missing  {more} more")?;
    }
    writeln!(
        out,
        "{} packages of {} ids are there; {} documents and packages were, {} were fetched ({})",
        found.packages,
        found.ids,
        found.stored.count,
        found.fetched.count,
        BinaryBytes(found.fetched.bytes)
    )?;
    Ok(out)
}

fn exported(found: &Exported) -> Text {
    let mut out = String::new();
    let done = if found.dry_run {
        "would be written"
    } else {
        "written"
    };
    writeln!(
        out,
        "{} documents and packages {done}, {} bodies with {}",
        found.entries,
        found.bodies.count,
        BinaryBytes(found.bodies.bytes)
    )?;
    if found.left_out.count > 0 {
        let earlier = found.left_out.count;
        writeln!(
            out,
            "{earlier} of them have their body in the earlier bundle"
        )?;
    }
    if found.damaged > 0 {
        let damaged = found.damaged;
        writeln!(
            out,
            "{damaged} bodies are lost or damaged and were left out: `nugate verify`"
        )?;
    }
    Ok(out)
}

fn imported(found: &Imported) -> Text {
    let mut out = String::new();
    let done = if found.dry_run {
        "would be kept"
    } else {
        "kept"
    };
    writeln!(
        out,
        "bundle of {}: {} documents and packages {done}, {} bodies with {}",
        found.made_at,
        found.entries,
        found.bodies.count,
        BinaryBytes(found.bodies.bytes)
    )?;
    if found.newer_here > 0 {
        writeln!(out, "{} are as new here and stay", found.newer_here)?;
    }
    Ok(out)
}

fn pins(pins: &[PinReport], order: &Order) -> Text {
    let mut out = String::new();
    let done = match order {
        Order::Pin { .. } => "pinned ",
        Order::Unpin { .. } => "no longer pinned ",
        _ if pins.is_empty() => return Ok("nothing is pinned\n".to_owned()),
        _ => "",
    };
    for pin in pins {
        let stored = pin.stored;
        writeln!(
            out,
            "{done}{} ({} entries, {})",
            pin.subject,
            stored.count,
            BinaryBytes(stored.bytes)
        )?;
    }
    Ok(out)
}
