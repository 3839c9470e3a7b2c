//! Points the links of an upstream document at us, byte for byte otherwise.
//!
//! White space, number spelling, key order and escapes of everything that is no link stay as the
//! upstream wrote them: descriptions and release notes quote URLs of feeds as prose, and clients
//! compare what they get. There is no replacing of hosts in text, and no tree. Invariant: the result
//! differs from the document only in string values of the members the rule lists.

mod package_content;
mod scanner;

use serde::de::IgnoredAny;

use self::package_content::Synthesis;
pub use self::scanner::MAX_DEPTH;
use self::scanner::Site;
use crate::entry::Digest;
use crate::nuget::link_map::{LinkMap, is_http};
use crate::nuget::resource::{LinkRule, Orphans};

/// Where the links of a document shall point.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Our public base, ending in `/v3/`.
    pub base: &'a str,
    /// The slug of the document's resource: its pages are named below it.
    pub slug: &'a str,
}

/// A document with our links.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The document, without a byte order mark.
    pub bytes: Vec<u8>,
    /// How many links point at us.
    pub replaced: usize,
    /// How many http(s) links are under no known base and were left.
    pub left: usize,
    /// Token and upstream URL of each page link ([`Orphans::Page`]), in the order of the document.
    pub pages: Vec<(String, String)>,
}

/// Why a document cannot be shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// It is not JSON, or not UTF-8.
    #[error("document is not json: {position}")]
    NotJson {
        /// What was expected and where, by line and column.
        position: String,
    },
    /// Its containers nest deeper than [`MAX_DEPTH`].
    #[error("document is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The name of an upstream URL in our page links: 32 hexadecimal characters of its SHA-256.
pub fn page_token(url: &str) -> String {
    let mut token = Digest::of(url.as_bytes()).to_hex();
    token.truncate(32);
    token
}

/// Copies a document with its links pointing at `place`.
///
/// A link is a string value at a place the rule lists; it changes when the map knows a base of it,
/// or as [`LinkRule::orphans`] says. Linear in the length of the document.
pub fn links(
    document: &[u8],
    rule: &LinkRule,
    map: &LinkMap,
    place: Place<'_>,
) -> Result<Rewritten, RewriteError> {
    let text = valid(document)?;
    let mut pen = Pen {
        text,
        copied: 0,
        synthesis: Synthesis::new(text),
        out: Rewritten {
            bytes: Vec::with_capacity(text.len() + text.len() / 16),
            ..Rewritten::default()
        },
    };
    scanner::scan(text, rule, |site| pen.link(&site, rule.orphans, map, place))
        .map_err(|scanner::TooDeep| RewriteError::TooDeep)?;
    Ok(pen.finish())
}

