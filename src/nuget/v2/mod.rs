//! The V2 protocol (OData over Atom): passed on to a feed that speaks it, else a view of V3 facts.
//!
//! Clients before NuGet 3, Chocolatey, PowerShellGet and `nuget list` speak it. What is passed on is
//! checked by its shape ([`passed`]); what comes back is read within limits ([`markup`]) and its
//! links point at us ([`links`]). Otherwise a request is parsed
//! to an enum ([`request`], [`filter`]), answered from registrations and searches of the same feed
//! ([`facts`], [`rows`]) and written as XML ([`atom`], [`metadata`]). [`property`] is the table of
//! what a package has. Invariant: a condition that cannot be answered from facts is refused by name,
//! never ignored, so that no list is wrong.

pub mod atom;
pub mod facts;
pub mod filter;
pub mod links;
mod literal;
pub mod markup;
pub mod metadata;
pub mod passed;
pub mod property;
pub mod request;
pub mod rows;

/// What answers V2 clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V2Source {
    /// The feed itself where it speaks V2, else its V3 documents.
    #[default]
    Upstream,
    /// Its V3 documents, also where it speaks V2.
    Facts,
}

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
