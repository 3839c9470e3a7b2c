//! What the settings of outgoing connections come to, and the variables that all programs share.
//!
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in lower case first as curl takes them,
//! stand in for `proxy` and `no_proxy` where these say nothing.

use std::net::IpAddr;

use super::keys::outbound;
use super::proxy::{ADDRESS, At, Choice, ProxySettings, WAYS, hidden};
use super::{Exempt, Family, FeedOutbound, Outbound, OutboundConfig, Proxies, Proxy, Source};
use crate::config::FeedConfig;

use crate::config::error::{ConfigError, Place};
use crate::config::given::carried_off;
use crate::config::raw::{RawConfig, Value, Written};

/// For https URLs, the first that is set.
const FOR_TLS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// For http URLs.
const FOR_PLAIN: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
/// For neither.
const FOR_NONE: [&str; 2] = ["no_proxy", "NO_PROXY"];

type Environment = [(String, String)];

/// Whether a variable is one of those that say which proxy programs use.
pub(in crate::config) fn is_shared_variable(name: &str) -> bool {
    let all = FOR_TLS.iter().chain(&FOR_PLAIN).chain(&FOR_NONE);
    all.copied().any(|shared| shared == name)
}

/// Settles the settings for all and those of each feed, or adds what is wrong with them to `raw`.
pub(in crate::config) fn settle(
    all: &mut OutboundConfig,
    feeds: &mut [FeedConfig],
    (raw, environment): (&mut RawConfig, &Environment),
) {
    // What is left of a setting that could not be read is not what was meant.
    let is_own = |key: &str| outbound().any(|setting| setting.key == key);
    if raw.errors.iter().any(|error| is_own(&error.key)) {
        return;
    }
    match all.outbound(raw, environment) {
        Ok(settled) => all.settled = settled,
        Err(errors) => raw.errors.extend(errors),
    }
    for feed in feeds {
        let prefix = format!("feeds.{}.", feed.name);
        match feed
            .outbound
            .outbound(&all.settled, (&prefix, raw, environment))
        {
            Ok(settled) => feed.outbound.settled = settled,
            Err(error) => raw.errors.push(error),
        }
    }
}

impl OutboundConfig {
    fn outbound(
        &self,
        raw: &RawConfig,
        environment: &Environment,
    ) -> Result<Outbound, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let chosen = chosen(&self.proxy, ("", raw, environment));
        let chosen = chosen.unwrap_or_else(|error| {
            errors.push(error);
            Choice::Direct
        });
        let (plain, tls) = match chosen {
            Choice::Through(proxy) => (Some(proxy.clone()), Some(proxy)),
            Choice::Direct => (None, None),
            Choice::Unsaid => (
                shared_proxy(&FOR_PLAIN, environment, &mut errors),
                shared_proxy(&FOR_TLS, environment, &mut errors),
            ),
        };
        let exempt = if self.exempt.is_empty() {
            shared_exempt(environment, &mut errors)
        } else {
            self.exempt.clone()
        };
        let (source, family) = self.addresses().unwrap_or_else(|message| {
            errors.push(mistake(raw, "source_address".to_owned(), message));
            Default::default()
        });
        if !errors.is_empty() {
            // Two variables for both schemes may be one.
            errors.dedup();
            return Err(errors);
        }
        let proxies = Proxies { plain, tls, exempt };
        Ok(Outbound {
            proxies,
            ca_files: self.ca_file.iter().cloned().collect(),
            identity: None,
            source,
            family,
        })
    }

    fn addresses(&self) -> Result<(Source, Family), String> {
        let mut source = Source::default();
        for address in &self.sources {
            match address {
                IpAddr::V4(address) => source.v4 = Some(*address),
                IpAddr::V6(address) => source.v6 = Some(*address),
            }
        }
        let one = match (source.v4, source.v6) {
            (Some(_), None) => Family::V4,
            (None, Some(_)) => Family::V6,
            _ => return Ok((source, self.family)),
        };
        if self.family != Family::Any && self.family != one {
            return Err("has no address of the kind that `ip` demands".to_owned());
        }
        Ok((source, one))
    }
}

