//! Pages for people: set-up, state, restores, packages.
//!
//! A page is a function of facts that others gathered, and of the time; it asks nothing, and knows no
//! HTTP. Templates and the style sheet lie beside their modules. Invariants: no page needs a script
//! or anything of another host; each text is escaped by the template; links are relative, so that
//! they hold under every prefix and host.

mod error;
mod package;
mod restore;
mod setup;
mod state;
mod words;

pub use error::ErrorPage;
pub use package::{Done, ListingPage, PackagePage, WhoAsked};
pub use restore::RestorePage;
pub use setup::{FeedLink, SetupPage, Source};
pub use state::{Facts, StatePage};

/// The style sheet, which stands in each page as it is here.
pub const STYLE: &str = include_str!("style.css");

/// Where a page is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// How clients are set up.
    Setup,
    /// What goes on, and restores.
    State,
    /// What is stored.
    Packages,
}

/// The tabs that there are where a page is shown, in their order.
pub type Tabs = &'static [Tab];

impl Tab {
    /// For people.
    const fn name(self) -> &'static str {
        match self {
            Self::Setup => "Set-up",
            Self::State => "State",
            Self::Packages => "Packages",
        }
    }
}

/// What all pages have around them.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// From the page to our root: nothing, or `../` as often as needed.
    pub root: &'static str,
    /// Where the page is, if that is one of them.
    pub tab: Option<Tab>,
    /// Where else one can go.
    pub tabs: Tabs,
}

impl Frame {
    /// That of a page that lies so many folders below our root, at most two.
    pub const fn below(depth: usize, tab: Tab, tabs: Tabs) -> Self {
        let root = match depth {
            0 => "",
            1 => "../",
            _ => "../../",
        };
        let tab = Some(tab);
        Self { root, tab, tabs }
    }

    /// That of what is no page of ours at this path below our root; none where it lies too deep to
    /// lead back from.
    pub fn at(path: &str, tabs: Tabs) -> Option<Self> {
        const UP: &str = "../../../../../../../../";
        let depth = path.matches('/').count().saturating_sub(1);
        let root = UP.get(..depth * "../".len())?;
        let tab = None;
        Some(Self { root, tab, tabs })
    }

    /// From the page to the one about set-up, never nothing: that would be the page itself.
    const fn home(self) -> &'static str {
        if self.root.is_empty() {
            "./"
        } else {
            self.root
        }
    }

    const fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// From the page to each of the tabs.
    fn links(self) -> Vec<Link> {
        let link = |tab: &Tab| Link {
            to: match tab {
                Tab::Setup => self.home().to_owned(),
                Tab::State => format!("{}-/state", self.root),
                Tab::Packages => format!("{}-/packages", self.root),
            },
            name: tab.name(),
            is_current: Some(*tab) == self.tab,
        };
        self.tabs.iter().map(link).collect()
    }
}

/// The link to a tab.
struct Link {
    to: String,
    name: &'static str,
    is_current: bool,
}
