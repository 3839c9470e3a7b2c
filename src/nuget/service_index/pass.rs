//! Resources of types that no row knows, offered because the configuration names the type.
//!
//! What their `@id` means is not known: a base, an endpoint, a document or a template. So only its
//! beginning is replaced, by a path of ours with a token that stands for it; whatever follows stays
//! as it was written, and what clients append goes on as they sent it. Invariant: what a token and a
//! client's text lead to lies below the `@id` that the feed named, on the same host.

use percent_encoding::percent_decode_str;
use url::Url;

use super::parse::origin;
use super::{Entry, ServiceIndex};
use crate::nuget::resource;
use crate::nuget::rewrite::page_token;

/// Where passed resources lie below our `/v3/`.
pub const PASS: &str = "pass";

/// A resource that is passed through.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    kind: String,
    id: String,
    /// What the token stands for: the `@id` up to its query, fragment or the segment of its first
    /// brace, without a slash at its end.
    prefix: String,
    token: String,
}

impl ServiceIndex {
    /// The same, offering the resources of these types too. Those a row knows, and those that are no
    /// http(s) URLs or plain text in a feed behind TLS, are not meant.
    #[must_use]
    pub fn passing(mut self, types: &[String], feed: &Url) -> Self {
        let secure = feed.scheme() == "https";
        for entry in &self.entries {
            let named = entry.types.iter().filter(|name| types.contains(name));
            for name in named.filter(|name| resource::of_type(name).is_none()) {
                self.passed.extend(Passed::new(entry, name, secure));
            }
        }
        self
    }

    /// Our `@id` for the upstream's `id` of a passed type, below our `base`.
    pub(super) fn passed_id(&self, id: &str, name: &str, base: &str) -> Option<String> {
        let passed = self
            .passed
            .iter()
            .find(|it| it.id == id && it.kind == name)?;
        let rest = id.strip_prefix(&passed.prefix)?;
        Some(format!("{base}{PASS}/{}{rest}", passed.token))
    }

    /// Where the path below `/v3/pass/` and the query of a request lead upstream; `None` if nothing
    /// lies there.
    pub fn passed_url(&self, path: &str, query: Option<&str>) -> Option<Url> {
        let (token, tail) = path.split_at(path.find('/').unwrap_or(path.len()));
        let passed = self.passed.iter().find(|it| it.token == token)?;
        if !tail.split('/').all(is_plain) {
            return None;
        }
        let mut url = Url::parse(&format!("{}{tail}", passed.prefix)).ok()?;
        url.set_query(query);
        let same = origin(&passed.prefix)?.origin() == url.origin();
        same.then_some(url)
    }
}

impl Passed {
    fn new(entry: &Entry, kind: &str, secure: bool) -> Option<Self> {
        let id = &entry.id;
        let end = id.find(['?', '#', '{']).unwrap_or(id.len());
        let end = match id.as_bytes().get(end) {
            Some(b'{') => id[..end].rfind('/')?,
            _ => end,
        };
        let prefix = id[..end].strip_suffix('/').unwrap_or(&id[..end]);
        let url = origin(prefix)?;
        (!secure || url.scheme() == "https").then(|| Self {
            kind: kind.to_owned(),
            id: id.clone(),
            prefix: prefix.to_owned(),
            token: page_token(prefix),
        })
    }
}

