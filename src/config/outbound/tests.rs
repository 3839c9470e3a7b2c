//! The settings of outgoing connections: what wins, what is refused, what is never shown.

use std::path::PathBuf;

use super::*;
use crate::config::{Config, FeedConfig, Sources};

const FEED: &str = "[feeds.corp]\nurl = 'https://feed.example/v3/index.json'\n";

/// A file, and the variables of the environment.
fn sources(all: &str, feed: &str, environment: &[(&str, &str)]) -> Sources {
    let pairs = [&[("HOME", "/home/n")], environment].concat();
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources {
        file: Some((PathBuf::from("n.toml"), format!("{all}\n{FEED}{feed}\n"))),
        environment: pairs.collect(),
        flags: Vec::new(),
    }
}

fn load(all: &str, feed: &str, environment: &[(&str, &str)]) -> FeedConfig {
    let sources = sources(all, feed, environment);
    let config = Config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
    config.feed
}

#[track_caller]
fn wrong(all: &str, feed: &str, environment: &[(&str, &str)], expected: &str) {
    let sources = sources(all, feed, environment);
    let errors = Config::load(&sources).unwrap_err().to_string();
    assert!(errors.contains(expected), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

/// The proxies for http and for https.
#[track_caller]
fn through(feed: &FeedConfig, plain: &str, tls: &str) {
    let proxies = &feed.outbound.settled.proxies;
    let of = |is_tls, port| {
        let proxy = proxies.of(is_tls, "feed.example", port);
        proxy.map_or_else(String::new, |proxy| match &proxy.credential {
            Some(it) => format!("{proxy} as {}:{}", it.username, it.password.expose()),
            None => proxy.to_string(),
        })
    };
    assert_eq!(
        (of(false, 80).as_str(), of(true, 443).as_str()),
        (plain, tls)
    );
}

#[test]
fn settings_win_over_the_variables_that_all_programs_share() {
    let shared = [
        ("HTTPS_PROXY", "http://upper.example:1"),
        ("https_proxy", "http://lower.example:2"),
        ("HTTP_PROXY", "plain.example:3"),
        ("ALL_PROXY", "socks5://all.example"),
    ];
    let (plain, lower) = ("http://plain.example:3", "http://lower.example:2");
    through(&load("", "", &[]), "", "");
    through(&load("", "", &shared), plain, lower);
    through(&load("proxy = 'none'", "", &shared), "", "");
    through(&load("", "proxy = 'none'", &shared), "", "");
    let own = "https://own.example:443";
    through(
        &load("proxy = 'https://own.example/'", "", &shared),
        own,
        own,
    );
    let feed = load(
        "proxy = 'http://own.example'",
        "proxy = 'HTTPS://OWN.example'",
        &shared,
    );
    through(&feed, own, own);
    let variable = [("NUGATE_FEEDS__CORP__PROXY", "http://v.example"), shared[0]];
    let expected = "http://v.example:80";
    through(
        &load("proxy = 'none'", "proxy = 'none'", &variable),
        expected,
        expected,
    );
    let all = [("all_proxy", "http://u:p%40w@all.example:8")];
    let expected = "http://all.example:8 as u:p@w";
    through(&load("", "", &all), expected, expected);
    through(&load("", "", &[("HTTPS_PROXY", ""), shared[2]]), plain, "");
}

#[test]
fn exemptions_are_the_setting_or_else_the_variable() {
    let proxy = "proxy = 'http://own.example:3128'\n";
    let shared = [("NO_PROXY", "localhost, .other.example,feed.example")];
    let own = "http://own.example:3128";
    through(&load(proxy, "", &shared), "", "");
    through(&load(&format!("{proxy}no_proxy = []"), "", &shared), "", "");
    let setting = format!("{proxy}no_proxy = ['10.0.0.0/8', 'feed.example:80']");
    through(&load(&setting, "", &shared), "", own);
    through(
        &load(&setting, "proxy = 'http://feeds.example'", &[]),
        "",
        "http://feeds.example:80",
    );
}

#[test]
fn the_password_of_a_proxy_comes_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "hunter2\n").unwrap();
    let folder = dir.path().display().to_string();
    let environment = [
        ("PW", "hunter2"),
        ("CREDENTIALS_DIRECTORY", folder.as_str()),
    ];
    let expected = "http://p.example:80 as me:hunter2";
    for source in [
        "proxy_password = 'hunter2'".to_owned(),
        "proxy_password_env = 'PW'".to_owned(),
        format!("proxy_password_file = '{folder}/pw'"),
        "proxy_password_credential = 'pw'".to_owned(),
    ] {
        for address in [
            "proxy = 'http://me@p.example'",
            "proxy = 'http://p.example'\nproxy_username = 'me'",
        ] {
            let lines = format!("{address}\n{source}");
            through(&load(&lines, "", &environment), expected, expected);
            through(&load("", &lines, &environment), expected, expected);
            // Another proxy does not get it.
            let other = "proxy = 'http://q.example'";
            let expected = "http://q.example:80";
            through(&load(&lines, other, &environment), expected, expected);
        }
    }
    let inside = "proxy = 'http://m%65:hunter%32@p.example'";
    through(&load(inside, "", &[]), expected, expected);
    let all = sources(inside, "proxy = 'http://u:hunter2@p.example'", &[]);
    let config = Config::load(&all).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let origins = Config::explain(&all).unwrap();
    assert!(!format!("{origins:?}").contains("hunter"), "{origins:?}");
}

