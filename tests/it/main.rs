//! Behaviours of nugate, one module each.
