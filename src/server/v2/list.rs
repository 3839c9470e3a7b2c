//! Which packages a list has: choosing, ordering, paging.
//!
//! A list whose ids are known is worked out whole. What a search finds is asked for page by page
//! where each package is one entry, as in what `nuget list` asks; otherwise all of it is gathered, up
//! to a limit beyond which the request is refused.

use std::collections::HashSet;

use tokio::sync::SemaphorePermit;

use super::Failure;
use super::facts::{Facts, Question};
use crate::nuget::v2::RequestError;
use crate::nuget::v2::facts::{Hit, Hits};
use crate::nuget::v2::filter::Filter;
use crate::nuget::v2::request::{Installed, List, Source, Updates};
use crate::nuget::v2::rows::{Row, choose, sort};

/// Most entries of a response, as on nuget.org.
pub(super) const PAGE: usize = 100;

/// Most packages that are put in order; more come as the feed's search has them.
const ORDERED_MAX: usize = 1000;

/// Most packages whose versions are gathered for one list.
const GATHERED_MAX: usize = 500;

/// Bytes of memory for the packages of one list.
const LIST_MAX: usize = 128 << 20;

/// Packages asked of the search at a time.
const CHUNK: usize = 250;

/// Most parts of filters and orders that are worked out for one list, over all its versions: a few
/// seconds at worst.
const COST_MAX: usize = 20_000_000;

/// Below this it is done in no time.
const COST_INLINE_MAX: usize = 20_000;

/// A page of a list.
pub(super) struct Found {
    /// Its entries.
    pub(super) rows: Vec<Row>,
    /// How many entries the list has, if that is known.
    pub(super) total: Option<usize>,
    /// How many entries further on the next page begins, if there is one.
    pub(super) more: Option<usize>,
}

/// What is searched for, by a list.
#[derive(Clone, Copy)]
struct Search<'a> {
    term: &'a str,
    prerelease: bool,
    list: &'a List,
}

/// The page that a list asks for.
pub(super) async fn page(facts: &Facts<'_>, list: &List) -> Result<Found, Failure> {
    if let Some(search) = searched(list)
        && search.is_one_each()
    {
        return search.page(facts).await;
    }
    let _turn = turn(facts, list).await;
    let rows = all(facts, list).await?;
    let total = rows.len();
    let limit = limit(list);
    let rows: Vec<Row> = rows.into_iter().skip(list.skip).take(limit).collect();
    let left = total.saturating_sub(list.skip).saturating_sub(rows.len());
    Ok(Found {
        more: more(list, rows.len(), left > 0),
        total: Some(total),
        rows,
    })
}

/// How many entries a list has; what is skipped and cut off is not counted (OData 2.0, `$count`).
pub(super) async fn count(facts: &Facts<'_>, list: &List) -> Result<usize, Failure> {
    if let Some(search) = searched(list)
        && search.is_one_each()
    {
        let first = search.ask(facts, 0, 1).await?;
        return match (first.total, first.entries) {
            (0, 0) => Ok(0),
            (total, _) if total > 0 => Ok(total),
            // Some feeds never say how many there are.
            _ => Ok(search.gather(facts, ORDERED_MAX).await?.len()),
        };
    }
    let _turn = turn(facts, list).await;
    Ok(all(facts, list).await?.len())
}

/// The right to gather a list that a search begins: hundreds of packages are in memory meanwhile.
async fn turn<'a>(facts: &'a Facts<'_>, list: &List) -> Option<SemaphorePermit<'a>> {
    searched(list)?;
    facts.turn().await
}

/// Refuses a list whose first packages take `weight` bytes.
pub(super) fn within(weight: usize, packages: usize) -> Result<(), RequestError> {
    if weight <= LIST_MAX {
        return Ok(());
    }
    let text = format!(
        "the versions of more than {packages} packages are too many for one list; ask for ids, for \
         a narrower searchTerm, or with $filter=IsLatestVersion alone"
    );
    Err(RequestError::Unsupported(text))
}

/// Most entries of this page.
fn limit(list: &List) -> usize {
    list.top.unwrap_or(PAGE).min(PAGE)
}