/// Whether a segment, decoded, is neither a dot segment nor several segments.
fn is_plain(segment: &str) -> bool {
    let Ok(text) = percent_decode_str(segment).decode_utf8() else {
        return false;
    };
    let hostile = |char: char| char.is_control() || matches!(char, '/' | '\\');
    !matches!(text.as_ref(), "." | "..") && !text.contains(hostile)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nuget::publish::Publish;
    use crate::nuget::service_index::{RenderOptions, WebLinks};

    fn index(feed: &str, id: &str) -> ServiceIndex {
        let document = json!({"version": "3.0.0", "resources": [
            {"@id": "https://h/flat/", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": id, "@type": ["Custom/1.0.0", "Other/1.0.0"], "extra": 1},
        ]});
        let feed = Url::parse(feed).unwrap();
        let index = ServiceIndex::parse(document.to_string().as_bytes(), &feed).unwrap();
        let types = [
            "Custom/1.0.0".to_owned(),
            "PackageBaseAddress/3.0.0".to_owned(),
        ];
        index.passing(&types, &feed)
    }

    /// Our `@id` for theirs, with `TOKEN` in place of the token.
    fn shown(index: &ServiceIndex) -> Vec<String> {
        let options = RenderOptions {
            base: "https://us/v3/",
            web_links: WebLinks::Keep,
            v2: false,
            publish: Publish::Refuse,
        };
        let shown: serde_json::Value = serde_json::from_slice(&index.render(&options)).unwrap();
        let entries = shown["resources"].as_array().unwrap().iter();
        let custom = entries.filter(|entry| entry["@type"] != "PackageBaseAddress/3.0.0");
        let id = |entry: &serde_json::Value| {
            assert_eq!(
                (entry["@type"].as_str(), entry["extra"].as_u64()),
                (Some("Custom/1.0.0"), Some(1))
            );
            entry["@id"].as_str().unwrap().to_owned()
        };
        custom.map(id).collect()
    }

    #[test]
    fn whatever_an_id_means_leads_back_to_it() {
        for (id, tail, query, url) in [
            (
                "https://x/base/",
                "/a/b.json",
                None,
                "https://x/base/a/b.json",
            ),
            (
                "https://x/base",
                "/a",
                Some("q=1&q=%20"),
                "https://x/base/a?q=1&q=%20",
            ),
            ("https://x/base/", "/", None, "https://x/base/"),
            (
                "https://x/query?v=1",
                "",
                Some("v=1"),
                "https://x/query?v=1",
            ),
            ("https://x/doc.json#part", "", None, "https://x/doc.json"),
            (
                "https://x/p/{id}/{version}?x={y}",
                "/a/1.0.0",
                Some("x=2"),
                "https://x/p/a/1.0.0?x=2",
            ),
            ("https://x/p?id={id}", "", Some("id=a"), "https://x/p?id=a"),
            ("https://x", "/a", None, "https://x/a"),
            ("https://x:8443/y", "//z", None, "https://x:8443/y//z"),
        ] {
            let index = index("https://h/index.json", id);
            let ours = shown(&index).pop().unwrap();
            let rest = ours.strip_prefix("https://us/v3/pass/").unwrap();
            let token = &rest[..32];
            let prefix = id.strip_suffix(&rest[32..]).unwrap();
            assert!(!prefix.ends_with('/'), "{id}");
            let found = index.passed_url(&format!("{token}{tail}"), query);
            assert_eq!(found.unwrap().as_str(), url, "{id}");
        }
    }

    #[test]
    fn what_is_no_url_or_not_secret_enough_is_not_offered() {
        for id in [
            "urn:x",
            "https://{tenant}.x/",
            "http://x/",
            "https://u:p@x/",
            "x/y",
            "https:/",
        ] {
            assert_eq!(shown(&index("https://h/index.json", id)), [""; 0], "{id}");
        }
        assert_eq!(shown(&index("http://h/index.json", "http://x/")).len(), 1);
    }

    #[test]
    fn clients_stay_below_it() {
        let index = index("https://h/index.json", "https://x/base/");
        let token = page_token("https://x/base");
        for tail in [
            "/..",
            "/../a",
            "/%2e%2E/a",
            "/.",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/%ff",
            "x",
        ] {
            assert_eq!(
                index.passed_url(&format!("{token}{tail}"), None),
                None,
                "{tail}"
            );
        }
        for path in ["", "/", &token[1..], "0123456789abcdef0123456789abcdef/a"] {
            assert_eq!(index.passed_url(path, None), None, "{path}");
        }
    }
}
