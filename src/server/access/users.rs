//! Users and their password hashes, and which passwords were verified a moment ago.
//!
//! The file has the form of Apache's `htpasswd`: `name:hash` a line, `#` for comments. Hashes that
//! are not meant for passwords (MD5, SHA-1, crypt) are refused.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use moka::sync::Cache;

use super::credentials::Credentials;
use crate::config::AccessConfig;
use crate::config::access::user_name;
use crate::entry::Digest;

/// The largest file of users, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// How long, and how many, verified passwords are remembered.
const VERIFIED_LIFE: Duration = Duration::from_mins(5);
const VERIFIED_MAX: u64 = 10_000;

/// The most memory that one verification may take, in KiB, and its passes: whoever writes the file
/// could otherwise stop the server by mistake.
const ARGON2_KIB_MAX: u32 = 256 * 1024;
const ARGON2_PASSES_MAX: u32 = 16;
const BCRYPT_COST_MAX: u32 = 15;

/// Why a file of users cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it; never the hash.
        why: String,
    },
    /// A setting names a user that the file does not have.
    #[error("{setting} names {user:?}, which is not a user of access.users_file")]
    Unknown {
        /// The setting.
        setting: &'static str,
        /// The name.
        user: String,
    },
}

/// All users of one state of the file.
pub(super) struct Users {
    hashes: HashMap<String, Hash>,
    /// Verified against for unknown names, so that they take as long as known ones.
    stand_in: Option<Hash>,
    verified: Cache<[u8; 32], ()>,
    /// Made anew for each state of the file; without randomness there is none, and nothing is
    /// remembered.
    key: Option<hmac::Key>,
    /// Of the file's text.
    pub(super) digest: Digest,
}

#[derive(Clone)]
enum Hash {
    Bcrypt(String),
    Argon2(String),
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(***)")
    }
}

/// Reads the file's text.
pub(super) fn read_file(path: &Path) -> Result<String, UsersError> {
    let unreadable = |source| UsersError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > FILE_MAX {
        return Err(unreadable(io::Error::other("it is larger than 1 MiB")));
    }
    Ok(text)
}

impl Users {
    /// No user.
    pub(super) fn nobody() -> Self {
        Self::of(HashMap::new(), Digest::of(b""))
    }

    /// The users of a file.
    pub(super) fn read(path: &Path) -> Result<Self, UsersError> {
        Self::parse(path, &read_file(path)?)
    }

