//! Who may use this server, as far as the configuration says it: users, keys and what they may do.

use std::path::PathBuf;

use ipnet::IpNet;

/// Who may use this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// Whether clients must say who they are.
    pub mode: AccessMode,
    /// File of users and password hashes, as `htpasswd -B` writes it.
    pub users_file: Option<PathBuf>,
    /// Users that may push, beside reading.
    pub push_users: Vec<String>,
    /// Users that may do everything.
    pub admin_users: Vec<String>,
    /// Keys that clients are known by.
    pub keys: Vec<KeyRule>,
    /// Networks whose clients may read without saying who they are.
    pub anonymous_networks: Vec<IpNet>,
}

/// Whether clients must say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// Everyone may do everything that is offered.
    None,
    /// Only known users and keys, and `anonymous_networks`.
    Required,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Get documents and packages.
    Read,
    /// Push, unlist and relist packages.
    Push,
    /// Everything, the server's own administration too.
    Admin,
}

impl Scope {
    /// All, the weakest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Push, Self::Admin];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Push => "push",
            Self::Admin => "admin",
        }
    }
}

/// What may be done; admin includes the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    granted: [bool; 3],
}

impl Scopes {
    /// The same and this one.
    #[must_use]
    pub const fn with(mut self, scope: Scope) -> Self {
        self.granted[scope as usize] = true;
        self
    }

    /// What either allows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let both = self.granted.iter().zip(other.granted);
        let mut granted = [false; 3];
        for (to, (one, two)) in granted.iter_mut().zip(both) {
            *to = *one || two;
        }
        Self { granted }
    }

    /// Whether this may be done.
    pub const fn has(self, scope: Scope) -> bool {
        self.granted[Scope::Admin as usize] || self.granted[scope as usize]
    }
}

/// A key that clients are known by: only its digest is written down. A digest without salt and
/// without stretching is right because a key is 256 bits of chance, unlike a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// Its name in logs.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// SHA-256 of the key's text.
    pub digest: [u8; 32],
}

impl std::str::FromStr for KeyRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (Some(name), Some(scopes), Some(digest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("is not NAME:SCOPES:DIGEST".to_owned());
        };
        user_name(name)?;
        let mut granted = Scopes::default();
        for word in scopes.split('+') {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == word);
            let unknown = || format!("has a scope {word:?} that is not read, push or admin");
            granted = granted.with(scope.ok_or_else(unknown)?);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digest, &mut bytes)
            .map_err(|_| "has a digest that is not 64 hexadecimal digits".to_owned())?;
        Ok(Self {
            name: name.to_owned(),
            scopes: granted,
            digest: bytes,
        })
    }
}

/// A name as it may stand before a colon in a file of users and in Basic credentials (RFC 7617).
pub fn user_name(text: &str) -> Result<String, String> {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != ':' && c != ',';
    if (1..=64).contains(&text.chars().count()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("has no name of 1 to 64 characters without spaces, colons and commas".to_owned())
    }
}

impl AccessConfig {
    /// Open to everyone.
    pub const fn open() -> Self {
        Self {
            mode: AccessMode::None,
            users_file: None,
            push_users: Vec::new(),
            admin_users: Vec::new(),
            keys: Vec::new(),
            anonymous_networks: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_name_scopes_and_a_digest() {
        let digest = "ab".repeat(32);
        let rule: KeyRule = format!("ci:read+push:{digest}").parse().unwrap();
        assert_eq!((rule.name.as_str(), rule.digest), ("ci", [0xab; 32]));
        assert!(rule.scopes.has(Scope::Read) && rule.scopes.has(Scope::Push));
        assert!(!rule.scopes.has(Scope::Admin));
        let admin: KeyRule = format!("a:admin:{digest}").parse().unwrap();
        assert!(Scope::ALL.into_iter().all(|scope| admin.scopes.has(scope)));
        for (wrong, why) in [
            (format!("ci:{digest}"), "NAME:SCOPES:DIGEST"),
            (format!(":read:{digest}"), "has no name"),
            (format!("ci:write:{digest}"), "\"write\""),
            (format!("ci::{digest}"), "\"\""),
            ("ci:read:abc".to_owned(), "64 hexadecimal digits"),
        ] {
            let error = wrong.parse::<KeyRule>().unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
