//! Under which URL a client sees us: the base of every link we write.
//!
//! `public_url` wins. Otherwise it is the request's own host, if that is one of ours: a made-up
//! `Host` would make clients that share a cache with the attacker download from elsewhere.
//! Forwarded headers count only from `trusted_proxies`. Schemes are never mixed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;
use ipnet::IpNet;
use url::{Host, Url};

/// What proxies say of the request they got: of its host, scheme and path.
const FORWARDED: [&str; 3] = [HOST_BEFORE, SCHEME_BEFORE, PREFIX_BEFORE];
const HOST_BEFORE: &str = "x-forwarded-host";
const SCHEME_BEFORE: &str = "x-forwarded-proto";
const PREFIX_BEFORE: &str = "x-forwarded-prefix";

/// How the base is found.
#[derive(Clone, Debug, Default)]
pub struct BaseRules {
    /// Configured; always the answer when set.
    pub public_url: Option<Url>,
    /// Hosts accepted besides loopback, the connection's own address and the machine's name; with
    /// or without port.
    pub allowed_hosts: Vec<String>,
    /// Peers whose forwarded headers count.
    pub trusted_proxies: Vec<IpNet>,
}

/// What a request says of where it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `Host`, or `:authority`.
    pub host: Option<&'a str>,
    /// All headers, for the forwarded ones.
    pub headers: &'a HeaderMap,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Our end of it.
    pub local: SocketAddr,
    /// Whether it is encrypted.
    pub tls: bool,
}

/// Why there is no base for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// No host, none that can be read, or several (RFC 9112 section 3.2).
    #[error("the request names no valid host, or several")]
    NoHost,
    /// A host that is not ours.
    #[error("{0:?} is not a host of this server; add it to allowed_hosts, or set public_url")]
    Misdirected(String),
    /// The same, where `public_url` has no say.
    #[error("{0:?} is not a host of this server; add it to allowed_hosts")]
    Unlisted(String),
}

impl BaseRules {
    /// The base URL for a request, ending in `/v3/`.
    ///
    /// # Errors
    /// [`BaseError`] when `public_url` is not set and the host is none of ours.
    pub fn base_of(&self, origin: &Origin<'_>) -> Result<Arc<str>, BaseError> {
        if let Some(url) = &self.public_url {
            return Ok(format!("{}/v3/", url.as_str().trim_end_matches('/')).into());
        }
        let authority = self.asked_of(origin)?;
        if !self.is_ours(&authority, origin.local.ip()) {
            return Err(BaseError::Misdirected(authority.to_string()));
        }
        Ok(self.base_at(&authority, origin))
    }

    /// The base URL for a request at the door for those who look after nugate. `public_url` is the URL
    /// of another door: here it is the host of the request, of whatever name, so that people get in.
    ///
    /// Where it is neither encrypted nor `is_guarded` by credentials, the name of a made-up host may
    /// lead here too: its page would be of the same origin as ours in a browser that was lured to it
    /// (DNS rebinding). Only there must a name be one of ours; an address cannot be made up so.
    ///
    /// # Errors
    /// [`BaseError`] when there is no host, or none that is accepted.
    pub fn admin_base_of(
        &self,
        origin: &Origin<'_>,
        is_guarded: bool,
    ) -> Result<Arc<str>, BaseError> {
        let authority = self.asked_of(origin)?;
        let name = authority.host();
        let is_address = matches!(Host::parse(name), Ok(Host::Ipv4(_) | Host::Ipv6(_)));
        let public = self.public_url.as_ref().and_then(Url::host_str);
        let is_safe = is_guarded
            || origin.tls
            || is_address
            || public.is_some_and(|public| public.eq_ignore_ascii_case(name))
            || self.is_ours(&authority, origin.local.ip());
        if !is_safe {
            return Err(BaseError::Unlisted(authority.to_string()));
        }
        Ok(self.base_at(&authority, origin))
    }

