//! Settings of the edge: the certificate we show, and who may use this server.
//!
//! What the files hold is read when the daemon starts; here only what the settings say is judged,
//! together where one makes no sense without another.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::access::{AccessMode, user_name};
use super::address::network;
use super::error::{ConfigError, Place};
use super::raw::RawConfig;
use super::setting::{Kind, Setting, file};

/// The certificate of this server, and what is asked of clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file of the certificate chain, the server's own first; without one we speak plain HTTP.
    pub certificate: Option<PathBuf>,
    /// PEM file of the private key.
    pub key: Option<PathBuf>,
    /// PEM file of the authorities whose client certificates are accepted.
    pub client_authorities: Option<PathBuf>,
    /// What is asked of clients.
    pub client_certificates: ClientCertificates,
    /// The oldest version that is spoken.
    pub version_min: TlsVersion,
    /// The longest time for a handshake.
    pub handshake_timeout: Duration,
}

impl TlsConfig {
    /// Certificate and key, when both are set.
    pub fn pair(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.certificate.as_ref().zip(self.key.as_ref())
    }
}

/// What is asked of clients' certificates when there are `client_authorities`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No connection without one.
    Required,
    /// One that is shown must be good.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsConfig {
    /// Plain HTTP.
    pub(super) const fn blank() -> Self {
        Self {
            certificate: None,
            key: None,
            client_authorities: None,
            client_certificates: ClientCertificates::Required,
            version_min: TlsVersion::V1_2,
            handshake_timeout: Duration::ZERO,
        }
    }
}

/// The settings of TLS and access.
pub(super) const EDGE: &[Setting] = &[
    Setting {
        key: "tls.certificate",
        default: "",
        kind: Kind::Text("the path of a PEM file", |config, text| {
            config.tls.certificate = Some(file(text)?);
            Ok(())
        }),
        doc: "The certificate chain of this server as PEM, its own certificate first. With it and `tls.key`, only https is spoken (TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2). Both files are read again when they change and on SIGHUP; a pair that cannot be used is logged and the old one kept.",
        short: None,
    },
    Setting {
        key: "tls.key",
        default: "",
        kind: Kind::Text("the path of a PEM file", |config, text| {
            config.tls.key = Some(file(text)?);
            Ok(())
        }),
        doc: "The private key of the certificate as PEM (PKCS #8, PKCS #1 or SEC 1).",
        short: None,
    },
    Setting {
        key: "tls.client_authorities",
        default: "",
        kind: Kind::Text("the path of a PEM file", |config, text| {
            config.tls.client_authorities = Some(file(text)?);
            Ok(())
        }),
        doc: "Authorities whose client certificates are accepted, as PEM. Without it, clients are asked for none.",
        short: None,
    },
    Setting {
        key: "tls.client_certificates",
        default: "\"required\"",
        kind: Kind::Choice(&["required", "optional"], |config, index| {
            config.tls.client_certificates =
                [ClientCertificates::Required, ClientCertificates::Optional][index];
        }),
        doc: "With `tls.client_authorities`: `required` refuses clients without a certificate; `optional` refuses only bad ones.",
        short: None,
    },
    Setting {
        key: "tls.version_min",
        default: "\"1.2\"",
        kind: Kind::Choice(&["1.2", "1.3"], |config, index| {
            config.tls.version_min = [TlsVersion::V1_2, TlsVersion::V1_3][index];
        }),
        doc: "The oldest version of TLS that is spoken.",
        short: None,
    },
    Setting {
        key: "tls.handshake_timeout",
        default: "\"10s\"",
        kind: Kind::Period(
            Duration::from_millis(100),
            Duration::from_mins(5),
            |config, period| config.tls.handshake_timeout = period,
        ),
        doc: "The longest time for a TLS handshake.",
        short: None,
    },
    Setting {
        key: "access.mode",
        default: "\"none\"",
        kind: Kind::Choice(&["none", "required"], |config, index| {
            config.access.mode = [AccessMode::None, AccessMode::Required][index];
        }),
        doc: "`none` serves everyone; `required` serves only the users and keys below, and `access.anonymous_networks`. `/-/health` and `/-/ready` stay open, `/metrics` needs `read`.",
        short: None,
    },
    Setting {
        key: "access.users_file",
        default: "",
        kind: Kind::Text("the path of a file of users", |config, text| {
            config.access.users_file = Some(file(text)?);
            Ok(())
        }),
        doc: "Users and hashes of their passwords, one `name:hash` a line, as `htpasswd -B` writes it; bcrypt and argon2. All of them may read. It is read again when it changes and on SIGHUP.",
        short: None,
    },
    Setting {
        key: "access.push_users",
        default: "[]",
        kind: Kind::List(
            "the name of a user",
            |config| config.access.push_users.clear(),
            |config, text| {
                config.access.push_users.push(user_name(text)?);
                Ok(())
            },
        ),
        doc: "Users that may also push.",
        short: None,
    },
    Setting {
        key: "access.admin_users",
        default: "[]",
        kind: Kind::List(
            "the name of a user",
            |config| config.access.admin_users.clear(),
            |config, text| {
                config.access.admin_users.push(user_name(text)?);
                Ok(())
            },
        ),
        doc: "Users that may do everything.",
        short: None,
    },
    Setting {
        key: "access.keys",
        default: "[]",
        kind: Kind::List(
            "NAME:SCOPES:DIGEST, as `nugate key` prints it; SCOPES is one or more of read, push and admin, joined by +",
            |config| config.access.keys.clear(),
            |config, text| {
                config.access.keys.push(text.parse()?);
                Ok(())
            },
        ),
        doc: "Keys that clients are known by, each with its scopes and the SHA-256 of the key. A client sends the key as `X-NuGet-ApiKey`, as the password of Basic credentials with any user name, or as a bearer token.",
        short: None,
    },
    Setting {
        key: "access.anonymous_networks",
        default: "[]",
        kind: Kind::List(
            "a network such as 10.0.0.0/8, or an address",
            |config| config.access.anonymous_networks.clear(),
            |config, text| {
                config.access.anonymous_networks.push(network(text)?);
                Ok(())
            },
        ),
        doc: "Networks whose clients may read without credentials. Behind `trusted_proxies`, the address that the proxy names in `X-Forwarded-For` counts.",
        short: None,
    },
];

