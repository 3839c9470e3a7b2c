//! What wins of file, environment and flags, and what is refused with which words.

use super::*;
use crate::config::render::render_example;

fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources {
    let home = ("HOME", "/home/n");
    Sources {
        file: (!file.is_empty()).then(|| (PathBuf::from("n.toml"), file.to_owned())),
        environment: [&[home], environment]
            .concat()
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        flags: flags
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect(),
    }
}

#[track_caller]
fn wrong(sources: &Sources, expected: &[&str]) {
    let errors = Config::load(sources).unwrap_err().to_string();
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn no_file_is_needed_and_the_example_is_the_defaults() {
    let config = Config::load(&sources("", &[], &[])).unwrap();
    assert_eq!(config.freshness, Freshness::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:6842");
    assert_eq!(config.feed.name, "nuget");
    assert_eq!(
        config.feed.url.as_str(),
        "https://api.nuget.org/v3/index.json"
    );
    assert_eq!(config.feed.redirect_hosts.len(), 5);
    assert_eq!(config.cache.dir, PathBuf::from("/home/n/.cache/nugate"));
    assert_eq!(config.cache.memory, 64 << 20);
    assert_eq!(config.log.level, LogLevel::Info);
    assert_eq!(config.network, Network::default());
    assert!(config.public_url.is_none() && config.allowed_hosts.is_empty());
    let example = Config::load(&sources(&render_example(), &[], &[])).unwrap();
    assert_eq!(example, config);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "listen = '127.0.0.1:1'\nnetwork = 'offline'\n[cache]\nmemory = 2097152\n\
                [feeds.corp]\nurl = 'http://file/'\nredirect_hosts = ['a', '*.b']";
    let environment = [
        ("NUGATE_LISTEN", "127.0.0.1:2"),
        ("NUGATE_CACHE__MEMORY", "3 MiB"),
        ("NUGATE_FEEDS__CORP__ATTEMPTS", "7"),
        ("NUGATE_FRESHNESS__VERSIONS__FRESH", "9s"),
        ("NUGATE_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("NUGATE_HONOUR_NO_CACHE", "false"),
        ("NUGATE_PUBLIC_URL", ""),
        ("NUGATE_CONFIG", "elsewhere"),
        ("NUGATE_PORT", "tcp://10.0.0.1:80"),
        ("NUGATE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("NUGATE_SERVICE_HOST", "10.0.0.1"),
    ];
    let flags = [
        ("listen", "127.0.0.1:3"),
        ("feeds.NAME.url", "http://flag/"),
    ];
    let sources = sources(file, &environment, &flags);
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.network, Network::Offline);
    assert_eq!(config.cache.memory, 3 << 20);
    assert_eq!(config.feed.name, "corp");
    assert_eq!(config.feed.url.as_str(), "http://flag/");
    assert_eq!(config.feed.redirect_hosts.len(), 2);
    assert_eq!(config.feed.attempts, 7);
    assert_eq!(config.freshness.versions.fresh, Duration::from_secs(9));
    assert_eq!(config.trusted_proxies.len(), 2);
    assert!(!config.honour_no_cache);
    let origins = Config::explain(&sources).unwrap();
    let places: Vec<_> = ["listen", "network", "cache.memory", "log.level"]
        .iter()
        .filter_map(|key| origins.iter().find(|origin| origin.key == *key))
        .map(|origin| format!("{} {}", origin.value, origin.place))
        .collect();
    assert_eq!(
        places,
        [
            "\"127.0.0.1:3\" flag --listen",
            "\"offline\" n.toml:2:11",
            "\"3 MiB\" environment NUGATE_CACHE__MEMORY",
            "\"info\" default",
        ]
    );
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let file = "lsiten = '127.0.0.1:1'\nmemory = '1 GiB'\nnetwork = 'ofline'\n\
                trusted_proxies = [\n  '10.0.0.0/8',\n  '10.1.0.0/8',\n  7,\n]\n\
                [cache]\ndocument_size_max = '1 GiB'\n[feeds.nuget]\nattempts = 0\n\
                connect_timeout = 5\nurl = 'https://u:secret@h/'\n[log.level]\n[frehsness]\n";
    wrong(
        &sources(
            file,
            &[("NUGATE_CACHE__MEMROY", "1"), ("NUGATE_WEB_LINKS", "no")],
            &[("listen", "localhost:1")],
        ),
        &[
            "n.toml:1:1: lsiten: is not a known key, did you mean `listen`",
            "n.toml:2:1: memory: is not a known key, did you mean `cache.memory`",
            "n.toml:16:2: frehsness: is not a known key, did you mean `freshness`",
            "environment NUGATE_CACHE__MEMROY: NUGATE_CACHE__MEMROY: is not a known variable, did you mean NUGATE_CACHE__MEMORY",
            "n.toml:3:11: network = \"ofline\": is not known, did you mean \"offline\"; allowed: \"online\", \"prefer-cache\", \"offline\"",
            "n.toml:6:3: trusted_proxies = \"10.1.0.0/8\": has bits set behind its prefix: the network is 10.0.0.0/8; allowed: a list, each a network such as 10.0.0.0/8, or an address",
            "n.toml:7:3: trusted_proxies = 7: is a whole number, not a string; allowed: a list, each a network such as 10.0.0.0/8, or an address",
            "n.toml:10:21: cache.document_size_max = \"1 GiB\": is too large; allowed: a size from 1 MiB to 512 MiB",
            "n.toml:12:12: feeds.nuget.attempts = 0: is too small; allowed: a whole number from 1 to 10",
            "n.toml:13:19: feeds.nuget.connect_timeout = 5: is a whole number, not a string; allowed: a duration from 100ms to 1h",
            "n.toml:14:7: feeds.nuget.url = \"https://***@h/\": has a user name or password in it; allowed: an absolute http or https URL without fragment, user name and password, or folder: and an absolute path",
            "n.toml:15:1: log.level = (a table): is a table, not a string; allowed: \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
            "environment NUGATE_WEB_LINKS: web_links = \"no\": is not known; allowed: \"keep\", \"drop\"",
            "flag --listen: listen = \"localhost:1\": is not an address and a port; allowed: an address and a port, such as 127.0.0.1:6842 or [::]:6842",
        ],
    );
}

#[test]
fn syntax_errors_and_repeated_keys_have_line_and_column() {
    wrong(
        &sources("network = 'x'\nlisten = 'a'\nlisten = 'b'\n", &[], &[]),
        &[
            "n.toml:3:1: listen: duplicate key",
            "n.toml:1:11: network = \"x\": is not known; allowed: \"online\", \"prefer-cache\", \"offline\"",
            "n.toml:2:10: listen = \"a\": is not an address and a port; allowed: an address and a port, such as 127.0.0.1:6842 or [::]:6842",
        ],
    );
    let errors = Config::load(&sources(
        "network = 'x'\n[cache\nmemory = '1 GiB'\n",
        &[],
        &[],
    ))
    .unwrap_err()
    .to_string();
    assert!(errors.starts_with("n.toml:2:"), "{errors}");
    assert!(errors.contains("n.toml:1:11: network"), "{errors}");
    assert!(!errors.contains("memory"), "{errors}");
}

#[test]
fn feeds_stand_in_the_order_of_precedence() {
    let file = "versions = 'united'\n[[feed]]\nname = 'corp'\nurl = 'http://corp/'\n\
                owns = ['Contoso.*', 'Exact.Id']\n[[feed]]\nname = 'nuget'\nattempts = 9\n";
    let environment = [
        ("NUGATE_FEEDS__CORP__ATTEMPTS", "7"),
        ("NUGATE_FEEDS__NUGET__ATTEMPTS", "8"),
    ];
    let sources = sources(file, &environment, &[]);
    let config = Config::load(&sources).unwrap();
    let feeds: Vec<_> = config
        .feeds()
        .map(|feed| {
            (
                feed.name.as_str(),
                feed.url.as_str(),
                feed.attempts,
                feed.owns.len(),
            )
        })
        .collect();
    let expected = [
        ("corp", "http://corp/", 7, 2),
        ("nuget", "https://api.nuget.org/v3/index.json", 8, 0),
    ];
    assert_eq!(feeds, expected);
    assert_eq!(config.versions, Versions::United);
    assert_eq!(config.more_feeds[0].redirect_hosts.len(), 5);
    let origins = Config::explain(&sources).unwrap();
    let of = |key: &str| origins.iter().find(|origin| origin.key == key).unwrap();
    assert_eq!(of("feeds.corp.url").value, "\"http://corp/\"");
    assert_eq!(of("feeds.nuget.url").place, Place::Default);
    let mut keys: Vec<_> = origins.iter().map(|origin| &origin.key).collect();
    let before = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), before);
}

#[test]
fn mistakes_in_several_feeds_are_told_at_once() {
    let file = "[[feed]]\nname = 'a'\nurl = 'http://a/'\n[[feed]]\nname = 'a'\n[[feed]]\n\
                url = 'http://b/'\n[[feed]]\nname = 'c'\nowns = ['A.*', 'a b', 'x.*.y']\n\
                urll = 'http://c/'\n[feeds.d]\nurl = 'http://d/'\n";
    let allowed = "allowed: a list, each a package id, or the beginning of one with `*` at its end";
    let ids = [
        format!("n.toml:10:16: feeds.c.owns = \"a b\": is no package id; {allowed}"),
        format!(
            "n.toml:10:23: feeds.c.owns = \"x.*.y\": has a `*` that is not at its end; {allowed}"
        ),
    ];
    wrong(
        &sources(
            file,
            &[("NUGATE_UPSTREAM", "http://e/")],
            &[("feeds.NAME.url", "http://f/")],
        ),
        &[
            "n.toml:4:1: feed = \"a\": is the name of two feeds",
            "n.toml:6:1: feed: has no `name`, which is a string",
            "n.toml:11:1: feeds.c.urll: is not a known key, did you mean `feeds.c.url`",
            "n.toml:12:8: feeds.d: is none of the [[feed]] tables, which are all feeds where there are any",
            &ids[0],
            &ids[1],
            "environment NUGATE_UPSTREAM: feeds.NAME.url = \"http://e/\": is for a single feed, and there are 2; allowed: the `url` of each in the file, or NUGATE_FEEDS__NAME__URL",
            "flag --upstream: feeds.a.url = \"http://f/\": is for a single feed, and there are 2; allowed: the `url` of each in the file, or NUGATE_FEEDS__NAME__URL",
        ],
    );
    let list = "is a list of tables: write [[feed]] for each feed, with its `name` and `url`";
    for (file, expected) in [
        (
            "[[feed]]\nname = 'b'\n",
            "n.toml:1:1: feeds.b.url: is missing: a feed needs the URL of its service index"
                .to_owned(),
        ),
        ("feed = 'a'\n", format!("n.toml:1:8: feed = \"a\": {list}")),
        (
            "[[feeds]]\n",
            format!("n.toml:1:3: feeds = [(a table)]: {list}"),
        ),
    ] {
        wrong(&sources(file, &[], &[]), &[&expected]);
    }
}

#[test]
fn there_is_one_feed_and_a_place_to_keep_things() {
    wrong(
        &sources("[feeds.corp]\n[feeds.Other]\n", &[], &[]),
        &[
            "n.toml:2:8: feeds.Other: is not a feed name; allowed: 1 to 32 of a-z, 0-9 and -",
            "n.toml:2:8: feeds.Other: is a second feed beside `corp`: several feeds are written as [[feed]] tables, in the order of precedence",
            "n.toml:1:8: feeds.corp.url: is missing: a feed needs the URL of its service index",
            "n.toml:2:8: feeds.Other.url: is missing: a feed needs the URL of its service index",
        ],
    );
    wrong(
        &sources(
            "",
            &[("NUGATE_CACHE_DIR", "/a"), ("NUGATE_CACHE__DIR", "/b")],
            &[],
        ),
        &[
            "environment NUGATE_CACHE__DIR: cache.dir = \"/b\": is set a second time, first by environment NUGATE_CACHE_DIR",
        ],
    );
    wrong(
        &Sources::default(),
        &[
            "default: cache.dir: neither XDG_CACHE_HOME nor HOME is an absolute path: give --cache-dir",
        ],
    );
}
