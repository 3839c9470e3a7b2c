//! What becomes of the documents and packages whose body is lost: beside a daemon they are fetched
//! again at once, else when they are next asked for.

use std::sync::Arc;

use super::{Cache, Failure, Finding, Verified};
use crate::entry::Key;
use crate::nuget::resource::View;
use crate::nuget::route;
use crate::policy::directives::Directives;
use crate::proxy::Request;
use crate::upstream::ClientIdentity;

/// The base URL of links that nobody sees.
const BASE: &str = "http://localhost/v3/";

impl Finding {
    /// Notes whose body it is.
    pub(super) fn name(&mut self, (keys, urls): &(Vec<Key>, Vec<String>)) {
        self.names = keys.iter().map(|key| key.as_str().to_owned()).collect();
        self.names.extend(urls.iter().cloned());
    }
}

impl Cache {
    /// Heals what names a lost body.
    pub(super) async fn heal(
        &self,
        (keys, urls): (Vec<Key>, Vec<String>),
        finding: &mut Finding,
        found: &mut Verified,
    ) -> Result<(), Failure> {
        for url in &urls {
            self.store.forget_responses(url).await?;
            finding.done.push(format!("forgot {url}"));
        }
        if self.running.is_none() {
            return Ok(());
        }
        for key in &keys {
            match self.fetch(key).await {
                Ok(()) => {
                    found.fetched += 1;
                    finding.done.push(format!("fetched {key}"));
                }
                Err(why) => {
                    found.not_fetched += 1;
                    finding.done.push(format!("could not fetch {key}: {why}"));
                }
            }
        }
        Ok(())
    }

    /// Asks for a document as a client would, and waits for all of it.
    async fn fetch(&self, key: &Key) -> Result<(), String> {
        let (feed, target) = route::read_key(key).ok_or("nobody can ask for it")?;
        let running = self.running.as_ref().ok_or("no daemon runs")?;
        let member = running.group.member(feed);
        let member = member.ok_or_else(|| format!("there is no feed {feed}"))?;
        if target.rule.view != View::Raw {
            // As long as it is rendered in memory, nobody would notice that it is lost.
            let removed = self.store.remove(key).await;
            removed.map_err(|error| error.to_string())?;
        }
        let request = Request {
            target,
            base: Arc::from(BASE),
            head: false,
            whole: true,
            gzip: false,
            directives: Directives::default(),
            identity: ClientIdentity::default(),
        };
        let reply = member.proxy().serve(&request).await;
        reply.map(drop).map_err(|error| error.to_string())
    }
}
