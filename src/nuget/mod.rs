//! What NuGet says: identity of packages, resources, URLs, links. Pure functions, no I/O.

pub mod commit;
pub mod documents;
pub mod id;
pub mod link_map;
pub mod manifest;
pub mod merge;
pub mod owner;
pub mod pattern;
pub mod publish;
pub mod range;
pub mod resource;
pub mod rewrite;
pub mod route;
pub mod service_index;
pub mod stated;
pub mod subject;
pub mod v2;
pub mod version;
pub mod wanted;
