//! The settings of generic routes: tables `[raw.NAME]`, any number of them.

use std::time::Duration;

use url::Url;

use super::address::public_url;
use super::setting::{Kind, Setting};
use super::tables::Tables;
use super::{Config, HostPattern};

/// The start of all keys of routes.
const PREFIX: &str = "raw.";

/// The route of the example file: the downloads of nuget.exe.
pub(super) const EXAMPLE: (&str, &str) = ("dist", "https://dist.nuget.org/");

/// The tables `[raw.NAME]`.
pub(super) const ROUTES: Tables = Tables {
    prefix: PREFIX,
    settings: GENERIC,
    required: ("url", "is missing: a route needs the URL it leads to"),
    what: "route",
    max: 64,
};

const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// A generic route: `/raw/NAME/…` leads to `url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenericConfig {
    /// Its name in paths, logs and metrics: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// The URL below which it leads; its path ends with a slash.
    pub url: Url,
    /// Hosts whose redirects are followed instead of being passed on.
    pub redirect_hosts: Vec<HostPattern>,
    /// Whether methods other than GET and HEAD are passed on.
    pub unsafe_methods: bool,
    /// Whether credentials of clients are passed on.
    pub relay_credentials: bool,
    /// How long a response without any freshness information is fresh.
    pub ttl: Duration,
    /// The longest heuristic lifetime; zero switches heuristics off.
    pub heuristic_ttl: Duration,
    /// How long after its lifetime a response is served when the upstream cannot be reached.
    pub stale_if_unreachable: Duration,
    /// JSON documents, by their path below `url`, whose links lead back to the route.
    pub rewrite: Vec<String>,
}

impl GenericConfig {
    #[expect(clippy::expect_used, reason = "the text of this URL is a constant")]
    fn blank(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: Url::parse("http://localhost/").expect("a URL"),
            redirect_hosts: Vec::new(),
            unsafe_methods: false,
            relay_credentials: false,
            ttl: Duration::ZERO,
            heuristic_ttl: Duration::ZERO,
            stale_if_unreachable: Duration::ZERO,
            rewrite: Vec::new(),
        }
    }
}

impl Config {
    /// Makes the route that a key belongs to the last one, where its settings are read into.
    pub(super) fn turn_to_route(&mut self, key: &str) {
        let Some(name) = ROUTES.name_of(key) else {
            return;
        };
        let known = self.raw.iter().position(|route| route.name == name);
        let route = match known {
            Some(at) => self.raw.remove(at),
            None => GenericConfig::blank(name),
        };
        self.raw.push(route);
    }

    fn route(&mut self) -> &mut GenericConfig {
        if self.raw.is_empty() {
            self.raw.push(GenericConfig::blank(""));
        }
        let last = self.raw.len() - 1;
        &mut self.raw[last]
    }
}

/// The URL of a route: its path ends with a slash, so that nothing beside it is reached.
fn base_url(text: &str) -> Result<Url, String> {
    let mut url = public_url(text)?;
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// A path below the URL of a route.
fn document(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte);
    if text.is_empty() || text.starts_with('/') || !text.bytes().all(plain) {
        return Err("is not a path below the URL of the route".to_owned());
    }
    Ok(text.to_owned())
}

