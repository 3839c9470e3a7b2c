//! `nugate config`.
//!
//! - `init` writes a file that loads, and sets exactly the defaults; it overwrites nothing
//! - `show` says where each value comes from, and no secret
//! - `check` tells every mistake at once, also in the files that settings name

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Program;
use crate::support::program::Ended;

#[track_caller]
fn run(arguments: &str, code: i32) -> Ended {
    let ended = Program::start(arguments).end();
    assert_eq!(ended.code, Some(code), "{arguments}: {ended:?}");
    ended
}

#[track_caller]
fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Key and value of each setting.
fn values(shown: &Value) -> Vec<(String, Value)> {
    let settings = shown["settings"].as_array().unwrap().iter();
    let pair = |it: &Value| (it["key"].as_str().unwrap().to_owned(), it["value"].clone());
    // Where nothing is kept by default is the home directory of the process.
    settings
        .map(pair)
        .filter(|(key, _)| key != "cache.dir")
        .collect()
}

#[test]
fn a_file_that_init_wrote_sets_the_defaults() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("nugate.toml");
    let file = file.display();
    run(&format!("config init --out {file}"), 0);
    run(&format!("config check --config {file}"), 0);
    let defaults = json_of(&run("config show --json", 0).out);
    let loaded = json_of(&run(&format!("config show --json --config {file}"), 0).out);
    assert_eq!(values(&loaded), values(&defaults));
    let of_file = |it: &&Value| it["from"]["source"] == "file";
    let set = loaded["settings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_file);
    assert!(set.count() > 30, "{loaded}");
    let written = fs::read_to_string(file.to_string()).unwrap();
    assert_eq!(run("config init", 0).out, written);

    fs::write(file.to_string(), "# mine").unwrap();
    let again = run(&format!("config init --out {file}"), 1);
    assert!(again.err.contains("is there already"), "{}", again.err);
    assert_eq!(fs::read_to_string(file.to_string()).unwrap(), "# mine");
}

#[test]
fn show_says_where_each_value_comes_from_and_no_secret() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("nugate.toml");
    let text = "network = \"offline\"\n[[feed]]\nname = \"corp\"\nurl = \"http://feed.example/\"\n\
                auth = \"basic\"\nusername = \"me\"\npassword = \"s3cr3t-one\"\npush_key = \"s3cr3t-two\"\n";
    fs::write(&file, text).unwrap();
    let arguments = format!(
        "config show --listen 127.0.0.1:1 --config {}",
        file.display()
    );
    let environment = [
        ("NUGATE_CACHE__MEMORY", "3 MiB"),
        ("NUGATE_HONOUR_NO_CACHE", "false"),
        ("NUGATE_CONNECTIONS_MAX", "77"),
    ];
    let shown = Program::start_with(&format!("{arguments} --json"), &environment).end();
    let value = json_of(&shown.out);
    let of = |key: &str| {
        let mut settings = value["settings"].as_array().unwrap().iter();
        let found = settings.find(|it| it["key"] == key);
        let found = found.unwrap_or_else(|| panic!("{key} is not in {value}"));
        (found["value"].clone(), found["from"].clone())
    };
    let path = file.display().to_string();
    let place = |line: u32, column: u32| json!({ "source": "file", "path": path, "line": line, "column": column });
    let variable = |name: &str| json!({ "source": "environment", "name": name });
    assert_eq!(of("network"), (json!("offline"), place(1, 11)));
    assert_eq!(of("feeds.corp.password"), (json!("***"), place(7, 12)));
    assert_eq!(of("feeds.corp.push_key"), (json!("***"), place(8, 12)));
    let flag = json!({ "source": "flag", "name": "--listen" });
    assert_eq!(of("listen"), (json!("127.0.0.1:1"), flag));
    let memory = variable("NUGATE_CACHE__MEMORY");
    assert_eq!(of("cache.memory"), (json!("3 MiB"), memory));
    let no_cache = variable("NUGATE_HONOUR_NO_CACHE");
    assert_eq!(of("honour_no_cache"), (json!(false), no_cache));
    let connections = variable("NUGATE_CONNECTIONS_MAX");
    assert_eq!(of("connections_max"), (json!(77), connections));
    assert_eq!(
        of("log.level"),
        (json!("info"), json!({ "source": "default" }))
    );
    assert_eq!(of("public_url").0, Value::Null);

    let text = Program::start_with(&format!("{arguments} --changed"), &environment).end();
    for part in [
        "network = \"offline\"",
        "nugate.toml:1:11",
        "flag --listen",
        "= \"***\"",
    ] {
        assert!(text.out.contains(part), "{part} is not in\n{}", text.out);
    }
    assert!(!text.out.contains("log.level"), "{}", text.out);
    for ended in [&shown, &text] {
        assert_eq!(ended.code, Some(0));
        assert!(!format!("{ended:?}").contains("s3cr3t"), "{ended:?}");
    }
}

#[test]
fn check_tells_every_mistake_at_once() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("nugate.toml");
    let arguments = format!("config check --config {}", file.display());
    fs::write(
        &file,
        "lsiten = \"a\"\nnetwork = \"ofline\"\n[cache]\nmemory = 1\n",
    )
    .unwrap();
    let told = run(&arguments, 64);
    for place in [":1:1: lsiten", ":2:11: network", ":4:10: cache.memory"] {
        assert!(told.err.contains(place), "{place} is not in\n{}", told.err);
    }
    let value = json_of(&run(&format!("{arguments} --json"), 64).out);
    assert_eq!(value["right"], false);
    assert_eq!(value["errors"].as_array().unwrap().len(), 3, "{value}");
    assert_eq!(value["errors"][1]["from"]["line"], 2);

    // Right in itself, but what it names cannot be used.
    let missing = dir.path().join("missing").display().to_string();
    let text = format!(
        "[tls]\ncertificate = \"{missing}.crt\"\nkey = \"{missing}.key\"\n[access]\nmode = \"required\"\n\
         users_file = \"{missing}.users\"\n"
    );
    fs::write(&file, text).unwrap();
    let value = json_of(&run(&format!("{arguments} --json"), 64).out);
    let keys: Vec<_> = value["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["key"])
        .collect();
    assert_eq!(keys, ["tls.certificate", "access.users_file"], "{value}");
    assert_eq!(value["errors"][0]["from"]["line"], 2, "{value}");
    assert!(!dir.path().join("cache").exists());

    let missing = run("config check --config /nonexistent/nugate.toml", 64);
    assert!(missing.err.contains("cannot be read"), "{}", missing.err);
    assert_eq!(run("config check", 0).out, "the configuration is right\n");
}
