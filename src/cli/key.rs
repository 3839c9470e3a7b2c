//! `nugate key`: a new key for a client, and its line for the configuration.
//!
//! Only the digest goes into the configuration, so that whoever reads it cannot use the key.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::cli::args::KeyFlags;
use crate::config::KeyRule;
use crate::entry::Digest;

/// How every key begins, so that scanners of leaked secrets find it.
const PREFIX: &str = "nugate_";

/// Prints a key that is kept nowhere else.
///
/// # Errors
/// What is wrong with the name or a scope.
pub fn run(flags: &KeyFlags) -> Result<(), String> {
    let mut random = [0; 32];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| "this machine gives no randomness".to_owned())?;
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let digest = hex::encode(Digest::of(key.as_bytes()).as_bytes());
    let line = format!("{}:{}:{digest}", flags.name, flags.scope.join("+"));
    line.parse::<KeyRule>()
        .map_err(|why| format!("the key's line {why}"))?;
    super::print(&if flags.json {
        let value = serde_json::json!({ "key": key, "line": line });
        format!("{value:#}\n")
    } else {
        format!(
            "{key}\n\n\
             This is the only time it is shown. Put its line into the configuration:\n\
             \x20 [access]\n\
             \x20 mode = \"required\"\n\
             \x20 keys = [\"{line}\"]\n\n\
             Clients read with it as the password of any user name, and push with it as the API key:\n\
             \x20 dotnet nuget add source URL --name nugate --username key --password KEY --store-password-in-clear-text\n\
             \x20 dotnet nuget push PACKAGE --source nugate --api-key KEY\n"
        )
    });
    Ok(())
}
