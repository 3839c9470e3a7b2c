//! What goes wrong on this machine never reaches a client.

mod clock;
mod disk;
mod program;
