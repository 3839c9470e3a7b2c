//! Rules of keeping: pure functions over plain data; time is an argument, nothing here waits.

pub mod class;