/// What is no proxy, and why.
const NO_PROXIES: &[(&str, &str)] = &[
    (
        "socks5://u:hunter2@p.example",
        "has another scheme than http and https",
    ),
    (
        "http://u:hunter2@p.example:99999",
        "is not a URL (invalid port number)",
    ),
    ("http://u:hunter2@p.example:0", "has the port 0"),
    (
        "http://u:hun/ter2@p.example",
        "is not a URL (invalid port number)",
    ),
    ("http://", "is not a URL (empty host)"),
    (
        "http://p.example/path",
        "has something behind host and port",
    ),
    ("http://p.example?q", "has something behind host and port"),
    (
        "http://:hunter2@p.example",
        "has a password without a user name",
    ),
    (
        "http://a%3Ab:hunter2@p.example",
        "has a colon in the user name",
    ),
    (
        "http://u:hunter2%0A@p.example",
        "has a control character in it",
    ),
    ("http://u:%FFhunter2@p.example", "is not UTF-8"),
    (
        "http://u:hunter2@p.example ",
        "has a space or control character",
    ),
];

/// What is none as a setting, though it may be one as a variable.
const NO_SETTINGS: &[(&str, &str)] = &[
    ("p.example:3128", "does not begin with a scheme"),
    ("u:hunter2@p.example:3128", "does not begin with a scheme"),
    ("None", "does not begin with a scheme"),
    ("", "does not begin with a scheme"),
];

#[test]
fn what_is_no_proxy_never_means_none() {
    for (text, why) in NO_PROXIES.iter().chain(NO_SETTINGS) {
        wrong(&format!("proxy = '{text}'"), "", &[], why);
        wrong("", &format!("proxy = '{text}'"), &[], why);
    }
    wrong(
        "proxy = ['http://u:hunter2@p.example']",
        "",
        &[],
        "proxy = (a list): is a list",
    );
    wrong(
        "no_proxy = ['a', '127.*']",
        "",
        &[],
        "n.toml:1:18: no_proxy = \"127.*\": is not a host",
    );
}

#[test]
fn neither_does_it_in_the_variables_that_all_programs_share() {
    for name in ["HTTPS_PROXY", "http_proxy"] {
        for &(text, why) in NO_PROXIES {
            let environment = [(name, text)];
            wrong(
                "",
                "",
                &environment,
                &format!("environment {name}: proxy = "),
            );
            wrong("", "", &environment, why);
            wrong("", "", &environment, "; allowed: http://");
            // It does not count where a setting is.
            load("proxy = 'none'", "", &environment);
        }
    }
    let both = [("ALL_PROXY", "socks5://u:hunter2@p.example")];
    wrong(
        "",
        "",
        &both,
        "environment ALL_PROXY: proxy = \"socks5://***@p.example\": has another",
    );
    wrong("", "", &[("HTTPS_PROXY", "h\u{fffd}st:1")], "is not UTF-8");
    wrong(
        "",
        "",
        &[("no_proxy", "a,<local>")],
        "environment no_proxy: no_proxy = \"<local>\"",
    );
}

