//! What a shared HTTP cache remembers of one response.

use http::{HeaderMap, HeaderName};

use crate::clock::Time;
use crate::entry::Stored;

/// A request header field that a response varies by, and its normalised value when the response was
/// asked for; `None` when the request did not have it.
pub type Selecting = (HeaderName, Option<String>);

/// One stored response, complete, as RFC 9111 section 3 wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its status.
    pub status: u16,
    /// Its header fields without those that concern one connection only.
    pub headers: HeaderMap,
    /// What of the request it depends on (RFC 9111 section 4.1).
    pub selecting: Vec<Selecting>,
    /// Its body; one of no bytes for a response without content.
    pub body: Stored,
    /// When it was asked for: `request_time` of RFC 9111 section 4.2.3.
    pub requested_at: Time,
    /// When its head arrived: `response_time` of RFC 9111 section 4.2.3.
    pub received_at: Time,
}
