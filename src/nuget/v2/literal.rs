//! Quoted strings of OData URIs.

/// The text of a string literal, quotes doubled within; the rest behind it. `None` when it is none.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut found = String::new();
    loop {
        let (before, after) = rest.split_once('\'')?;
        found.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                found.push('\'');
                rest = more;
            }
            None => return Some((found, after)),
        }
    }
}

/// The value of a parameter: a string literal, or a bare word without quotes, which some clients
/// send. `None` for anything else.
pub(super) fn parameter(text: &str) -> Option<String> {
    let text = text.trim();
    match quoted(text) {
        Some((found, "")) => Some(found),
        _ if text.contains('\'') => None,
        _ => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_within() {
        assert_eq!(quoted("'a'b"), Some(("a".to_owned(), "b")));
        assert_eq!(quoted("'it''s' x"), Some(("it's".to_owned(), " x")));
        assert_eq!(quoted("''"), Some((String::new(), "")));
        assert_eq!(quoted("'''"), None);
        assert_eq!(quoted("a'"), None);
        assert_eq!(parameter(" 'a' ").as_deref(), Some("a"));
        assert_eq!(parameter("a.b").as_deref(), Some("a.b"));
        assert_eq!(parameter("'a' or 'b'"), None);
        assert_eq!(parameter("a'"), None);
    }
}
