//! What NuGet says: identity of packages, resources, URLs, links. Pure functions, no I/O.

pub mod resource;
