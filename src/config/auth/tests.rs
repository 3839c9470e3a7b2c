//! The settings of a credential: each form, each source, what does not go together.

use std::path::PathBuf;

use super::keys::{credential_name, field_name, path, username, variable};
use super::*;
use crate::config::{Config, Sources};

const FEED: &str = "[feeds.corp]\nurl = 'https://feed.example/v3/index.json'\n";

fn sources(lines: &str, environment: &[(&str, &str)]) -> Sources {
    let pairs = [&[("HOME", "/home/n")], environment].concat();
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources {
        file: Some((PathBuf::from("n.toml"), format!("{FEED}{lines}"))),
        environment: pairs.collect(),
        flags: Vec::new(),
    }
}

fn load(lines: &str, environment: &[(&str, &str)]) -> Option<Credential> {
    let config = Config::load(&sources(lines, environment)).unwrap();
    config.feed.auth.credential
}

#[track_caller]
fn wrong(lines: &str, environment: &[(&str, &str)], expected: &str) {
    let errors = Config::load(&sources(lines, environment))
        .unwrap_err()
        .to_string();
    assert_eq!(errors, expected, "{lines}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

fn credential(scheme: Scheme, secret: &str) -> Credential {
    Credential {
        scheme,
        secret: Secret::new(secret),
        hosts: Vec::new(),
    }
}

fn basic() -> Scheme {
    let username = "me".to_owned();
    Scheme::Basic { username }
}

#[test]
fn each_form_and_each_source_gives_a_credential() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pat"), "hunter2\n").unwrap();
    let folder = dir.path().display().to_string();
    let environment = [
        ("PAT", "hunter2"),
        ("CREDENTIALS_DIRECTORY", folder.as_str()),
    ];
    let named = |lines: &str| load(lines, &environment);
    let secret = "hunter2";
    for source in [
        "password = 'hunter2'".to_owned(),
        "password_env = 'PAT'".to_owned(),
        format!("password_file = '{folder}/pat'"),
        "password_credential = 'pat'".to_owned(),
    ] {
        let lines = format!("auth = 'basic'\nusername = 'me'\n{source}");
        assert_eq!(
            named(&lines).unwrap(),
            credential(basic(), secret),
            "{source}"
        );
        let lines = format!("auth = 'bearer'\n{source}");
        assert_eq!(
            named(&lines).unwrap(),
            credential(Scheme::Bearer, secret),
            "{source}"
        );
    }
    let header = |name| Scheme::Header(HeaderName::from_static(name));
    let key = "auth = 'api-key'\npassword = 'hunter2'";
    assert_eq!(
        named(key).unwrap(),
        credential(header("x-nuget-apikey"), secret)
    );
    let own = "auth = 'header'\nauth_header = 'X-JFrog-Art-Api'\npassword = 'hunter2'";
    assert_eq!(
        named(own).unwrap(),
        credential(header("x-jfrog-art-api"), secret)
    );
    assert_eq!(named(""), None);
    let variable = [("NUGATE_FEEDS__CORP__PASSWORD", "hunter2")];
    assert_eq!(
        load("auth = 'bearer'", &variable).unwrap(),
        credential(Scheme::Bearer, secret)
    );
    let hosts = "credential_hosts = ['Other.example', 'third.example:8443']\n";
    let hosts = named(&format!("{key}\n{hosts}")).unwrap().hosts;
    assert_eq!(hosts, ["other.example", "third.example:8443"]);
}

#[test]
fn the_secret_is_never_shown() {
    let lines = "auth = 'basic'\nusername = 'me'\npassword = 'hunter2'";
    let sources = sources(lines, &[]);
    let config = Config::load(&sources).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let origins = Config::explain(&sources).unwrap();
    assert!(!format!("{origins:?}").contains("hunter2"));
    let password = origins
        .iter()
        .find(|origin| origin.key == "feeds.corp.password");
    assert_eq!(password.unwrap().value, "***");
    let mistyped = "environment NUGATE_FEEDS__CORP__PASWORD: NUGATE_FEEDS__CORP__PASWORD: is not a \
                    known variable, did you mean NUGATE_FEEDS__NAME__PASSWORD";
    wrong(
        lines,
        &[("NUGATE_FEEDS__CORP__PASWORD", "hunter2")],
        mistyped,
    );
    wrong(
        "auth = 'bearer'\npassword = ['hunter2']",
        &[],
        "n.toml:4:12: feeds.corp.password = ***: is a list, not a string; allowed: a text, \
         which is never shown",
    );
}

#[test]
fn settings_that_do_not_go_together_are_told() {
    wrong(
        "password = 'hunter2'",
        &[],
        "n.toml:3:12: feeds.corp.password: is set, but has no meaning with auth = \"none\"",
    );
    wrong(
        "auth = 'bearer'\npassword = 'hunter2'\npassword_env = 'PAT'",
        &[("PAT", "hunter2")],
        "n.toml:5:16: feeds.corp.password_env: is set beside password; allowed: exactly one of \
         password, password_env, password_file, password_credential",
    );
    wrong(
        "auth = 'bearer'\n",
        &[],
        "n.toml:3:8: feeds.corp.password: is missing: auth = \"bearer\" needs exactly one of \
         password, password_env, password_file, password_credential",
    );
    wrong(
        "auth = 'basic'\npassword = 'hunter2'",
        &[],
        "n.toml:3:8: feeds.corp.username: is missing: auth = \"basic\" needs it; feeds that take \
         tokens accept any",
    );
    wrong(
        "auth = 'bearer'\nusername = 'me'\npassword = 'hunter2'",
        &[],
        "n.toml:4:12: feeds.corp.username: is set, but has no meaning with auth = \"bearer\"",
    );
    wrong(
        "auth = 'header'\npassword = 'hunter2'",
        &[],
        "n.toml:3:8: feeds.corp.auth_header: is missing: auth = \"header\" needs it",
    );
    wrong(
        "credential_hosts = ['a.example']",
        &[],
        "n.toml:3:20: feeds.corp.credential_hosts: is set, but has no meaning with auth = \"none\"",
    );
}

#[test]
fn a_secret_does_not_follow_an_address_from_a_stronger_source() {
    let lines = "auth = 'bearer'\npassword = 'hunter2'";
    let upstream = |url| [("NUGATE_UPSTREAM", url)];
    let same = "https://feed.example:443/other/index.json";
    assert!(load(lines, &upstream(same)).is_some());
    wrong(
        lines,
        &upstream("https://evil.example/v3/index.json"),
        "environment NUGATE_UPSTREAM: feeds.corp.url = \"https://evil.example/v3/index.json\": \
         would send the secret that n.toml:4:12 gives for https://feed.example to another origin; \
         give feeds.corp.password there too",
    );
    let mut flagged = sources(lines, &[]);
    let flag = ("feeds.NAME.url", "http://feed.example/".to_owned());
    flagged.flags.push(flag);
    let errors = Config::load(&flagged).unwrap_err().to_string();
    assert!(
        errors.starts_with("flag --upstream: feeds.corp.url"),
        "{errors}"
    );
    let both = [
        ("NUGATE_UPSTREAM", "https://other.example/"),
        ("NUGATE_FEEDS__CORP__PASSWORD", "other"),
    ];
    let secret = load(lines, &both).unwrap().secret;
    assert_eq!(secret.expose(), "other");
    let bare = upstream("https://other.example/");
    assert!(
        load("", &bare).is_none(),
        "without a secret nothing is lost"
    );
}

#[test]
fn what_cannot_be_read_or_sent_is_named() {
    wrong(
        "auth = 'bearer'\npassword_env = 'PAT'",
        &[],
        "n.toml:4:16: feeds.corp.password_env: names the variable PAT, which is not set, or not \
         UTF-8",
    );
    wrong(
        "auth = 'bearer'\npassword_file = '/nowhere/pat'",
        &[],
        "n.toml:4:17: feeds.corp.password_file: names /nowhere/pat, which cannot be read: No such \
         file or directory (os error 2)",
    );
    wrong(
        "auth = 'bearer'\npassword_credential = 'pat'",
        &[],
        "n.toml:4:23: feeds.corp.password_credential: names the credential pat, but \
         $CREDENTIALS_DIRECTORY is not set: the service has no LoadCredential=",
    );
    let unsendable = "has a character in it, or a space at an end, that cannot be sent in a header";
    assert!(
        load(
            "auth = 'basic'\nusername = 'me'\npassword = ' hünter2 '",
            &[]
        )
        .is_some()
    );
    for text in ["hunter2 ", "hunt\\ner2", "hünter2"] {
        let lines = format!("auth = 'bearer'\npassword = \"{text}\"");
        let expected = format!("n.toml:4:12: feeds.corp.password: {unsendable}");
        wrong(&lines, &[], &expected);
    }
}

#[test]
fn names_are_checked() {
    for (read, text) in [
        (username as fn(&str) -> Result<String, String>, ""),
        (username, "a:b"),
        (username, "a\nb"),
        (field_name, "a b"),
        (field_name, "Host"),
        (field_name, "Transfer-Encoding"),
        (variable, ""),
        (variable, "A=B"),
        (variable, "NUGATE_PAT"),
        (credential_name, "../pat"),
        (credential_name, ".."),
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(path("~/pat").is_err());
    assert_eq!(username("jürgen").as_deref(), Ok("jürgen"));
}
