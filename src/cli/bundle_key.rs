//! `nugate bundle-key`: a key that bundles are signed with.
//!
//! Invariant: nothing that exists is overwritten, and the private key is readable by its owner alone
//! from its first byte on.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::jobs::command::SigningKey;

/// The flags of `bundle-key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct BundleKeyFlags {
    /// The file of the private key; the public one goes to the same name with `.pub`
    #[arg(value_name = "FILE")]
    pub to: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Writes both, and prints the public one.
///
/// # Errors
/// What cannot be made or written.
pub fn run(flags: &BundleKeyFlags) -> Result<(), String> {
    let (key, pem) = SigningKey::generate()?;
    let mut public = flags.to.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    let text = key.public().to_string();
    write(&flags.to, 0o600, &pem)?;
    write(&public, 0o644, &format!("{text}\n"))?;
    super::print(&if flags.json {
        let value = serde_json::json!({
            "key": flags.to.display().to_string(),
            "public": text,
            "public_file": public.display().to_string(),
        });
        format!("{value:#}\n")
    } else {
        format!(
            "{text}\n\n\
             {} signs bundles: keep it where they are made.\n\
             {} is what `nugate import --trust` takes: bring it to the other sites by another way \
             than the bundles.\n",
            flags.to.display(),
            public.display()
        )
    });
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), String> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let path = path.display();
        if error.kind() == io::ErrorKind::AlreadyExists {
            format!("{path} is there already; it was not overwritten")
        } else {
            format!("{path} cannot be written: {error}")
        }
    })
}
