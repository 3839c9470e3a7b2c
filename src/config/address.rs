//! Host names, host patterns, networks and URLs, as they may be written in the configuration.
//!
//! Each reader gives the canonical form (lower-case names, URLs without a trailing slash) or says
//! what is wrong with the text. Nothing here resolves a name.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use url::{Host, Url};

/// The longest host name (RFC 1035 section 2.3.4).
const NAME_LENGTH_MAX: usize = 253;

/// A host, or all hosts below a domain, that a feed may redirect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host alone, in lower case.
    Exact(String),
    /// Every host that ends in this text, which starts with a dot: written `*.example.com`.
    Below(String),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("*.") {
            Some(domain) if is_address(domain) => {
                Err("puts a wildcard before an address".to_owned())
            }
            Some(domain) => Ok(Self::Below(format!(".{}", host(domain)?))),
            None if text.contains('*') => {
                Err("has a wildcard that is not the whole first label".to_owned())
            }
            None => Ok(Self::Exact(host(text)?)),
        }
    }
}

/// Reads a host name or address (IPv6 in brackets), in lower case.
fn host(text: &str) -> Result<String, String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner
            .strip_suffix(']')
            .and_then(|inner| inner.parse::<Ipv6Addr>().ok())
            .ok_or("is not an IPv6 address in brackets")?;
        return Ok(format!("[{address}]"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text.len() > NAME_LENGTH_MAX || !text.split('.').all(label) {
        return Err("is not a host name".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

/// Reads `host` or `host:port` as it stands in a `Host` header (RFC 9110 section 7.2), in lower
/// case.
pub(super) fn authority(text: &str) -> Result<String, String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let name = host(name)?;
    match port.map(|port| port.parse::<u16>().ok().filter(|port| *port != 0)) {
        None => Ok(name),
        Some(Some(port)) => Ok(format!("{name}:{port}")),
        Some(None) => Err("has a port that is not a number from 1 to 65535".to_owned()),
    }
}

/// Reads an address and a port to listen on; a name is refused because it may mean several.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "is not an address and a port".to_owned())
}

/// Reads a network in CIDR notation, or one address; bits behind the prefix must be zero, since
/// they show that prefix or address is mistyped.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| "is not a network or an address".to_owned())?;
    if net == net.trunc() {
        Ok(net)
    } else {
        Err(format!(
            "has bits set behind its prefix: the network is {}",
            net.trunc()
        ))
    }
}

/// Reads the URL under which clients reach this server; its path, if any, ends without a slash.
pub(super) fn public_url(text: &str) -> Result<Url, String> {
    let mut url = feed_url(text)?;
    if url.query().is_some() {
        return Err("has a query".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Reads the URL of a feed's service index.
pub(super) fn feed_url(text: &str) -> Result<Url, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("has a space or control character in it".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is not an absolute URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme `{}`", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it".to_owned());
    }
    if url.fragment().is_some() {
        return Err("has a fragment".to_owned());
    }
    Ok(url)
}

/// Reads the URL of a feed's service index, or a folder of packages: `folder:` and an absolute path,
/// which becomes a `file` URL.
pub(super) fn feed_source(text: &str) -> Result<Url, String> {
    let Some(path) = text.strip_prefix("folder:") else {
        return feed_url(text);
    };
    if path.chars().any(char::is_control) {
        return Err("has a control character in it".to_owned());
    }
    Url::from_file_path(path).map_err(|()| "has a path that does not begin with a slash".to_owned())
}

/// The source of a feed as it is written in the configuration.
pub fn shown(source: &Url) -> String {
    match source.to_file_path() {
        Ok(path) if source.scheme() == "file" => format!("folder:{}", path.display()),
        _ => source.to_string(),
    }
}

/// The text with a password that stands in a URL masked, fit to be printed.
pub(super) fn masked(text: &str) -> String {
    let Some(start) = text.find("//").map(|at| at + 2) else {
        return text.to_owned();
    };
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}***{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

/// Whether the text is an IP address, in brackets or not.
fn is_address(text: &str) -> bool {
    matches!(Host::parse(text), Ok(Host::Ipv4(_) | Host::Ipv6(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: ToString>(
        read: fn(&str) -> Result<T, String>,
        rows: &[(&str, Result<&str, &str>)],
    ) {
        for (text, expected) in rows {
            let found = read(text).map(|value| value.to_string());
            let found = found.as_ref().map(String::as_str).map_err(String::as_str);
            assert_eq!(found, *expected, "{text}");
        }
    }

    #[test]
    fn a_folder_is_a_feed_too() {
        check(
            feed_source,
            &[
                ("https://a/v3/index.json", Ok("https://a/v3/index.json")),
                (
                    "folder:/srv/my packages#1",
                    Ok("file:///srv/my%20packages%231"),
                ),
                (
                    "folder:packages",
                    Err("has a path that does not begin with a slash"),
                ),
                (
                    "folder:",
                    Err("has a path that does not begin with a slash"),
                ),
                ("file:///srv", Err("has the scheme `file`")),
            ],
        );
        let source = feed_source("folder:/srv/my packages#1").unwrap();
        assert_eq!(shown(&source), "folder:/srv/my packages#1");
        let source = feed_source("https://a/v3/index.json").unwrap();
        assert_eq!(shown(&source), "https://a/v3/index.json");
    }

    #[test]
    fn hosts_and_networks_are_made_canonical() {
        check(
            authority,
            &[
                ("Packages.Example.COM", Ok("packages.example.com")),
                ("build:8080", Ok("build:8080")),
                ("[::1]", Ok("[::1]")),
                ("[0:0::1]:80", Ok("[::1]:80")),
                ("", Err("is not a host name")),
                ("a b", Err("is not a host name")),
                (
                    "https://a",
                    Err("has a port that is not a number from 1 to 65535"),
                ),
                (
                    "a:0",
                    Err("has a port that is not a number from 1 to 65535"),
                ),
                ("[::1", Err("is not an IPv6 address in brackets")),
            ],
        );
        check(
            network,
            &[
                ("10.0.0.0/8", Ok("10.0.0.0/8")),
                ("192.0.2.7", Ok("192.0.2.7/32")),
                ("::1", Ok("::1/128")),
                (
                    "10.1.0.0/8",
                    Err("has bits set behind its prefix: the network is 10.0.0.0/8"),
                ),
                ("10.0.0.0/33", Err("is not a network or an address")),
            ],
        );
        check(
            listen,
            &[
                ("[::]:80", Ok("[::]:80")),
                ("localhost:80", Err("is not an address and a port")),
            ],
        );
    }

    #[test]
    fn urls_are_absolute_and_plain() {
        check(
            public_url,
            &[
                ("https://p.example.com", Ok("https://p.example.com/")),
                (
                    "https://p.example.com/nuget//",
                    Ok("https://p.example.com/nuget"),
                ),
                (
                    "p.example.com",
                    Err("is not an absolute URL (relative URL without a base)"),
                ),
                ("ftp://p.example.com", Err("has the scheme `ftp`")),
                ("http://p.example.com?a", Err("has a query")),
                ("http://p.example.com/#a", Err("has a fragment")),
                (
                    "http://u:p@p.example.com",
                    Err("has a user name or password in it"),
                ),
                (
                    "http://p.example.com/a\tb",
                    Err("has a space or control character in it"),
                ),
            ],
        );
    }

    #[test]
    fn passwords_are_not_printed() {
        for (text, expected) in [
            ("http://u:p@h/x@y", "http://***@h/x@y"),
            ("http://u:p@q@h", "http://***@h"),
            ("http://h/a@b", "http://h/a@b"),
            ("plain@text", "plain@text"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn a_pattern_is_a_host_or_all_below_one() {
        for (given, expected) in [("*.NuGet.org", "*.nuget.org"), ("NuGet.org", "nuget.org")] {
            let pattern: HostPattern = given.parse().unwrap();
            assert_eq!(pattern.to_string(), expected);
        }
        for wrong in ["*", "*.", "a.*.b", "*.10.0.0.1", "a/b", "a:80"] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }
}
