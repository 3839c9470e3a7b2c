//! How far a command is: a bar on a terminal, else a line for every tenth. On standard error, so
//! that the result alone is on standard output.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};

use crate::jobs::command::Order;

/// What is shown of the way to the end.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// Tenths that were told last; none for commands that are over at once.
    told: Option<u64>,
    /// Whether packages are counted, and not bytes.
    packages: bool,
}

impl Progress {
    pub(super) fn new(order: &Order) -> Self {
        let packages = matches!(order, Order::Warm(_));
        let bodies = matches!(
            order,
            Order::Verify { .. } | Order::Export(_) | Order::Import(_)
        );
        let long = packages || bodies;
        let bar = (long && std::io::stderr().is_terminal()).then(|| ProgressBar::new(0));
        if let Some(bar) = &bar {
            let style = if packages {
                "{bar:40} {pos}/{len} packages {eta}"
            } else {
                "{bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
            };
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
        }
        let told = long.then_some(0);
        Self {
            bar,
            told,
            packages,
        }
    }

    pub(super) fn show(&mut self, done: u64, of: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(done);
        } else if let Some(told) = &mut self.told {
            let tenths = done.saturating_mul(10).checked_div(of).unwrap_or(0);
            if tenths > *told {
                *told = tenths;
                let way = if self.packages {
                    format!("{done} of {of} packages")
                } else {
                    format!("{} of {}", BinaryBytes(done), BinaryBytes(of))
                };
                let line = format!("{tenths}0 %, {way}\n");
                // Nobody may be there to read it.
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
        }
    }

    /// Does something that prints while the bar is out of the way.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
