//! How nugate proves to a feed who it is: the settings, and what they come to.
//!
//! The secret is given once: in the file, by the name of a variable, of a file, or of a credential
//! of the service manager. Which of the settings go together is checked here, after all sources
//! were read. Invariant: no message and no `Debug` has the secret in it.

use std::path::PathBuf;

use http::HeaderName;

use super::FeedConfig;
use super::address::authority;
use super::env::PREFIX;
use super::error::{ConfigError, Place};
use super::raw::RawConfig;
use super::secret::{SECRET_BYTES_MAX, Secret};
use super::setting::{Kind, Setting};

/// Where the service manager puts credentials (systemd.exec(5), "Credentials").
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Fields that the client, the protocol or nugate itself sets, and that make no sense as a secret.
const TAKEN: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-nuget-client-version",
    "x-nuget-session-id",
];

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
    password: Option<Secret>,
    variable: Option<String>,
    file: Option<PathBuf>,
    named: Option<String>,
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
const SOURCES: &[&str] = &[
    "password",
    "password_env",
    "password_file",
    "password_credential",
];

/// The settings of a feed's credential.
pub(super) const AUTH: &[Setting] = &[
    Setting {
        key: "feeds.NAME.auth",
        default: "\"none\"",
        kind: Kind::Choice(FORMS, |config, index| {
            config.feed.auth.form = [
                Form::None,
                Form::Basic,
                Form::Bearer,
                Form::ApiKey,
                Form::Header,
            ][index];
        }),
        doc: "How nugate proves to the feed who it is: `basic` with `username` and a password or personal access token, `bearer` with a token, `api-key` with a key in `X-NuGet-ApiKey`, `header` with a secret in the field `auth_header`. It goes to the origin of the feed's `url` and to `credential_hosts`, nowhere else. Whoever may ask nugate may read what the feed shows to it.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.username",
        default: "",
        kind: Kind::Text(
            "a name without colon, for auth = \"basic\"",
            |config, text| {
                config.feed.auth.username = Some(username(text)?);
                Ok(())
            },
        ),
        doc: "The user name for `basic`. Feeds that take personal access tokens ignore it, but want one.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.auth_header",
        default: "",
        kind: Kind::Text(
            "the name of a header field, for auth = \"header\"",
            |config, text| {
                config.feed.auth.header = Some(field_name(text)?);
                Ok(())
            },
        ),
        doc: "The field that carries the secret for `header`, such as `X-JFrog-Art-Api`.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password",
        default: "",
        kind: Kind::Secret(|config, text| {
            config.feed.auth.password = Some(Secret::new(text));
            Ok(())
        }),
        doc: "The password, token or key itself. Exactly one of `password`, `password_env`, `password_file` and `password_credential` is given.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password_env",
        default: "",
        kind: Kind::Text("the name of an environment variable", |config, text| {
            config.feed.auth.variable = Some(variable(text)?);
            Ok(())
        }),
        doc: "The environment variable that holds it.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password_file",
        default: "",
        kind: Kind::Text("the path of a file", |config, text| {
            config.feed.auth.file = Some(path(text)?);
            Ok(())
        }),
        doc: "The file that holds it, read at start; the end of its line does not count.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password_credential",
        default: "",
        kind: Kind::Text("the name of a credential of the service", |config, text| {
            config.feed.auth.named = Some(credential_name(text)?);
            Ok(())
        }),
        doc: "The credential of the systemd service that holds it (`LoadCredential=`): the file of this name in `$CREDENTIALS_DIRECTORY`.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.credential_hosts",
        default: "[]",
        kind: Kind::List(
            "a host name or host:port",
            |config| config.feed.auth.hosts.clear(),
            |config, text| {
                config.feed.auth.hosts.push(authority(text)?);
                Ok(())
            },
        ),
        doc: "Further hosts that get the credential, by the same scheme as the feed: for feeds whose resources lie on several. The feed may redirect to them.",
        short: None,
    },
];

