//! What a client may see at a moment of a history, and nothing else.

use super::{DOCUMENTS, EVER, Run};
use crate::support::client::Response;

const BASE: &str = "http://cache.test/v3/";

/// How a search is answered by what is stored.
const FROM_STOCK: &str = "nugate; detail=own";

/// Seconds that a 404 is remembered.
const NEGATIVE: u64 = 30;

impl Run {
    pub(super) fn judge(&mut self, place: usize, answer: hyper::Result<Response>) {
        let now = self.world.clock.now();
        let mut troubled = self.down
            || self.scripted.contains(&place)
            || self.trouble.get(&place).is_some_and(|until| now <= *until);
        let Ok(response) = answer else {
            self.history.push_str(" cut");
            return self.holds(troubled, "an answer was cut although the upstream is well");
        };
        let status = response.status.as_u16();
        let cache = response.header("cache-status");
        // The trouble of some documents can be that of their host.
        troubled |= self.trouble.values().any(|until| now <= *until)
            && matches!(
                cache,
                "nugate; detail=not-stored"
                    | "nugate; hit; detail=backed-off"
                    | "nugate; hit; detail=negative"
            );
        let line = format!(" {status} ({cache})");
        if !self.history.ends_with(&line) {
            self.history.push_str(&line);
        }
        match status {
            200 => self.judge_body(place, &response, troubled),
            404 => self.judge_absent(place, troubled),
            502..=504 => self.holds(troubled, "a failure although the upstream is well"),
            _ => self.holds(false, "an impossible status"),
        }
    }

    fn judge_body(&self, place: usize, response: &Response, troubled: bool) {
        let cache = response.header("cache-status");
        let body = self.upstreams(&response.body);
        if cache == FROM_STOCK {
            return self.judge_stock(response, troubled);
        }
        let (fresh, while_revalidate) = DOCUMENTS[place].2;
        let age = match cache {
            "nugate; hit" => fresh,
            "nugate; hit; detail=stale-while-revalidate" => fresh + while_revalidate,
            "nugate; fwd=uri-miss; stored"
            | "nugate; fwd=uri-miss; collapsed"
            | "nugate; fwd=stale; fwd-status=304" => 0,
            // However well the upstream is, the machine may be busy.
            "nugate; fwd=stale; detail=upstream-slow" => EVER,
            _ => {
                self.holds(troubled, "something stale although the upstream is well");
                EVER
            }
        };
        let ever = self.said[place]
            .iter()
            .any(|(_, said)| said.as_deref() == Some(&body[..]));
        self.holds(ever, "a body the feed never had");
        let recent = self.within(place, age, |said| said.as_deref() == Some(&body[..]));
        self.holds(recent, "a body that is too old");
    }

    /// An answer to a search that the feed gives no answer to: of what was published, some.
    fn judge_stock(&self, response: &Response, troubled: bool) {
        self.holds(
            troubled,
            "an answer of our own although the upstream is well",
        );
        let found: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        for package in found["data"].as_array().unwrap() {
            let id = package["id"].as_str().unwrap().to_lowercase();
            let list = format!("flat/{id}/index.json");
            let place = DOCUMENTS.iter().position(|(ours, ..)| *ours == list);
            let version = package["version"].as_str().unwrap();
            let ever = place.is_some_and(|place| {
                let lists = self.said[place]
                    .iter()
                    .filter_map(|(_, said)| said.as_deref());
                lists.into_iter().any(|list| {
                    list.windows(version.len())
                        .any(|it| it == version.as_bytes())
                })
            });
            self.holds(ever, "a package that the feed never had");
        }
    }

    fn judge_absent(&self, place: usize, troubled: bool) {
        let (_, _, _, remembered) = DOCUMENTS[place];
        let age = match (remembered, troubled) {
            (true, true) => EVER,
            (true, false) => NEGATIVE,
            (false, _) => 0,
        };
        let absent = self.within(place, age, Option::is_none);
        self.holds(absent, "a 404 for something the feed has");
        self.holds(remembered || !self.down, "a 404 although nobody was asked");
    }

    /// Whether the feed said so at some time within the last `seconds`.
    fn within(&self, place: usize, seconds: u64, so: impl Fn(&Option<Vec<u8>>) -> bool) -> bool {
        let now = self.world.clock.now().as_millis();
        let from = now.saturating_sub(seconds * 1000);
        let said = &self.said[place];
        said.iter().enumerate().any(|(number, (_, what))| {
            let until = said
                .get(number + 1)
                .map_or(u64::MAX, |(next, _)| next.as_millis());
            // What was said until a moment was said at it.
            (until > from || (until == from && seconds > 0)) && so(what)
        })
    }

    /// A body with the upstream's links.
    fn upstreams(&self, body: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(body) else {
            return body.to_vec();
        };
        let mut text = text.to_owned();
        for (ours, theirs) in [
            ("registration-gz-semver2/", "/v3/registration5-gz-semver2/"),
            ("registration/", "/v3/registration5-semver1/"),
            ("flat/", "/v3-flatcontainer/"),
            ("catalog/", "/v3/catalog0/"),
        ] {
            let theirs = format!("{}{theirs}", self.world.up.base_url());
            text = text.replace(&format!("{BASE}{ours}"), &theirs);
        }
        text.into_bytes()
    }
}