/// The settings of a generic route.
pub(super) const GENERIC: &[Setting] = &[
    Setting {
        key: "raw.NAME.url",
        default: "",
        kind: Kind::Text(
            "an absolute http or https URL without query, fragment, user name and password",
            |config, text| {
                config.route().url = base_url(text)?;
                Ok(())
            },
        ),
        doc: "Where `/raw/NAME/…` leads: the path behind the name is appended. Any number of routes, each with a name of its own (1 to 32 of `a-z`, `0-9` and `-`). What is kept and for how long follows the upstream's own `Cache-Control`, as RFC 9111 says.",
        short: None,
    },
    Setting {
        key: "raw.NAME.redirect_hosts",
        default: "[]",
        kind: Kind::List(
            "a host name, or *.domain for all hosts below it",
            |config| config.route().redirect_hosts.clear(),
            |config, text| {
                let pattern = text.parse()?;
                config.route().redirect_hosts.push(pattern);
                Ok(())
            },
        ),
        doc: "Hosts whose redirects nugate follows itself. Redirects to all others are passed on to the client.",
        short: None,
    },
    Setting {
        key: "raw.NAME.unsafe_methods",
        default: "false",
        kind: Kind::Switch(|config, switch| config.route().unsafe_methods = switch),
        doc: "Whether methods other than GET and HEAD are passed on. What they change is forgotten.",
        short: None,
    },
    Setting {
        key: "raw.NAME.credentials",
        default: "\"drop\"",
        kind: Kind::Choice(&["drop", "relay"], |config, index| {
            config.route().relay_credentials = index == 1;
        }),
        doc: "`relay` passes `Authorization`, `Cookie` and `X-NuGet-ApiKey` of clients on to this upstream, and its cookies back; `drop` keeps them from it.",
        short: None,
    },
    Setting {
        key: "raw.NAME.ttl",
        default: "\"0s\"",
        kind: Kind::Period(Duration::ZERO, LONGEST, |config, period| {
            config.route().ttl = period;
        }),
        doc: "How long a response is fresh that does not say so itself.",
        short: None,
    },
    Setting {
        key: "raw.NAME.heuristic_ttl",
        default: "\"0s\"",
        kind: Kind::Period(Duration::ZERO, LONGEST, |config, period| {
            config.route().heuristic_ttl = period;
        }),
        doc: "The most of a tenth of the time since `Last-Modified` that a response is fresh for which does not say so itself; 0 is no such guess.",
        short: None,
    },
    Setting {
        key: "raw.NAME.stale_if_unreachable",
        default: "\"7d\"",
        kind: Kind::Period(Duration::ZERO, LONGEST, |config, period| {
            config.route().stale_if_unreachable = period;
        }),
        doc: "After its lifetime, a response that does not forbid it is served when the upstream cannot be reached, this long. When the upstream answers with an error, only the response's own `stale-if-error` counts.",
        short: None,
    },
    Setting {
        key: "raw.NAME.rewrite",
        default: "[]",
        kind: Kind::List(
            "a path below the URL, such as tools.json",
            |config| config.route().rewrite.clear(),
            |config, text| {
                let path = document(text)?;
                config.route().rewrite.push(path);
                Ok(())
            },
        ),
        doc: "JSON documents whose links below `url` are changed to lead to this route.",
        short: None,
    },
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Sources;

    fn sources(file: &str, environment: &[(&str, &str)]) -> Sources {
        let environment = [&[("HOME", "/home/n")], environment].concat().into_iter();
        Sources {
            file: Some((PathBuf::from("n.toml"), file.to_owned())),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            flags: Vec::new(),
        }
    }

    #[test]
    fn each_route_has_its_settings_and_the_defaults() {
        let file = "[raw.dist]\nurl = 'https://dist.nuget.org'\nrewrite = ['tools.json']\n\
                    [raw.own]\nurl = 'http://h/a'\nttl = '5s'\ncredentials = 'relay'\n";
        let environment = [
            ("NUGATE_RAW__DIST__UNSAFE_METHODS", "true"),
            ("NUGATE_RAW__THIRD__URL", "http://third/"),
        ];
        let sources = sources(file, &environment);
        let mut routes = Config::load(&sources).unwrap().raw;
        routes.sort_by(|a, b| a.name.cmp(&b.name));
        let week = Duration::from_hours(24 * 7);
        let expected = |name: &str, url: &str| GenericConfig {
            url: url.parse().unwrap(),
            stale_if_unreachable: week,
            ..GenericConfig::blank(name)
        };
        let dist = GenericConfig {
            unsafe_methods: true,
            rewrite: vec!["tools.json".to_owned()],
            ..expected("dist", "https://dist.nuget.org/")
        };
        let own = GenericConfig {
            ttl: Duration::from_secs(5),
            relay_credentials: true,
            ..expected("own", "http://h/a/")
        };
        assert_eq!(routes, [dist, own, expected("third", "http://third/")]);
        let origins = Config::explain(&sources).unwrap();
        let of = |key: &str| {
            let origin = origins.iter().find(|origin| origin.key == key).unwrap();
            format!("{} {}", origin.value, origin.place)
        };
        assert_eq!(of("raw.own.ttl"), "\"5s\" n.toml:6:7");
        assert_eq!(of("raw.dist.ttl"), "\"0s\" default");
    }

    #[test]
    fn the_example_is_ready_to_be_switched_on() {
        let setting = |line: &str| {
            let key = line.split_once(" = ").map(|(key, _)| key);
            let word = |key: &str| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            line.starts_with("[raw.") || key.is_some_and(word)
        };
        let example = crate::config::render::render_example();
        let lines = example.lines().filter_map(|line| line.strip_prefix("# "));
        let all: Vec<_> = lines.filter(|line| setting(line)).collect();
        let start = all
            .iter()
            .position(|line| line.starts_with("[raw."))
            .unwrap();
        let block = all[start..].iter().take(GENERIC.len() + 1).copied();
        let block: Vec<_> = block.collect();
        let config = Config::load(&sources(&block.join("\n"), &[])).unwrap();
        assert_eq!(config.raw.len(), 1, "{block:?}");
        assert_eq!(config.raw[0].url.as_str(), EXAMPLE.1);
        assert_eq!(config.raw[0].rewrite, ["tools.json"]);
    }

    #[test]
    fn mistakes_in_routes_are_told_with_their_places() {
        let file = "[raw.dist]\nunsafe_methods = 1\nrewrite = ['/x', 'a b']\n[raw.B]\n\
                    url = 'ftp://h/'\n[raw.c]\nurl = 'http://h/'\nredirect_hosts = ['a/b']\nulr = 1\n";
        let wrong = Config::load(&sources(file, &[])).unwrap_err().to_string();
        let lines: Vec<_> = wrong.lines().collect();
        assert_eq!(
            lines,
            [
                "n.toml:4:6: raw.B: is not a route name; allowed: 1 to 32 of a-z, 0-9 and -",
                "n.toml:9:1: raw.c.ulr: is not a known key, did you mean `raw.c.url`",
                "n.toml:2:18: raw.dist.url: is missing: a route needs the URL it leads to",
                "n.toml:2:18: raw.dist.unsafe_methods = 1: is a whole number, not a switch; allowed: true or false",
                "n.toml:3:12: raw.dist.rewrite = \"/x\": is not a path below the URL of the route; allowed: a list, each a path below the URL, such as tools.json",
                "n.toml:3:18: raw.dist.rewrite = \"a b\": is not a path below the URL of the route; allowed: a list, each a path below the URL, such as tools.json",
                "n.toml:5:7: raw.B.url = \"ftp://h/\": has the scheme `ftp`; allowed: an absolute http or https URL without query, fragment, user name and password",
                "n.toml:8:19: raw.c.redirect_hosts = \"a/b\": is not a host name; allowed: a list, each a host name, or *.domain for all hosts below it",
            ]
        );
    }
}
