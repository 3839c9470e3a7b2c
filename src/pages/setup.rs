//! How clients are pointed at this very address.

use askama::Template;

use super::{Frame, Tab, Tabs};

/// What clients need to know of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The URL of the service index.
    pub index: String,
    /// The URL for clients that speak V2, where they are served.
    pub gallery: Option<String>,
    /// Whether they must say who they are.
    pub login: bool,
}

impl Source {
    /// Whether it is one that NuGet wants to be told is meant so (6.12 and later).
    pub fn is_plain(&self) -> bool {
        self.index.starts_with("http://")
    }

    /// The command that adds it to those of the user.
    pub fn dotnet(&self) -> String {
        let mut command = format!("dotnet nuget add source {} --name nugate", self.index);
        if self.is_plain() {
            command.push_str(" --allow-insecure-connections");
        }
        if self.login {
            command.push_str(" --username USER --password PASSWORD --store-password-in-clear-text");
        }
        command
    }

    /// A `nuget.config` that has it as its only source.
    pub fn nuget_config(&self) -> String {
        let credentials = if self.login {
            "\x20 <packageSourceCredentials>\n\
             \x20   <nugate>\n\
             \x20     <add key=\"Username\" value=\"USER\" />\n\
             \x20     <add key=\"ClearTextPassword\" value=\"PASSWORD\" />\n\
             \x20   </nugate>\n\
             \x20 </packageSourceCredentials>\n"
        } else {
            ""
        };
        let insecure = if self.is_plain() {
            " allowInsecureConnections=\"true\""
        } else {
            ""
        };
        let source = self.index.replace('&', "&amp;").replace('"', "&quot;");
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <configuration>\n\
             \x20 <packageSources>\n\
             \x20   <clear />\n\
             \x20   <add key=\"nugate\" value=\"{source}\" protocolVersion=\"3\"{insecure} />\n\
             \x20 </packageSources>\n\
             {credentials}\
             </configuration>\n"
        )
    }

    /// Scheme, host and port, which Renovate matches.
    fn host(&self) -> &str {
        let after = self.index.find("://").map_or(0, |at| at + 3);
        let end = self.index[after..].find('/');
        end.map_or(&self.index, |end| &self.index[..after + end])
    }
}

/// One feed alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedLink {
    /// Its name.
    pub name: String,
    /// The URL of its service index at ours.
    pub index: String,
}

/// The page about set-up.
#[derive(Template)]
#[template(path = "setup.html", config = "src/pages/askama.toml")]
pub struct SetupPage {
    frame: Frame,
    source: Source,
    feeds: Vec<FeedLink>,
}

impl SetupPage {
    /// The page for clients of `source`, which has these feeds.
    pub const fn new(source: Source, feeds: Vec<FeedLink>, tabs: Tabs) -> Self {
        let frame = Frame::below(0, Tab::Setup, tabs);
        Self {
            frame,
            source,
            feeds,
        }
    }
}
