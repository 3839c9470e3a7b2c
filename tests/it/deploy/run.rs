//! Runs the commands of the documentation, page by page.
//!
//! A page has a nugate of its own, in front of the example feed, and a folder. What stands there is run
//! by a shell as it stands, but for the names in [`substituted`]; settings that a reader has in a file
//! are variables here. Each command must succeed, and print what the page says that it prints.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use nugate::demo::{ExampleFeed, Package};
use serde_json::json;
use tempfile::TempDir;

use super::commands::{Command, of_page};
use super::{pages, root};
use crate::support::{Program, ScriptedUpstream};

/// Begins the line behind each command: its exit code follows.
const MARK: &str = "=> exit code ";

/// The packages that the pages are about.
fn feed() -> ExampleFeed {
    let packages = [
        Package::new("Newtonsoft.Json", "13.0.3"),
        Package::new("Contoso.Json", "1.2.3").needs("Newtonsoft.Json", "13.0.3"),
    ];
    ExampleFeed::new(packages).unwrap()
}

/// A nugate, its feed and a folder.
struct Site {
    up: ScriptedUpstream,
    dir: TempDir,
    address: SocketAddr,
    _daemon: Program,
}

impl Site {
    async fn new() -> Self {
        let up = ScriptedUpstream::new(feed()).await;
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut daemon = Program::start(&format!(
            "serve --listen 127.0.0.1:0 --upstream {} --cache-dir {}",
            up.index_url(),
            at("cache").display()
        ));
        let address = daemon.address();
        for folder in ["bin", "etc", "work/obj", "tmp"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_nugate"), at("bin/nugate")).unwrap();
        let service = root().join("deploy/examples/service.toml");
        fs::copy(service, at("etc/nugate.toml")).unwrap();
        let needs = json!({ "version": 1, "dependencies": { "net8.0": {
            "Contoso.Json": { "type": "Direct", "resolved": "1.2.3" },
        } } });
        fs::write(at("work/packages.lock.json"), needs.to_string()).unwrap();
        let assets = json!({ "version": 3, "libraries": {}, "targets": { "net8.0": {
            "Contoso.Json/1.2.3": { "type": "package" },
        } } });
        fs::write(at("work/obj/project.assets.json"), assets.to_string()).unwrap();
        Self {
            up,
            dir,
            address,
            _daemon: daemon,
        }
    }

    /// What the pages call differently.
    fn substituted(&self, text: &str) -> String {
        let etc = format!("{}/", self.at("etc"));
        [
            ("127.0.0.1:6842", self.address.to_string()),
            ("https://api.nuget.org/v3/index.json", self.up.index_url()),
            ("/etc/nugate/", etc),
            ("target/release/nugate", "nugate".to_owned()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Runs the commands of a block in one shell: what each prints.
    fn run(&self, commands: &[Command]) -> Vec<Vec<String>> {
        let step = |command: &Command| {
            let text = self.substituted(&command.text);
            format!("{text}\necho; echo \"{MARK}$?\"\n")
        };
        let script: String = commands.iter().map(step).collect();
        let path = std::env::var("PATH").unwrap();
        let ended = Process::new("bash")
            .args(["-o", "pipefail", "-c", &script])
            .current_dir(self.at("work"))
            .env_clear()
            .env("PATH", format!("{}:{path}", self.at("bin")))
            .env("HOME", self.at("work"))
            .env("TMPDIR", self.at("tmp"))
            .env("NUGATE_CACHE_DIR", self.at("cache"))
            .env("NUGATE_LISTEN", self.address.to_string())
            .env("NUGATE_UPSTREAM", self.up.index_url())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        let mut printed = vec![Vec::new()];
        for line in said.lines() {
            if let Some(code) = line.strip_prefix(MARK) {
                let command = &commands[printed.len() - 1].text;
                let errors = String::from_utf8_lossy(&ended.stderr);
                assert_eq!(code, "0", "{command}:\n{said}\n{errors}");
                printed.push(Vec::new());
            } else if !line.is_empty() {
                printed.last_mut().unwrap().push(line.trim_end().to_owned());
            }
        }
        printed.pop();
        printed
    }
}

async fn page(path: &Path, text: &str) -> usize {
    let mut blocks = of_page(text);
    for block in &mut blocks {
        block.retain(Command::is_run);
    }
    blocks.retain(|block| !block.is_empty());
    if blocks.is_empty() {
        return 0;
    }
    let site = Site::new().await;
    for block in &blocks {
        let printed = site.run(block);
        assert_eq!(printed.len(), block.len(), "{}", path.display());
        for (command, printed) in block.iter().zip(printed) {
            if !command.prints.is_empty() {
                let (at, text) = (path.display(), &command.text);
                assert_eq!(printed, command.prints, "{at}: {text}");
            }
        }
    }
    blocks.iter().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_documentation_do_what_it_says() {
    let mut many = 0;
    for (path, text) in pages() {
        many += page(&path, &text).await;
    }
    assert!(many > 35, "{many}");
}
