//! `nugate cert`: a private authority and a certificate of it for this server.
//!
//! For a test or an office without an authority of its own. Invariants: nothing that exists is
//! overwritten, and private keys are readable by their owner alone from their first byte on.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::cli::args::CertFlags;
use crate::clock::{Clock, Time};

/// How long they hold. Clients of Apple refuse server certificates of more than 825 days.
const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
const SERVER_LIFE: Duration = Duration::from_hours(820 * 24);

/// Clocks of clients may be behind.
const BEFORE: Duration = Duration::from_hours(24);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A name that no certificate can have.
    #[error("{name:?} is neither a host name nor an address: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        why: rcgen::Error,
    },
    /// It cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A file is there already.
    #[error("{} is there already; nothing was written", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file to be written.
struct Output {
    name: &'static str,
    mode: u32,
    text: String,
}

/// Makes both, and tells how clients come to trust the authority.
///
/// # Errors
/// [`CertError`] as described there.
pub fn run(flags: &CertFlags) -> Result<(), CertError> {
    let files = make(&flags.names, Clock::System.now())?;
    write(&flags.out, &files)?;
    let dir = fs::canonicalize(&flags.out).unwrap_or_else(|_| flags.out.clone());
    super::print(&if flags.json {
        as_json(&flags.names, &dir)
    } else {
        as_text(&flags.names, &dir)
    });
    Ok(())
}

fn make(names: &[String], now: Time) -> Result<[Output; 4], CertError> {
    let now = now.to_system();
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    let first = names.first().map_or("nugate", String::as_str);
    authority.distinguished_name.push(
        DnType::CommonName,
        format!("nugate private authority for {first}"),
    );
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.not_before = (now - BEFORE).into();
    authority.not_after = (now + AUTHORITY_LIFE).into();
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let authority_key_pem = authority_key.serialize_pem();
    let issuer = Issuer::new(authority, authority_key);

    for name in names {
        let why = |why| CertError::Name {
            name: name.clone(),
            why,
        };
        CertificateParams::new(vec![name.clone()]).map_err(why)?;
    }
    let mut server = CertificateParams::new(names.to_vec())?;
    server.distinguished_name.push(DnType::CommonName, first);
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    server.not_before = (now - BEFORE).into();
    server.not_after = (now + SERVER_LIFE).into();
    let server_key = KeyPair::generate()?;
    let server_pem = server.signed_by(&server_key, &issuer)?.pem();
    let output = |name, mode, text| Output { name, mode, text };
    Ok([
        output("ca.crt", 0o644, authority_pem.clone()),
        output("ca.key", 0o600, authority_key_pem),
        output("server.crt", 0o644, server_pem + &authority_pem),
        output("server.key", 0o600, server_key.serialize_pem()),
    ])
}

/// Writes all or, when one is there already, none.
fn write(dir: &Path, files: &[Output]) -> Result<(), CertError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CertError::Write { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    for file in files {
        let path = dir.join(file.name);
        if path.symlink_metadata().is_ok() {
            return Err(CertError::Exists(path));
        }
    }
    for file in files {
        let path = dir.join(file.name);
        let mut options = OpenOptions::new();
        let created = options
            .write(true)
            .create_new(true)
            .mode(file.mode)
            .open(&path);
        let mut created = created.map_err(failed(&path))?;
        created
            .write_all(file.text.as_bytes())
            .and_then(|()| created.sync_all())
            .map_err(failed(&path))?;
    }
    Ok(())
}

fn as_json(names: &[String], dir: &Path) -> String {
    let path = |name: &str| dir.join(name).display().to_string();
    let value = serde_json::json!({
        "names": names,
        "authority": path("ca.crt"),
        "authority_key": path("ca.key"),
        "certificate": path("server.crt"),
        "key": path("server.key"),
    });
    format!("{value:#}\n")
}

fn as_text(names: &[String], dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "A private authority and a certificate for {names}:\n\
         \x20 {dir}/ca.crt       the authority: give this file to clients\n\
         \x20 {dir}/ca.key       its key: keep it offline, or delete it\n\
         \x20 {dir}/server.crt   the certificate\n\
         \x20 {dir}/server.key   its key\n\
         \n\
         Configuration of nugate:\n\
         \x20 [tls]\n\
         \x20 certificate = \"{dir}/server.crt\"\n\
         \x20 key = \"{dir}/server.key\"\n\
         \n\
         Clients trust it after:\n\
         \x20 Debian, Ubuntu   cp ca.crt /usr/local/share/ca-certificates/nugate.crt && update-ca-certificates\n\
         \x20 Fedora, RHEL     cp ca.crt /etc/pki/ca-trust/source/anchors/nugate.crt && update-ca-trust\n\
         \x20 Windows          certutil -addstore -f Root ca.crt        (as administrator)\n\
         \x20 macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.crt\n\
         \x20 mono             cert-sync --user ca.crt                  (nuget.exe on Linux and macOS)\n\
         \n\
         dotnet and NuGet use the trust of the operating system. On Linux, one process is told by\n\
         SSL_CERT_FILE=ca.crt, which replaces all other authorities. Since NuGet 6.11, a source in\n\
         nuget.config can have disableTLSCertificateValidation=\"true\", which trusts everyone.\n\
         Containers need the file in their image, before the first restore.\n",
        names = names.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_and_keys_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("new/folder");
        let names = ["nuget.example".to_owned(), "127.0.0.1".to_owned()];
        let files = make(&names, Time::from_millis(1_800_000_000_000)).unwrap();
        write(&out, &files).unwrap();
        for file in &files {
            let path = out.join(file.name);
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & !file.mode, 0, "{}", file.name);
            let is_key = fs::read_to_string(&path).unwrap().contains("PRIVATE KEY");
            assert_eq!(is_key, mode == 0o600, "{}", file.name);
        }
        fs::remove_file(out.join("ca.crt")).unwrap();
        let before = fs::read(out.join("server.key")).unwrap();
        let again = make(&names, Time::from_millis(1_800_000_000_000)).unwrap();
        assert!(matches!(write(&out, &again), Err(CertError::Exists(_))));
        assert!(!out.join("ca.crt").exists());
        assert_eq!(fs::read(out.join("server.key")).unwrap(), before);
        let wrong = make(&["n\u{fc}get".to_owned()], Time::default());
        assert!(matches!(wrong, Err(CertError::Name { .. })));
    }
}