/// Where the next page begins, when there is more and the client wants more.
fn more(list: &List, shown: usize, left: bool) -> Option<usize> {
    let wanted = list.top.is_none_or(|top| top > shown);
    (left && wanted && shown > 0).then_some(shown)
}

fn searched(list: &List) -> Option<Search<'_>> {
    match &list.source {
        Source::Search { term, prerelease } => Some(Search {
            term,
            prerelease: *prerelease,
            list,
        }),
        Source::Ids(_) | Source::Updates(..) => None,
    }
}

/// All entries of a list, in order.
async fn all(facts: &Facts<'_>, list: &List) -> Result<Vec<Row>, Failure> {
    let rows: Vec<Row> = match &list.source {
        Source::Ids(ids) => {
            let ids: Vec<_> = ids.iter().collect();
            let packages = facts.packages(&ids).await?.into_iter().flatten();
            packages.flat_map(|it| it.rows(list.semver2)).collect()
        }
        Source::Updates(installed, updates) => {
            let ids: Vec<_> = installed.iter().map(|it| &it.id).collect();
            let packages = facts.packages(&ids).await?;
            let each = installed
                .iter()
                .zip(packages)
                .filter_map(|(it, package)| Some(newer(it, *updates, package?.rows(list.semver2))));
            each.flatten().collect()
        }
        Source::Search { term, prerelease } => {
            let search = Search {
                term,
                prerelease: *prerelease,
                list,
            };
            let hits = search.gather(facts, GATHERED_MAX).await?;
            search.expand(facts, &hits).await?
        }
    };
    settle(facts, list, rows).await
}

/// Chooses and orders, a lot of it away from where others are served.
async fn settle(facts: &Facts<'_>, list: &List, mut rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
    let each = list.filter.as_ref().map_or(1, Filter::cost) + list.orders.len();
    let cost = rows.len().saturating_mul(each);
    if cost > COST_MAX {
        let text = format!(
            "{} versions are too many for a $filter this long",
            rows.len()
        );
        return Err(RequestError::Unsupported(text).into());
    }
    let (filter, orders) = (list.filter.clone(), list.orders.clone());
    let work = move || {
        choose(&mut rows, filter.as_ref());
        sort(&mut rows, &orders);
        rows
    };
    if cost <= COST_INLINE_MAX {
        return Ok(work());
    }
    Ok(facts.work(work).await?)
}

/// The updates of an installed package.
fn newer(installed: &Installed, updates: Updates, mut rows: Vec<Row>) -> Vec<Row> {
    rows.retain(|row| {
        let release = row.release();
        let allowed = installed.allowed.as_ref();
        release.listed
            && release.parsed > installed.version
            && (updates.prerelease || !row.is_prerelease())
            && allowed.is_none_or(|range| range.contains(&release.parsed))
    });
    if !updates.all {
        rows.drain(..rows.len().saturating_sub(1));
    }
    rows
}

