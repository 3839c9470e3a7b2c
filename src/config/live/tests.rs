//! That the list of live settings is what happens.

use std::path::PathBuf;

use super::*;
use crate::config::setting::Kind;
use crate::config::table::settings;

/// A file in which every setting has a meaning.
const BASE: &str = "
[tls]
certificate = '/c'
key = '/k'
client_authorities = '/a'
[feeds.nuget]
url = 'https://feed.example/v3/index.json'
[raw.dist]
url = 'https://dist.example/'
[[bandwidth]]
rate = '2 Mbit/s'
";

/// A value for each setting whose kind does not give one.
const SAMPLES: &[(&str, &str)] = &[
    ("listen", "'127.0.0.1:9'"),
    ("admin_listen", "'127.0.0.1:10'"),
    ("public_url", "'https://cache.example/nuget'"),
    ("allowed_hosts", "['cache.example']"),
    ("trusted_proxies", "['10.0.0.0/8']"),
    ("tls.certificate", "'/c2'"),
    ("tls.key", "'/k2'"),
    ("tls.client_authorities", "'/a2'"),
    ("access.users_file", "'/users'\nmode = 'required'"),
    ("access.keys", "['ci:read:KEY']\nmode = 'required'"),
    ("access.mode", "'required'\nusers_file = '/users'"),
    ("access.push_users", "['alice']"),
    ("access.admin_users", "['alice']"),
    ("access.anonymous_networks", "['10.0.0.0/8']"),
    ("feeds.NAME.url", "'https://other.example/v3/index.json'"),
    ("feeds.NAME.owns", "['Contoso.*']"),
    ("feeds.NAME.redirect_hosts", "['cdn.example']"),
    ("feeds.NAME.pass_types", "['Custom/1.0.0']"),
    ("feeds.NAME.push_key", "'k'"),
    ("feeds.NAME.auth", "'bearer'\npassword = 'p'"),
    ("feeds.NAME.username", "'u'\nauth = 'basic'\npassword = 'p'"),
    (
        "feeds.NAME.auth_header",
        "'X-Key'\nauth = 'header'\npassword = 'p'",
    ),
    ("feeds.NAME.password", "'p'\nauth = 'bearer'"),
    ("feeds.NAME.password_env", "'SECRET'\nauth = 'bearer'"),
    ("feeds.NAME.password_file", "'SECRETS/s'\nauth = 'bearer'"),
    ("feeds.NAME.password_credential", "'s'\nauth = 'bearer'"),
    (
        "feeds.NAME.credential_hosts",
        "['cdn.example']\nauth = 'bearer'\npassword = 'p'",
    ),
    ("time_zone", "'+02:00'"),
    ("proxy", "'http://proxy.example:3128'"),
    (
        "proxy_username",
        "'u'\nproxy = 'http://proxy.example:3128'\nproxy_password = 'p'",
    ),
    (
        "proxy_password",
        "'p'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    (
        "proxy_password_env",
        "'SECRET'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    (
        "proxy_password_file",
        "'SECRETS/s'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    (
        "proxy_password_credential",
        "'s'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    (
        "no_proxy",
        "['.corp.example']\nproxy = 'http://proxy.example:3128'",
    ),
    ("ca_file", "'/ca'"),
    ("source_address", "['127.0.0.1']"),
    ("clients.rate", "'2 Mbit/s'"),
    ("feeds.NAME.rate", "'2 Mbit/s'"),
    ("feeds.NAME.proxy", "'http://proxy.example:3128'"),
    (
        "feeds.NAME.proxy_username",
        "'u'\nproxy = 'http://proxy.example:3128'\nproxy_password = 'p'",
    ),
    (
        "feeds.NAME.proxy_password",
        "'p'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    (
        "feeds.NAME.proxy_password_env",
        "'SECRET'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    (
        "feeds.NAME.proxy_password_file",
        "'SECRETS/s'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    (
        "feeds.NAME.proxy_password_credential",
        "'s'\nproxy = 'http://proxy.example:3128'\nproxy_username = 'u'",
    ),
    ("feeds.NAME.ca_file", "'/ca'"),
    ("feeds.NAME.client_certificate", "'/c'\nclient_key = '/k'"),
    ("feeds.NAME.client_key", "'/k'\nclient_certificate = '/c'"),
    ("bandwidth.NAME.rate", "'4 Mbit/s'"),
    ("bandwidth.NAME.direction", "'clients'"),
    ("bandwidth.NAME.from", "'08:00'"),
    ("bandwidth.NAME.to", "'18:00'"),
    ("bandwidth.NAME.days", "'mon-fri'"),
    ("raw.NAME.url", "'https://other.example/'"),
    ("raw.NAME.redirect_hosts", "['cdn.example']"),
    ("raw.NAME.rewrite", "['tools.json']"),
];