#[test]
fn every_setting_has_a_variable() {
    let variables = [
        ("NUGATE_PROXY", "http://p.example"),
        ("NUGATE_PROXY_USERNAME", "me"),
        ("NUGATE_PROXY_PASSWORD", "hunter2"),
        ("NUGATE_FEEDS__CORP__PROXY_USERNAME", "you"),
        ("NUGATE_FEEDS__CORP__PROXY_PASSWORD", "hunter2"),
        ("NUGATE_FEEDS__CORP__PROXY", "http://q.example"),
    ];
    let expected = "http://p.example:80 as me:hunter2";
    through(&load("", "", &variables[..3]), expected, expected);
    let expected = "http://q.example:80 as you:hunter2";
    through(&load("", "", &variables), expected, expected);
    let none = [("NUGATE_FEEDS__NAME__PROXY", "http://q.example")];
    let errors = Config::load(&sources("", "", &none))
        .unwrap_err()
        .to_string();
    assert!(errors.contains("is not a known variable"), "{errors}");
}

#[test]
fn what_does_not_go_together_is_told() {
    let proxy = "proxy = 'http://p.example'\n";
    let user = "proxy = 'http://u:hunter2@p.example'\n";
    for (lines, why) in [
        (
            "proxy_username = 'u'".to_owned(),
            "proxy_username: has no meaning without a `proxy`",
        ),
        (
            "proxy_password = 'hunter2'".to_owned(),
            "proxy_password: has no meaning without",
        ),
        (
            "proxy = 'none'\nproxy_password = 'hunter2'".to_owned(),
            "proxy_password: has no meaning without",
        ),
        (
            format!("{user}proxy_username = 'v'"),
            "proxy_username: is set beside a user name",
        ),
        (
            format!("{user}proxy_password = 'x'"),
            "proxy_password: is set beside a password",
        ),
        (
            format!("{proxy}proxy_password = 'hunter2'"),
            "proxy_username: is missing",
        ),
        (
            format!("{proxy}proxy_username = 'u'"),
            "proxy_password: is missing: the user of the proxy needs exactly one of proxy_password,",
        ),
        (
            format!("{proxy}proxy_username = 'u'\nproxy_password_file = '/nowhere/pw'"),
            "proxy_password_file: names /nowhere/pw, which cannot be read",
        ),
    ] {
        wrong(&lines, "", &[], why);
        wrong("", &lines, &[], why);
    }
    wrong(
        "source_address = ['127.0.0.1', '127.0.0.2']",
        "",
        &[],
        "is the second of its kind",
    );
    wrong(
        "source_address = ['0.0.0.0']",
        "",
        &[],
        "is not the address of a machine",
    );
    wrong(
        "ip = 'v6'\nsource_address = ['10.0.0.1']",
        "",
        &[],
        "source_address: has no address of",
    );
    wrong(
        "",
        "client_key = 'k'",
        &[],
        "corp.client_certificate: is missing: `client_key` needs",
    );
    wrong(
        "",
        "client_certificate = 'c'",
        &[],
        "feeds.corp.client_key: is missing",
    );
}

#[test]
fn another_proxy_does_not_get_the_password() {
    let lines = "proxy = 'http://p.example:3128'\nproxy_username = 'u'\nproxy_password = 'hunter2'";
    let other = [("NUGATE_PROXY", "http://q.example:3128")];
    let why = "environment NUGATE_PROXY: proxy = \"http://q.example:3128\": would send the password \
               that n.toml:3:18 gives for http://p.example:3128 to another proxy";
    wrong(lines, "", &other, why);
    load(lines, "", &[("NUGATE_PROXY", "http://p.example:3128/")]);
    load(lines, "", &[other[0], ("NUGATE_PROXY_PASSWORD", "other")]);
}

#[test]
fn addresses_and_authorities_are_those_of_all_and_of_the_feed() {
    let all = "ca_file = '/a.pem'\nsource_address = ['10.0.0.1']";
    let feed = "ca_file = '/b.pem'\nclient_certificate = '/c.pem'\nclient_key = '/k.pem'";
    let settled = load(all, feed, &[]).outbound.settled;
    assert_eq!(
        settled.ca_files,
        [PathBuf::from("/a.pem"), PathBuf::from("/b.pem")]
    );
    assert_eq!(
        settled.identity,
        Some((PathBuf::from("/c.pem"), PathBuf::from("/k.pem")))
    );
    assert_eq!(settled.source.v4, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(settled.family, Family::V4);
    let both = load("source_address = ['10.0.0.1', '::1']", "", &[])
        .outbound
        .settled;
    assert_eq!((both.family, both.source.v6.is_some()), (Family::Any, true));
    let v6 = load("ip = 'v6'", "", &[]).outbound.settled;
    assert!(
        v6.family.admits("::1".parse().unwrap()) && !v6.family.admits("127.0.0.1".parse().unwrap())
    );
}
