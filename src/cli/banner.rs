//! What a person needs to point a client at this daemon.

use std::net::{IpAddr, SocketAddr};

use crate::config::address::shown;
use crate::config::value::Size;
use crate::config::{AccessMode, Config};
use crate::pages::Source;
use crate::store::Totals;

/// The URL of our service index for clients.
pub fn source_url(config: &Config, address: SocketAddr) -> String {
    match &config.public_url {
        Some(url) => format!("{}/v3/index.json", url.as_str().trim_end_matches('/')),
        None => format!("{}v3/index.json", root_url(config, address)),
    }
}

/// The URL of a socket of ours, as far as it can be told without `public_url`.
fn root_url(config: &Config, address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => machine_name(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    let scheme = if config.tls.pair().is_some() {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{host}:{}/", address.port())
}

fn machine_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.into_owned()
    }
}

/// The text printed at start: where it is, what it serves, and how a client is told. `admin` is where
/// metrics and pages are, if they are not there too.
pub fn banner(
    config: &Config,
    (address, admin): (SocketAddr, Option<SocketAddr>),
    totals: Option<Totals>,
) -> String {
    let held = totals.map_or_else(String::new, |totals| {
        format!(
            " ({} in {} documents)",
            Size(totals.bodies_bytes),
            totals.entries - totals.absent
        )
    });
    let source = Source {
        index: source_url(config, address),
        gallery: None,
        login: config.access.mode == AccessMode::Required,
    };
    let admin = admin.map(|address| root_url(config, address));
    let root = source.index.trim_end_matches("v3/index.json");
    let more = match &admin {
        _ if !config.pages => String::new(),
        None => format!("\nFor other clients, and for what goes on, open {root} in a browser.\n"),
        Some(admin) => {
            format!("\nFor other clients open {root} in a browser, for what goes on {admin}.\n")
        }
    };
    let admin = admin.map_or_else(String::new, |admin| format!("\x20 admin  {admin}\n"));
    format!(
        "nugate {version} serves {upstream}\n\
         \x20 at     {at}\n\
         \x20 cache  {cache}{held}\n\
         {admin}\n\
         Add it to your clients:\n\
         \x20 {command}\n\
         \n\
         or put this nuget.config beside your solution:\n\
         {nuget_config}{more}",
        version = env!("CARGO_PKG_VERSION"),
        upstream = upstreams(config),
        cache = config.cache.dir.display(),
        at = source.index,
        command = source.dotnet(),
        nuget_config = source.nuget_config(),
    )
}

fn upstreams(config: &Config) -> String {
    let urls = config.feeds().map(|feed| shown(&feed.url));
    urls.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn config(flags: Vec<(&'static str, String)>) -> Config {
        let home = ("HOME".to_owned(), "/home/someone".to_owned());
        Config::load(&Sources {
            environment: vec![home],
            flags,
            ..Sources::default()
        })
        .unwrap()
    }

    #[test]
    fn http_needs_the_flag_and_https_does_not() {
        let address = "127.0.0.1:6842".parse().unwrap();
        let totals = Totals {
            queries_bytes: 0,
            entries: 3,
            bodies_bytes: 2048,
            absent: 1,
            responses: 0,
        };
        let text = banner(&config(Vec::new()), (address, None), Some(totals));
        for part in [
            "serves https://api.nuget.org/v3/index.json\n",
            "at     http://127.0.0.1:6842/v3/index.json\n",
            "cache  /home/someone/.cache/nugate (2 KiB in 2 documents)\n",
            "dotnet nuget add source http://127.0.0.1:6842/v3/index.json --name nugate --allow-insecure-connections\n",
            "protocolVersion=\"3\" allowInsecureConnections=\"true\" />",
            "open http://127.0.0.1:6842/ in a browser",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let public = config(vec![(
            "public_url",
            "https://nuget.example/feed/".to_owned(),
        )]);
        let tls = [
            ("tls.certificate", "c"),
            ("tls.key", "k"),
            ("access.mode", "required"),
        ];
        let admin = Some("[::1]:6843".parse().unwrap());
        let keys = ("access.keys", format!("ci:read:{}", "0".repeat(64)));
        let tls = tls.map(|(key, value)| (key, value.to_owned()));
        let text = banner(
            &config([&tls[..], &[keys]].concat()),
            (address, admin),
            None,
        );
        for part in [
            "at     https://127.0.0.1:6842/v3/index.json\n",
            "admin  https://[::1]:6843/\n\nAdd it",
            "open https://127.0.0.1:6842/ in a browser, for what goes on https://[::1]:6843/.\n",
            "index.json --name nugate --username USER --password PASSWORD",
            "protocolVersion=\"3\" />",
            "<add key=\"ClearTextPassword\" value=\"PASSWORD\" />",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("nsecure"), "{text}");
        let text = banner(&public, (address, None), None);
        assert!(
            text.contains("add source https://nuget.example/feed/v3/index.json --name nugate\n")
        );
        assert!(!text.contains("nsecure"), "{text}");
    }
}
