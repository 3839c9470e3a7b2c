//! Who is known, and what each of them may do: one state of it, by which a request is judged from
//! its beginning to its end.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use ipnet::IpNet;

use super::users::{Users, UsersError};
use crate::config::{AccessConfig, AccessMode, KeyRule, Scope, Scopes};
use crate::entry::Digest;

/// Users, keys, networks and the rules about them.
pub struct Clients {
    pub(super) rules: Arc<Rules>,
    pub(super) users: Arc<Users>,
}

/// What the configuration says.
pub(super) struct Rules {
    pub(super) is_required: bool,
    pub(super) users_file: Option<PathBuf>,
    push_users: Vec<String>,
    admin_users: Vec<String>,
    keys: Vec<KeyRule>,
    pub(super) anonymous: Vec<IpNet>,
    pub(super) proxies: Vec<IpNet>,
}

impl Clients {
    /// Reads the file of users; `proxies` are those whose `X-Forwarded-For` is believed. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// [`UsersError`] when the file cannot be used.
    pub fn read(config: &AccessConfig, proxies: Vec<IpNet>) -> Result<Self, UsersError> {
        let users = match &config.users_file {
            Some(path) => Users::read(path)?,
            None => Users::nobody(),
        };
        users.check_names(config)?;
        Ok(Self::of(config, proxies, users))
    }

    pub(super) fn of(config: &AccessConfig, proxies: Vec<IpNet>, users: Users) -> Self {
        Self {
            rules: Arc::new(Rules {
                is_required: config.mode == AccessMode::Required,
                users_file: config.users_file.clone(),
                push_users: config.push_users.clone(),
                admin_users: config.admin_users.clone(),
                keys: config.keys.clone(),
                anonymous: config.anonymous_networks.clone(),
                proxies,
            }),
            users: Arc::new(users),
        }
    }

    /// The same rules with other users.
    pub(super) fn with_users(&self, users: Users) -> Self {
        Self {
            rules: Arc::clone(&self.rules),
            users: Arc::new(users),
        }
    }

    /// The key whose text this is. It is 256 bits of chance, so guesses need not be counted.
    /// Compared in constant time.
    pub(super) fn key(&self, text: &[u8]) -> Option<&KeyRule> {
        let digest = Digest::of(text);
        let is_it =
            |rule: &&KeyRule| verify_slices_are_equal(&rule.digest, digest.as_bytes()).is_ok();
        self.rules.keys.iter().find(is_it)
    }

    pub(super) fn scopes_of(&self, user: &str) -> Scopes {
        let is_listed = |names: &[String]| names.iter().any(|name| name == user);
        let mut scopes = Scopes::default().with(Scope::Read);
        if is_listed(&self.rules.push_users) {
            scopes = scopes.with(Scope::Push);
        }
        if is_listed(&self.rules.admin_users) {
            scopes = scopes.with(Scope::Admin);
        }
        scopes
    }
}
