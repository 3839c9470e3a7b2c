//! Members of a feed's documents that nugate does not know: forty in each kind of document are the
//! upstream's, byte for byte.

use std::fmt::Write as _;

use serde_json::Value;

use super::unknown::{INDEX, original};
use super::without_tokens;
use crate::support::client::{Response, get};
use crate::support::{ScriptedUpstream, World};

/// Forty members nobody knows, as text: numbers no machine type holds, escapes, white space, prose
/// with the feed's URLs, members of members.
fn members(base: &str) -> String {
    let values = [
        "1.10".to_owned(),
        "-0".to_owned(),
        "1E+400".to_owned(),
        "123456789012345678901234567890".to_owned(),
        "0.1000000000000000055511151231257827".to_owned(),
        r#""\u00e9\/\u0040id \ud83d\ude00 é 😀""#.to_owned(),
        format!(r#""{base}/v3-flatcontainer/a""#),
        format!(r#"{{ "url" : "{base}/v3/registration5-semver1/a" ,"n":[ 1 ,[],{{}}] }}"#),
        "[ true,false , null ]".to_owned(),
        r#""2026-01-01T00:00:00.1234567+01:00""#.to_owned(),
    ];
    let mut text = String::new();
    for number in 0..40 {
        let value = &values[number % values.len()];
        let _ = write!(text, "\"x-{number}\": {value} ,\n ");
    }
    text
}

/// The document with the members at the beginning of its first object and of each of some kind.
fn with_members(document: &str, members: &str) -> String {
    let at = document.find('{').unwrap() + 1;
    let (before, after) = document.split_at(at);
    let mut text = format!("{before}{members}{after}");
    for place in [
        "\"catalogEntry\": {",
        "\"items\": [\n    {",
        "\"data\": [\n    {",
    ] {
        text = text.replace(place, &format!("{place}{members}"));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_of_documents_are_the_upstreams_byte_for_byte() {
    let plain = World::demo().await;
    let extended = ScriptedUpstream::demo().await;
    // Links are as long as the bases they stand for are different: one nugate for each, and the
    // origins are exchanged before comparing.
    let (here, there) = (
        plain.up.base_url().to_owned(),
        extended.base_url().to_owned(),
    );
    let mut asked = Vec::new();
    for (ours, theirs) in [
        (
            "flat/example.core/index.json",
            "/v3-flatcontainer/example.core/index.json",
        ),
        (
            "registration-gz-semver2/example.core/index.json",
            "/v3/registration5-gz-semver2/example.core/index.json",
        ),
        (
            "registration/example.core/1.0.0.json",
            "/v3/registration5-semver1/example.core/1.0.0.json",
        ),
        ("query?q=core", "/search-usnc/query?q=core"),
        ("autocomplete?q=core", "/search-usnc/autocomplete?q=core"),
        (
            "vulnerabilities/index.json",
            "/v3/vulnerabilities/index.json",
        ),
        ("catalog/index.json", "/v3/catalog0/index.json"),
        ("catalog/page0.json", "/v3/catalog0/page0.json"),
        (
            "catalog/data/2026.01.01.00.01.00/example.core.1.0.0.json",
            "/v3/catalog0/data/2026.01.01.00.01.00/example.core.1.0.0.json",
        ),
    ] {
        let direct = get(plain.up.addr(), theirs, &[]).await;
        assert_eq!(direct.status, 200, "{theirs}");
        let body = with_members(&pretty(&direct), &members(&here));
        let body = body.replace(&here, &there);
        extended
            .on(theirs)
            .reply(200, body)
            .header("content-type", "application/json");
        plain
            .up
            .on(theirs)
            .reply(200, pretty(&direct))
            .header("content-type", "application/json");
        asked.push(ours);
    }
    let world = World::before(extended, |_| {}).await;
    for path in asked {
        let known = plain.get(path).await.text();
        let known = with_members(&known, &members(&here));
        let shown = world.get(path).await;
        assert_eq!(shown.status, 200, "{path}");
        let shown = shown.text().replace(&there, &here);
        let shown = shown.replace(&world.addr.to_string(), &plain.addr.to_string());
        let objects = if path.starts_with("registration-") {
            3
        } else {
            1
        };
        assert!(shown.matches("\"x-39\": ").count() >= objects, "{path}");
        // The token of a page is made of its URL, in which the origins differ.
        assert_eq!(without_tokens(&shown), without_tokens(&known), "{path}");
    }
}

/// A document of the example feed, decoded and indented.
fn pretty(response: &Response) -> String {
    let body = match response.header("content-encoding") {
        "gzip" => {
            let mut text = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&response.body[..]);
            std::io::Read::read_to_end(&mut decoder, &mut text).unwrap();
            text
        }
        _ => response.body.to_vec(),
    };
    let value: Value = serde_json::from_slice(&body).unwrap();
    format!("{value:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_of_the_service_index_are_the_upstreams() {
    let up = ScriptedUpstream::demo().await;
    let forty = members(up.base_url());
    let index = String::from_utf8(original(&up, INDEX).to_vec()).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let index = index
        .to_string()
        .replace("{\"@id\"", &format!("{{{forty}\"@id\""));
    let index = format!("{{{forty}{}", &index[1..]);
    up.on(INDEX).reply(200, index.clone());
    let world = World::before(up, |_| {}).await;
    let shown = world.get("index.json").await.json();
    let given: Value = serde_json::from_str(&index).unwrap();
    let extra = |value: &Value| -> Vec<(String, String)> {
        let members = value.as_object().unwrap().iter();
        let own = members.filter(|(name, _)| name.starts_with("x-"));
        own.map(|(name, value)| (name.clone(), value.to_string()))
            .collect()
    };
    assert_eq!(extra(&given).len(), 40);
    assert_eq!(extra(&shown), extra(&given));
    assert_eq!(shown["@context"], given["@context"]);
    assert!(extra(&shown)[2].1.contains("400"), "{:?}", extra(&shown)[2]);
    let entries = shown["resources"].as_array().unwrap();
    assert!(entries.len() > 20);
    for entry in entries {
        assert_eq!(extra(entry), extra(&given));
    }
}
