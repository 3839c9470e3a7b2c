//! A secret that is given in one of four ways: as text, or by the name of an environment variable,
//! of a file, or of a credential of the service manager.
//!
//! Invariant: no message and no `Debug` has the secret in it.

use std::path::{Path, PathBuf};

use url::Url;

use super::error::Place;
use super::raw::Written;
use super::secret::Secret;

/// Where the service manager puts credentials (systemd.exec(5), "Credentials").
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The names of the settings of the four ways, in the order of the fields of [`Given`].
pub(super) type Ways = [&'static str; 4];

/// What is wrong with which of the settings.
pub(super) type Mistake = (&'static str, String);

/// What the settings of a secret say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// The secret itself.
    pub(super) text: Option<Secret>,
    /// The variable that holds it.
    pub(super) variable: Option<String>,
    /// The file that holds it.
    pub(super) file: Option<PathBuf>,
    /// The credential of the service that holds it.
    pub(super) named: Option<String>,
}

impl Given {
    /// The names of the settings that give the secret.
    pub(super) fn by(&self, ways: &Ways) -> impl Iterator<Item = &'static str> {
        let set = [
            self.text.is_some(),
            self.variable.is_some(),
            self.file.is_some(),
            self.named.is_some(),
        ];
        let all = ways.iter().copied().zip(set);
        all.filter_map(|(name, set)| set.then_some(name))
    }

    /// The secret, and the setting that gave it; `why` says what needs it.
    pub(super) fn read(
        &self,
        ways: &Ways,
        why: &str,
        environment: &[(String, String)],
    ) -> Result<(&'static str, Secret), Mistake> {
        let all = ways.join(", ");
        let mut given = self.by(ways);
        let Some(name) = given.next() else {
            let why = format!("is missing: {why} needs exactly one of {all}");
            return Err((ways[0], why));
        };
        if let Some(other) = given.next() {
            let why = format!("is set beside {name}; allowed: exactly one of {all}");
            return Err((other, why));
        }
        let secret = if let Some(secret) = &self.text {
            Ok(secret.clone())
        } else if let Some(variable) = &self.variable {
            of_variable(variable, environment)
        } else if let Some(file) = &self.file {
            of_file(file)
        } else {
            let named = self.named.as_deref().unwrap_or_default();
            of_credential(named, environment)
        };
        secret
            .map(|secret| (name, secret))
            .map_err(|why| (name, why))
    }
}

/// Where a secret would go that was written for another address: of the `urls` of its setting, weakest
/// first, the one that counts, and the one that the secret is for, unless both are of one origin.
pub(super) fn carried_off<'r, 'u>(
    secret: &Written,
    urls: &'u [(&'r Written, Url)],
) -> Option<(&'r Written, &'u Url)> {
    let (winner, found) = urls.last()?;
    let near = |place: &Place| rank(place) <= rank(&secret.place);
    let (_, meant) = urls.iter().rfind(|(written, _)| near(&written.place))?;
    (meant.origin() != found.origin()).then_some((*winner, meant))
}

/// How strong a source is.
const fn rank(place: &Place) -> u8 {
    match place {
        Place::Default => 0,
        Place::File { .. } => 1,
        Place::Environment(_) => 2,
        Place::Flag(_) => 3,
    }
}

fn of_variable(name: &str, environment: &[(String, String)]) -> Result<Secret, String> {
    match environment.iter().find(|(found, _)| found == name) {
        None => Err(format!(
            "names the variable {name}, which is not set, or not UTF-8"
        )),
        Some((_, text)) if text.is_empty() => {
            Err(format!("names the variable {name}, which is empty"))
        }
        Some((_, text)) => Ok(Secret::new(text)),
    }
}

fn of_file(path: &Path) -> Result<Secret, String> {
    let why = |error| format!("names {}, which cannot be read: {error}", path.display());
    Secret::read(path).map_err(why)
}

fn of_credential(name: &str, environment: &[(String, String)]) -> Result<Secret, String> {
    let mut variables = environment.iter();
    match variables.find(|(found, dir)| found == CREDENTIALS_DIRECTORY && !dir.is_empty()) {
        Some((_, dir)) => of_file(&PathBuf::from(dir).join(name)),
        None => Err(format!(
            "names the credential {name}, but ${CREDENTIALS_DIRECTORY} is not set: the service has \
             no LoadCredential="
        )),
    }
}
