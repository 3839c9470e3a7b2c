//! The keys of outgoing connections in the table of settings, and how each is read.

use std::net::IpAddr;

use super::proxy::ALLOWED;
use super::{Exempt, Family};
use crate::config::Config;
use crate::config::auth::keys::{credential_name, path, username, variable};
use crate::config::secret::Secret;
use crate::config::setting::{Kind, Setting, file};

const PEM: &str = "the path of a PEM file";

const PASSWORD: &str = "The password for `proxy`. Exactly one of `proxy_password`, `proxy_password_env`, `proxy_password_file` and `proxy_password_credential` is given.";

/// The settings of the credential of a proxy: below `$prefix`, kept in `$place` of `$config`.
macro_rules! credential {
    ($prefix:literal, $config:ident => $place:expr) => {
        [
            Setting {
                key: concat!($prefix, "proxy_username"),
                default: "",
                kind: Kind::Text("a name without colon", |$config, text| {
                    $place.username = Some(username(text)?);
                    Ok(())
                }),
                doc: "The user name for `proxy`, if it is not in the address. It is sent to the proxy alone (`Proxy-Authorization: Basic`).",
                short: None,
            },
            Setting {
                key: concat!($prefix, "proxy_password"),
                default: "",
                kind: Kind::Secret(|$config, text| {
                    $place.given.text = Some(Secret::new(text));
                    Ok(())
                }),
                doc: PASSWORD,
                short: None,
            },
            Setting {
                key: concat!($prefix, "proxy_password_env"),
                default: "",
                kind: Kind::Text("the name of an environment variable", |$config, text| {
                    $place.given.variable = Some(variable(text)?);
                    Ok(())
                }),
                doc: "The environment variable that holds it.",
                short: None,
            },
            Setting {
                key: concat!($prefix, "proxy_password_file"),
                default: "",
                kind: Kind::Text("the path of a file", |$config, text| {
                    $place.given.file = Some(path(text)?);
                    Ok(())
                }),
                doc: "The file that holds it, read at start; the end of its line does not count.",
                short: None,
            },
            Setting {
                key: concat!($prefix, "proxy_password_credential"),
                default: "",
                kind: Kind::Text("the name of a credential of the service", |$config, text| {
                    $place.given.named = Some(credential_name(text)?);
                    Ok(())
                }),
                doc: "The credential of the systemd service that holds it (`LoadCredential=`).",
                short: None,
            },
        ]
    };
}

/// The proxy for all feeds.
const PROXY: &[Setting] = &[Setting {
    key: "proxy",
    default: "",
    kind: Kind::Url(ALLOWED, |config, text| config.outbound.proxy.choose(text)),
    doc: "The proxy that feeds and generic routes are asked through, https by `CONNECT`: `http://HOST:PORT`, or `https://HOST:PORT` for TLS up to the proxy; `none` asks directly. When it is not set, the variables `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` count.",
    short: None,
}];

const CREDENTIAL: &[Setting] = &credential!("", config => config.outbound.proxy);

/// What goes past the proxy, and the connections themselves.
const CONNECTIONS: &[Setting] = &[
    Setting {
        key: "no_proxy",
        default: "[]",
        kind: Kind::List(
            Exempt::ALLOWED,
            |config| config.outbound.exempt.clear(),
            |config, text| {
                config.outbound.exempt.push(text.parse()?);
                Ok(())
            },
        ),
        doc: "What is asked directly although there is a proxy. Names are not looked up for it: a network covers URLs with an address in them. When it is empty, the variable `NO_PROXY` counts.",
        short: None,
    },
    Setting {
        key: "ca_file",
        default: "",
        kind: Kind::Text(PEM, |config, text| {
            config.outbound.ca_file = Some(file(text)?);
            Ok(())
        }),
        doc: "Authorities whose certificates are trusted for feeds, generic routes and proxies, beside those of the system: one or more certificates as PEM, read at start.",
        short: None,
    },
    Setting {
        key: "source_address",
        default: "[]",
        kind: Kind::List(
            "an address of this machine, at most one of IPv4 and one of IPv6",
            |config| config.outbound.sources.clear(),
            source,
        ),
        doc: "Where connections to feeds and proxies begin. With an address of one family alone, only hosts of that family are reached.",
        short: None,
    },
    Setting {
        key: "ip",
        default: "\"any\"",
        kind: Kind::Choice(&["any", "v4", "v6"], |config, index| {
            config.outbound.family = [Family::Any, Family::V4, Family::V6][index];
        }),
        doc: "Which addresses of feeds and proxies are connected to. With `any`, a host that has both is tried over the other one after 300 ms.",
        short: None,
    },
];

/// The settings for all feeds and routes, none of them in a table.
pub(in crate::config) fn outbound() -> impl Iterator<Item = &'static Setting> {
    [PROXY, CREDENTIAL, CONNECTIONS].into_iter().flatten()
}

const FEED_PROXY: &[Setting] = &[Setting {
    key: "feeds.NAME.proxy",
    default: "",
    kind: Kind::Url(ALLOWED, |config, text| {
        config.feed.outbound.proxy.choose(text)
    }),
    doc: "The proxy for this feed instead of the one for all; `none` asks it directly. `no_proxy` counts for it too.",
    short: None,
}];

const FEED_CREDENTIAL: &[Setting] =
    &credential!("feeds.NAME.", config => config.feed.outbound.proxy);

const FEED_TLS: &[Setting] = &[
    Setting {
        key: "feeds.NAME.ca_file",
        default: "",
        kind: Kind::Text(PEM, |config, text| {
            config.feed.outbound.ca_file = Some(file(text)?);
            Ok(())
        }),
        doc: "Authorities that are trusted for this feed, beside those of `ca_file` and of the system.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.client_certificate",
        default: "",
        kind: Kind::Text(PEM, |config, text| {
            config.feed.outbound.certificate = Some(file(text)?);
            Ok(())
        }),
        doc: "The certificate (chain) that nugate shows when the feed asks for one, as PEM, its own first. It is shown to the origin of `url` and to `credential_hosts` alone.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.client_key",
        default: "",
        kind: Kind::Text(PEM, |config, text| {
            config.feed.outbound.key = Some(file(text)?);
            Ok(())
        }),
        doc: "The private key of that certificate, as PEM.",
        short: None,
    },
];

/// The settings of one feed.
pub(in crate::config) fn feed_outbound() -> impl Iterator<Item = &'static Setting> {
    [FEED_PROXY, FEED_CREDENTIAL, FEED_TLS]
        .into_iter()
        .flatten()
}

fn source(config: &mut Config, text: &str) -> Result<(), String> {
    let address: IpAddr = text.parse().map_err(|_| "is not an address")?;
    if address.is_unspecified() || address.is_multicast() {
        return Err("is not the address of a machine".to_owned());
    }
    let sources = &mut config.outbound.sources;
    if sources
        .iter()
        .any(|other| other.is_ipv4() == address.is_ipv4())
    {
        return Err("is the second of its kind".to_owned());
    }
    sources.push(address);
    Ok(())
}
