//! A feed over https that is reached through a proxy alone, as in many companies.
//!
//! The proxy wants a password and knows where the names of the feed are; nobody else does. The
//! certificate of the feed is of a private authority.

use std::path::PathBuf;
use std::sync::Arc;

use http::Method;
use nugate::demo::ExampleFeed;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::bench::Failure;
use crate::nugate::Settings;
use crate::proxy::{Asked, USER, WebProxy, basic, in_tls};
use crate::upstream::Upstream;

/// The names of the two hosts of the feed.
const NAMES: [&str; 2] = ["feed.test", "push.test"];

/// The feed, the proxy, and the authority of the feed.
pub struct Company {
    /// The feed.
    pub upstream: Arc<Upstream>,
    proxy: WebProxy,
    dir: TempDir,
}

impl Company {
    /// Starts both.
    pub fn start(feed: &ExampleFeed) -> Self {
        let urls = NAMES.map(|name| format!("https://{name}"));
        let upstream = Upstream::start(feed.clone(), false, Some([&urls[0], &urls[1]]));
        let authority = Authority::new("The company");
        let proxy = upstream.runtime.block_on(async {
            let proxy = WebProxy::guarded().await;
            for (name, addr) in NAMES.iter().zip(upstream.addrs) {
                let front = in_tls(&authority.issue(&[name]), addr).await;
                proxy.knows(&format!("{name}:443"), front);
            }
            proxy
        });
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
        std::fs::write(dir.path().join("password"), USER.1).unwrap();
        Self {
            upstream: Arc::new(upstream),
            proxy,
            dir,
        }
    }

    /// What nugate has to be told.
    pub fn settings(&self) -> Settings {
        let proxy = format!("http://{}", self.proxy.addr());
        vec![
            ("NUGATE_PROXY", PathBuf::from(proxy)),
            ("NUGATE_PROXY_USERNAME", PathBuf::from(USER.0)),
            (
                "NUGATE_PROXY_PASSWORD_FILE",
                self.dir.path().join("password"),
            ),
            ("NUGATE_CA_FILE", self.dir.path().join("ca.pem")),
        ]
    }

    /// What is wrong with any request to the proxy so far: nothing but tunnels to the feed with the
    /// password of the proxy was asked for, and no other secret was shown.
    pub fn audit(&self) -> Result<(), Failure> {
        let log = self.proxy.log();
        match log.iter().find(|asked| !is_fit(asked)) {
            Some(asked) => Err(format!("the proxy was asked {asked:?}")),
            None => Ok(()),
        }
    }
}

fn is_fit(asked: &Asked) -> bool {
    let targets = NAMES.map(|name| format!("{name}:443"));
    let is_tunnel = asked.method == Method::CONNECT && targets.contains(&asked.target);
    let names = asked.headers.keys().map(http::HeaderName::as_str);
    let is_known = |name: &str| ["host", "user-agent", "proxy-authorization"].contains(&name);
    let shown = asked.headers.get("proxy-authorization");
    is_tunnel && names.into_iter().all(is_known) && shown.is_some_and(|it| *it == *basic(USER))
}
