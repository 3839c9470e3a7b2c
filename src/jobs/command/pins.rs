//! `pin`, `unpin`: packages that never make room for others.
//!
//! The store knows prefixes of keys; what a pin means in them depends on the feeds there are, so
//! that a daemon writes its pins anew when it starts.

use super::{Amount, Cache, Failure, PinReport};
use crate::nuget::subject::Subject;

/// The most pins.
const PINS_MAX: usize = 4096;

impl Cache {
    pub(super) async fn pin(&self, subjects: &[String]) -> Result<Vec<PinReport>, Failure> {
        let subjects = parse(subjects)?;
        let pins = self.store.pins().await?;
        if pins.len() + subjects.len() > PINS_MAX {
            let text =
                format!("there may be at most {PINS_MAX} pins: pin a beginning, such as A.*");
            return Err(Failure::Refused(text));
        }
        let mut reports = Vec::new();
        for subject in subjects {
            let name = subject.to_string();
            self.store.pin(&name, self.prefixes(&subject)).await?;
            reports.push(self.report(name, &subject).await?);
        }
        Ok(reports)
    }

    pub(super) async fn unpin(&self, subjects: &[String]) -> Result<Vec<PinReport>, Failure> {
        let subjects = parse(subjects)?;
        let pins = self.store.pins().await?;
        for subject in &subjects {
            let name = subject.to_string();
            if !pins.iter().any(|pin| pin.name == name) {
                return Err(Failure::Refused(format!("`{name}` is not pinned")));
            }
        }
        let mut reports = Vec::new();
        for subject in subjects {
            let name = subject.to_string();
            self.store.unpin(&name).await?;
            reports.push(self.report(name, &subject).await?);
        }
        Ok(reports)
    }

    pub(super) async fn pinned(&self) -> Result<Vec<PinReport>, Failure> {
        let mut reports = Vec::new();
        for pin in self.store.pins().await? {
            if let Ok(subject) = pin.name.parse() {
                reports.push(self.report(pin.name, &subject).await?);
            }
        }
        Ok(reports)
    }

    fn prefixes(&self, subject: &Subject) -> Vec<String> {
        subject.prefixes(self.feeds.iter().map(String::as_str))
    }

    /// What is stored of a subject.
    async fn report(&self, name: String, subject: &Subject) -> Result<PinReport, Failure> {
        let mut stored = Amount::default();
        for prefix in self.prefixes(subject) {
            let count = |row: &crate::store::Row| {
                if let Some(body) = row.body {
                    stored.add(body.size);
                }
            };
            self.for_each_row(&prefix, count).await?;
        }
        Ok(PinReport {
            subject: name,
            stored,
        })
    }
}

/// Writes the pins anew for the feeds that there are now.
pub async fn renew(cache: Cache) {
    let renewed = async {
        for pin in cache.store.pins().await? {
            let Ok(subject) = pin.name.parse::<Subject>() else {
                continue;
            };
            let mut prefixes = cache.prefixes(&subject);
            prefixes.sort_unstable();
            if prefixes != pin.prefixes {
                cache.store.pin(&pin.name, prefixes).await?;
            }
        }
        Ok::<(), Failure>(())
    };
    if let Err(error) = renewed.await {
        tracing::warn!(%error, "the pins could not be written for the feeds of this start");
    }
}

fn parse(subjects: &[String]) -> Result<Vec<Subject>, Failure> {
    let parsed: Result<Vec<_>, String> = subjects.iter().map(|text| text.parse()).collect();
    let parsed = parsed.map_err(Failure::Refused)?;
    if parsed.is_empty() {
        return Err(Failure::Refused("no package was named".to_owned()));
    }
    Ok(parsed)
}