fn load(file: &str, secrets: &str) -> Loaded {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let sources = Sources {
        file: Some((PathBuf::from("n.toml"), file.to_owned())),
        environment: vec![
            variable("HOME", "/home/n"),
            variable("SECRET", "s"),
            variable("CREDENTIALS_DIRECTORY", secrets),
        ],
        flags: Vec::new(),
    };
    Loaded::read(&sources).unwrap_or_else(|errors| panic!("{file}\n{errors}"))
}

/// The key of a setting, of the feed, route or limit of the base.
fn named(setting: &Setting) -> String {
    let key = setting.key.replace("feeds.NAME", "feeds.nuget");
    let key = key.replace("raw.NAME", "raw.dist");
    key.replace("bandwidth.NAME", "bandwidth.1")
}

/// The file with another value for a setting than the base.
fn with(setting: &Setting, secrets: &str) -> String {
    let sample = match &setting.kind {
        Kind::Period(min, max, _) => other(
            setting,
            [
                format!("'{}ms'", min.as_millis()),
                format!("'{}s'", max.as_secs()),
            ],
        ),
        Kind::Size(min, max, _) => other(setting, [min.to_string(), max.to_string()]),
        Kind::Count(min, max, _) => other(setting, [min.to_string(), max.to_string()]),
        Kind::Switch(_) => (setting.default != "true").to_string(),
        Kind::Directory(_) => "'/elsewhere'".to_owned(),
        Kind::Choice(names, _) if !SAMPLES.iter().any(|(key, _)| *key == setting.key) => {
            other(setting, [0, 1].map(|at| format!("\"{}\"", names[at])))
        }
        _ => {
            let sample = SAMPLES.iter().find(|(key, _)| *key == setting.key);
            let (_, text) = sample.unwrap_or_else(|| panic!("{} has no sample", setting.key));
            text.replace("KEY", &"00".repeat(32))
                .replace("SECRETS", secrets)
        }
    };
    let key = named(setting).replace("bandwidth.1", "[bandwidth]");
    let (table, name) = key.rsplit_once('.').unwrap_or(("", &key));
    let line = format!("{name} = {sample}\n");
    let without: String = BASE
        .lines()
        .filter(|it| !it.is_empty())
        .fold((String::new(), ""), |(text, at), it| {
            let at = it
                .strip_prefix('[')
                .and_then(|it| it.strip_suffix(']'))
                .unwrap_or(at);
            let replaced = at == table && it.split(' ').next() == Some(name);
            let more = if replaced {
                String::new()
            } else {
                format!("{it}\n")
            };
            let more = if it == format!("[{table}]") {
                more + &line
            } else {
                more
            };
            (text + &more, at)
        })
        .0;
    match table {
        "" => line + &without,
        table if without.contains(&format!("[{table}]\n")) => without,
        table => format!("{without}[{table}]\n{line}"),
    }
}

/// The bound that is not the default.
fn other(setting: &Setting, bounds: [String; 2]) -> String {
    let [low, high] = bounds;
    let is_default = |text: &str| {
        let key = named(setting);
        let value = |text: &str| {
            let mut raw = RawConfig::default();
            raw.add_file("n.toml", &format!("{key} = {text}"));
            raw.written.pop().unwrap().value
        };
        is_same(
            setting,
            &key,
            Some(&value(text)),
            Some(&value(setting.default)),
        )
    };
    if is_default(&low) { high } else { low }
}

