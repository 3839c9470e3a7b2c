//! Search and autocompletion over all members.
//!
//! Each member is asked from its first result on, because where a result stands among all cannot be
//! known otherwise. What is shown is what can be had here: a result whose id belongs to another
//! member is left out.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use url::form_urlencoded;

use crate::group::combine::{Facts, Part, Recipe, is_none, part_of};
use crate::group::first::list_of;
use crate::group::indexes::answering;
use crate::group::united::having;
use crate::group::{Group, Place};
use crate::nuget::id::PackageId;
use crate::nuget::merge::{self, Found, Ids, MergeError, Versions, Window};
use crate::nuget::owner::{owners_of, owners_of_text};
use crate::nuget::route::{self, Target};
use crate::proxy::{Error, Peek, Reply, Request};

/// Results that one member is asked for at a time: nuget.org gives no more.
const RESULTS_MAX: usize = 1000;

/// Pages that one member is asked for at most: nuget.org skips at most 3000 results.
const PAGES_MAX: usize = 4;

/// Results where the request does not say how many, as nuget.org has it.
const TAKE: usize = 20;

/// Ids whose home is looked up at a time.
const HOMES_AT_A_TIME: usize = 16;

/// Fields of a search for one id (NuGet documentation, "Finding and choosing packages", section
/// "Search syntax").
const ID_FIELDS: &[&str] = &["packageid:", "id:"];