/// What is wrong with which of the settings.
type Mistake = (&'static str, String);

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

impl Auth {
    /// The hosts that get the credential besides the feed's own; it may redirect to them.
    pub fn hosts(&self) -> &[String] {
        self.credential
            .as_ref()
            .map_or(&[], |credential| &credential.hosts)
    }

    fn resolve(&self, environment: &[(String, String)]) -> Result<Option<Credential>, Mistake> {
        let Some(scheme) = self.scheme()? else {
            return Ok(None);
        };
        let (name, secret) = self.secret(environment)?;
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
        if !text.chars().all(allowed) || text.trim() != text {
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
            strange.extend(self.given().map(|name| (name, true)));
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
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let set = [
            self.password.is_some(),
            self.variable.is_some(),
            self.file.is_some(),
            self.named.is_some(),
        ];
        SOURCES
            .iter()
            .copied()
            .zip(set)
            .filter_map(|(name, set)| set.then_some(name))
    }

    /// The secret, and the setting that gave it.
    fn secret(&self, environment: &[(String, String)]) -> Result<(&'static str, Secret), Mistake> {
        let mut given = self.given();
        let form = FORMS[self.form as usize];
        let Some(name) = given.next() else {
            let why = format!(
                "is missing: auth = \"{form}\" needs exactly one of {}",
                SOURCES.join(", ")
            );
            return Err(("password", why));
        };
        if let Some(other) = given.next() {
            let all = SOURCES.join(", ");
            let why = format!("is set beside {name}; allowed: exactly one of {all}");
            return Err((other, why));
        }
        let secret = if let Some(secret) = &self.password {
            Ok(secret.clone())
        } else if let Some(variable) = &self.variable {
            of_variable(variable, environment)
        } else if let Some(file) = &self.file {
            of_file(file)
        } else {
            let named = self.named.as_deref().unwrap_or_default();
            of_credential(named, environment)
        };
        secret
            .map(|secret| (name, secret))
            .map_err(|why| (name, why))
    }
}

fn of_variable(name: &str, environment: &[(String, String)]) -> Result<Secret, String> {
    match environment.iter().find(|(found, _)| found == name) {
        None => Err(format!(
            "names the variable {name}, which is not set, or not UTF-8"
        )),
        Some((_, text)) if text.is_empty() => {
            Err(format!("names the variable {name}, which is empty"))
        }
        Some((_, text)) => Ok(Secret::new(text)),
    }
}

fn of_file(path: &std::path::Path) -> Result<Secret, String> {
    let why = |error| format!("names {}, which cannot be read: {error}", path.display());
    Secret::read(path).map_err(why)
}

fn of_credential(name: &str, environment: &[(String, String)]) -> Result<Secret, String> {
    let mut variables = environment.iter();
    match variables.find(|(found, dir)| found == CREDENTIALS_DIRECTORY && !dir.is_empty()) {
        Some((_, dir)) => of_file(&PathBuf::from(dir).join(name)),
        None => Err(format!(
            "names the credential {name}, but ${CREDENTIALS_DIRECTORY} is not set: the service has \
             no LoadCredential="
        )),
    }
}

fn username(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty".to_owned()),
        // RFC 7617 section 2.
        _ if text.contains(':') => Err("has a colon in it".to_owned()),
        _ if text.chars().any(char::is_control) => Err("has a control character in it".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn field_name(text: &str) -> Result<String, String> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| "is not the name of a header field")?;
    if TAKEN.contains(&name.as_str()) {
        return Err("is a field that nugate or the protocol sets".to_owned());
    }
    Ok(text.to_owned())
}

fn variable(text: &str) -> Result<String, String> {
    if text.starts_with(PREFIX) {
        return Err(format!(
            "begins with {PREFIX}, which is for settings: NUGATE_FEEDS__NAME__PASSWORD is the \
             password itself"
        ));
    }
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err("is not the name of a variable".to_owned());
    }
    Ok(text.to_owned())
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is not a path".to_owned());
    }
    if text.starts_with("~/") {
        return Err("starts with `~`, which is not expanded here".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// One segment of a path, as systemd.exec(5) wants the names of credentials.
fn credential_name(text: &str) -> Result<String, String> {
    let fits = !matches!(text, "" | "." | "..") && !text.contains(['/', '\0']);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("is not a file name".to_owned())
    }
}

#[cfg(test)]
mod tests;
