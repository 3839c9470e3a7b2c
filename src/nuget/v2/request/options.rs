//! The system query options of OData, as far as they are known.

use super::{Selection, bad, unsupported};
use crate::nuget::v2::RequestError;
use crate::nuget::v2::filter::Filter;
use crate::nuget::v2::literal;
use crate::nuget::v2::property::{Property, of_name};
use crate::nuget::v2::rows::Order;
use crate::nuget::version::PackageVersion;

/// The system query options.
#[derive(Default)]
pub(super) struct Options {
    pub(super) filter: Option<Filter>,
    pub(super) orders: Vec<Order>,
    pub(super) skip: usize,
    pub(super) top: Option<usize>,
    pub(super) select: Option<Selection>,
    pub(super) count: bool,
    pub(super) semver2: bool,
}

impl Options {
    pub(super) fn parse(parameters: &[(String, String)]) -> Result<Self, RequestError> {
        let mut options = Self::default();
        for (name, value) in parameters {
            options.take(name, value.trim())?;
        }
        Ok(options)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), RequestError> {
        match name.to_ascii_lowercase().as_str() {
            "$filter" if value.is_empty() => {}
            "$filter" => self.filter = Some(Filter::parse(value)?),
            "$orderby" => self.orders = orders(value)?,
            "$skip" => self.skip = number(name, value)?,
            "$top" => self.top = Some(number(name, value)?),
            "$select" => self.select = selection(value)?,
            "$inlinecount" => match value {
                "allpages" => self.count = true,
                "none" => {}
                _ => return Err(bad("$inlinecount is neither allpages nor none")),
            },
            "$format" if matches!(value, "atom" | "application/atom+xml") => {}
            option if option.starts_with('$') => {
                return Err(unsupported(format!("{name}={value} is not supported")));
            }
            "semverlevel" => {
                let value = literal::parameter(value).unwrap_or_default();
                self.semver2 = PackageVersion::parse(&value).is_some_and(|it| it.major() >= 2);
            }
            _ => {}
        }
        Ok(())
    }
}

fn number(name: &str, value: &str) -> Result<usize, RequestError> {
    let number = value.parse::<u32>().ok();
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| bad(format!("{name} is no whole number from 0 to {}", u32::MAX)))
}

fn property(option: &str, name: &str) -> Result<&'static Property, RequestError> {
    of_name(name).ok_or_else(|| bad(format!("{option}: a package has no property {name:?}")))
}

fn orders(value: &str) -> Result<Vec<Order>, RequestError> {
    let parts = value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let order = |part: &str| {
        let (name, direction) = part.split_once(' ').unwrap_or((part, "asc"));
        let descending = match direction.trim() {
            "asc" => false,
            "desc" => true,
            _ => return Err(bad(format!("$orderby: {part:?} is neither asc nor desc"))),
        };
        let property = property("$orderby", name)?;
        // What a search finds comes in the order of its worth, which is what they are asked for.
        if !property.comparable && property.name != "DownloadCount" {
            let text = format!("$orderby: packages cannot be ordered by {name} here");
            return Err(unsupported(text));
        }
        Ok(Order {
            property,
            descending,
        })
    };
    parts.map(order).collect()
}

fn selection(value: &str) -> Result<Option<Selection>, RequestError> {
    let names: Vec<&str> = value.split(',').map(str::trim).collect();
    if names.iter().any(|name| matches!(*name, "" | "*")) {
        return Ok(None);
    }
    let found = names.iter().map(|name| property("$select", name));
    found.collect::<Result<_, _>>().map(Some)
}
