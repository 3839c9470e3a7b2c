//! Each row of the protocol table at work, and the rules that hold for all of them.
//!
//! - every type that the documentation or the official client knows has a row, or is left out on
//!   purpose
//! - each type of each row, offered alone: our service index has it and nothing else, and what it
//!   leads to answers
//! - templates keep their braces and what follows them
//! - versions of the service index: 3.x is understood, others are refused with a reason
//! - redirects of any GET are followed: 301, 302, 303, 307, 308
//! - 5xx are asked again, other statuses are not
//! - of what identifies a client, three fields go on and none makes a document another one

use nugate::demo::ExampleFeed;
use nugate::nuget::resource::{At, RESOURCES, Resource, of_type};
use serde_json::{Value, json};

use super::{Stage, text, without_tokens};
use crate::support::client::get;
use crate::support::{ScriptedUpstream, World, stored};

/// All types that are documented, served by nuget.org, or looked for by the official client.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "RegistrationsBaseUrl",
        &[
            "",
            "/3.0.0-beta",
            "/3.0.0-rc",
            "/3.4.0",
            "/3.6.0",
            "/Versioned",
        ],
    ),
    ("PackageBaseAddress", &["/3.0.0", "/Versioned"]),
    (
        "SearchQueryService",
        &[
            "",
            "/3.0.0-beta",
            "/3.0.0-rc",
            "/3.4.0",
            "/3.5.0",
            "/Versioned",
        ],
    ),
    (
        "SearchAutocompleteService",
        &["", "/3.0.0-beta", "/3.0.0-rc", "/3.5.0", "/Versioned"],
    ),
    ("RepositorySignatures", &["/4.7.0", "/4.9.0", "/5.0.0"]),
    ("VulnerabilityInfo", &["/6.7.0"]),
    ("Catalog", &["/3.0.0"]),
    (
        "ReportAbuseUriTemplate",
        &["/3.0.0-beta", "/3.0.0-rc", "/3.0.0", "/Versioned"],
    ),
    ("PackageDetailsUriTemplate", &["/5.1.0"]),
    ("OwnerDetailsUriTemplate", &["/6.11.0"]),
    ("ReadmeUriTemplate", &["/6.13.0", "/Versioned"]),
    ("PackageDisplayMetadataUriTemplate", &["/3.0.0-rc"]),
    ("PackageVersionDisplayMetadataUriTemplate", &["/3.0.0-rc"]),
];

#[test]
fn every_known_type_has_a_row() {
    let mut known = Vec::new();
    for (name, suffixes) in KNOWN {
        for suffix in *suffixes {
            let kind = format!("{name}{suffix}");
            let row = of_type(&kind).unwrap_or_else(|| panic!("{kind} has no row"));
            assert_eq!(row.name, *name, "{kind}");
            known.push(kind);
        }
    }
    // What other rows there are is for writing or for older clients.
    let readable = |row: &&Resource| KNOWN.iter().any(|(name, _)| *name == row.name);
    for row in RESOURCES.iter().filter(readable) {
        for kind in row.types {
            assert!(
                known.iter().any(|own| own == kind),
                "{kind} is not documented"
            );
        }
    }
}

/// What a template has behind its base, by the row's name.
fn template(name: &str) -> &'static str {
    match name {
        "ReadmeUriTemplate" => "flat/{lower_id}/{lower_version}/readme",
        "PackageDisplayMetadataUriTemplate" => "reg/{id-lower}/index.json",
        "PackageVersionDisplayMetadataUriTemplate" => "reg/{id-lower}/{version-lower}.json",
        "PackageDetailsUriTemplate" => "packages/{id}/{version}?_src=template",
        "OwnerDetailsUriTemplate" => "profiles/{owner}?_src=template",
        "ReportAbuseUriTemplate" => "packages/{id}/{version}/ReportAbuse",
        other => panic!("{other} has no template here"),
    }
}

/// Path of the resource upstream.
fn there(row: &Resource) -> String {
    match row.at {
        At::Base => format!("/x/{}/", row.slug),
        At::Endpoint | At::Publish(_) => format!("/x/{}", row.slug),
        At::Document | At::Versioned => format!("/x/{}/index.json", row.slug),
        At::V2 => "/x/api/v2".to_owned(),
        At::Template | At::WebPage => format!("/x/{}", template(row.name)),
    }
}

