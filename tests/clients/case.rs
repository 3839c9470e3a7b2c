//! A case: what a client is asked to do, and what must come of it.
//!
//! Every round is in a home of its own, so that no client's cache hides a request: the second time
//! must not cost the upstream anything that nugate keeps.

use std::path::Path;

use tempfile::TempDir;

use crate::bench::{Bench, CRASH, Failure, Identity, World};
use crate::publish;

/// One line of the result in each of its worlds.
pub struct Case {
    /// A sentence about the client.
    pub name: &'static str,
    /// File or folder below the installed clients without which there is nothing to run.
    pub needs: &'static str,
    /// Where it makes sense.
    pub worlds: &'static [World],
    /// Asks a client in a fresh home.
    pub ask: fn(&Bench, &Path) -> Result<(), Failure>,
    /// The packages that are then below that home.
    pub leaves: fn() -> Vec<Identity>,
}

impl Case {
    /// Whether its client is there.
    pub fn is_installed(&self, bench: &Bench) -> bool {
        bench.installed.tools.join(self.needs).exists()
    }

    /// Runs it.
    pub fn run(&self, bench: &Bench) -> Result<(), Failure> {
        let expected = (self.leaves)();
        for round in rounds(bench.world, !expected.is_empty()) {
            let mut outcome = self.round(bench, &expected, round);
            if outcome.as_ref().is_err_and(|reason| reason.contains(CRASH)) {
                // It does now and then, whatever it is given. What nugate did is judged anew.
                println!("again {}: mono crashed in the {round} round", self.name);
                outcome = self.round(bench, &expected, round);
            }
            outcome.map_err(|reason| format!("{round} round: {reason}"))?;
        }
        Ok(())
    }

    fn round(&self, bench: &Bench, expected: &[Identity], round: &str) -> Result<(), Failure> {
        let home = TempDir::new().map_err(|error| error.to_string())?;
        let mark = bench.upstream.mark();
        (self.ask)(bench, home.path())?;
        let mut found = bench.packages_in(home.path())?;
        found.dedup();
        if found != expected {
            return Err(format!("{found:?} instead of {expected:?}"));
        }
        bench.upstream.audit()?;
        bench.audit_proxy()?;
        let requests = bench.upstream.requests_since(mark);
        // Who is refused costs the feed nothing, whatever else it does.
        if self.name.contains("stranger") && !requests.is_empty() {
            return Err(format!("a stranger's requests cost {requests:?}"));
        }
        if bench.world == World::Direct && requests.is_empty() {
            return Err("the feed was asked for nothing".to_owned());
        }
        let kept = requests.iter().any(|path| is_kept(path));
        if round == "second" && bench.world != World::Direct && kept {
            return Err(format!("it cost {requests:?}"));
        }
        Ok(())
    }
}

/// A folder is asked for nothing that could be counted. What is kept does not depend on the scheme,
/// only the documents made of it: over https, packages are enough. Through another nugate, the same
/// is kept twice.
const fn rounds(world: World, has_packages: bool) -> &'static [&'static str] {
    match world {
        World::Guarded
        | World::Proxied
        | World::Folder
        | World::Narrow
        | World::Warmed
        | World::Imported => &["first"],
        World::Tls | World::Chained if !has_packages => &["first"],
        World::Direct | World::Plain | World::Tls | World::Chained => &["first", "second"],
    }
}

/// Whether nugate keeps what lies there for longer than a run takes: packages, version lists and
/// registrations that exist.
fn is_kept(path: &str) -> bool {
    !path.contains("closure.nothing")
        && !path.contains(publish::PUSHED)
        && (path.starts_with("/v3-flatcontainer/") || path.starts_with("/v3/registration5"))
}

/// Fails unless the client said it.
pub fn expect(said: &str, part: &str) -> Result<(), Failure> {
    if said.contains(part) {
        Ok(())
    } else {
        Err(format!("{part:?} is not in {said:?}"))
    }
}

/// Fails unless the client failed and said why.
pub fn refused(said: &Result<String, Failure>, why: &str) -> Result<(), Failure> {
    match said {
        Ok(said) => Err(format!("it was done: {said}")),
        Err(said) => expect(said, why),
    }
}
