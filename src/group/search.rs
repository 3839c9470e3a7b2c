//! Search and autocompletion over all members.
//!
//! Each member is asked from its first result on, because where a result stands among all cannot be
//! known otherwise. What is shown is what can be had here: a result whose id belongs to another
//! member is left out.

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use url::form_urlencoded;

use crate::group::combine::{Facts, Part, Recipe, is_none, part_of};
use crate::group::first::list_of;
use crate::group::indexes::answering;
use crate::group::united::having;
use crate::group::{Group, Place};
use crate::nuget::id::PackageId;
use crate::nuget::merge::{self, Found, MergeError, Versions, Window};
use crate::nuget::owner::{owners_of, owners_of_text};
use crate::nuget::route::{self, Target};
use crate::proxy::{Error, Peek, Reply, Request};

/// Results that one member is asked for at most.
const RESULTS_MAX: usize = 1000;

/// Results where the request does not say how many, as nuget.org has it.
const TAKE: usize = 20;

/// Ids whose home is looked up at a time.
const HOMES_AT_A_TIME: usize = 16;

/// Fields of a search for one id (NuGet documentation, "Finding and choosing packages", section
/// "Search syntax").
const ID_FIELDS: &[&str] = &["packageid:", "id:"];

type Ids = fn(&[u8]) -> Result<Vec<Option<PackageId>>, MergeError>;
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
        (ids, merge): (Ids, Merge),
    ) -> Result<Reply, Error> {
        let text = question.text.as_deref().unwrap_or_default();
        let places = self.places_for(text);
        let target = question.whole(&request.target)?;
        let asked = places
            .iter()
            .map(|place| self.part(*place, &target, request));
        let (parts, warning) = answering(join_all(asked).await, "its results are missing")?;
        let mut keeps = Vec::new();
        for part in &parts {
            keeps.push(self.kept(part, request, ids).await?);
        }
        let window = question.window;
        let recipe = Recipe {
            request,
            detail: format!("{window:?} {}", marks(&keeps)),
            warning,
        };
        let make = move |parts: &[Part]| {
            let found = parts.iter().zip(&keeps).map(|(part, keep)| Found {
                document: &part.bytes,
                keep,
            });
            merge(&found.collect::<Vec<_>>(), window)
        };
        self.combined(recipe, parts, make).await
    }

    /// For each result of a member whether its id may come from there.
    async fn kept(&self, part: &Part, request: &Request, ids: Ids) -> Result<Vec<bool>, Error> {
        let read = |bytes: &[u8]| ids(bytes).map(Facts::Ids);
        let kind = request.target.rule.name;
        let facts = self.0.memo.facts(kind, part, read)?;
        let Facts::Ids(ids) = &*facts else {
            return Ok(Vec::new());
        };
        let kept = ids.clone().into_iter().map(|id| async move {
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

    /// The same question for all results up to the last one that is wanted.
    fn whole(&self, target: &Target) -> Result<Target, Error> {
        let query = target.query().unwrap_or_default();
        let wanted = self
            .window
            .skip
            .saturating_add(self.window.take)
            .min(RESULTS_MAX);
        let others = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| !matches!(&*name.to_ascii_lowercase(), "skip" | "take"));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair("skip", "0")
            .append_pair("take", &wanted.to_string())
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
    fn check(query: &str, window: (usize, usize), asked: &str) {
        let target = route::parse("query", Some(query)).unwrap();
        let question = Question::read(&target);
        let (skip, take) = window;
        assert_eq!(question.window, Window { skip, take }, "{query}");
        let whole = question.whole(&target).unwrap();
        assert_eq!(whole.query(), Some(asked), "{query}");
    }

    #[test]
    fn members_are_asked_whole_to_the_end_of_the_window() {
        check("q=a+b", (0, 20), "q=a+b&skip=0&take=20");
        check(
            "skip=40&take=20&q=a&x=1",
            (40, 20),
            "q=a&skip=0&take=60&x=1",
        );
        check("q=a&take=5000&skip=-1", (0, 20), "q=a&skip=0&take=20");
        check("q=a&take=0", (0, 0), "q=a&skip=0&take=0");
        check("q=a&skip=990&take=100", (990, 100), "q=a&skip=0&take=1000");
    }
}
