//! Commands that look at the configuration, at a feed, or ahead.

mod bundle;
mod doctor;
mod https;
mod settings;
mod warm;