type Read = fn(&[u8]) -> Result<Ids, MergeError>;
type Merge = fn(&[Found<'_>], Window) -> Result<Vec<u8>, MergeError>;

impl Group {
    /// A search.
    pub(super) async fn search(&self, request: &Request) -> Result<Reply, Error> {
        let question = Question::read(&request.target);
        self.results(request, question, (merge::found_ids, merge::search))
            .await
    }

    /// Completion of an id, or the versions of one: the latter if there is `id=` and no `q=`.
    pub(super) async fn autocomplete(&self, request: &Request) -> Result<Reply, Error> {
        let question = Question::read(&request.target);
        match (&question.text, &question.id) {
            (None, Some(id)) => self.completed_versions(request, id).await,
            _ => {
                self.results(
                    request,
                    question,
                    (merge::completed_ids, merge::autocomplete),
                )
                .await
            }
        }
    }

    async fn results(
        &self,
        request: &Request,
        question: Question,
        (read, merge): (Read, Merge),
    ) -> Result<Reply, Error> {
        let text = question.text.as_deref().unwrap_or_default();
        let places = self.places_for(text);
        let asked = places
            .iter()
            .map(|place| self.pages(*place, request, &question, read));
        let (found, mut warning) = answering(join_all(asked).await, "its results are missing")?;
        for cut in found.iter().filter_map(|pages| pages.cut) {
            let name = self.at_place(cut.0).name();
            let text = format!(
                "only the first {} results of feed {name} are looked at",
                cut.1
            );
            warning = Some(match warning {
                Some(others) => format!("{others}; {text}"),
                None => text,
            });
        }
        let parts: Vec<Part> = found.into_iter().flat_map(|pages| pages.parts).collect();
        let mut keeps = Vec::new();
        for part in &parts {
            keeps.push(self.kept(part, request, read).await?);
        }
        let window = question.window;
        let recipe = Recipe {
            request,
            detail: format!("{window:?} {}", marks(&keeps)),
            warning,
        };
        let make = move |parts: &[Part]| {
            let found = parts.iter().zip(&keeps).map(|(part, keep)| Found {
                feed: part.place,
                document: &part.bytes,
                keep,
            });
            merge(&found.collect::<Vec<_>>(), window)
        };
        self.combined(recipe, parts, make).await
    }

    /// The pages of a member, from its first result to the end of the window.
    async fn pages(
        &self,
        place: Place,
        request: &Request,
        question: &Question,
        read: Read,
    ) -> Result<Pages, Error> {
        let wanted = question.wanted();
        let limit = wanted.min(PAGES_MAX * RESULTS_MAX);
        let mut pages = Pages::default();
        let mut seen = 0;
        loop {
            let take = limit.saturating_sub(seen).min(RESULTS_MAX);
            let target = Question::page(&request.target, seen, take)?;
            let part = match self.part(place, &target, request).await {
                Ok(part) => part,
                Err(error) if pages.parts.is_empty() => return Err(error),
                // What came before is worth more than nothing.
                Err(_) => {
                    pages.cut = Some((place, seen));
                    return Ok(pages);
                }
            };
            let found = self.facts_of(&part, request, read)?;
            let Facts::Results(Ids { ids, hits }) = &*found else {
                return Err(Error::internal("the facts of a search are no results"));
            };
            pages.parts.push(part);
            seen += ids.len();
            let has_more = hits.is_some_and(|hits| hits > seen as u64) && !ids.is_empty();
            if seen >= wanted || !has_more {
                return Ok(pages);
            }
            if seen >= limit || pages.parts.len() == PAGES_MAX {
                pages.cut = Some((place, seen));
                return Ok(pages);
            }
        }
    }

    fn facts_of(&self, part: &Part, request: &Request, read: Read) -> Result<Arc<Facts>, Error> {
        let kind = request.target.rule.name;
        let read = |bytes: &[u8]| read(bytes).map(Facts::Results);
        self.0.memo.facts(kind, part, read)
    }

    /// For each result of a member whether its id may come from there.
    async fn kept(&self, part: &Part, request: &Request, read: Read) -> Result<Vec<bool>, Error> {
        let facts = self.facts_of(part, request, read)?;
        let Facts::Results(found) = &*facts else {
            return Ok(Vec::new());
        };
        let kept = found.ids.clone().into_iter().map(|id| async move {
            match id {
                Some(id) => self.may_come_from(part.place, &id, request).await,
                None => false,
            }
        });
        Ok(stream::iter(kept).buffered(HOMES_AT_A_TIME).collect().await)
    }

    async fn may_come_from(&self, place: Place, id: &PackageId, request: &Request) -> bool {
        let places = self.candidates(id);
        if !places.contains(&place) {
            return false;
        }
        if self.0.options.versions == Versions::United || places[0] == place {
            return true;
        }
        let Ok(list) = list_of(id) else { return false };
        let mut stored = part_of(request, &list);
        // An earlier member that has the id would have found it too, so a 404 of any age will do:
        // a search asks for few lists.
        stored.directives.only_if_cached = true;
        for earlier in places.iter().take_while(|earlier| **earlier != place) {
            match self.at_place(*earlier).proxy().peek(&stored).await {
                Peek::Stored => return false,
                Peek::Absent => {}
                Peek::Unsure => {
                    // While an earlier member fails, nothing of a later one can be had.
                    let home = self.home(&places, request, id).await;
                    return home.is_ok_and(|home| home == place);
                }
            }
        }
        true
    }

    async fn completed_versions(&self, request: &Request, id: &str) -> Result<Reply, Error> {
        let merge =
            |parts: &[Part]| merge::completed_versions(parts.iter().map(|part| &*part.bytes));
        let asked = match PackageId::parse(id) {
            None => Err(Error::NotFound),
            Some(id) => self.versions_of(request, &id).await,
        };
        match asked {
            Ok(parts) => self.combined(Recipe::of(request), parts, merge).await,
            // Autocompletion says "none" with an empty list.
            Err(error) if is_none(&error) => {
                self.combined(Recipe::of(request), Vec::new(), merge).await
            }
            Err(error) => Err(error),
        }
    }

    async fn versions_of(&self, request: &Request, id: &PackageId) -> Result<Vec<Part>, Error> {
        let mut places = self.candidates(id);
        if self.0.options.versions == Versions::First && places.len() > 1 {
            places = vec![self.home(&places, request, id).await?];
        }
        let asked = places
            .iter()
            .map(|place| self.part(*place, &request.target, request));
        having(join_all(asked).await)
    }

    /// Who is asked for a text: all, unless the text names what somebody owns.
    fn places_for(&self, text: &str) -> Vec<Place> {
        let patterns = &self.0.patterns;
        let named = text.split_whitespace().find_map(|word| {
            let lower = word.to_ascii_lowercase();
            let field = ID_FIELDS
                .iter()
                .find_map(|field| lower.strip_prefix(field))?;
            let id = PackageId::parse(field.trim_matches('"'))?;
            Some(owners_of(patterns, &id)).filter(|owners| !owners.is_empty())
        });
        let owners = named.unwrap_or_else(|| owners_of_text(patterns, text));
        if owners.is_empty() {
            self.places().collect()
        } else {
            owners
        }
    }
}

/// What one member found.
#[derive(Default)]
struct Pages {
    parts: Vec<Part>,
    /// Whose they are and how many results, if it has more that were wanted.
    cut: Option<(Place, usize)>,
}

/// What a query asks for.
struct Question {
    text: Option<String>,
    id: Option<String>,
    window: Window,
}

impl Question {
    fn read(target: &Target) -> Self {
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(target.query().unwrap_or_default().as_bytes());
            // Feeds take names in any case; what they understand must not be missed here.
            let found = pairs.find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.into_owned())
        };
        let number = |name: &str| value(name)?.parse::<usize>().ok();
        let take = number("take").filter(|take| *take <= RESULTS_MAX);
        Self {
            text: value("q"),
            id: value("id"),
            window: Window {
                skip: number("skip").unwrap_or(0),
                take: take.unwrap_or(TAKE),
            },
        }
    }

    /// How many results there are up to the last one that is wanted.
    const fn wanted(&self) -> usize {
        self.window.skip.saturating_add(self.window.take)
    }

    /// The same question for a page of one member.
    fn page(target: &Target, skip: usize, take: usize) -> Result<Target, Error> {
        let query = target.query().unwrap_or_default();
        let others = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| !matches!(&*name.to_ascii_lowercase(), "skip" | "take"));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair("skip", &skip.to_string())
            .append_pair("take", &take.to_string())
            .finish();
        let slug = target.resource.map_or("", |resource| resource.slug);
        // Two more parameters can be too many.
        route::parse(slug, Some(&query)).map_err(|_| Error::Refused(400))
    }
}

fn marks(keeps: &[Vec<bool>]) -> String {
    let mark = |keep: &bool| if *keep { '1' } else { '0' };
    let lists = keeps
        .iter()
        .map(|keep| keep.iter().map(mark).collect::<String>());
    lists.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, window: (usize, usize), wanted: usize, asked: &str) {
        let target = route::parse("query", Some(query)).unwrap();
        let question = Question::read(&target);
        let (skip, take) = window;
        assert_eq!(question.window, Window { skip, take }, "{query}");
        assert_eq!(question.wanted(), wanted, "{query}");
        let page = Question::page(&target, 1000, 500).unwrap();
        assert_eq!(page.query(), Some(asked), "{query}");
    }

    #[test]
    fn members_are_asked_whole_to_the_end_of_the_window() {
        let asked = "q=a&skip=1000&take=500";
        check("q=a+b", (0, 20), 20, "q=a+b&skip=1000&take=500");
        let other = "q=a&skip=1000&take=500&x=1";
        check("skip=40&take=20&q=a&x=1", (40, 20), 60, other);
        check("q=a&take=5000&skip=-1", (0, 20), 20, asked);
        check("q=a&take=0", (0, 0), 0, asked);
        check("q=a&skip=990&take=100", (990, 100), 1090, asked);
    }
}
