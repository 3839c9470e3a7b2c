//! The V2 protocol (OData over Atom) as a view of V3 facts.
//!
//! Clients before NuGet 3, Chocolatey, PowerShellGet and `nuget list` speak it. A request is parsed
//! to an enum ([`request`], [`filter`]), answered from registrations and searches of the same feed
//! ([`facts`], [`rows`]) and written as XML ([`atom`], [`metadata`]). [`property`] is the table of
//! what a package has. Invariant: a condition that cannot be answered from facts is refused by name,
//! never ignored, so that no list is wrong.

pub mod atom;
pub mod facts;
pub mod filter;
mod literal;
pub mod metadata;
pub mod property;
pub mod request;
pub mod rows;

/// Why a request cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such resource.
    #[error("there is no such V2 resource here")]
    NotFound,
    /// It is not OData, or names what a package does not have.
    #[error("{0}")]
    Bad(String),
    /// It is valid, and the facts do not answer it.
    #[error("{0}")]
    Unsupported(String),
}
