//! Rewriting compared with a model, over any document and over real ones.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

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
