//! Passwords, tokens and keys: a text that is used, never shown.
//!
//! Invariant: nothing prints a [`Secret`]; whoever needs the text asks for it by
//! [`Secret::expose`], which is therefore easy to find.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

/// The longest secret, in bytes: more would not fit into the header of a request anyway.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// A text that never shows in `Debug`, and whose memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// A secret with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Reads a file that holds a secret and nothing else but, perhaps, the end of its line.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, no UTF-8, or longer than [`SECRET_BYTES_MAX`].
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        let limit = SECRET_BYTES_MAX as u64 + 2;
        File::open(path)?
            .take(limit + 1)
            .read_to_string(&mut text)?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        let secret = Self::new(text);
        match secret.expose().len() {
            0 => Err(io::Error::other("it is empty")),
            length if length > SECRET_BYTES_MAX => {
                let why = format!("it is longer than {SECRET_BYTES_MAX} bytes");
                Err(io::Error::other(why))
            }
            _ => Ok(secret),
        }
    }

    /// The text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// For settings: nobody who does not know the configuration can compare with it.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)).find("hunter2"),
            None
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn files_hold_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Secret::read(&path)
        };
        for text in ["pass word", "pass word\n", "pass word\r\n"] {
            assert_eq!(read(text.as_bytes()).unwrap().expose(), "pass word");
        }
        assert_eq!(read(b"a\n\n").unwrap().expose(), "a\n");
        let long = vec![b'a'; SECRET_BYTES_MAX + 1];
        assert_eq!(read(&long[1..]).unwrap().expose().len(), SECRET_BYTES_MAX);
        for wrong in [&b""[..], b"\n", b"\xff", &long[..]] {
            assert!(read(wrong).is_err(), "{} bytes", wrong.len());
        }
        let missing = Secret::read(&dir.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
