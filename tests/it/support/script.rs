//! What the scripted upstream does instead of what the feed says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
    /// Chunked, with a length.
    Both,
    Close,
}

/// How a response ends before it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more comes until the upstream is told to go on.
    Stall,
    /// The connection is reset after half of whatever body there is.
    Midway,
}

/// One prepared behaviour of a path.
#[derive(Clone, Debug)]
pub struct Script {
    /// Status and body; `None` for the feed's own answer.
    pub reply: Option<(u16, Bytes)>,
    pub headers: Vec<(String, String)>,
    pub delay: Duration,
    pub hang: bool,
    /// How many releases there had been when it was written.
    pub releases: usize,
    /// Size of the pieces of the body and the pause after each.
    pub pieces: Option<(usize, Duration)>,
    /// After how many bytes of the body what happens.
    pub broken: Option<(usize, Break)>,
    pub framing: Framing,
    /// After how many bytes of the request's body it answers.
    pub early: Option<usize>,
    /// How many requests it is for; `None` for all further ones.
    pub times: Option<usize>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            reply: None,
            headers: Vec::new(),
            delay: Duration::ZERO,
            hang: false,
            releases: 0,
            pieces: None,
            broken: None,
            framing: Framing::Length,
            early: None,
            times: None,
        }
    }
}

/// The scripts of all paths. Those of one path are used up in the order they were written; one
/// without [`On::times`] stays until another is written for its path.
pub type Scripts = Mutex<Vec<(String, Script)>>;

/// Writes a script; it takes effect as a whole at the end of the statement.
pub struct On {
    scripts: Arc<Scripts>,
    path: String,
    script: Script,
}

impl On {
    pub fn new(scripts: Arc<Scripts>, path: &str, releases: usize) -> Self {
        Self {
            scripts,
            path: path.to_owned(),
            script: Script {
                releases,
                ..Script::default()
            },
        }
    }

    /// This status and body instead of the feed's answer.
    pub fn reply(mut self, status: u16, body: impl Into<Bytes>) -> Self {
        self.script.reply = Some((status, body.into()));
        self
    }

    /// With this header, instead of the feed's one of that name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let pair = (name.to_owned(), value.to_owned());
        self.script.headers.push(pair);
        self
    }

    /// Waits before the head.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.script.delay = delay;
        self
    }

    /// Waits before the head until `release`.
    pub fn hang(mut self) -> Self {
        self.script.hang = true;
        self
    }

    /// Sends the body in pieces of `size` bytes with a pause after each.
    pub fn chunks(mut self, size: usize, pause: Duration) -> Self {
        self.script.pieces = Some((size, pause));
        self
    }

    /// Promises the whole body, sends `bytes` of it and closes the connection.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.script.broken = Some((bytes, Break::Close));
        self
    }

    /// Promises the whole body, sends `bytes` of it and resets the connection.
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.script.broken = Some((bytes, Break::Reset));
        self
    }

    /// Promises the whole body, sends half of it and resets the connection.
    pub fn reset_midway(mut self) -> Self {
        self.script.broken = Some((0, Break::Midway));
        self
    }

    /// Sends `bytes` of the body and the rest only after `release`.
    pub fn stall_after(mut self, bytes: usize) -> Self {
        self.script.broken = Some((bytes, Break::Stall));
        self
    }

    /// Answers when `bytes` of the request's body have come, reads no more and closes the connection
    /// after `release`.
    pub fn early(mut self, bytes: usize) -> Self {
        self.script.early = Some(bytes);
        self
    }

    /// Chunked, without a length.
    pub fn no_length(mut self) -> Self {
        self.script.framing = Framing::Chunked;
        self
    }

    /// Chunked, and with a length all the same.
    pub fn two_lengths(mut self) -> Self {
        self.script.framing = Framing::Both;
        self
    }

    /// Neither length nor chunks: the end of the connection ends the body.
    pub fn close_delimited(mut self) -> Self {
        self.script.framing = Framing::Close;
        self
    }

    /// For this many requests only; then the next script of the path, or the feed.
    pub fn times(mut self, times: usize) -> Self {
        self.script.times = Some(times);
        self
    }
}

impl Drop for On {
    fn drop(&mut self) {
        let mut scripts = self.scripts.lock().unwrap();
        scripts.retain(|(path, script)| *path != self.path || script.times.is_some());
        scripts.push((
            std::mem::take(&mut self.path),
            std::mem::take(&mut self.script),
        ));
    }
}

/// The script for a request, used up by one; a script for path and query goes before one for the
/// path.
pub fn take(scripts: &Scripts, path_and_query: &str) -> Option<Script> {
    let mut scripts = scripts.lock().unwrap();
    let path = path_and_query.split('?').next().unwrap_or_default();
    let place = scripts
        .iter()
        .position(|(on, _)| on == path_and_query)
        .or_else(|| scripts.iter().position(|(on, _)| on == path))?;
    let script = scripts[place].1.clone();
    if let Some(times) = &mut scripts[place].1.times {
        *times -= 1;
        if *times == 0 {
            scripts.remove(place);
        }
    }
    Some(script)
}
