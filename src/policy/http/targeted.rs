//! Targeted cache control fields: dictionaries of structured fields (RFC 9213, RFC 8941 section 3.2).
//!
//! Only what directives need is kept of a value; everything else is checked for its syntax, because
//! a field that does not parse must be ignored as a whole.

use http::{HeaderMap, HeaderName};

/// The value of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A boolean that is true, which is also a member without a value.
    True,
    /// An integer.
    Integer(i64),
    /// A string.
    Text(String),
    /// Anything else.
    Other,
}

/// The members of a field in order; `None` when it is absent, empty or cannot be parsed.
pub fn members(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<(String, Value)>> {
    let lines: Option<Vec<_>> = headers
        .get_all(name)
        .iter()
        .map(|line| line.to_str().ok())
        .collect();
    let text = lines?.join(", ");
    let mut parser = Parser(text.trim_matches(' ').as_bytes());
    let members = parser.dictionary()?;
    (!members.is_empty()).then_some(members)
}

/// What is left to parse.
struct Parser<'a>(&'a [u8]);

impl Parser<'_> {
    /// RFC 8941 section 4.2.2; of a key that appears twice the last value counts.
    fn dictionary(&mut self) -> Option<Vec<(String, Value)>> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while !self.0.is_empty() {
            let key = self.key()?;
            let value = if self.eat(b'=') {
                self.member_value()?
            } else {
                Value::True
            };
            self.parameters()?;
            members.retain(|(known, _)| *known != key);
            members.push((key, value));
            self.skip(b" \t");
            if self.0.is_empty() {
                return Some(members);
            }
            if !self.eat(b',') {
                return None;
            }
            self.skip(b" \t");
            if self.0.is_empty() {
                return None;
            }
        }
        Some(members)
    }

    fn key(&mut self) -> Option<String> {
        let first = *self.0.first()?;
        if !(first.is_ascii_lowercase() || first == b'*') {
            return None;
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        Some(self.take(|byte| plain(byte) || b"_-.*".contains(&byte)))
    }

    fn member_value(&mut self) -> Option<Value> {
        if !self.eat(b'(') {
            return self.bare();
        }
        loop {
            self.skip(b" ");
            if self.eat(b')') {
                return Some(Value::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(b" ");
            self.key()?;
            if self.eat(b'=') {
                self.bare()?;
            }
        }
        Some(())
    }

    fn bare(&mut self) -> Option<Value> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.bytes(),
            byte if byte.is_ascii_alphabetic() || byte == b'*' => {
                self.take(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(Value::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.eat(b'-');
        let whole = self.take(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return None;
        }
        if self.eat(b'.') {
            let fraction = self.take(|byte| byte.is_ascii_digit());
            let fits = (1..=3).contains(&fraction.len()) && whole.len() <= 12;
            return fits.then_some(Value::Other);
        }
        let number: i64 = whole.parse().ok()?;
        Some(Value::Integer(if negative { -number } else { number }))
    }

    fn string(&mut self) -> Option<Value> {
        self.eat(b'"');
        let mut text = String::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(Value::Text(text)),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    if !b"\\\"".contains(&escaped) {
                        return None;
                    }
                    text.push(char::from(escaped));
                }
                0x20..=0x7e => text.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    fn boolean(&mut self) -> Option<Value> {
        self.eat(b'?');
        if self.eat(b'1') {
            return Some(Value::True);
        }
        self.eat(b'0').then_some(Value::Other)
    }

    fn bytes(&mut self) -> Option<Value> {
        self.eat(b':');
        self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.eat(b':').then_some(Value::Other)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip(&mut self, bytes: &[u8]) {
        while let [first, rest @ ..] = self.0
            && bytes.contains(first)
        {
            self.0 = rest;
        }
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let end = self.0.iter().position(|byte| !wanted(*byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        String::from_utf8_lossy(taken).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Option<Vec<(String, Value)>> {
        let name = HeaderName::from_static("x");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, line.parse().unwrap());
        }
        members(&headers, &name)
    }

    #[test]
    fn dictionaries_rfc_8941() {
        let check = |line: &str, expected: &[(&str, Value)]| {
            let expected = expected.iter().cloned();
            let expected: Vec<_> = expected
                .map(|(key, value)| (key.to_owned(), value))
                .collect();
            assert_eq!(parse(&[line]), Some(expected), "{line}");
        };
        check("a", &[("a", Value::True)]);
        check("a=?1, b=?0", &[("a", Value::True), ("b", Value::Other)]);
        check(
            "  a=-5 ,\tb=\"x\\\"y\"",
            &[
                ("a", Value::Integer(-5)),
                ("b", Value::Text("x\"y".to_owned())),
            ],
        );
        check("a=1;p=2; q, a=2", &[("a", Value::Integer(2))]);
        check(
            "a=1.5, b=tok/en, c=:YWI=:, d=(1 \"x\";y)",
            &[
                ("a", Value::Other),
                ("b", Value::Other),
                ("c", Value::Other),
                ("d", Value::Other),
            ],
        );
        assert_eq!(parse(&["a=1", "b=2"]).map(|members| members.len()), Some(2));
    }

    #[test]
    fn what_does_not_parse_is_nothing() {
        for line in [
            "",
            " ",
            "A",
            "a,",
            ",a",
            "a=",
            "a=1 b",
            "a=\"x",
            "a=\"\\x\"",
            "a=?2",
            "a=1.",
            "a=(1",
            "a=(1\"x\")",
            "a;",
            "a=1234567890123456",
            "a=:x",
        ] {
            assert_eq!(parse(&[line]), None, "{line}");
        }
        assert_eq!(parse(&[]), None);
    }
}
