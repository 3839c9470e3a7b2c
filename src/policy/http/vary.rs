//! Which of several responses fits a request (RFC 9111 section 4.1).

use http::header::{ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName};

use crate::entry::{Digest, Kept, Selecting};

/// The most fields a stored response may vary by.
pub const NAMES_MAX: usize = 16;

/// The longest value of a selecting field, in bytes.
pub const VALUE_MAX: usize = 4096;

/// What of `request` the response depends on; `None` when nothing of a request can tell (`*`), or
/// when it is not worth the attempt: no field name, too many, too long.
pub fn selecting(response: &HeaderMap, request: &HeaderMap) -> Option<Vec<Selecting>> {
    let mut names = Vec::new();
    for line in response.get_all(VARY) {
        for name in line.to_str().ok()?.split(',').map(str::trim) {
            match name {
                "" => {}
                "*" => return None,
                name => names.push(HeaderName::from_bytes(name.as_bytes()).ok()?),
            }
        }
    }
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    let selecting: Vec<_> = names
        .into_iter()
        .map(|name| {
            let value = normalised(&name, request);
            (name, value)
        })
        .collect();
    let long = |(_, value): &Selecting| value.as_ref().is_some_and(|it| it.len() > VALUE_MAX);
    (selecting.len() <= NAMES_MAX && !selecting.iter().any(long)).then_some(selecting)
}

/// Whether a request has what the response was selected by.
pub fn fits(selecting: &[Selecting], request: &HeaderMap) -> bool {
    selecting
        .iter()
        .all(|(name, value)| normalised(name, request) == *value)
}

/// The most recent of the responses that fit (section 4.1, last paragraph).
pub fn select<'a, T>(kept: &'a [T], request: &HeaderMap) -> Option<&'a T>
where
    T: AsRef<Kept>,
{
    kept.iter()
        .filter(|one| fits(&one.as_ref().selecting, request))
        .max_by_key(|one| one.as_ref().received_at)
}

/// A short name of what a response was selected by.
pub fn variant(selecting: &[Selecting]) -> String {
    let lines: Vec<String> = selecting
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}+{value}"),
            None => format!("{name}-"),
        })
        .collect();
    let mut name = Digest::of(lines.join("\n").as_bytes()).to_hex();
    name.truncate(32);
    name
}

/// Lines combined and white space at commas removed, as section 4.1 allows; languages besides in one
/// case and order, since without weights their order says nothing (RFC 9110 section 12.5.4).
fn normalised(name: &HeaderName, request: &HeaderMap) -> Option<String> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let mut members = Vec::new();
    for line in lines {
        let text = String::from_utf8_lossy(line.as_bytes()).into_owned();
        members.extend(text.split(',').map(|member| member.trim().to_owned()));
    }
    if *name == ACCEPT_LANGUAGE {
        for member in &mut members {
            member.make_ascii_lowercase();
        }
        members.sort();
    }
    Some(members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::http::headers;

    type Lines<'a> = &'a [(&'static str, &'a str)];

    #[track_caller]
    fn check(vary: &str, first: Lines<'_>, second: Lines<'_>, expected: bool) {
        let selected = selecting(&headers(&[("vary", vary)]), &headers(first)).unwrap();
        assert_eq!(
            fits(&selected, &headers(second)),
            expected,
            "{first:?} {second:?}"
        );
        let other = selecting(&headers(&[("vary", vary)]), &headers(second)).unwrap();
        assert_eq!(
            variant(&selected) == variant(&other),
            expected,
            "{first:?} {second:?}"
        );
    }

    #[test]
    fn requests_with_the_same_selecting_fields_fit() {
        check("foo", &[("foo", "1")], &[("foo", "1"), ("bar", "2")], true);
        check("foo", &[("foo", "1")], &[("foo", "2")], false);
        check("foo", &[("foo", "1")], &[], false);
        check("foo", &[("foo", "")], &[], false);
        check("Foo, BAR", &[("foo", "1")], &[("foo", "1")], true);
        check(
            "foo, bar",
            &[("foo", "1")],
            &[("foo", "1"), ("bar", "")],
            false,
        );
        check(
            "foo",
            &[("foo", "1, 2")],
            &[("foo", "1"), ("foo", "2")],
            true,
        );
        check("foo", &[("foo", "1,2")], &[("foo", " 1 ,  2 ")], true);
        check("foo", &[("foo", "a")], &[("foo", "A")], false);
        check("foo", &[("foo", "1, 2")], &[("foo", "2, 1")], false);
        check(
            "accept-language",
            &[("accept-language", "en, de")],
            &[("accept-language", "DE,en")],
            true,
        );
        // An absent field is not one that says so.
        check("a, b", &[("a", "x"), ("b", "-")], &[("a", "x")], false);
    }

    #[test]
    fn nothing_fits_a_star() {
        for vary in ["*", "*, *", ", *", "foo, *", "*, foo", "a b", "a\u{e4}"] {
            let mut response = HeaderMap::new();
            let value = http::HeaderValue::from_bytes(vary.as_bytes()).unwrap();
            response.append(VARY, value);
            assert_eq!(selecting(&response, &HeaderMap::new()), None, "{vary}");
        }
        let lines = headers(&[("vary", ""), ("vary", "*")]);
        assert_eq!(selecting(&lines, &HeaderMap::new()), None);
        let many: Vec<_> = (0..=NAMES_MAX).map(|number| format!("x{number}")).collect();
        let many = headers(&[("vary", &many.join(","))]);
        assert_eq!(selecting(&many, &HeaderMap::new()), None);
        assert_eq!(
            selecting(&HeaderMap::new(), &HeaderMap::new()),
            Some(Vec::new())
        );
    }
}
