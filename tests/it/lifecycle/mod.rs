//! The program's life under a service manager.

mod health;
mod reload;
mod supervised;