/// The text of a document whose syntax is right in full.
fn valid(document: &[u8]) -> Result<&str, RewriteError> {
    let text = std::str::from_utf8(document).map_err(|error| RewriteError::NotJson {
        position: error.to_string(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| RewriteError::NotJson {
        position: error.to_string(),
    })?;
    Ok(text)
}

/// Writes the copy: what lies between links is taken over when the next link is written.
struct Pen<'a> {
    text: &'a str,
    copied: usize,
    synthesis: Synthesis<'a>,
    out: Rewritten,
}

impl Pen<'_> {
    fn link(&mut self, site: &Site<'_>, orphans: Orphans, map: &LinkMap, place: Place<'_>) {
        let url = site.value.as_ref();
        if !is_http(url) {
            return;
        }
        let ours = match orphans {
            Orphans::Page => Some(self.page(url, place.slug)),
            Orphans::PackageContent if site.member == "packageContent" => map
                .resolve(url)
                .or_else(|| self.synthesis.path(site.object)),
            Orphans::Leave | Orphans::PackageContent => map.resolve(url),
        };
        match ours {
            Some(path) => self.replace(site, &format!("{}{path}", place.base)),
            None => self.out.left += 1,
        }
    }

    fn page(&mut self, url: &str, slug: &str) -> String {
        let token = page_token(url);
        let path = format!("{slug}/page/{token}");
        self.out.pages.push((token, url.to_owned()));
        path
    }

    fn replace(&mut self, site: &Site<'_>, url: &str) {
        let between = &self.text[self.copied..site.start];
        let value = serde_json::Value::from(url).to_string();
        self.out.bytes.extend_from_slice(between.as_bytes());
        self.out.bytes.extend_from_slice(value.as_bytes());
        self.out.replaced += 1;
        self.copied = site.end;
    }

    fn finish(mut self) -> Rewritten {
        let rest = &self.text[self.copied..];
        self.out.bytes.extend_from_slice(rest.as_bytes());
        self.out
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::nuget::resource::{View, of_slug};

    const OURS: &str = "https://cache.example/n/v3/";
    const BASES: &[(&str, &str)] = &[
        (
            "https://api.nuget.org/v3/registration5-gz-semver2/",
            "registration-gz-semver2/",
        ),
        (
            "https://api.nuget.org/v3/registration5-gz-semver1/",
            "registration-gz/",
        ),
        (
            "https://api.nuget.org/v3/registration5-semver1/",
            "registration/",
        ),
        (
            "https://api.nuget.org/v3/registration5-gz-semver2/deep/",
            "deep/",
        ),
        ("https://api.nuget.org/v3-flatcontainer/", "flat/"),
        ("https://api.nuget.org/v3/catalog0/", "catalog/"),
        ("https://azuresearch-usnc.nuget.org/query", "query"),
    ];

    fn map() -> LinkMap {
        let pair = |(base, ours): &(&str, &str)| ((*base).to_owned(), (*ours).to_owned());
        LinkMap::new(BASES.iter().map(pair).collect())
    }

    fn rule(slug: &str) -> &'static LinkRule {
        match of_slug(slug).map(|row| row.docs[0].view) {
            Some(View::Links(rule)) => rule,
            _ => panic!("{slug} has no links"),
        }
    }

    fn rewrite(slug: &str, document: &str) -> Rewritten {
        let place = Place { base: OURS, slug };
        links(document.as_bytes(), rule(slug), &map(), place).unwrap()
    }

    /// `REG` and `FLAT` stand for upstream bases, `OUT` for our base.
    fn spell(text: &str) -> String {
        text.replace("REG/", BASES[0].0)
            .replace("FLAT/", BASES[4].0)
            .replace("OUT/", OURS)
    }

    fn check(slug: &str, document: &str, expected: &str, counts: (usize, usize)) {
        let done = rewrite(slug, &spell(document));
        assert_eq!(
            String::from_utf8_lossy(&done.bytes),
            spell(expected),
            "{document}"
        );
        assert_eq!((done.replaced, done.left), counts, "{document}");
    }

    fn check_left(slug: &str, document: &str, left: usize) {
        check(slug, document, document, (0, left));
    }

    #[test]
    fn links_of_registrations_point_at_us() {
        let slug = "registration-gz-semver2";
        check(
            slug,
            r#"{"@id":"REG/a/index.json#page/1.0.0/2.0.0"}"#,
            r#"{"@id":"OUT/registration-gz-semver2/a/index.json#page/1.0.0/2.0.0"}"#,
            (1, 0),
        );
        check(
            slug,
            "{ \"count\" : 1.50 ,\r\n\t\"items\":[{\"parent\": \"REG/a/index.json\"}] }\n",
            "{ \"count\" : 1.50 ,\r\n\t\"items\":[{\"parent\": \"OUT/registration-gz-semver2/a/index.json\"}] }\n",
            (1, 0),
        );
        check(
            slug,
            r#"{"catalogEntry":{"@id":"REG/a#b","packageContent":"FLAT/a/1/a.1.nupkg","iconUrl":"FLAT/a/1/icon"},"packageContent":"FLAT/a/1/a.1.nupkg"}"#,
            r#"{"catalogEntry":{"@id":"OUT/registration-gz-semver2/a#b","packageContent":"OUT/flat/a/1/a.1.nupkg","iconUrl":"OUT/flat/a/1/icon"},"packageContent":"OUT/flat/a/1/a.1.nupkg"}"#,
            (4, 0),
        );
        check(
            slug,
            r#"{"catalogEntry":"https://api.nuget.org/v3/catalog0/data/x.json"}"#,
            r#"{"catalogEntry":"OUT/catalog/data/x.json"}"#,
            (1, 0),
        );
        check(
            slug,
            r#"{"@id":"REG/a","@id":"REG/b"}"#,
            r#"{"@id":"OUT/registration-gz-semver2/a","@id":"OUT/registration-gz-semver2/b"}"#,
            (2, 0),
        );
    }

    #[test]
    fn prose_is_never_touched() {
        for member in [
            "projectUrl",
            "description",
            "comment",
            "licenseUrl",
            "title",
            "id",
            "summary",
        ] {
            check_left(
                "registration-gz-semver2",
                &format!(r#"{{"{member}":"REG/a/index.json"}}"#),
                0,
            );
            check_left(
                "query",
                &format!(r#"{{"data":[{{"{member}":"see REG/ or FLAT/"}}]}}"#),
                0,
            );
        }
        check_left(
            "registration-gz-semver2",
            r#"{"tags":["REG/a","@id"],"iconUrl":["REG/a"]}"#,
            0,
        );
        check_left(
            "registration-gz-semver2",
            r#"{"@id":"see REG/a","iconUrl":"../icon","parent":""}"#,
            0,
        );
    }

    #[test]
    fn links_under_no_known_base_are_left_and_counted() {
        check_left(
            "registration-gz-semver2",
            r#"{"iconUrl":"https://i.example/a.png","@id":"http://x"}"#,
            2,
        );
        check_left(
            "query",
            r#"{"@id":"https://api.nuget.org/v3/registration5-gz-semver2x/a"}"#,
            1,
        );
        check_left(
            "query",
            r#"{"@id":"https://api.nuget.org/v3/registration5-gz-semver"}"#,
            1,
        );
    }

    #[test]
    fn the_longest_base_wins() {
        check(
            "query",
            r#"{"@id":"REG/deep/a"}"#,
            r#"{"@id":"OUT/deep/a"}"#,
            (1, 0),
        );
        check(
            "query",
            r#"{"@id":"REG/deeper/a"}"#,
            r#"{"@id":"OUT/registration-gz-semver2/deeper/a"}"#,
            (1, 0),
        );
    }

    #[test]
    fn context_is_left_but_for_the_base_of_search() {
        let context = r#"{"@context":{"@vocab":"http://schema.nuget.org/schema#","@base":"REG/","items":{"@id":"catalog:item","parent":"REG/"}},"@id":"x"}"#;
        check_left("registration-gz-semver2", context, 0);
        check(
            "query",
            context,
            &context.replace("@base\":\"REG/", "@base\":\"OUT/registration-gz-semver2/"),
            (1, 0),
        );
    }

    #[test]
    fn escaped_spellings_are_links_too() {
        check(
            "query",
            r#"{"\u0040id":"https:\/\/api.nuget.org\u002fv3-flatcontainer\/a","title":"\u00e4\/"}"#,
            r#"{"\u0040id":"OUT/flat/a","title":"\u00e4\/"}"#,
            (1, 0),
        );
        check(
            "query",
            r#"{"@id":"FLAT/\"\\\u0001ä"}"#,
            r#"{"@id":"OUT/flat/\"\\\u0001ä"}"#,
            (1, 0),
        );
    }

    #[test]
    fn foreign_package_content_is_built_from_its_leaf() {
        let built = r#""OUT/flat/a.b/1.0.0/a.b.1.0.0.nupkg""#;
        let foreign = r#""https://cdn.example/x""#;
        for leaf in [
            r#"{"packageContent":@,"catalogEntry":{"id":"A.B","version":"1.0"}}"#,
            r#"{"catalogEntry":{"packageContent":@,"version":"1.0.0+x","id":"A.B"},"packageContent":@}"#,
        ] {
            let count = leaf.matches('@').count();
            check(
                "registration-gz-semver2",
                &leaf.replace('@', foreign),
                &leaf.replace('@', built),
                (count, 0),
            );
        }
        check_left(
            "registration-gz-semver2",
            r#"{"packageContent":"https://cdn.example/x","catalogEntry":"c"}"#,
            1,
        );
        check_left(
            "query",
            r#"{"id":"a","version":"1","@id":"https://cdn.example/x"}"#,
            1,
        );
    }

    #[test]
    fn every_page_link_becomes_a_token() {
        let urls = [
            "https://api.nuget.org/v3-vulnerabilities/1/base.json",
            "https://api.nuget.org/v3/catalog0/x",
        ];
        let index = |urls: [&str; 2]| {
            format!(
                r#"[{{"@name":"base","@id":"{}"}},{{"@id":"{}"}},{{"@id":"x"}}]"#,
                urls[0], urls[1]
            )
        };
        let tokens = urls.map(page_token);
        let ours = tokens
            .clone()
            .map(|token| format!("{OURS}vulnerabilities/page/{token}"));
        let done = rewrite("vulnerabilities", &index(urls));
        assert_eq!(done.bytes, index([&ours[0], &ours[1]]).into_bytes());
        assert_eq!((done.replaced, done.left), (2, 0));
        let pages: Vec<_> = tokens.into_iter().zip(urls.map(str::to_owned)).collect();
        assert_eq!(done.pages, pages);
        assert!(pages.iter().all(|(token, _)| token.len() == 32));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (document, place) in [
            (&b"<html>"[..], "line 1 column 1"),
            (b"", "line 1 column 0"),
            (b"{\"@id\":\n\"a\"", "line 2 column 3"),
            (b"{} {}", "line 1 column 4"),
            (b"{\"a\":\"\xff\"}", "index 6"),
            (b"{\"a\":\"\n\"}", "line"),
        ] {
            let refused = links(
                document,
                rule("query"),
                &map(),
                Place {
                    base: OURS,
                    slug: "query",
                },
            );
            let Err(RewriteError::NotJson { position }) = refused else {
                panic!("{refused:?}");
            };
            assert!(position.contains(place), "{position}");
        }
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        assert_eq!(
            links(
                deep.as_bytes(),
                rule("query"),
                &map(),
                Place {
                    base: OURS,
                    slug: "query"
                }
            ),
            Err(RewriteError::TooDeep)
        );
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        check("query", "\u{feff}{}", "{}", (0, 0));
    }

    /// The rule applied to a parsed tree: slow, obvious, and without any text.
    fn model(value: &mut Value, rule: &LinkRule, depth: usize) {
        match value {
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| model(item, rule, depth + 1)),
            Value::Object(members) => {
                for (name, value) in members {
                    let listed = rule.members.contains(&name.as_str());
                    match value {
                        Value::Object(context) if name == "@context" => {
                            if let Some(base) = context
                                .get_mut("@base")
                                .filter(|_| depth == 0 && rule.context_base)
                            {
                                point_at_us(base);
                            }
                        }
                        _ if name == "@context" => {}
                        Value::String(_) if listed => point_at_us(value),
                        _ => model(value, rule, depth + 1),
                    }
                }
            }
            _ => {}
        }
    }

    fn point_at_us(value: &mut Value) {
        if let Some(ours) = value.as_str().and_then(|url| map().resolve(url)) {
            *value = Value::from(format!("{OURS}{ours}"));
        }
    }

    fn document() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just(spell("REG/a/index.json#page/1/2")),
            Just(spell("FLAT/a/1/\"icon\\")),
            Just(spell("REG/")),
            Just("catalog:item".to_owned()),
            Just("https://elsewhere.example/".to_owned()),
            "\\PC{0,8}",
        ];
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("@id"),
            Just("@context"),
            Just("@base"),
            Just("registration"),
            Just("parent"),
            Just("iconUrl"),
            Just("projectUrl"),
            Just("items"),
            Just("a\"\\@id"),
        ];
        leaf.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                    let member = |(name, value): (&str, Value)| (name.to_owned(), value);
                    Value::from(members.into_iter().map(member).collect::<Map<_, _>>())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_document_becomes_what_the_model_says(document in document(), pretty: bool) {
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            for slug in ["query", "registration-gz-semver2", "catalog"] {
                let mut expected = document.clone();
                model(&mut expected, rule(slug), 0);
                let done = rewrite(slug, &text);
                let shown = if pretty { format!("{expected:#}") } else { expected.to_string() };
                prop_assert_eq!(String::from_utf8(done.bytes).unwrap(), shown);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_copied(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let place = Place { base: OURS, slug: "query" };
            if let Ok(done) = links(&bytes, rule("query"), &map(), place) {
                prop_assert!(serde_json::from_slice::<IgnoredAny>(&done.bytes).is_ok());
            }
        }
    }

    /// Documents that real feeds served, if they are at hand.
    fn real_documents() -> Vec<(PathBuf, String)> {
        let shared = std::env::var_os("NGTEST_SHARED").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
            PathBuf::from,
        );
        let Ok(folder) = std::fs::read_dir(shared.join("fixtures/nuget-documents")) else {
            return Vec::new();
        };
        let json = folder
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ext| ext == "json"));
        json.map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text.trim_start_matches('\u{feff}').to_owned())
        })
        .collect()
    }

    #[test]
    fn real_documents_become_what_the_model_says_and_are_kept_byte_for_byte() {
        let back = LinkMap::new(vec![(
            "https://api.nuget.org/v3/".to_owned(),
            String::new(),
        )]);
        for (path, text) in real_documents() {
            let Ok(document) = serde_json::from_str::<Value>(&text) else {
                assert!(
                    links(
                        text.as_bytes(),
                        rule("query"),
                        &map(),
                        Place {
                            base: OURS,
                            slug: "query"
                        }
                    )
                    .is_err()
                );
                continue;
            };
            for slug in ["query", "registration-gz-semver2", "catalog"] {
                let mut expected = document.clone();
                model(&mut expected, rule(slug), 0);
                let done: Value = serde_json::from_slice(&rewrite(slug, &text).bytes).unwrap();
                if slug != "registration-gz-semver2" || !has_foreign_content(&document) {
                    assert_eq!(done, expected, "{} as {slug}", path.display());
                }
                let place = Place {
                    base: "https://api.nuget.org/v3",
                    slug,
                };
                let same = links(text.as_bytes(), rule("catalog"), &back, place).unwrap();
                assert_eq!(
                    String::from_utf8(same.bytes).unwrap(),
                    text,
                    "{}",
                    path.display()
                );
            }
        }
    }

    /// Whether a leaf names its package under no known base, which the model knows nothing of.
    fn has_foreign_content(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(has_foreign_content),
            Value::Object(members) => {
                let content = members.get("packageContent").and_then(Value::as_str);
                content.is_some_and(|url| is_http(url) && map().resolve(url).is_none())
                    || members.values().any(has_foreign_content)
            }
            _ => false,
        }
    }

    #[test]
    fn the_model_itself_sees_what_it_should() {
        let mut document =
            json!({"@id": BASES[0].0, "projectUrl": BASES[0].0, "@context": {"@id": BASES[0].0}});
        model(&mut document, rule("query"), 0);
        assert_eq!(
            document,
            json!({"@id": format!("{OURS}registration-gz-semver2/"), "projectUrl": BASES[0].0, "@context": {"@id": BASES[0].0}})
        );
    }
}
