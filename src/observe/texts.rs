//! What a line of the access log says in the client's words.

use smallvec::SmallVec;

/// Bytes that need no memory of their own: an identifier, a path, what an official client says it is.
const INLINE: usize = 192;

/// Texts of a request, copied: what they were read into is used again for the next request, and is
/// another's memory as soon as a line keeps it.
#[derive(Clone, Debug)]
pub struct Texts {
    bytes: SmallVec<[u8; INLINE]>,
    /// Where the path begins, behind the identifier.
    path: usize,
    /// Where it ends.
    agent: usize,
    has_agent: bool,
}

impl Texts {
    /// The request's identifier, its path, and what the client says it is.
    pub fn new(id: &[u8], path: &str, agent: Option<&[u8]>) -> Self {
        let mut bytes = SmallVec::new();
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(path.as_bytes());
        bytes.extend_from_slice(agent.unwrap_or_default());
        Self {
            bytes,
            path: id.len(),
            agent: id.len() + path.len(),
            has_agent: agent.is_some(),
        }
    }

    /// The request's identifier.
    pub fn id(&self) -> &[u8] {
        &self.bytes[..self.path]
    }

    /// Its path.
    pub fn path(&self) -> &str {
        // It was text when it came.
        std::str::from_utf8(self.path_bytes()).unwrap_or_default()
    }

    /// The same, not looked at.
    pub(super) fn path_bytes(&self) -> &[u8] {
        &self.bytes[self.path..self.agent]
    }

    /// What the client says it is, if it does.
    pub fn agent(&self) -> Option<&[u8]> {
        self.has_agent.then(|| &self.bytes[self.agent..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_what_it_was() {
        let long = "/ä".repeat(INLINE);
        for (id, path, agent) in [
            (&b"a-1"[..], "/v3/a", Some(&b"x\xff"[..])),
            (b"", "", Some(b"")),
            (b"1", &long, None),
        ] {
            let texts = Texts::new(id, path, agent);
            assert_eq!((texts.id(), texts.path(), texts.agent()), (id, path, agent));
        }
    }
}