impl Search<'_> {
    /// Whether each package that is found is exactly one entry, in an order that the search or the
    /// names give.
    fn is_one_each(&self) -> bool {
        let filter = self.list.filter.as_ref();
        let latest = filter.is_some_and(|filter| {
            filter.is_only_of_latest() && filter.is_stable() != self.prerelease
        });
        let first = self.list.orders.first();
        let by = first.map(|order| (order.property.name, order.descending));
        latest && matches!(by, None | Some(("Id", _) | ("DownloadCount", true)))
    }

    async fn page(&self, facts: &Facts<'_>) -> Result<Found, Failure> {
        let first = self.list.orders.first();
        if let Some(order) = first.filter(|order| order.property.name == "Id") {
            match self.gather(facts, ORDERED_MAX).await {
                Ok(hits) => return self.page_by_id(facts, hits, order.descending).await,
                Err(Failure::Request(RequestError::Unsupported(_))) => {}
                Err(failure) => return Err(failure),
            }
        }
        let limit = limit(self.list);
        let found = self.window(facts, limit).await?;
        let shown = found.entries.min(limit);
        let left = match found.total {
            0 => shown == limit,
            total => total > self.list.skip.saturating_add(shown),
        };
        let hits = &found.hits[..found.hits.len().min(limit)];
        Ok(Found {
            more: more(self.list, shown, left),
            total: (found.total > 0).then_some(found.total),
            rows: self.chosen(facts, hits).await?,
        })
    }

    async fn page_by_id(
        &self,
        facts: &Facts<'_>,
        mut hits: Vec<Hit>,
        descending: bool,
    ) -> Result<Found, Failure> {
        hits.sort_by(|left, right| left.id.cmp(&right.id));
        if descending {
            hits.reverse();
        }
        let (skip, total) = (self.list.skip, hits.len());
        let window: Vec<Hit> = hits.into_iter().skip(skip).take(limit(self.list)).collect();
        let left = total > skip.saturating_add(window.len());
        Ok(Found {
            more: more(self.list, window.len(), left),
            total: Some(total),
            rows: self.chosen(facts, &window).await?,
        })
    }

    /// What lies from `$skip` on. Feeds may give fewer at a time than they are asked for, and some
    /// never say how many there are.
    async fn window(&self, facts: &Facts<'_>, wanted: usize) -> Result<Hits, Failure> {
        let skip = self.list.skip;
        let mut found = self.ask(facts, skip, wanted.max(1)).await?;
        let mut last = found.entries;
        while last > 0 && found.entries < wanted {
            let at = skip.saturating_add(found.entries);
            if (1..=at).contains(&found.total) {
                break;
            }
            let part = self.ask(facts, at, wanted - found.entries).await?;
            last = part.entries;
            found.entries += part.entries;
            found.hits.extend(part.hits);
        }
        Ok(found)
    }

    async fn chosen(&self, facts: &Facts<'_>, hits: &[Hit]) -> Result<Vec<Row>, Failure> {
        let mut rows = self.expand(facts, hits).await?;
        choose(&mut rows, self.list.filter.as_ref());
        Ok(rows)
    }

    async fn ask(&self, facts: &Facts<'_>, skip: usize, take: usize) -> Result<Hits, Failure> {
        let question = Question {
            term: self.term,
            prerelease: self.prerelease,
            semver2: self.list.semver2,
            skip,
            take,
        };
        Ok(facts.search(&question).await?)
    }

    /// Everything that is found, each package once.
    async fn gather(&self, facts: &Facts<'_>, most: usize) -> Result<Vec<Hit>, Failure> {
        let mut seen = HashSet::new();
        let mut hits = Vec::new();
        let mut skip = 0;
        loop {
            let part = self.ask(facts, skip, CHUNK).await?;
            skip += part.entries;
            if part.total.max(skip) > most {
                let text = format!(
                    "more than {most} packages match; ask for ids, for a narrower searchTerm, or \
                     with $filter=IsLatestVersion alone"
                );
                return Err(RequestError::Unsupported(text).into());
            }
            let new = part.hits.into_iter();
            hits.extend(new.filter(|hit| seen.insert(hit.id.clone())));
            if part.entries == 0 || (part.total > 0 && skip >= part.total) {
                return Ok(hits);
            }
        }
    }

    /// The listed versions of what was found.
    async fn expand(&self, facts: &Facts<'_>, hits: &[Hit]) -> Result<Vec<Row>, Failure> {
        let ids: Vec<_> = hits.iter().map(|hit| &hit.id).collect();
        let packages = facts.packages(&ids).await?;
        let rows = hits.iter().zip(packages).flat_map(|(hit, package)| {
            let rows = package.map_or_else(Vec::new, |it| it.rows(self.list.semver2));
            rows.into_iter().map(|row| row.counted(hit))
        });
        let shown = |row: &Row| row.release().listed && (self.prerelease || !row.is_prerelease());
        Ok(rows.filter(shown).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_takes_too_much_memory_is_refused() {
        assert_eq!(within(LIST_MAX, 500), Ok(()));
        let refused = within(LIST_MAX + 1, 7).unwrap_err();
        assert!(
            refused.to_string().contains("more than 7 packages"),
            "{refused}"
        );
    }
}
