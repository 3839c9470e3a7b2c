//! The one place that knows which failure is which status, and what a client may learn.

use http::StatusCode;

use crate::proxy::{Error, PublishError};

/// The status of a failure. An upstream's failure is never 404: clients and their other sources
/// would take it for "does not exist".
pub fn status_of(error: &Error) -> StatusCode {
    match error {
        // Offline, a client with a second source goes on after 404 and gives up after 504.
        Error::NotFound
        | Error::RememberedNotFound
        | Error::NotOffered(_)
        | Error::Offline { list: true } => StatusCode::NOT_FOUND,
        Error::Offline { list: false }
        | Error::NotStored
        | Error::Upstream { timeout: true, .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::Upstream { timeout: false, .. } | Error::TooLarge(_) => StatusCode::BAD_GATEWAY,
        Error::Refused(status) => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST),
        Error::Publish(error) => match error {
            PublishError::Refused(_) | PublishError::WhichFeed | PublishError::Owned(_) => {
                StatusCode::FORBIDDEN
            }
            PublishError::Offline => StatusCode::GATEWAY_TIMEOUT,
            PublishError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            PublishError::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
            PublishError::Cut | PublishError::Unidentified => StatusCode::BAD_REQUEST,
        },
        Error::Abandoned | Error::Lost(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether the client's console should show the cause (`X-NuGet-Warning`): everything but a plain
/// "there is none".
pub const fn is_worth_a_warning(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound | Error::RememberedNotFound | Error::Refused(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Digest, Stored};

    #[test]
    fn no_failure_of_the_upstream_is_a_404() {
        let upstream = |timeout| Error::Upstream {
            cause: "x".into(),
            timeout,
        };
        let lost = Stored {
            digest: Digest::of(b""),
            size: 0,
        };
        for (error, expected) in [
            (Error::NotFound, 404),
            (Error::RememberedNotFound, 404),
            (Error::NotOffered("Catalog"), 404),
            (Error::Offline { list: true }, 404),
            (Error::Offline { list: false }, 504),
            (Error::NotStored, 504),
            (upstream(true), 504),
            (upstream(false), 502),
            (Error::TooLarge("x".into()), 502),
            (PublishError::Refused("x".into()).into(), 403),
            (PublishError::Offline.into(), 504),
            (Error::Refused(400), 400),
            (Error::internal("x"), 500),
            (Error::Lost(lost), 503),
        ] {
            assert_eq!(status_of(&error).as_u16(), expected, "{error:?}");
        }
    }
}
