//! `$filter`: which packages a client wants (OData 2.0, "Filter System Query Option").
//!
//! Everything is parsed and its types are checked before anything is asked; a property whose value
//! V3 facts do not tell, and a function that is not here, are refused by name. Text is compared as
//! nuget.org's database does, without regard to case; versions by precedence. Invariant: depth and
//! size are bounded, so that no text makes evaluation fail.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::nuget::id::PackageId;
use crate::nuget::v2::RequestError;
use crate::nuget::v2::property::{Kind, Property, Value};
use crate::nuget::v2::rows::Row;
use crate::nuget::version::PackageVersion;

mod parse;

/// Most ids that a filter may name.
pub const IDS_MAX: usize = 100;

/// A filter whose types are right.
#[derive(Clone, Debug)]
pub struct Filter(Expr);

#[derive(Clone, Debug)]
enum Expr {
    Null,
    Switch(bool),
    Number(i64),
    Text(String),
    Time(String),
    Property(&'static Property),
    Not(Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Compare(Relation, Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    ToLower,
    ToUpper,
    Trim,
    SubstringOf,
    StartsWith,
    EndsWith,
}

/// The type of an expression; `None` is that of `null`, which goes with all.
type Type = Option<Kind>;

impl Filter {
    /// Parses the value of `$filter`.
    ///
    /// # Errors
    /// [`RequestError`] that names the part it is about.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        parse::filter(text).map(Self)
    }

    /// Whether it lets a package through.
    pub fn holds(&self, row: &Row) -> bool {
        matches!(self.0.value(row), Value::Switch(true))
    }

    /// What it costs to ask it of one package: 1 for each part, more for those that make text.
    pub fn cost(&self) -> usize {
        self.0.cost()
    }

    /// The ids it asks for, in the order it names them, if it lets no other through.
    ///
    /// # Errors
    /// [`RequestError::Unsupported`] for more than [`IDS_MAX`].
    pub fn ids(&self) -> Result<Option<Vec<PackageId>>, RequestError> {
        let mut ids = self.0.ids();
        if let Some(ids) = &mut ids {
            let mut seen = std::collections::HashSet::new();
            ids.retain(|id| seen.insert(id.clone()));
            if ids.len() > IDS_MAX {
                let text = format!("$filter names more than {IDS_MAX} ids");
                return Err(RequestError::Unsupported(text));
            }
        }
        Ok(ids)
    }

    /// Whether it lets at most one version of each package through.
    pub fn is_of_latest(&self) -> bool {
        self.0.demands("IsLatestVersion") || self.0.demands("IsAbsoluteLatestVersion")
    }

    /// Whether that is all it asks: then each package that has such a version passes.
    pub fn is_only_of_latest(&self) -> bool {
        self.0.is_flag("IsLatestVersion") || self.0.is_flag("IsAbsoluteLatestVersion")
    }

    /// Whether it lets releases through only.
    pub fn is_stable(&self) -> bool {
        self.0.demands("IsLatestVersion")
    }
}

impl Expr {
    fn value<'a>(&'a self, row: &'a Row) -> Value<'a> {
        match self {
            Self::Null => Value::Null,
            Self::Switch(switch) => Value::Switch(*switch),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Time(time) => Value::Time(Cow::Borrowed(time)),
            Self::Property(property) => (property.of)(row),
            Self::Not(inner) => Value::Switch(!inner.holds(row)),
            Self::All(parts) => Value::Switch(parts.iter().all(|part| part.holds(row))),
            Self::Any(parts) => Value::Switch(parts.iter().any(|part| part.holds(row))),
            Self::Compare(relation, left, right) => {
                let (left, right) = (left.value(row), right.value(row));
                Value::Switch(relation.holds(&left, &right))
            }
            Self::Call(function, arguments) => {
                let arguments: Vec<_> = arguments.iter().map(|it| it.value(row)).collect();
                function.value(&arguments)
            }
        }
    }

    fn holds(&self, row: &Row) -> bool {
        matches!(self.value(row), Value::Switch(true))
    }

    fn cost(&self) -> usize {
        let of_all = |parts: &[Self]| parts.iter().map(Self::cost).sum::<usize>();
        match self {
            Self::Not(inner) => 1 + inner.cost(),
            Self::All(parts) | Self::Any(parts) => 1 + of_all(parts),
            Self::Compare(_, left, right) => 1 + left.cost() + right.cost(),
            Self::Call(_, arguments) => 20 + of_all(arguments),
            _ => 1,
        }
    }

    /// Whether it is the id, in whatever case.
    fn is_id(&self) -> bool {
        match self {
            Self::Property(property) => property.name == "Id",
            Self::Call(Function::ToLower | Function::ToUpper | Function::Trim, of) => {
                of.first().is_some_and(Self::is_id)
            }
            _ => false,
        }
    }

    fn ids(&self) -> Option<Vec<PackageId>> {
        match self {
            Self::Compare(Relation::Eq, left, right) => match (&**left, &**right) {
                (id, Self::Text(text)) | (Self::Text(text), id) if id.is_id() => {
                    // What is no id is the id of no package.
                    Some(PackageId::parse(text.trim()).into_iter().collect())
                }
                _ => None,
            },
            Self::All(parts) => parts.iter().find_map(Self::ids),
            Self::Any(parts) => {
                let each: Option<Vec<_>> = parts.iter().map(Self::ids).collect();
                each.map(|each| each.into_iter().flatten().collect())
            }
            _ => None,
        }
    }

    /// Whether it is this property, or says that it is true.
    fn is_flag(&self, name: &str) -> bool {
        match self {
            Self::Property(property) => property.name == name,
            Self::Compare(Relation::Eq, left, right) => match (&**left, &**right) {
                (flag, Self::Switch(true)) | (Self::Switch(true), flag) => flag.is_flag(name),
                _ => false,
            },
            _ => false,
        }
    }

    fn demands(&self, name: &str) -> bool {
        match self {
            Self::All(parts) => parts.iter().any(|part| part.demands(name)),
            other => other.is_flag(name),
        }
    }
}

impl Relation {
    fn holds(self, left: &Value<'_>, right: &Value<'_>) -> bool {
        let nulls = [left, right]
            .iter()
            .filter(|value| ***value == Value::Null)
            .count();
        match (self, nulls) {
            (Self::Eq, 2) | (Self::Ne, 1) => return true,
            (_, 1 | 2) => return false,
            _ => {}
        }
        let Some(found) = compare(left, right) else {
            return self == Self::Ne;
        };
        match self {
            Self::Eq => found.is_eq(),
            Self::Ne => found.is_ne(),
            Self::Lt => found.is_lt(),
            Self::Le => found.is_le(),
            Self::Gt => found.is_gt(),
            Self::Ge => found.is_ge(),
        }
    }
}

impl Function {
    const ALL: [(&'static str, Self); 6] = [
        ("tolower", Self::ToLower),
        ("toupper", Self::ToUpper),
        ("trim", Self::Trim),
        ("substringof", Self::SubstringOf),
        ("startswith", Self::StartsWith),
        ("endswith", Self::EndsWith),
    ];

    const fn arguments(self) -> usize {
        match self {
            Self::ToLower | Self::ToUpper | Self::Trim => 1,
            Self::SubstringOf | Self::StartsWith | Self::EndsWith => 2,
        }
    }

    const fn result(self) -> Kind {
        match self {
            Self::ToLower | Self::ToUpper | Self::Trim => Kind::Text,
            Self::SubstringOf | Self::StartsWith | Self::EndsWith => Kind::Switch,
        }
    }

    /// Of null, null: a condition on it does not hold.
    fn value<'a>(self, arguments: &[Value<'_>]) -> Value<'a> {
        let text = |at: usize| arguments.get(at).and_then(letters).map(str::to_lowercase);
        let (Some(first), second) = (text(0), text(1)) else {
            return Value::Null;
        };
        match (self, second) {
            (Self::ToLower | Self::ToUpper, _) => Value::Text(Cow::Owned(first)),
            (Self::Trim, _) => Value::Text(Cow::Owned(first.trim().to_owned())),
            // The part comes first (OData 2.0).
            (Self::SubstringOf, Some(whole)) => Value::Switch(whole.contains(&first)),
            (Self::StartsWith, Some(part)) => Value::Switch(first.starts_with(&part)),
            (Self::EndsWith, Some(part)) => Value::Switch(first.ends_with(&part)),
            (_, None) => Value::Null,
        }
    }
}

fn letters<'a>(value: &'a Value<'_>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Version(text, _) => Some(text),
        _ => None,
    }
}

/// The order of two values of one type; `None` where there is none.
pub fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) => Some(Ordering::Less),
        (_, Value::Null) => Some(Ordering::Greater),
        (Value::Version(_, left), Value::Version(_, right)) => Some(left.cmp(right)),
        (Value::Version(_, left), Value::Text(right)) => {
            Some((**left).cmp(&PackageVersion::parse(right)?))
        }
        (Value::Text(left), Value::Version(_, right)) => {
            Some(PackageVersion::parse(left)?.cmp(right))
        }
        (Value::Text(left), Value::Text(right)) => {
            Some(left.to_lowercase().cmp(&right.to_lowercase()))
        }
        (Value::Switch(left), Value::Switch(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
