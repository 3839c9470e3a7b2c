//! How nugate proves to a feed who it is: the settings, and what they come to.
//!
//! The secret is given once: in the file, by the name of a variable, of a file, or of a credential
//! of the service manager. Which of the settings go together is checked here, after all sources
//! were read. Invariant: no message and no `Debug` has the secret in it.

pub(super) mod keys;

use http::HeaderName;

use super::FeedConfig;
use super::address::feed_url;
use super::error::{ConfigError, Place};
use super::given::{Given, Mistake, Ways, carried_off};
use super::raw::{RawConfig, Written};
use super::secret::{SECRET_BYTES_MAX, Secret};
pub(super) use keys::AUTH;

/// What is sent to a feed with each request, and to which hosts besides its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// In which form it is sent.
    pub scheme: Scheme,
    /// The password, token or key.
    pub secret: Secret,
    /// `host` or `host:port` of further origins it is for, with the feed's own scheme.
    pub hosts: Vec<String>,
}

/// In which form a secret is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Basic` (RFC 7617), in UTF-8.
    Basic {
        /// The user; feeds that take personal access tokens ignore it.
        username: String,
    },
    /// `Authorization: Bearer` (RFC 6750).
    Bearer,
    /// The field of this name, the secret as it is.
    Header(HeaderName),
}

/// The settings of one feed, and the credential they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// What to send; `None` to ask without.
    pub credential: Option<Credential>,
    form: Form,
    username: Option<String>,
    header: Option<String>,
    hosts: Vec<String>,
    given: Given,
}

/// The choices of `auth`, in the order of [`FORMS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    None,
    Basic,
    Bearer,
    ApiKey,
    Header,
}

const FORMS: &[&str] = &["none", "basic", "bearer", "api-key", "header"];
const WAYS: Ways = [
    "password",
    "password_env",
    "password_file",
    "password_credential",
];

/// Makes the credential of the settings of `feed`, or adds what is wrong with them to `raw`.
pub(super) fn settle(feed: &mut FeedConfig, raw: &mut RawConfig, environment: &[(String, String)]) {
    let key_of = |name: &str| format!("feeds.{}.{name}", feed.name);
    let own = |key: &str| {
        AUTH.iter()
            .any(|own| own.key.replace("NAME", &feed.name) == key)
    };
    // What is left of a setting that could not be read is not what was meant.
    if raw.errors.iter().any(|error| own(&error.key)) {
        return;
    }
    raw.errors.extend(stray(feed, raw));
    match feed.auth.resolve(environment) {
        Ok(credential) => feed.auth.credential = credential,
        Err((name, message)) => {
            let key = key_of(name);
            let place_of = |key: &str| {
                let mut written = raw.written.iter().rev();
                let found = written.find(|written| written.key == key);
                found.map(|written| written.place.clone())
            };
            let place = place_of(&key).or_else(|| place_of(&key_of("auth")));
            let place = place.unwrap_or(Place::Default);
            raw.errors.push(ConfigError {
                key,
                value: None,
                place,
                message,
            });
        }
    }
}

/// A secret is for the feed it was given for: an address of another origin from a stronger source (a
/// flag in front of a file) must not carry it off.
fn stray(feed: &FeedConfig, raw: &RawConfig) -> Option<ConfigError> {
    let written = |name: &str| {
        // The short variable of the address names no feed.
        let keys = [feed.name.as_str(), "NAME"].map(|feed| format!("feeds.{feed}.{name}"));
        let own = raw.written.iter();
        let own = own.filter(move |written| keys.contains(&written.key));
        own.filter(|written| written.place != Place::Default)
    };
    let secret = written(feed.auth.given.by(&WAYS).next()?).next_back()?;
    let address = |written: &Written| feed_url(written.value.text().ok()?).ok();
    let urls: Vec<_> = written("url")
        .filter_map(|written| Some((written, address(written)?)))
        .collect();
    let (winner, meant) = carried_off(secret, &urls)?;
    Some(ConfigError {
        key: format!("feeds.{}.url", feed.name),
        value: Some(winner.value.shown()),
        place: winner.place.clone(),
        message: format!(
            "would send the secret that {} gives for {} to another origin; give {} there too",
            secret.place,
            meant.origin().ascii_serialization(),
            secret.key
        ),
    })
}

impl Auth {
    /// The hosts that get the credential besides the feed's own; it may redirect to them.
    pub fn hosts(&self) -> &[String] {
        self.credential
            .as_ref()
            .map_or(&[], |credential| &credential.hosts)
    }

    /// The hosts that are written down for it, whether there is a credential or not.
    pub(super) fn listed(&self) -> &[String] {
        &self.hosts
    }

    fn resolve(&self, environment: &[(String, String)]) -> Result<Option<Credential>, Mistake> {
        let Some(scheme) = self.scheme()? else {
            return Ok(None);
        };
        let why = format!("auth = \"{}\"", FORMS[self.form as usize]);
        let (name, secret) = self.given.read(&WAYS, &why, environment)?;
        let allowed = |char: char| match &scheme {
            // Controls are not allowed by RFC 7617 section 2; the rest is encoded.
            Scheme::Basic { .. } => !char.is_control(),
            Scheme::Bearer => char.is_ascii_graphic(),
            Scheme::Header(_) => char.is_ascii_graphic() || char == ' ',
        };
        let text = secret.expose();
        if text.len() > SECRET_BYTES_MAX {
            return Err((name, format!("is longer than {SECRET_BYTES_MAX} bytes")));
        }
        let ends = matches!(scheme, Scheme::Basic { .. }) || text.trim() == text;
        if !text.chars().all(allowed) || !ends {
            let why =
                "has a character in it, or a space at an end, that cannot be sent in a header";
            return Err((name, why.to_owned()));
        }
        Ok(Some(Credential {
            scheme,
            secret,
            hosts: self.hosts.clone(),
        }))
    }

    /// The form in which to send; settings of another form are mistakes.
    fn scheme(&self) -> Result<Option<Scheme>, Mistake> {
        let form = FORMS[self.form as usize];
        let (username, header) = (self.username.is_some(), self.header.is_some());
        let mut strange = vec![
            ("username", username && self.form != Form::Basic),
            ("auth_header", header && self.form != Form::Header),
        ];
        if self.form == Form::None {
            strange.extend(self.given.by(&WAYS).map(|name| (name, true)));
            strange.push(("credential_hosts", !self.hosts.is_empty()));
        }
        if let Some((name, _)) = strange.into_iter().find(|(_, strange)| *strange) {
            let message = format!("is set, but has no meaning with auth = \"{form}\"");
            return Err((name, message));
        }
        Ok(match self.form {
            Form::None => None,
            Form::Basic => {
                let username = self.username.clone();
                let why =
                    "is missing: auth = \"basic\" needs it; feeds that take tokens accept any";
                let username = username.ok_or(("username", why.to_owned()))?;
                Some(Scheme::Basic { username })
            }
            Form::Bearer => Some(Scheme::Bearer),
            Form::ApiKey => Some(Scheme::Header(HeaderName::from_static("x-nuget-apikey"))),
            Form::Header => {
                let why = "is missing: auth = \"header\" needs it";
                let name = self
                    .header
                    .as_deref()
                    .ok_or(("auth_header", why.to_owned()))?;
                let name = name
                    .parse()
                    .map_err(|_| ("auth_header", "is no name".to_owned()))?;
                Some(Scheme::Header(name))
            }
        })
    }

    /// The names of the settings that give the secret.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        self.given.by(&WAYS)
    }
}

#[cfg(test)]
mod tests;