#[test]
fn what_is_listed_as_live_is_what_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("s"), "secret").unwrap();
    let before = load(BASE, secrets);
    for setting in settings() {
        let file = with(setting, secrets);
        let newer = load(&file, secrets);
        assert_ne!(newer.config, before.config, "{file}");
        let now = before.take_over(&newer);
        let changes = before.changes(&newer);
        let key = named(setting);
        let of = |changes: &[Change]| {
            let found = changes.iter().find(|change| change.key == key);
            found.map(|change| change.is_live)
        };
        if setting.key == "feeds.NAME.credential_hosts" {
            // Hosts change with their secret at the restart.
            assert_eq!(of(&changes), Some(false));
            assert!(changes.iter().all(|change| !change.is_live), "{changes:?}");
            assert_eq!(now.config, before.config);
            continue;
        }
        assert_eq!(
            of(&changes),
            Some(setting.is_live()),
            "{key} of {changes:?}"
        );
        assert_eq!(now.config == newer.config, setting.is_live(), "{key}");
        assert_eq!(now.config == before.config, !setting.is_live(), "{key}");
        // What was taken over is no news; what waits for the restart is told again.
        assert_eq!(
            of(&now.changes(&newer)),
            (!setting.is_live()).then_some(false)
        );
        assert_eq!(of(&now.changes(&before)), setting.is_live().then_some(true));
    }
}

#[test]
fn other_words_for_the_same_are_no_change() {
    let one = load(
        "[freshness.versions]\nfresh = '60s'\n[cache]\nsize_max = 21474836480",
        "",
    );
    let other = load("[cache]\nsize_max = '20 GiB'", "");
    assert_eq!(one.changes(&other), []);
}

#[test]
fn every_name_in_the_list_is_one_of_the_table() {
    for live in LIVE {
        let known = settings()
            .any(|it| it.key == *live || (live.ends_with('.') && it.key.starts_with(live)));
        assert!(known, "{live}");
    }
}

#[test]
fn a_secret_does_not_go_where_it_is_not_meant_for() {
    let of = |url: &str, password: &str| {
        let file = format!(
            "[feeds.corp]\nurl = 'https://{url}/'\nauth = 'bearer'\npassword = '{password}'\npush_key = '{password}'"
        );
        load(&file, "")
    };
    let (before, newer) = (of("old", "one"), of("new", "two"));
    let changes = before.changes(&newer);
    assert!(changes.iter().all(|change| !change.is_live), "{changes:?}");
    let keys: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
    let expected = [
        "feeds.corp.password",
        "feeds.corp.push_key",
        "feeds.corp.url",
    ];
    assert_eq!(keys, expected);
    assert_eq!(before.take_over(&newer).config, before.config);
    let renewed = of("old", "two");
    assert!(before.changes(&renewed).iter().all(|change| change.is_live));
    assert_eq!(before.take_over(&renewed).config, renewed.config);
}

#[test]
fn the_content_of_a_file_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let file = format!(
        "[feeds.corp]\nurl = 'https://a/'\nauth = 'bearer'\npassword_file = '{}'",
        path.display()
    );
    std::fs::write(&path, "one").unwrap();
    let before = load(&file, "");
    std::fs::write(&path, "two").unwrap();
    let newer = load(&file, "");
    let expected = [Change {
        key: "feeds.corp.password_file".to_owned(),
        is_live: true,
    }];
    assert_eq!(before.changes(&newer), expected);
    assert_eq!(before.take_over(&newer).config, newer.config);
}

#[test]
fn feeds_and_routes_come_and_go_with_a_restart() {
    let one = load("[[feed]]\nname = 'a'\nurl = 'https://a/'\n", "");
    let file = "[[feed]]\nname = 'b'\nurl = 'https://b/'\n[[feed]]\nname = 'a'\nurl = 'https://a/'\n\
                push_key = 'k'\n[raw.r]\nurl = 'https://r/'";
    let two = load(file, "");
    let told: Vec<_> = one
        .changes(&two)
        .into_iter()
        .map(|it| (it.key, it.is_live))
        .collect();
    let expected = [
        ("feed", false),
        ("feeds.a.push_key", true),
        ("feeds.b", false),
        ("raw.r", false),
    ];
    assert_eq!(told, expected.map(|(key, live)| (key.to_owned(), live)));
    let now = one.take_over(&two).config;
    assert_eq!((now.feeds().count(), now.raw.len()), (1, 0));
    assert!(now.feed.push_key.is_some());
}
