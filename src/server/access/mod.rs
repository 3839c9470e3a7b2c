//! Who may use this server: asked before anything else is done for a request.
//!
//! Clients are known by Basic credentials of a user (RFC 7617), or by a key, which they send as
//! `X-NuGet-ApiKey`, as the password of Basic credentials, or as a bearer token. NuGet clients send
//! credentials only after a 401 with a challenge, and never a key with a GET.
//!
//! Invariants: nothing a client says of itself is sent to a feed, logged or counted; what is kept
//! in memory of a verified password is a keyed hash.

mod client;
mod clients;
mod credentials;
mod failures;
mod refusal;
mod users;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, Method};
use ipnet::IpNet;
use tokio::sync::Semaphore;

use self::client::Client;
pub use self::clients::Clients;
use self::credentials::{Credentials, basic_or_bearer};
use self::failures::Failures;
pub use self::refusal::Refusal;
use self::users::Users;
pub use self::users::UsersError;
use crate::config::{AccessConfig, Scope, Scopes};
use crate::entry::Digest;
use crate::observe::Metrics;
use crate::policy::pacing::Payer;
use crate::server::handle::Ends;

/// The header in which NuGet clients send a key when they push, unlist or relist.
pub const API_KEY: HeaderName = HeaderName::from_static("x-nuget-apikey");

/// Passwords verified at a time: each takes a core for a tenth of a second and some memory.
const VERIFICATIONS_MAX: usize = 2;

/// Requests that wait for a verification; further ones are told to come again.
const WAITING_MAX: usize = 64;

/// The longest wait for a verification.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What came out of the question who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The client's name in the configuration; none when nobody has to say who they are, for
    /// anonymous networks, and for what is open to everyone.
    pub who: Option<Arc<str>>,
    /// What it may do.
    pub scopes: Scopes,
    /// Whether `X-NuGet-ApiKey` is one of nugate's own keys. Such a key is never sent to a feed: a
    /// push that it allows uses the feed's own key. Another one is the client's key of the feed.
    pub is_own_key: bool,
}

impl Verdict {
    /// Nobody in particular, with this much allowed.
    fn anyone(scopes: Scopes) -> Self {
        Self {
            who: None,
            scopes,
            is_own_key: false,
        }
    }
}

/// Who may use this server.
pub struct Access {
    clients: ArcSwap<Clients>,
    /// Digest of the file of users when it was last looked at.
    seen: Mutex<Digest>,
    failures: Failures,
    verifications: Arc<Semaphore>,
    waiting: Semaphore,
    metrics: Option<Arc<Metrics>>,
}

impl Default for Access {
    /// Open to everyone.
    fn default() -> Self {
        let users = Users::nobody();
        Self::of(Clients::of(&AccessConfig::open(), Vec::new(), users), None)
    }
}

impl Access {
    /// Reads the file of users; `proxies` are those whose `X-Forwarded-For` is believed.
    ///
    /// # Errors
    /// [`UsersError`] when the file cannot be used.
    pub fn open(
        config: &AccessConfig,
        proxies: Vec<IpNet>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, UsersError> {
        Ok(Self::of(Clients::read(config, proxies)?, Some(metrics)))
    }

    fn of(clients: Clients, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            seen: Mutex::new(clients.users.digest),
            clients: ArcSwap::from_pointee(clients),
            failures: Failures::new(),
            verifications: Arc::new(Semaphore::new(VERIFICATIONS_MAX)),
            waiting: Semaphore::new(WAITING_MAX),
            metrics,
        }
    }

