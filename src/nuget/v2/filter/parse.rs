//! From the text of a filter to an expression of the right type.

use super::{Expr, Function, Relation, Type};
use crate::nuget::v2::RequestError;
use crate::nuget::v2::literal;
use crate::nuget::v2::property::{Kind, of_name};

/// Most parentheses, functions and negations inside each other.
const DEPTH_MAX: usize = 40;

/// Most parts of a filter; the longest request has room for about as many.
const PARTS_MAX: usize = 2000;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Comma,
    Word(String),
    Text(String),
    Time(String),
    Number(i64),
}

pub(super) fn filter(text: &str) -> Result<Expr, RequestError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0 };
    let found = parser.either(0)?;
    if let Some(token) = parser.peek() {
        return Err(bad(format!("$filter: {} is not expected", shown(token))));
    }
    expect_type(&found, Kind::Switch)?;
    Ok(found)
}

fn bad(text: impl Into<String>) -> RequestError {
    RequestError::Bad(text.into())
}

fn shown(token: &Token) -> String {
    match token {
        Token::Open => "\"(\"".to_owned(),
        Token::Close => "\")\"".to_owned(),
        Token::Comma => "\",\"".to_owned(),
        Token::Word(text) | Token::Text(text) | Token::Time(text) => format!("{text:?}"),
        Token::Number(number) => format!("\"{number}\""),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, RequestError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            ',' => (Token::Comma, &rest[1..]),
            '\'' => {
                let (text, after) = quoted(rest)?;
                (Token::Text(text), after)
            }
            '-' | '0'..='9' => number(rest)?,
            'A'..='Z' | 'a'..='z' | '_' => word(rest)?,
            other => return Err(bad(format!("$filter: {other:?} is not expected"))),
        };
        found.push(token);
        if found.len() > PARTS_MAX {
            return Err(bad(format!("$filter has more than {PARTS_MAX} parts")));
        }
        rest = after.trim_start();
    }
    Ok(found)
}

fn quoted(rest: &str) -> Result<(String, &str), RequestError> {
    literal::quoted(rest).ok_or_else(|| bad("$filter: a quote is not closed"))
}

fn number(rest: &str) -> Result<(Token, &str), RequestError> {
    let signed = rest.strip_prefix('-').unwrap_or(rest);
    let digits = signed.len()
        - signed
            .trim_start_matches(|char: char| char.is_ascii_digit())
            .len();
    let (text, after) = rest.split_at(rest.len() - signed.len() + digits);
    let parsed = text
        .parse()
        .map_err(|_| bad(format!("$filter: {text:?} is no whole number")))?;
    Ok((
        Token::Number(parsed),
        after.strip_prefix('L').unwrap_or(after),
    ))
}

