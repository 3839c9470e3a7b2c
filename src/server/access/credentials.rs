//! Credentials as requests show them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The longest user name and the longest secret, in bytes. Longer ones are nobody's.
const LENGTH_MAX: usize = 1024;

/// What a client says of itself. Never printed.
#[derive(Clone)]
pub(super) struct Credentials {
    user: Option<String>,
    secret: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// The name before the colon; bearer tokens have none.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password or token.
    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// Reads `Authorization`: Basic (RFC 7617) or Bearer (RFC 6750). None when there is none, when it
/// is of another scheme, when it cannot be read and when there are several.
pub(super) fn basic_or_bearer(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    let credentials = if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Credentials {
            user: Some(String::from_utf8(decoded[..colon].to_vec()).ok()?),
            secret: decoded[colon + 1..].to_vec(),
        }
    } else if scheme.eq_ignore_ascii_case("bearer") {
        Credentials {
            user: None,
            secret: rest.as_bytes().to_vec(),
        }
    } else {
        return None;
    };
    let lengths = [
        credentials.user().map_or(0, str::len),
        credentials.secret.len(),
    ];
    lengths
        .into_iter()
        .all(|it| it <= LENGTH_MAX)
        .then_some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_read_and_nothing_is_printed() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let long = basic(&format!("a:{}", "x".repeat(2000)));
        for (value, expected) in [
            (basic("alice:secret"), Some((Some("alice"), "secret"))),
            (basic("alice:a:b"), Some((Some("alice"), "a:b"))),
            (basic(":key"), Some((Some(""), "key"))),
            (
                basic("alice:").replace("Basic", "bAsIc"),
                Some((Some("alice"), "")),
            ),
            ("Bearer token".to_owned(), Some((None, "token"))),
            (basic("alice"), None),
            ("Basic !!".to_owned(), None),
            ("Basic".to_owned(), None),
            ("Digest x".to_owned(), None),
            (long, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, value.parse().unwrap());
            let found = basic_or_bearer(&headers);
            let parts = found.as_ref().map(|it| (it.user(), it.secret()));
            let expected = expected.map(|(user, secret): (_, &str)| (user, secret.as_bytes()));
            assert_eq!(parts, expected, "{value}");
            let printed = format!("{found:?}");
            assert!(
                !printed.contains("secret") && !printed.contains("alice"),
                "{printed}"
            );
            headers.append(AUTHORIZATION, "Bearer other".parse().unwrap());
            assert!(basic_or_bearer(&headers).is_none(), "{value}");
        }
    }
}