    /// The users in a file's text.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, UsersError> {
        let mut hashes = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: String| UsersError::Line {
                path: path.to_owned(),
                line: index + 1,
                why,
            };
            let (name, hash) = line
                .split_once(':')
                .ok_or_else(|| wrong("is not name:hash".into()))?;
            let name = user_name(name).map_err(wrong)?;
            let hash = Hash::parse(hash).map_err(wrong)?;
            if hashes.insert(name.clone(), hash).is_some() {
                return Err(wrong(format!("{name:?} is there twice")));
            }
        }
        Ok(Self::of(hashes, Digest::of(text.as_bytes())))
    }

    fn of(hashes: HashMap<String, Hash>, digest: Digest) -> Self {
        let verified = Cache::builder()
            .max_capacity(VERIFIED_MAX)
            .time_to_live(VERIFIED_LIFE)
            .build();
        let generate = || hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        // The first random bytes of a process cost milliseconds; without users nothing is verified.
        let key = if hashes.is_empty() { None } else { generate() };
        Self {
            stand_in: hashes.values().next().cloned(),
            hashes,
            verified,
            key,
            digest,
        }
    }

    /// Settings may only name users that exist.
    pub(super) fn check_names(&self, config: &AccessConfig) -> Result<(), UsersError> {
        let listed = [
            ("access.push_users", &config.push_users),
            ("access.admin_users", &config.admin_users),
        ];
        for (setting, names) in listed {
            if let Some(user) = names.iter().find(|name| !self.hashes.contains_key(*name)) {
                let user = user.clone();
                return Err(UsersError::Unknown { setting, user });
            }
        }
        Ok(())
    }

    /// Whether these were verified a moment ago.
    pub(super) fn is_verified(&self, shown: &Credentials) -> bool {
        let tag = self.tag(shown);
        tag.is_some_and(|tag| self.verified.contains_key(&tag))
    }

    /// Verifies a password, and remembers a good one; takes a core for a while.
    pub(super) fn verify(&self, shown: &Credentials) -> bool {
        let known = self.hashes.get(shown.user().unwrap_or_default());
        let Some(hash) = known.or(self.stand_in.as_ref()) else {
            return false;
        };
        let good = hash.fits(shown.secret()) && known.is_some();
        if let Some(tag) = self.tag(shown).filter(|_| good) {
            self.verified.insert(tag, ());
        }
        good
    }

    /// What is remembered of credentials: useless without the key, which is in this memory only.
    fn tag(&self, shown: &Credentials) -> Option<[u8; 32]> {
        let user = shown.user().unwrap_or_default().as_bytes();
        let message = [user, b":", shown.secret()].concat();
        let tag = hmac::sign(self.key.as_ref()?, &message);
        tag.as_ref().try_into().ok()
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        if ["$2y$", "$2b$", "$2a$"]
            .iter()
            .any(|it| text.starts_with(it))
        {
            let parts: bcrypt::HashParts = text
                .parse()
                .map_err(|_| "has a bcrypt hash that cannot be read".to_owned())?;
            if parts.get_cost() > BCRYPT_COST_MAX {
                return Err(format!("has a bcrypt cost above {BCRYPT_COST_MAX}"));
            }
            return Ok(Self::Bcrypt(text.to_owned()));
        }
        if text.starts_with("$argon2") {
            let unreadable = |_| "has an argon2 hash that cannot be read".to_owned();
            let hash = PasswordHash::new(text).map_err(unreadable)?;
            let params = Params::try_from(&hash)
                .map_err(|_| "has an argon2 hash that cannot be read".to_owned())?;
            if params.m_cost() > ARGON2_KIB_MAX || params.t_cost() > ARGON2_PASSES_MAX {
                return Err(format!(
                    "has an argon2 hash above {ARGON2_KIB_MAX} KiB or {ARGON2_PASSES_MAX} passes"
                ));
            }
            return Ok(Self::Argon2(text.to_owned()));
        }
        Err("has a hash that is neither bcrypt ($2y$) nor argon2 ($argon2id$); write it with `htpasswd -B`".to_owned())
    }

    /// Both compare in constant time.
    fn fits(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2(hash) => Argon2::default()
                .verify_password(password, hash.as_str())
                .is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -nbBC 4 alice secret`, and the same by argon2.
    fn file() -> String {
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        let salt = b"0123456789abcdef";
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = argon2::password_hash::PasswordHasher::hash_password_with_salt(
            &argon2, b"sesame", salt,
        )
        .unwrap();
        format!("# users\n\nalice:{bcrypt}\nbob:{hash}\n")
    }

    fn shown(user: &str, password: &str) -> Credentials {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let mut headers = http::HeaderMap::new();
        headers.append("authorization", format!("Basic {text}").parse().unwrap());
        super::super::credentials::basic_or_bearer(&headers).unwrap()
    }

    #[test]
    fn both_kinds_of_hashes_are_verified_and_remembered() {
        let users = Users::parse(Path::new("u"), &file()).unwrap();
        for (user, password, expected) in [
            ("alice", "secret", true),
            ("alice", "sesame", false),
            ("alice", "", false),
            ("bob", "sesame", true),
            ("bob", "secret", false),
            ("carol", "secret", false),
            ("carol", "sesame", false),
            ("", "secret", false),
        ] {
            let shown = shown(user, password);
            assert!(!users.is_verified(&shown));
            assert_eq!(users.verify(&shown), expected, "{user} {password}");
            assert_eq!(users.is_verified(&shown), expected, "{user} {password}");
        }
        let again = Users::parse(Path::new("u"), &file()).unwrap();
        assert!(!again.is_verified(&shown("alice", "secret")));
        assert!(!Users::nobody().verify(&shown("alice", "secret")));
    }

    #[test]
    fn mistakes_name_the_line_and_not_the_hash() {
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        for (text, expected) in [
            ("alice\n".to_owned(), "u:1: is not name:hash"),
            (format!("a b:{bcrypt}"), "u:1: has no name of 1 to 64"),
            (
                format!("\na:{bcrypt}\na:{bcrypt}"),
                "u:3: \"a\" is there twice",
            ),
            (
                "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(),
                "neither bcrypt",
            ),
            ("a:$apr1$x$y".to_owned(), "neither bcrypt"),
            ("a:plain-secret".to_owned(), "neither bcrypt"),
            ("a:$2y$05$short".to_owned(), "cannot be read"),
            (
                format!("a:{}", bcrypt.replacen("$04$", "$31$", 1)),
                "cost above 15",
            ),
            ("a:$argon2id$nothing".to_owned(), "cannot be read"),
            (file().replace("m=64,", "m=1048576,"), "above 262144 KiB"),
        ] {
            let Err(error) = Users::parse(Path::new("u"), &text) else {
                panic!("{text} is taken");
            };
            let error = error.to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("plain-secret"), "{error}");
        }
    }
}