fn word(rest: &str) -> Result<(Token, &str), RequestError> {
    let inside = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let (text, after) = rest.split_at(rest.find(|char| !inside(char)).unwrap_or(rest.len()));
    if text == "datetime" && after.starts_with('\'') {
        let (time, after) = quoted(after)?;
        let digits = |char: char| char.is_ascii_digit() || "-:T.".contains(char);
        if time.len() < 10 || !time.chars().all(digits) {
            return Err(bad(format!("$filter: {time:?} is no time")));
        }
        return Ok((Token::Time(time), after));
    }
    Ok((Token::Word(text.to_owned()), after))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, RequestError> {
        let token = self.peek().cloned();
        self.at += 1;
        token.ok_or_else(|| bad("$filter ends too early"))
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), RequestError> {
        let token = self.next()?;
        if token == *wanted {
            return Ok(());
        }
        let (token, wanted) = (shown(&token), shown(wanted));
        Err(bad(format!("$filter: {token} where {wanted} is expected")))
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(text)) if text == word);
        self.at += usize::from(found);
        found
    }

    fn either(&mut self, depth: usize) -> Result<Expr, RequestError> {
        let first = self.both(depth)?;
        let mut parts = vec![first];
        while self.takes("or") {
            parts.push(self.both(depth)?);
        }
        chain(parts, Expr::Any)
    }

    fn both(&mut self, depth: usize) -> Result<Expr, RequestError> {
        let first = self.comparison(depth)?;
        let mut parts = vec![first];
        while self.takes("and") {
            parts.push(self.comparison(depth)?);
        }
        chain(parts, Expr::All)
    }

    fn comparison(&mut self, depth: usize) -> Result<Expr, RequestError> {
        let left = self.primary(depth)?;
        let Some(Token::Word(word)) = self.peek() else {
            return Ok(left);
        };
        let relation = match word.as_str() {
            "eq" => Relation::Eq,
            "ne" => Relation::Ne,
            "lt" => Relation::Lt,
            "le" => Relation::Le,
            "gt" => Relation::Gt,
            "ge" => Relation::Ge,
            "and" | "or" => return Ok(left),
            other => {
                let text = format!("$filter: the operator {other:?} is not supported");
                return Err(RequestError::Unsupported(text));
            }
        };
        self.at += 1;
        let right = self.primary(depth)?;
        if let (Some(one), Some(other)) = (type_of(&left), type_of(&right))
            && comparable(one) != comparable(other)
        {
            let (one, other) = (one.edm(), other.edm());
            return Err(bad(format!("$filter compares {one} with {other}")));
        }
        Ok(Expr::Compare(relation, Box::new(left), Box::new(right)))
    }

    fn primary(&mut self, depth: usize) -> Result<Expr, RequestError> {
        if depth > DEPTH_MAX {
            return Err(bad(format!("$filter is nested deeper than {DEPTH_MAX}")));
        }
        match self.next()? {
            Token::Open => {
                let inner = self.either(depth + 1)?;
                self.expect(&Token::Close)?;
                Ok(inner)
            }
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Time(time) => Ok(Expr::Time(time)),
            Token::Number(number) => Ok(Expr::Number(number)),
            Token::Word(word) => self.word(&word, depth),
            token => Err(bad(format!("$filter: {} is not expected", shown(&token)))),
        }
    }

    fn word(&mut self, word: &str, depth: usize) -> Result<Expr, RequestError> {
        match word {
            "null" => return Ok(Expr::Null),
            "true" => return Ok(Expr::Switch(true)),
            "false" => return Ok(Expr::Switch(false)),
            "not" => {
                let inner = self.comparison(depth + 1)?;
                expect_type(&inner, Kind::Switch)?;
                return Ok(Expr::Not(Box::new(inner)));
            }
            _ => {}
        }
        if self.peek() == Some(&Token::Open) {
            return self.call(word, depth);
        }
        let property = of_name(word)
            .ok_or_else(|| bad(format!("$filter: a package has no property {word:?}")))?;
        if !property.comparable {
            let text = format!("$filter: packages cannot be chosen by {word} here");
            return Err(RequestError::Unsupported(text));
        }
        Ok(Expr::Property(property))
    }

    fn call(&mut self, word: &str, depth: usize) -> Result<Expr, RequestError> {
        let named = Function::ALL.iter().find(|(name, _)| *name == word);
        let Some((_, function)) = named else {
            let text = format!("$filter: the function {word:?} is not supported");
            return Err(RequestError::Unsupported(text));
        };
        self.expect(&Token::Open)?;
        let mut arguments = vec![self.either(depth + 1)?];
        while self.peek() == Some(&Token::Comma) {
            self.at += 1;
            arguments.push(self.either(depth + 1)?);
        }
        self.expect(&Token::Close)?;
        if arguments.len() != function.arguments() {
            let count = function.arguments();
            return Err(bad(format!("$filter: {word} takes {count} arguments")));
        }
        for argument in &arguments {
            expect_type(argument, Kind::Text)?;
        }
        Ok(Expr::Call(*function, arguments))
    }
}

/// Conditions side by side: as deep as one, however many there are.
fn chain(mut parts: Vec<Expr>, of: fn(Vec<Expr>) -> Expr) -> Result<Expr, RequestError> {
    if parts.len() > 1 {
        for part in &parts {
            expect_type(part, Kind::Switch)?;
        }
        return Ok(of(parts));
    }
    parts.pop().ok_or_else(|| bad("$filter ends too early"))
}

fn type_of(expr: &Expr) -> Type {
    match expr {
        Expr::Null => None,
        Expr::Number(_) => Some(Kind::Int64),
        Expr::Text(_) => Some(Kind::Text),
        Expr::Time(_) => Some(Kind::Time),
        Expr::Property(property) => Some(property.kind),
        Expr::Call(function, _) => Some(function.result()),
        Expr::Switch(_) | Expr::Not(_) | Expr::All(_) | Expr::Any(_) | Expr::Compare(..) => {
            Some(Kind::Switch)
        }
    }
}

/// Both sizes of whole numbers go together.
fn comparable(kind: Kind) -> Kind {
    if kind == Kind::Int32 {
        Kind::Int64
    } else {
        kind
    }
}

fn expect_type(expr: &Expr, wanted: Kind) -> Result<(), RequestError> {
    match type_of(expr) {
        Some(kind) if kind == wanted => Ok(()),
        Some(kind) => {
            let (kind, wanted) = (kind.edm(), wanted.edm());
            Err(bad(format!("$filter: {kind} where {wanted} is expected")))
        }
        None => Err(bad("$filter: null where a value is expected")),
    }
}
