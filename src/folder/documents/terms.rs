//! What a search asks for: words, and words for one field (NuGet documentation, "Finding and
//! evaluating NuGet packages", section "Search syntax").
//!
//! Words stand alone or in quotes; `field:word` looks into one field. Several words for the same
//! field are alternatives; everything else must be met. Unknown fields are ignored, as nuget.org
//! ignores them. Comparison is without case.

use super::super::inventory::Release;

/// Most terms of a query that count.
const TERMS_MAX: usize = 32;

/// A field of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Any,
    Id,
    PackageId,
    Version,
    Title,
    Description,
    Summary,
    Tags,
    Author,
    Owner,
}

impl Field {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "packageid" => Self::PackageId,
            "version" => Self::Version,
            "title" => Self::Title,
            "description" => Self::Description,
            "summary" => Self::Summary,
            "tag" | "tags" => Self::Tags,
            "author" | "authors" => Self::Author,
            "owner" | "owners" => Self::Owner,
            _ => return None,
        })
    }
}

/// A query, understood.
#[derive(Debug)]
pub(super) struct Terms(Vec<(Field, String)>);

/// How well a release meets a query; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Somewhere in its texts.
    Text,
    /// In the title or a tag.
    Title,
    /// Somewhere in the id.
    Id,
    /// At the beginning of the id.
    Prefix,
    /// It is the id.
    Exact,
}

impl Terms {
    /// Understands the text of a query; an empty one, or `*`, is met by everything.
    pub(super) fn parse(query: &str) -> Self {
        let mut terms = Vec::new();
        let lower = query.to_lowercase();
        let mut rest = lower.trim_start();
        while !rest.is_empty() && terms.len() < TERMS_MAX {
            let (field, text) = field(rest);
            let (word, after) = word(text);
            rest = after.trim_start();
            if let Some(field) = field
                && !word.is_empty()
                && word != "*"
            {
                terms.push((field, word.to_owned()));
            }
        }
        Self(terms)
    }

    /// How well a release meets it; `None` when it does not.
    pub(super) fn rank(&self, release: &Release) -> Option<Rank> {
        let met = |(field, word): &(Field, String)| match field {
            Field::Any => has(Field::Any, word, release),
            // The words for one field are alternatives.
            _ => self
                .0
                .iter()
                .filter(|(other, _)| other == field)
                .any(|(field, word)| has(*field, word, release)),
        };
        if !self.0.iter().all(met) {
            return None;
        }
        let ranks = self.0.iter().map(|(_, word)| rank(word, release));
        Some(ranks.max().unwrap_or(Rank::Text))
    }
}

/// The field that a term names, and the rest of the text. The outer text is untouched where there is
/// none.
fn field(text: &str) -> (Option<Field>, &str) {
    let end = text.find(|char: char| !char.is_ascii_alphabetic());
    match end.map(|end| (&text[..end], &text[end..])) {
        Some((name, rest)) if rest.starts_with(':') && !name.is_empty() => {
            (Field::of(name), &rest[1..])
        }
        _ => (Some(Field::Any), text),
    }
}

/// A word or a phrase in quotes, and what follows.
fn word(text: &str) -> (&str, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"').unwrap_or((quoted, ""));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    text.split_at(end)
}

fn has(field: Field, word: &str, release: &Release) -> bool {
    let (manifest, texts) = (&release.manifest, &release.haystack);
    match field {
        Field::PackageId => manifest.key.as_str() == word,
        Field::Id => manifest.key.as_str().contains(word),
        Field::Version => manifest.version.as_str() == word || manifest.full.to_lowercase() == word,
        Field::Title => texts.title.contains(word),
        Field::Description => texts.description.contains(word),
        Field::Summary => texts.summary.contains(word),
        Field::Tags => texts.tags.iter().any(|tag| tag == word),
        Field::Author => texts.authors.contains(word),
        Field::Owner => texts.owners.contains(word),
        Field::Any => {
            manifest.key.as_str().contains(word)
                || texts.title.contains(word)
                || texts.tags.iter().any(|tag| tag.contains(word))
                || texts.description.contains(word)
                || texts.summary.contains(word)
                || texts.authors.contains(word)
        }
    }
}

fn rank(word: &str, release: &Release) -> Rank {
    let id = release.manifest.key.as_str();
    if id == word {
        Rank::Exact
    } else if id.starts_with(word) {
        Rank::Prefix
    } else if id.contains(word) {
        Rank::Id
    } else if release.haystack.title.contains(word)
        || release.haystack.tags.iter().any(|tag| tag == word)
    {
        Rank::Title
    } else {
        Rank::Text
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::super::archive::open;
    use super::super::super::manifest::Manifest;
    use super::*;

    fn release() -> Release {
        let manifest = Manifest::parse(
            b"<package><metadata><id>Closure.Net.Http</id><version>1.0.0-Rc1</version>\
              <title>Web Things</title><authors>Ada</authors><tags>http client</tags>\
              <description>Talks to servers</description></metadata></package>",
        )
        .unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let (_, stamp) = open(file.path()).unwrap();
        Release::new(manifest, PathBuf::new(), stamp)
    }

    #[test]
    fn queries_are_met_or_not() {
        let release = release();
        for (query, expected) in [
            ("", Some(Rank::Text)),
            ("*", Some(Rank::Text)),
            ("closure.net.HTTP", Some(Rank::Exact)),
            ("closure", Some(Rank::Prefix)),
            ("net", Some(Rank::Id)),
            ("client", Some(Rank::Title)),
            ("servers", Some(Rank::Text)),
            ("ada", Some(Rank::Text)),
            ("closure servers", Some(Rank::Prefix)),
            ("closure nothing", None),
            ("\"talks to\"", Some(Rank::Text)),
            ("\"talks servers\"", None),
            ("packageid:closure.net.http", Some(Rank::Exact)),
            ("packageid:closure", None),
            (
                "PackageId:other packageId:closure.net.http",
                Some(Rank::Exact),
            ),
            ("id:net", Some(Rank::Id)),
            ("tags:http", Some(Rank::Id)),
            ("tags:htt", None),
            ("title:\"web things\"", Some(Rank::Title)),
            ("id:net tags:other", None),
            ("author:ada id:net", Some(Rank::Id)),
            ("version:1.0.0-rc1", Some(Rank::Text)),
            ("description:talks", Some(Rank::Text)),
            ("unknown:thing closure", Some(Rank::Prefix)),
        ] {
            assert_eq!(Terms::parse(query).rank(&release), expected, "{query}");
        }
    }
}