    /// The host that the client asked, if there is one that can be read.
    fn asked_of(&self, origin: &Origin<'_>) -> Result<Authority, BaseError> {
        if origin.headers.get_all(HOST).iter().count() > 1 {
            return Err(BaseError::NoHost);
        }
        let host = self
            .forwarded(origin, HOST_BEFORE)
            .or(origin.host)
            .ok_or(BaseError::NoHost)?;
        let authority: Authority = host.trim().parse().map_err(|_| BaseError::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(BaseError::NoHost);
        }
        Ok(authority)
    }

    /// The base URL below this host.
    fn base_at(&self, authority: &Authority, origin: &Origin<'_>) -> Arc<str> {
        let scheme = self.forwarded(origin, SCHEME_BEFORE);
        let https = scheme.map_or(origin.tls, |it| it.eq_ignore_ascii_case("https"));
        let scheme = if https { "https" } else { "http" };
        let prefix = self.forwarded(origin, PREFIX_BEFORE);
        let prefix = prefix.and_then(clean_prefix).unwrap_or_default();
        let authority = authority.as_str().to_ascii_lowercase();
        format!("{scheme}://{authority}{prefix}/v3/").into()
    }

    /// What a proxy says of the request it got, if it is believed.
    fn forwarded<'a>(&self, origin: &Origin<'a>, name: &str) -> Option<&'a str> {
        let value = || first_value(origin.headers, name);
        self.trusts(origin.peer).then(value).flatten()
    }

    /// Writes down all of a request, one with at most one `Host`, that [`Self::base_of`] depends on.
    pub fn seed(&self, origin: &Origin<'_>, out: &mut Vec<u8>) {
        if self.public_url.is_some() {
            return;
        }
        match origin.local.ip() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
        out.push(u8::from(origin.local.is_ipv4()));
        out.push(u8::from(origin.tls));
        let mut text = |text: Option<&str>| {
            // No text has these bytes.
            out.push(u8::from(text.is_some()));
            out.extend_from_slice(text.unwrap_or_default().as_bytes());
        };
        text(origin.host);
        if self.trusts(origin.peer) {
            for name in FORWARDED {
                text(first_value(origin.headers, name));
            }
        }
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }

    /// The path prefix that requests may carry.
    pub fn prefix(&self) -> &str {
        self.public_url
            .as_ref()
            .map_or("", |url| url.path().trim_end_matches('/'))
    }

    fn is_ours(&self, authority: &Authority, local: IpAddr) -> bool {
        let name = authority.host();
        let listed = self.allowed_hosts.iter().any(|allowed| {
            allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(authority.as_str())
        });
        listed
            || match Host::parse(name) {
                Ok(Host::Ipv4(ip)) => ip.is_loopback() || IpAddr::V4(ip) == local.to_canonical(),
                Ok(Host::Ipv6(ip)) => ip.is_loopback() || IpAddr::V6(ip) == local,
                Ok(Host::Domain(name)) => {
                    name == "localhost" || name.ends_with(".localhost") || is_machine(&name)
                }
                Err(_) => false,
            }
    }
}

fn is_machine(name: &str) -> bool {
    rustix::system::uname()
        .nodename()
        .to_str()
        .is_ok_and(|node| {
            let short = node.split('.').next().unwrap_or(node);
            name.eq_ignore_ascii_case(node) || name.eq_ignore_ascii_case(short)
        })
}

/// The value nearest to the client: proxies append.
fn first_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value
        .split(',')
        .next()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// A prefix made of plain path segments, without its last slash.