/// A document that a row without one of its own leads to, below our `@id` and below theirs.
fn leads_to(row: &Resource) -> (&'static str, Value) {
    match row.name {
        "PackageBaseAddress" => ("a.tool/index.json", json!({"versions": ["1.0.0"]})),
        "RegistrationsBaseUrl" => ("a.tool/index.json", json!({"count": 0, "items": []})),
        "SearchQueryService" | "SearchAutocompleteService" => {
            ("", json!({"totalHits": 0, "data": []}))
        }
        "VulnerabilityInfo" => ("", json!([])),
        "Catalog" => ("", json!({"count": 0, "items": []})),
        "RepositorySignatures" => {
            let none = json!({"allRepositorySigned": false, "signingCertificates": []});
            ("", none)
        }
        other => panic!("{other} has no document here"),
    }
}

/// What the template stands for when it is filled in.
fn filled(template: &str) -> String {
    template
        .replace("{lower_id}", "a.tool")
        .replace("{lower_version}", "1.0.0")
        .replace("{id-lower}", "a.tool")
        .replace("{version-lower}", "1.0.0")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_of_each_row_works_alone() {
    let base = "https://cache.test/v3/";
    let up = ScriptedUpstream::new(ExampleFeed::default()).await;
    let world = World::before(up, |settings| {
        settings.bases.public_url = Some("https://cache.test".parse().unwrap());
    })
    .await;
    let origin = world.up.base_url().to_owned();
    let readable = |row: &&Resource| KNOWN.iter().any(|(name, _)| *name == row.name);
    for row in RESOURCES.iter().filter(readable) {
        for kind in row.types {
            let id = format!("{origin}{}", there(row));
            // A template lies below another resource, and a feed is more than pages for people.
            let mut resources = vec![json!({"@id": id, "@type": kind})];
            if matches!(row.at, At::Template | At::WebPage) {
                for (name, path) in [
                    ("PackageBaseAddress/3.0.0", "/x/flat/"),
                    ("RegistrationsBaseUrl/3.6.0", "/x/reg/"),
                ] {
                    resources.push(json!({"@id": format!("{origin}{path}"), "@type": name}));
                }
            }
            let index = json!({"version": "3.0.0", "resources": resources});
            world.up.on("/v3/index.json").reply(200, index.to_string());
            let again = [("cache-control", "no-cache")];
            // What has just landed would be shown once more.
            world.quiet().await;
            let shown = world.get_with("index.json", &again).await;
            assert_eq!(shown.status, 200, "{kind}: {shown:?}");
            let shown = shown.json();
            let entries = shown["resources"].as_array().unwrap();
            assert_eq!(entries.len(), resources.len(), "{kind}: {shown:#}");
            assert_eq!(entries[0]["@type"], *kind);
            let ours = text(&entries[0]["@id"]);
            if row.at == At::WebPage {
                assert_eq!(ours, id);
                continue;
            }
            let ours = ours
                .strip_prefix(base)
                .unwrap_or_else(|| panic!("{kind}: {ours}"));
            let path = if row.at == At::Template {
                let (_, braces) = there(row)
                    .split_once('{')
                    .map(|(a, b)| (a.to_owned(), b.to_owned()))
                    .unwrap();
                assert!(ours.ends_with(&format!("{{{braces}")), "{kind}: {ours}");
                let document = json!({"count": 0, "items": []});
                let path = filled(&there(row));
                world.up.on(&path).reply(200, document.to_string());
                filled(ours)
            } else {
                let (below, document) = leads_to(row);
                let path = format!("{}{below}", there(row));
                world.up.on(&path).reply(200, document.to_string());
                format!("{ours}{below}")
            };
            let answer = world.get_with(&path, &again).await;
            assert_eq!(answer.status, 200, "{kind}: {path}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_the_service_index() {
    for (version, accepted) in [
        (json!("3.0.0"), true),
        (json!("3.0.0-beta.1"), true),
        (json!("3.0.0-beta"), true),
        (json!("3.1.0"), true),
        (json!("3.12.7+build"), true),
        (json!("2.0.0"), false),
        (json!("2.9.9-rc"), false),
        (json!("4.0.0"), false),
        (json!("30.0.0"), false),
        (json!("three"), false),
        (json!(""), false),
        (json!(3), false),
        (Value::Null, false),
    ] {
        let up = ScriptedUpstream::demo().await;
        let index = get(up.addr(), "/v3/index.json", &[]).await;
        let mut index = index.json();
        index["version"] = version.clone();
        up.on("/v3/index.json").reply(200, index.to_string());
        let world = World::before(up, |_| {}).await;
        let answer = world.get("index.json").await;
        if accepted {
            assert_eq!(answer.status, 200, "{version}: {answer:?}");
            assert_eq!(answer.json()["version"], version);
            continue;
        }
        assert_eq!(answer.status, 502, "{version}: {answer:?}");
        let told = match version.as_str() {
            Some(version) => format!("`version` is `{version}`, only 3.x is supported"),
            None => "`version` is missing".to_owned(),
        };
        assert!(
            answer.text().contains(&told),
            "{version}: {}",
            answer.text()
        );
        assert!(answer.text().contains("feed test"), "{}", answer.text());
    }
}

/// Documents of every kind that is fetched: ours and theirs.
const EVERY_KIND: &[(&str, &str)] = &[
    ("index.json", "/v3/index.json"),
    (
        "flat/example.core/index.json",
        "/v3-flatcontainer/example.core/index.json",
    ),
    (
        "flat/example.core/1.0.0/example.core.1.0.0.nupkg",
        "/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg",
    ),
    (
        "flat/example.core/1.0.0/example.core.nuspec",
        "/v3-flatcontainer/example.core/1.0.0/example.core.nuspec",
    ),
    (
        "registration/example.core/index.json",
        "/v3/registration5-semver1/example.core/index.json",
    ),
    ("query?q=core", "/search-usnc/query"),
    ("autocomplete?q=core", "/search-usnc/autocomplete"),
    (
        "vulnerabilities/index.json",
        "/v3/vulnerabilities/index.json",
    ),
    ("catalog/index.json", "/v3/catalog0/index.json"),
];

#[tokio::test(flavor = "multi_thread")]
async fn any_get_may_be_redirected() {
    let plain = World::demo().await;
    for (at, (ours, theirs)) in EVERY_KIND.iter().enumerate() {
        let status = [301, 302, 303, 307, 308][at % 5];
        let expected = plain.get(ours).await;
        assert_eq!(expected.status, 200, "{ours}: {expected:?}");
        let up = ScriptedUpstream::demo().await;
        let query = ours.split_once('?').map_or("", |(_, query)| query);
        let body = up
            .change(|feed| feed.document(up.base_url(), theirs, query))
            .unwrap();
        let script = up.on("/moved").reply(200, body.body);
        drop(if body.gzip {
            script.header("content-encoding", "gzip")
        } else {
            script
        });
        // Relative, and by way of a second redirect.
        up.on(theirs)
            .reply(status, "moved")
            .header("location", "/on?x=1");
        up.on("/on").reply(status, "").header("location", "moved");
        let world = World::before(up, |_| {}).await;
        let answer = world.get(ours).await;
        assert_eq!(answer.status, 200, "{status} {ours}: {answer:?}");
        let same = |world: &World, text: &[u8]| {
            let text = String::from_utf8_lossy(text).into_owned();
            let text = text.replace(world.up.base_url(), "UP");
            without_tokens(&text.replace(&world.addr.to_string(), "US"))
        };
        assert_eq!(
            same(&world, &answer.body),
            same(&plain, &expected.body),
            "{ours}"
        );
        assert_eq!(world.up.count("/moved"), 1);
        // Kept under the name it was asked by.
        stored(&world, ours).await;
        world.up.clear_log();
        assert_eq!(world.get(ours).await.status, 200);
        assert_eq!(world.up.requests(), 0, "{ours}: {:?}", world.up.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_pass_are_asked_again_and_answers_are_not() {
    let statuses = [
        (500, 3),
        (502, 3),
        (503, 3),
        (504, 3),
        (408, 3),
        (429, 3),
        (501, 1),
        (400, 1),
        (404, 1),
        (410, 1),
        (451, 1),
    ];
    let check = async |(status, times): (u16, usize)| {
        let up = ScriptedUpstream::demo().await;
        let list = "/v3-flatcontainer/example.core/index.json";
        up.on(list).reply(status, "no").times(2);
        let world = World::before(up, |settings| settings.feed.attempts = 3).await;
        let answer = world.get("flat/example.core/index.json").await;
        assert_eq!(world.up.count(list), times, "{status}: {answer:?}");
        assert_eq!(answer.status == 200, times == 3, "{status}: {answer:?}");
    };
    futures_util::future::join_all(statuses.map(check)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_identifies_a_client_makes_no_document_another_one() {
    let world = World::demo().await;
    let list = "flat/example.core/index.json";
    let client = [
        ("user-agent", "NuGet .NET Core MSBuild Task/6.14.3 (Linux)"),
        ("x-nuget-client-version", "6.14.3"),
        ("x-nuget-session-id", "11111111-1111-4111-8111-111111111111"),
        ("x-nuget-protocol-version", "4.1.0"),
        ("accept-language", "de-DE"),
    ];
    stored(&world, list).await;
    world.up.clear_log();
    world.later(3600);
    world.get_with(list, &client).await;
    let seen = world.up.log().remove(0);
    for (name, value) in &client[..3] {
        assert_eq!(seen.header(name), *value);
    }
    // Publishing has it, reading does not; and one language is kept for all.
    for name in ["x-nuget-protocol-version", "accept-language"] {
        assert_eq!(seen.headers.get(name), None, "{seen:?}");
    }
    world.quiet().await;
    world.up.clear_log();
    for number in 0..5 {
        let session = format!("22222222-2222-4222-8222-22222222222{number}");
        let other = [
            ("user-agent", "NuGet Command Line/5.8"),
            ("x-nuget-client-version", "5.8.0"),
            ("x-nuget-session-id", session.as_str()),
            ("accept-language", "fr"),
        ];
        let answer = world.get_with(list, &other).await;
        assert_eq!(answer.header("cache-status"), "nugate; hit");
    }
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_stay_as_they_were_written() {
    let times = [
        "2024-02-29T23:59:59.9999999+00:00",
        "2015-02-01T06:22:45.8488496Z",
        "1900-01-01T00:00:00+00:00",
        "2026-01-01T01:00:00+01:00",
    ];
    let mut stage = Stage::new().await;
    let index = json!({"version": "3.0.0", "resources": [
        {"@id": "UP/r/", "@type": "RegistrationsBaseUrl/3.6.0"},
        {"@id": "UP/c/index.json", "@type": "Catalog/3.0.0"},
        {"@id": "UP/v/index.json", "@type": "VulnerabilityInfo/6.7.0"},
    ]});
    stage.json("/v3/index.json", &index);
    let leaves: Vec<Value> = times
        .iter()
        .map(|time| json!({"commitTimeStamp": time, "catalogEntry": {"published": time, "created": time}}))
        .collect();
    stage.json(
        "/r/a.tool/index.json",
        &json!({"count": 1, "items": [{"items": leaves}]}),
    );
    let items: Vec<Value> = times
        .iter()
        .map(|time| json!({"@id": "UP/c/page0.json", "commitTimeStamp": time, "nuget:lastEdited": time}))
        .collect();
    stage.json(
        "/c/index.json",
        &json!({"commitTimeStamp": times[0], "items": items}),
    );
    let known = json!([{"@name": "base", "@id": "UP/v/base.json", "@updated": times[1]}]);
    stage.json("/v/index.json", &known);
    let scene = stage.world("/v3/index.json", None).await;
    for (path, members) in [
        (
            "registration-gz-semver2/a.tool/index.json",
            &["commitTimeStamp", "published", "created"][..],
        ),
        (
            "catalog/index.json",
            &["commitTimeStamp", "nuget:lastEdited"],
        ),
    ] {
        let shown = scene.world.get(path).await.text();
        for (time, member) in times
            .iter()
            .flat_map(|time| members.iter().map(move |m| (time, m)))
        {
            let written = format!("\"{member}\":\"{time}\"");
            assert!(
                shown.contains(&written),
                "{path}: {written} is not in {shown}"
            );
        }
    }
    let known = scene.world.get("vulnerabilities/index.json").await.json();
    assert_eq!(known[0]["@updated"], times[1]);
}
