//! Service indexes: of a feed over https nothing is fetched over http, and ours leads to us alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::feed;
use nugate_fuzz::nuget::publish::Publish;
use nugate_fuzz::nuget::resource::{self, At, RESOURCES};
use nugate_fuzz::nuget::route;
use nugate_fuzz::nuget::service_index::{RenderOptions, ServiceIndex, WebLinks};
use serde_json::Value;
use url::Url;

const BASE: &str = "https://ours.example/v3/";

fn authority(url: &Url) -> String {
    let host = url.host_str().expect("it has a host");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fuzz_target!(|data: &[u8]| {
    let Ok(index) = ServiceIndex::parse(data, &feed()) else {
        return;
    };
    let hosts = index.hosts();
    for row in RESOURCES
        .iter()
        .filter(|row| !matches!(row.at, At::WebPage | At::Publish(_) | At::V2))
    {
        for base in index.bases(row.slug) {
            let url = Url::parse(base.split('{').next().unwrap_or_default()).expect("it is a URL");
            assert_eq!(url.scheme(), "https", "{base}");
            assert!(
                url.username().is_empty() && url.password().is_none(),
                "{base}"
            );
        }
    }
    for path in [
        "flat/a/index.json",
        "registration/a/index.json",
        "query",
        "vulnerabilities/index.json",
    ] {
        let target = route::parse(path, None).expect("it is a path");
        for url in target.upstream_urls(&feed(), &index) {
            assert!(
                hosts.contains(&authority(&url)),
                "{url} is not in {hosts:?}"
            );
        }
    }
    let options = RenderOptions {
        base: BASE,
        web_links: WebLinks::Keep,
        v2: true,
        publish: Publish::Relay,
    };
    let ours: Value = serde_json::from_slice(&index.render(&options)).expect("ours is JSON");
    for entry in ours["resources"].as_array().expect("ours has resources") {
        let (id, name) = (
            entry["@id"].as_str().unwrap(),
            entry["@type"].as_str().unwrap(),
        );
        let is_page = resource::of_type(name).is_some_and(|row| row.at == At::WebPage);
        let is_ours = id.starts_with("https://ours.example/");
        assert!(is_page || is_ours, "{name} leads to {id}");
    }
});