fn clean_prefix(given: &str) -> Option<String> {
    let segments: Vec<&str> = given
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let plain = |segment: &&str| {
        !matches!(*segment, "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    segments.iter().all(plain).then(|| {
        segments
            .iter()
            .fold(String::new(), |path, segment| path + "/" + segment)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> BaseRules {
        BaseRules {
            public_url: None,
            allowed_hosts: vec!["nuget.example.com".into(), "other.example:8443".into()],
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        }
    }

    #[track_caller]
    fn check(rules: &BaseRules, peer: &str, host: &str, headers: &[(&str, &str)], expected: &str) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let origin = Origin {
            host: Some(host),
            headers: &map,
            peer: peer.parse().unwrap(),
            local: "192.0.2.7:6842".parse().unwrap(),
            tls: false,
        };
        let found = match rules.base_of(&origin) {
            Ok(base) => base.to_string(),
            Err(BaseError::NoHost) => "none".to_owned(),
            Err(BaseError::Misdirected(host) | BaseError::Unlisted(host)) => format!("not {host}"),
        };
        assert_eq!(found, expected, "{host} {headers:?}");
    }

    #[test]
    fn our_own_hosts() {
        let rules = rules();
        let on = |host, expected| check(&rules, "192.0.2.1", host, &[], expected);
        on("localhost:6842", "http://localhost:6842/v3/");
        on("127.0.0.1:6842", "http://127.0.0.1:6842/v3/");
        on("[::1]:6842", "http://[::1]:6842/v3/");
        on("192.0.2.7:6842", "http://192.0.2.7:6842/v3/");
        on("NuGet.Example.com", "http://nuget.example.com/v3/");
        on("nuget.example.com:99", "http://nuget.example.com:99/v3/");
        on("other.example:8443", "http://other.example:8443/v3/");
        on("other.example:8444", "not other.example:8444");
        on("evil.example", "not evil.example");
        on("192.0.2.8", "not 192.0.2.8");
        on("localhost.evil.example", "not localhost.evil.example");
        on("a b", "none");
        on("user@localhost", "none");
    }

    #[test]
    fn forwarded_headers_count_only_from_trusted_proxies() {
        let rules = rules();
        let headers = [
            ("x-forwarded-host", "nuget.example.com, inner"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/a/b/"),
        ];
        check(
            &rules,
            "10.1.2.3",
            "localhost",
            &headers,
            "https://nuget.example.com/a/b/v3/",
        );
        check(
            &rules,
            "192.0.2.1",
            "localhost",
            &headers,
            "http://localhost/v3/",
        );
        let evil = [("x-forwarded-host", "evil.example")];
        check(&rules, "10.1.2.3", "localhost", &evil, "not evil.example");
        let prefix = [("x-forwarded-prefix", "/a/../b")];
        check(
            &rules,
            "10.1.2.3",
            "localhost",
            &prefix,
            "http://localhost/v3/",
        );
    }

    #[test]
    fn people_get_in_where_a_lured_browser_does_not() {
        let rules = BaseRules {
            public_url: Some("https://nuget.corp.example/feed".parse().unwrap()),
            ..rules()
        };
        let none = HeaderMap::new();
        let ask = |host, tls, is_guarded| {
            let origin = Origin {
                host: Some(host),
                headers: &none,
                peer: "192.0.2.1".parse().unwrap(),
                local: "192.0.2.7:6843".parse().unwrap(),
                tls,
            };
            rules.admin_base_of(&origin, is_guarded).map_err(|_| ())
        };
        for (host, is_known) in [
            ("localhost:6843", true),
            ("192.0.2.7:6843", true),
            ("198.51.100.1", true),
            ("[2001:db8::1]:1", true),
            ("NuGet.example.com:6843", true),
            ("nuget.corp.example:6843", true),
            ("evil.example", false),
            ("192.0.2.7.evil.example", false),
            ("localhost.evil.example", false),
        ] {
            let plain: Arc<str> = format!("http://{}/v3/", host.to_ascii_lowercase()).into();
            let open = ask(host, false, false);
            assert_eq!(open, is_known.then(|| plain.clone()).ok_or(()), "{host}");
            assert_eq!(ask(host, false, true), Ok(plain), "{host}");
            let secure = format!("https://{}/v3/", host.to_ascii_lowercase());
            assert_eq!(ask(host, true, false), Ok(secure.into()), "{host}");
        }
        for host in ["a b", "user@localhost", ""] {
            assert_eq!(ask(host, true, true), Err(()), "{host}");
        }
    }

    #[test]
    fn public_url_wins() {
        let rules = BaseRules {
            public_url: Some("https://nuget.corp.example/feed".parse().unwrap()),
            ..rules()
        };
        check(
            &rules,
            "192.0.2.1",
            "evil.example",
            &[],
            "https://nuget.corp.example/feed/v3/",
        );
        assert_eq!(rules.prefix(), "/feed");
    }
}
