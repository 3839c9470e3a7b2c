//! THE table of V2: which properties a package has, their types, and where they come from.
//!
//! `$metadata`, Atom entries, filters and orders follow from [`PROPERTIES`].

use std::borrow::Cow;

use crate::nuget::v2::rows::Row;
use crate::nuget::version::PackageVersion;

/// The type of a property, as the Entity Data Model calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Edm.String`
    Text,
    /// `Edm.Boolean`
    Switch,
    /// `Edm.Int32`
    Int32,
    /// `Edm.Int64`
    Int64,
    /// `Edm.DateTime`
    Time,
}

/// A value of a property or of a part of a filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing, or not known.
    Null,
    /// Text.
    Text(Cow<'a, str>),
    /// A version: compared by precedence, not by letters.
    Version(&'a str, Cow<'a, PackageVersion>),
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// A time in UTC without offset; in this form times compare as text.
    Time(Cow<'a, str>),
}

/// A property of a package.
#[derive(Debug)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether V3 facts are enough to choose packages by it.
    pub comparable: bool,
    /// Its value for a package.
    pub of: for<'a> fn(&'a Row) -> Value<'a>,
}

impl Kind {
    /// Its name in the Entity Data Model.
    pub const fn edm(self) -> &'static str {
        match self {
            Self::Text => "Edm.String",
            Self::Switch => "Edm.Boolean",
            Self::Int32 => "Edm.Int32",
            Self::Int64 => "Edm.Int64",
            Self::Time => "Edm.DateTime",
        }
    }
}

/// The property of this name, which is case-sensitive.
pub fn of_name(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name)
}

const fn text(name: &'static str, of: for<'a> fn(&'a Row) -> Value<'a>) -> Property {
    Property {
        name,
        kind: Kind::Text,
        nullable: true,
        comparable: true,
        of,
    }
}

const fn required(
    name: &'static str,
    kind: Kind,
    of: for<'a> fn(&'a Row) -> Value<'a>,
) -> Property {
    Property {
        name,
        kind,
        nullable: false,
        comparable: true,
        of,
    }
}

/// What no V3 document of a package's registration or of the search says.
const fn unknown(name: &'static str, kind: Kind) -> Property {
    Property {
        name,
        kind,
        nullable: true,
        comparable: false,
        of: |_| Value::Null,
    }
}

/// Downloads are known of what a search found only.
const fn downloads(name: &'static str, of: for<'a> fn(&'a Row) -> Value<'a>) -> Property {
    Property {
        name,
        kind: Kind::Int32,
        nullable: false,
        comparable: false,
        of,
    }
}

fn words(text: &str) -> Value<'_> {
    if text.is_empty() {
        Value::Null
    } else {
        Value::Text(Cow::Borrowed(text))
    }
}

/// `Edm.Int32` ends where it ends.
fn count(number: u64) -> Value<'static> {
    Value::Number(i64::from(i32::try_from(number).unwrap_or(i32::MAX)))
}

/// All properties, in the order nuget.org writes them.
pub const PROPERTIES: &[Property] = &[
    required("Id", Kind::Text, |row| words(&row.release().id)),
    required("Version", Kind::Text, |row| {
        let release = row.release();
        Value::Version(&release.version, Cow::Borrowed(&release.parsed))
    }),
    text("NormalizedVersion", |row| {
        let release = row.release();
        Value::Version(&release.normalized, Cow::Borrowed(&release.parsed))
    }),
    text("Authors", |row| words(&row.release().authors)),
    unknown("Copyright", Kind::Text),
    required("Created", Kind::Time, |row| {
        let release = row.release();
        let known = if release.listed {
            &release.published
        } else {
            &release.updated
        };
        Value::Time(Cow::Borrowed(known))
    }),
    // An empty string says that there are none; null, that nobody knows.
    text("Dependencies", |row| {
        Value::Text(Cow::Borrowed(&row.release().dependencies))
    }),
    text("Description", |row| words(&row.release().description)),
    downloads("DownloadCount", |row| count(row.downloads)),
    unknown("GalleryDetailsUrl", Kind::Text),
    text("IconUrl", |row| words(&row.release().icon_url)),
    required("IsLatestVersion", Kind::Switch, |row| {
        Value::Switch(row.latest)
    }),
    required("IsAbsoluteLatestVersion", Kind::Switch, |row| {
        Value::Switch(row.absolute_latest)
    }),
    required("IsPrerelease", Kind::Switch, |row| {
        Value::Switch(row.is_prerelease())
    }),
    text("Language", |row| words(&row.release().language)),
    required("LastUpdated", Kind::Time, |row| {
        Value::Time(Cow::Borrowed(&row.release().updated))
    }),
    required("Published", Kind::Time, |row| {
        Value::Time(Cow::Borrowed(&row.release().published))
    }),
    unknown("PackageHash", Kind::Text),
    unknown("PackageHashAlgorithm", Kind::Text),
    unknown("PackageSize", Kind::Int64),
    text("ProjectUrl", |row| words(&row.release().project_url)),
    unknown("ReportAbuseUrl", Kind::Text),
    unknown("ReleaseNotes", Kind::Text),
    required("RequireLicenseAcceptance", Kind::Switch, |row| {
        Value::Switch(row.release().require_license_acceptance)
    }),
    text("Summary", |row| words(&row.release().summary)),
    text("Tags", |row| words(&row.release().tags)),
    text("Title", |row| words(row.title())),
    downloads("VersionDownloadCount", |row| count(row.version_downloads)),
    text("MinClientVersion", |row| {
        words(&row.release().min_client_version)
    }),
    unknown("LastEdited", Kind::Time),
    text("LicenseUrl", |row| words(&row.release().license_url)),
    unknown("LicenseNames", Kind::Text),
    unknown("LicenseReportUrl", Kind::Text),
];
