//! Addresses of hosts: those of the system, and the last good ones while it has none.
//!
//! A feed whose name cannot be looked up for a while is mostly still where it was. Nothing is kept
//! of failures: each is looked up again.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use moka::sync::Cache;
use tokio::time::timeout;
use tower_service::Service;

/// Longest wait for the system's resolver.
const LIMIT: Duration = Duration::from_secs(2);

/// Hosts whose addresses are remembered.
const HOSTS_MAX: u64 = 64;

/// Looks names up through `L`.
#[derive(Clone)]
pub(super) struct Resolver<L = GaiResolver> {
    lookup: L,
    known: Cache<String, Arc<[SocketAddr]>>,
    limit: Duration,
}

impl Resolver {
    /// Looks names up as the system does.
    pub(super) fn system() -> Self {
        Self::new(GaiResolver::new())
    }
}

impl<L> Resolver<L> {
    fn new(lookup: L) -> Self {
        Self {
            lookup,
            known: Cache::new(HOSTS_MAX),
            limit: LIMIT,
        }
    }
}

type Addresses = std::vec::IntoIter<SocketAddr>;
type Lookup = Pin<Box<dyn Future<Output = Result<Addresses, io::Error>> + Send>>;

impl<L> Service<Name> for Resolver<L>
where
    L: Service<
            Name,
            Response: Iterator<Item = SocketAddr>,
            Error: Into<Box<dyn Error + Send + Sync>>,
        >,
    L::Future: Send + 'static,
{
    type Response = Addresses;
    type Error = io::Error;
    type Future = Lookup;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.lookup.poll_ready(cx).map_err(io::Error::other)
    }

    fn call(&mut self, name: Name) -> Lookup {
        let (host, known, limit) = (name.as_str().to_owned(), self.known.clone(), self.limit);
        let looking = self.lookup.call(name);
        Box::pin(async move {
            let error = match timeout(limit, looking).await {
                Ok(Ok(found)) => {
                    let found: Vec<SocketAddr> = found.collect();
                    if !found.is_empty() {
                        known.insert(host, found.clone().into());
                        return Ok(found.into_iter());
                    }
                    io::Error::other("the name has no address")
                }
                Ok(Err(error)) => io::Error::other(error),
                Err(_) => io::Error::other(format!("no address within {limit:?}")),
            };
            let last = known.get(&host).ok_or_else(|| {
                let text = error.to_string();
                io::Error::other(text)
            })?;
            tracing::warn!(host, %error, "no address for a host: its last one is used");
            Ok(Vec::from(&*last).into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// Answers in this order; `None` never comes.
    #[derive(Clone)]
    struct Scripted(Arc<Mutex<VecDeque<Answer>>>);

    type Answer = Option<Result<Vec<SocketAddr>, &'static str>>;

    impl Service<Name> for Scripted {
        type Response = Addresses;
        type Error = &'static str;
        type Future = Pin<Box<dyn Future<Output = Result<Addresses, &'static str>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let next = self.0.lock().unwrap().pop_front().unwrap();
            Box::pin(async move {
                match next {
                    Some(answer) => answer.map(Vec::into_iter),
                    None => std::future::pending().await,
                }
            })
        }
    }

    async fn ask(resolver: &mut Resolver<Scripted>, host: &str) -> Result<Vec<SocketAddr>, String> {
        let found = resolver.call(host.parse().unwrap()).await;
        found
            .map(Iterator::collect)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_last_good_addresses_are_used_while_there_are_none() {
        let at = |port| vec![SocketAddr::from(([127, 0, 0, 1], port))];
        let script = [
            Some(Err("gone")),
            Some(Ok(at(1))),
            Some(Err("gone")),
            None,
            Some(Ok(Vec::new())),
            Some(Err("gone")),
            Some(Ok(at(2))),
            Some(Err("gone")),
        ];
        let mut resolver = Resolver::new(Scripted(Arc::new(Mutex::new(script.into()))));
        resolver.limit = Duration::from_millis(10);
        assert_eq!(ask(&mut resolver, "a.test").await, Err("gone".to_owned()));
        for _ in 0..4 {
            assert_eq!(ask(&mut resolver, "a.test").await, Ok(at(1)));
        }
        assert_eq!(ask(&mut resolver, "b.test").await, Err("gone".to_owned()));
        for _ in 0..2 {
            assert_eq!(ask(&mut resolver, "a.test").await, Ok(at(2)));
        }
    }
}