    /// Judges by these from the next request on.
    pub fn replace(&self, clients: Clients) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = clients.users.digest;
        self.clients.store(Arc::new(clients));
    }

    /// Whether clients must say who they are.
    pub fn is_required(&self) -> bool {
        self.clients.load().rules.is_required
    }

    /// Whose share a request is of: a known client's own, wherever it comes from, else that of its
    /// address.
    pub(in crate::server) fn payer(
        &self,
        ends: Ends,
        parts: &Parts,
        who: Option<&Arc<str>>,
    ) -> Payer {
        if let Some(who) = who {
            return Payer::User(Arc::clone(who));
        }
        let proxies = &self.clients.load().rules.proxies;
        let client = Client::of(ends.peer.ip(), &parts.headers, proxies);
        Payer::Client(client.key())
    }

    /// Reads the file of users again; on an error the old users stay. Whether there was a change.
    /// What was verified before is verified anew. Blocks on the disk.
    ///
    /// # Errors
    /// [`UsersError`]; the same bad file is an error once, then no change.
    pub fn reload(&self) -> Result<bool, UsersError> {
        let clients = self.clients.load_full();
        let Some(path) = &clients.rules.users_file else {
            return Ok(false);
        };
        let text = users::read_file(path)?;
        let digest = Digest::of(text.as_bytes());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, digest) == digest {
            return Ok(false);
        }
        let users = Users::parse(path, &text)?;
        self.clients.store(Arc::new(clients.with_users(users)));
        Ok(true)
    }

    /// Whether a request may go on, and as whose. `prefix` is what may stand before our paths.
    ///
    /// # Errors
    /// [`Refusal`], which is the response.
    pub async fn admit(&self, ends: Ends, parts: &Parts, prefix: &str) -> Result<Verdict, Refusal> {
        let clients = self.clients.load_full();
        if !clients.rules.is_required {
            return Ok(Verdict::anyone(Scopes::default().with(Scope::Admin)));
        }
        let decided = self.decide(&clients, ends, parts, prefix).await;
        let outcome = match &decided {
            Ok((_, outcome)) => outcome,
            Err(refusal) => refusal.name(),
        };
        if let Some(metrics) = &self.metrics {
            metrics.access.with_label_values(&[outcome]).inc();
        }
        decided.map(|(verdict, _)| verdict)
    }

    async fn decide(
        &self,
        clients: &Clients,
        ends: Ends,
        parts: &Parts,
        prefix: &str,
    ) -> Result<(Verdict, &'static str), Refusal> {
        let path = parts.uri.path();
        let path = path
            .strip_prefix(prefix)
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(path);
        if matches!(path, "/-/health" | "/-/ready") {
            return Ok((Verdict::anyone(Scopes::default()), "open"));
        }
        let needed = needed(&parts.method, path);
        let client = Client::of(ends.peer.ip(), &parts.headers, &clients.rules.proxies);
        let own = parts.headers.get(API_KEY);
        let own = own.and_then(|key| clients.key(key.as_bytes()));
        let shown = basic_or_bearer(&parts.headers);
        let mut verdict = Verdict {
            who: own.map(|key| Arc::from(key.name.as_str())),
            scopes: own.map(|key| key.scopes).unwrap_or_default(),
            is_own_key: own.is_some(),
        };
        if !verdict.scopes.has(needed)
            && let Some(shown) = &shown
        {
            let (name, scopes) = self.verify(clients, client, shown).await?;
            verdict.scopes = verdict.scopes.or(scopes);
            verdict.who = Some(name);
        }
        if verdict.scopes.has(needed) {
            return Ok((verdict, "known"));
        }
        if needed == Scope::Read && client.is_in(&clients.rules.anonymous) {
            let scopes = Scopes::default().with(Scope::Read);
            return Ok((Verdict { scopes, ..verdict }, "anonymous"));
        }
        if verdict.who.is_some() {
            return Err(Refusal::Forbidden(needed));
        }
        if parts.headers.contains_key(AUTHORIZATION) {
            self.failures.count(client.key());
            return Err(Refusal::Failed);
        }
        Err(Refusal::Challenged)
    }

    /// Whose credentials these are.
    async fn verify(
        &self,
        clients: &Clients,
        client: Client,
        shown: &Credentials,
    ) -> Result<(Arc<str>, Scopes), Refusal> {
        if let Some(key) = clients.key(shown.secret()) {
            return Ok((Arc::from(key.name.as_str()), key.scopes));
        }
        let Some(user) = shown.user() else {
            self.failures.count(client.key());
            return Err(Refusal::Failed);
        };
        let users = &clients.users;
        let name: Arc<str> = Arc::from(user);
        if users.is_verified(shown) {
            return Ok((name, clients.scopes_of(user)));
        }
        if self.failures.are_many(client.key()) {
            return Err(Refusal::Limited);
        }
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Err(Refusal::Busy);
        };
        let permits = Arc::clone(&self.verifications);
        let permit = tokio::time::timeout(WAIT_MAX, permits.acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            return Err(Refusal::Busy);
        };
        // Others of the same client may have been verified, or have failed, meanwhile.
        if !users.is_verified(shown) {
            if self.failures.are_many(client.key()) {
                return Err(Refusal::Limited);
            }
            let (users, shown) = (Arc::clone(users), shown.clone());
            let verifying = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                users.verify(&shown)
            });
            if !verifying.await.unwrap_or(false) {
                self.failures.count(client.key());
                return Err(Refusal::Failed);
            }
        }
        Ok((name, clients.scopes_of(user)))
    }
}

/// What a request needs. A method that nothing has is answered only to those who might push, so
/// that strangers learn nothing.
fn needed(method: &Method, path: &str) -> Scope {
    if path.starts_with("/-/") {
        Scope::Admin
    } else if matches!(*method, Method::GET | Method::HEAD) {
        Scope::Read
    } else {
        Scope::Push
    }
}