impl FeedOutbound {
    fn outbound(
        &self,
        all: &Outbound,
        (prefix, raw, environment): (&str, &RawConfig, &Environment),
    ) -> Result<Outbound, ConfigError> {
        let mut settled = all.clone();
        let own = match chosen(&self.proxy, (prefix, raw, environment))? {
            Choice::Unsaid => None,
            Choice::Direct => Some(None),
            Choice::Through(proxy) => Some(Some(proxy)),
        };
        if let Some(own) = own {
            settled.proxies.plain.clone_from(&own);
            settled.proxies.tls = own;
        }
        settled.ca_files.extend(self.ca_file.clone());
        settled.identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (found, _) => {
                let names = ["client_key", "client_certificate"];
                let missing = names[usize::from(found.is_none())];
                let other = names[usize::from(found.is_some())];
                let place = place(raw, &format!("{prefix}{other}"));
                return Err(ConfigError {
                    key: format!("{prefix}{missing}"),
                    value: None,
                    place: place.unwrap_or(Place::Default),
                    message: format!("is missing: `{other}` needs it"),
                });
            }
        };
        Ok(settled)
    }
}

/// The proxy that the settings below `prefix` name.
fn chosen(
    settings: &ProxySettings,
    (prefix, raw, environment): (&str, &RawConfig, &Environment),
) -> Result<Choice<Proxy>, ConfigError> {
    if let Some(error) = stray(settings, prefix, raw) {
        return Err(error);
    }
    let chosen = settings.settle(environment);
    chosen.map_err(|(name, message)| {
        let key = format!("{prefix}{name}");
        match place(raw, &key) {
            Some(_) => mistake(raw, key, message),
            None => ConfigError {
                place: place(raw, &format!("{prefix}proxy")).unwrap_or(Place::Default),
                ..mistake(raw, key, message)
            },
        }
    })
}

/// A password is for the proxy it was given for: the address of another one from a stronger source
/// must not carry it off.
fn stray(settings: &ProxySettings, prefix: &str, raw: &RawConfig) -> Option<ConfigError> {
    let written = |name: &str| {
        let key = format!("{prefix}{name}");
        let own = raw.written.iter().filter(move |written| written.key == key);
        own.filter(|written| written.place != Place::Default)
    };
    let secret = written(settings.given.by(&WAYS).next()?).next_back()?;
    let address = |written: &Written| Some(At::read(written.value.text().ok()?).ok()?.url);
    let urls: Vec<_> = written("proxy")
        .filter_map(|written| Some((written, address(written)?)))
        .collect();
    let (winner, meant) = carried_off(secret, &urls)?;
    Some(ConfigError {
        key: winner.key.clone(),
        value: Some(winner.value.shown_for(winner.setting)),
        place: winner.place.clone(),
        message: format!(
            "would send the password that {} gives for {} to another proxy; give {} there too",
            secret.place,
            meant.origin().ascii_serialization(),
            secret.key
        ),
    })
}

/// The first of these variables that is set and not empty.
fn shared<'e>(names: &[&str], environment: &'e Environment) -> Option<&'e (String, String)> {
    names.iter().find_map(|name| {
        let mut variables = environment.iter();
        variables.find(|(found, text)| found == name && !text.is_empty())
    })
}

fn shared_proxy(
    names: &[&str],
    environment: &Environment,
    errors: &mut Vec<ConfigError>,
) -> Option<Proxy> {
    let (name, text) = shared(names, environment)?;
    let wrong = |message: String| ConfigError {
        key: "proxy".to_owned(),
        value: Some(Value::Text(hidden(text)).shown()),
        place: Place::Environment(name.clone()),
        message: format!("{message}; allowed: {ADDRESS}. The setting `proxy` goes before it"),
    };
    let read = At::read_shared(text);
    read.map_err(|message| errors.push(wrong(message))).ok()
}

fn shared_exempt(environment: &Environment, errors: &mut Vec<ConfigError>) -> Vec<Exempt> {
    let Some((name, text)) = shared(&FOR_NONE, environment) else {
        return Vec::new();
    };
    let wrong = |entry: &str, message: String| ConfigError {
        key: "no_proxy".to_owned(),
        value: Some(Value::Text(entry.to_owned()).shown()),
        place: Place::Environment(name.clone()),
        message: format!(
            "{message}; allowed: {}. The setting `no_proxy` goes before it",
            Exempt::ALLOWED
        ),
    };
    let entries = text.split([',', ' ']).filter(|entry| !entry.is_empty());
    let read = |entry: &str| {
        let read = entry.parse::<Exempt>();
        read.map_err(|message| errors.push(wrong(entry, message)))
            .ok()
    };
    entries.filter_map(read).collect()
}

/// Where the value of a setting was written.
fn place(raw: &RawConfig, key: &str) -> Option<Place> {
    let mut written = raw.written.iter();
    written
        .rfind(|written| written.key == key)
        .map(|written| written.place.clone())
}

fn mistake(raw: &RawConfig, key: String, message: String) -> ConfigError {
    let place = place(raw, &key).unwrap_or(Place::Default);
    ConfigError {
        key,
        value: None,
        place,
        message,
    }
}