/// Adds the mistakes that only several settings together make.
pub(super) fn check(config: &Config, raw: &mut RawConfig) {
    let set = |key: &str| {
        let written = raw
            .written
            .iter()
            .rfind(|written| written.setting.key == key);
        written
            .map(|written| written.place.clone())
            .filter(|place| *place != Place::Default)
    };
    let mut errors = Vec::new();
    let mut wrong = |key: &str, place: Place, message: &str| {
        errors.push(ConfigError {
            key: key.to_owned(),
            value: None,
            place,
            message: message.to_owned(),
        });
    };
    for (key, other) in [
        ("tls.certificate", "tls.key"),
        ("tls.key", "tls.certificate"),
        ("tls.client_authorities", "tls.certificate"),
    ] {
        if let (Some(place), None) = (set(key), set(other)) {
            wrong(other, place, &format!("is missing: `{key}` needs it"));
        }
    }
    let access = &config.access;
    let known = access.users_file.is_some() || !access.keys.is_empty();
    if access.mode == AccessMode::Required && !known {
        let place = set("access.mode").unwrap_or(Place::Default);
        let message = "is \"required\", but nobody is known: set access.users_file or access.keys";
        wrong("access.mode", place, message);
    }
    if access.mode == AccessMode::None {
        for key in ["access.users_file", "access.keys"] {
            let empty = key == "access.keys" && access.keys.is_empty();
            if let Some(place) = set(key).filter(|_| !empty) {
                let message =
                    "protects nothing while access.mode is \"none\": set it to \"required\"";
                wrong(key, place, message);
            }
        }
    }
    if let Some(admin) = config
        .admin_listen
        .filter(|it| is_taken(*it, config.listen))
    {
        let place = set("admin_listen").unwrap_or(Place::Default);
        let message = format!(
            "{admin} is taken by listen, which is {}: give it another port",
            config.listen
        );
        wrong("admin_listen", place, &message);
    }
    raw.errors.extend(errors);
}

/// Whether nothing can be listened on at `one` beside `other`: the same port of an address that is, or
/// that one of them takes with all others. `[::]` takes those of IPv4 too.
fn is_taken(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let takes = |all: IpAddr, it: IpAddr| all.is_unspecified() && (all.is_ipv6() || it.is_ipv4());
    one.port() == other.port() && one.port() != 0 && (a == b || takes(a, b) || takes(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn load(file: &str) -> Result<Config, String> {
        Config::load(&Sources {
            file: Some((PathBuf::from("n.toml"), file.to_owned())),
            environment: vec![("HOME".to_owned(), "/home/n".to_owned())],
            flags: Vec::new(),
        })
        .map_err(|errors| errors.to_string())
    }

    #[test]
    fn settings_that_make_no_sense_alone_are_told_together() {
        let digest = "00".repeat(32);
        let text = format!("[tls]\nkey = 'k'\n[access]\nkeys = ['a:read:{digest}']\n");
        let errors = load(&text).unwrap_err();
        assert_eq!(
            errors,
            "n.toml:2:7: tls.certificate: is missing: `tls.key` needs it\n\
             n.toml:4:8: access.keys: protects nothing while access.mode is \"none\": set it to \"required\""
        );
        let errors = load("[access]\nmode = 'required'\n").unwrap_err();
        assert!(
            errors.starts_with("n.toml:2:8: access.mode: is \"required\""),
            "{errors}"
        );
        let text = format!(
            "[tls]\ncertificate = 'c'\nkey = 'k'\n[access]\nmode = 'required'\nkeys = ['a:read:{digest}']"
        );
        let config = load(&text).unwrap();
        assert!(config.tls.pair().is_some());
        assert_eq!(config.access.keys.len(), 1);
    }

    #[test]
    fn the_two_addresses_do_not_meet() {
        for (listen, admin, meet) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "192.0.2.1:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let text = format!("listen = '{listen}'\nadmin_listen = '{admin}'");
            let loaded = load(&text);
            assert_eq!(loaded.is_err(), meet, "{text}");
            if let Err(error) = loaded {
                let told = format!(
                    "n.toml:2:16: admin_listen: {admin} is taken by listen, which is {listen}"
                );
                assert!(error.starts_with(&told), "{error}");
            }
        }
    }
}
