//! Why there is nothing to see.

use askama::Template;

use super::Frame;

/// The page in the place of one that there is not, or not for who asks.
#[derive(Template)]
#[template(path = "error.html", config = "src/pages/askama.toml")]
pub struct ErrorPage {
    frame: Frame,
    status: String,
    why: String,
}

impl ErrorPage {
    /// The page in this frame, about this status with its name and what was said of it.
    pub fn new(frame: Frame, status: String, why: &str) -> Self {
        let why = why.trim_end().to_owned();
        Self { frame, status, why }
    }
}
