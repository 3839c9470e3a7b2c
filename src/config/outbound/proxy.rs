//! One proxy: where it is, and who we are there.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::given::{Given, Mistake, Ways};
use crate::config::secret::{SECRET_BYTES_MAX, Secret};

/// The settings that give the password of a proxy.
pub(super) const WAYS: Ways = [
    "proxy_password",
    "proxy_password_env",
    "proxy_password_file",
    "proxy_password_credential",
];

/// What may be written for a proxy.
pub(super) const ALLOWED: &str = "none, or http:// or https:// with a host and, unless it is 80 or \
    443, a port; user:password@ may stand before the host, with reserved characters as %XX";

/// What may be in a variable that all programs share.
pub(super) const ADDRESS: &str = "http:// or https:// with a host and, unless it is 80 or 443, a \
    port; user:password@ may stand before the host, with reserved characters as %XX";

/// A proxy for HTTP (RFC 9110 section 3.7), and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Scheme (of the connection to the proxy itself), host and port, and nothing else.
    pub url: Url,
    /// What is sent to it.
    pub credential: Option<ProxyCredential>,
}

/// What is sent to a proxy: Basic (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyCredential {
    /// The user, without a colon.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// Fit for logs: without user name and password, with the port.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.url.scheme(), self.url.host_str().unwrap_or_default());
        let port = self.url.port_or_known_default().unwrap_or_default();
        write!(f, "{scheme}://{host}:{port}")
    }
}

/// The address of a proxy as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Scheme, host and port.
    pub(super) url: Url,
    username: Option<String>,
    password: Option<Secret>,
}

/// What is said of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice<T> {
    /// Nothing.
    #[default]
    Unsaid,
    /// "none".
    Direct,
    /// This one.
    Through(T),
}

/// What the settings of one place say: those for all feeds, or those of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProxySettings {
    /// Which proxy.
    pub(super) choice: Choice<At>,
    /// The user, if it is not in the address.
    pub(super) username: Option<String>,
    /// The password, if it is not in the address.
    pub(super) given: Given,
}

impl ProxySettings {
    /// Reads `none` or an address.
    pub(super) fn choose(&mut self, text: &str) -> Result<(), String> {
        self.choice = match text {
            "none" => Choice::Direct,
            address => Choice::Through(At::read(address)?),
        };
        Ok(())
    }

    /// The proxy that was chosen, with who we are there.
    pub(super) fn settle(
        &self,
        environment: &[(String, String)],
    ) -> Result<Choice<Proxy>, Mistake> {
        let given = self.given.by(&WAYS).next();
        let at = match &self.choice {
            Choice::Through(at) => at,
            Choice::Unsaid | Choice::Direct => {
                let stray = self.username.as_ref().map(|_| "proxy_username").or(given);
                let why = "has no meaning without a `proxy` beside it";
                return match (stray, &self.choice) {
                    (Some(name), _) => Err((name, why.to_owned())),
                    (None, Choice::Direct) => Ok(Choice::Direct),
                    (None, _) => Ok(Choice::Unsaid),
                };
            }
        };
        let username = match (&at.username, &self.username) {
            (Some(_), Some(_)) => {
                let why = "is set beside a user name in `proxy`; allowed: one of them";
                return Err(("proxy_username", why.to_owned()));
            }
            (one, other) => one.as_ref().or(other.as_ref()),
        };
        if let (Some(_), Some(name)) = (&at.password, given) {
            let why = "is set beside a password in `proxy`; allowed: one of them";
            return Err((name, why.to_owned()));
        }
        let Some(username) = username.cloned() else {
            let why = "is missing: there is a password for the proxy";
            return match given {
                Some(_) => Err(("proxy_username", why.to_owned())),
                None => Ok(at.as_user(None)),
            };
        };
        let password = if let Some(password) = &at.password {
            password.clone()
        } else {
            let why = "the user of the proxy";
            let (name, secret) = self.given.read(&WAYS, why, environment)?;
            fits(secret.expose()).map_err(|why| (name, why))?;
            secret
        };
        Ok(at.as_user(Some(ProxyCredential { username, password })))
    }
}

impl At {
    fn as_user(&self, credential: Option<ProxyCredential>) -> Choice<Proxy> {
        let url = self.url.clone();
        Choice::Through(Proxy { url, credential })
    }

    /// Reads an address; the error never has any of it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err("is not UTF-8".to_owned());
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("has a space or control character in it".to_owned());
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Err("does not begin with a scheme".to_owned());
        };
        if !["http", "https"]
            .iter()
            .any(|it| scheme.eq_ignore_ascii_case(it))
        {
            return Err("has another scheme than http and https".to_owned());
        }
        let mut url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("has something behind host and port".to_owned());
        }
        if url.port() == Some(0) {
            return Err("has the port 0".to_owned());
        }
        let username = Some(decoded(url.username())?).filter(|name| !name.is_empty());
        let password = url.password().map(decoded).transpose()?;
        match (&username, &password) {
            (None, Some(_)) => return Err("has a password without a user name".to_owned()),
            (Some(name), _) if name.contains(':') => {
                return Err("has a colon in the user name".to_owned());
            }
            _ => {}
        }
        // Both fail only for URLs without a host, which http has not.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self {
            url,
            username,
            password: password.map(Secret::new),
        })
    }

    /// Reads what other programs take from the environment: without a scheme it is http, without a
    /// password that is empty.
    pub(super) fn read_shared(text: &str) -> Result<Proxy, String> {
        let at = if text.contains("://") {
            Self::read(text)?
        } else {
            Self::read(&format!("http://{text}"))?
        };
        let password = at.password.unwrap_or_else(|| Secret::new(""));
        let credential = at
            .username
            .map(|username| ProxyCredential { username, password });
        let url = at.url;
        Ok(Proxy { url, credential })
    }
}

/// User names and passwords stand in URLs with escapes (RFC 3986 section 3.2.1).
fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| "has a user name or password that is not UTF-8")?;
    fits(&text).map_err(|why| format!("has a user name or password that {why}"))?;
    Ok(text.into_owned())
}

/// Controls are not allowed by RFC 7617 section 2; the rest is encoded.
fn fits(text: &str) -> Result<(), String> {
    if text.len() > SECRET_BYTES_MAX {
        return Err(format!("is longer than {SECRET_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character in it".to_owned());
    }
    Ok(())
}

/// The text of an address with everything before its last `@` masked, fit to be printed.
pub(in crate::config) fn hidden(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    match text.rfind('@') {
        Some(at) if at >= start => format!("{}***{}", &text[..start], &text[at..]),
        Some(at) => format!("***{}", &text[at..]),
        None => text.to_owned(),
    }
}
