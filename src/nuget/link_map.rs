//! Which upstream URLs are ours: upstream base to path below our `/v3/`.
//!
//! The map is learned from service indexes and applied to the links of documents. It never guesses
//! and never parses a URL beyond its origin: whatever follows a known base is kept as it was
//! written. Invariant: a base only matches at a segment boundary, and the longest base wins.

use crate::entry::Digest;

/// Most bases remembered; older ones beyond it are forgotten first.
pub const MAX_BASES: usize = 512;

/// Known upstream bases, longest first.
#[derive(Clone, Debug)]
pub struct LinkMap {
    links: Vec<Link>,
    generation: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    /// As given.
    base: String,
    /// Where the origin of `base` ends.
    path_at: usize,
    /// Where its path ends, without a trailing slash.
    path_end: usize,
    /// Our path below `/v3/`, without a trailing slash.
    ours: String,
}

impl Default for LinkMap {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl LinkMap {
    /// A map of (upstream base or endpoint, our path below `/v3/`). A trailing slash of either makes
    /// no difference; of pairs with the same base the first counts, of more than [`MAX_BASES`] the
    /// rest does not. What is no absolute http(s) URL is left out.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let mut map = Self {
            links: Vec::new(),
            generation: 0,
        };
        for (base, ours) in pairs {
            map.add(Link::new(base, &ours));
        }
        map.settle();
        map
    }

    /// Adds the bases of an earlier map that this one does not know, so that stored documents keep
    /// their links when an upstream moves a resource.
    pub fn merge_older(&mut self, older: &Self) {
        for link in &older.links {
            self.add(Some(link.clone()));
        }
        self.settle();
    }

    /// Our path below `/v3/` for an upstream URL: what follows the base, query and fragment
    /// included, is kept verbatim. `None` when no base is known for it.
    ///
    /// Scheme and host are compared without case and without a default port (RFC 3986 section
    /// 6.2), the path exactly. A path with dot segments lies under no base.
    pub fn resolve(&self, url: &str) -> Option<String> {
        let (origin, path) = url.split_at(origin_end(url)?);
        self.links.iter().find_map(|link| {
            let tail = path.strip_prefix(link.path())?;
            let boundary = tail.is_empty() || tail.starts_with(['/', '?', '#']);
            (boundary && same_origin(link.origin(), origin) && !has_dot_segment(tail))
                .then(|| format!("{}{tail}", link.ours))
        })
    }

    /// A number for the contents, the same in every process: part of the key of rendered documents.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The bases as they were given and our paths for them, longest path first.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.links
            .iter()
            .map(|link| (link.base.as_str(), link.ours.as_str()))
    }

    fn add(&mut self, link: Option<Link>) {
        let Some(link) = link else { return };
        let known = self
            .links
            .iter()
            .any(|other| other.path() == link.path() && same_origin(other.origin(), link.origin()));
        if !known && self.links.len() < MAX_BASES {
            self.links.push(link);
        }
    }

    fn settle(&mut self) {
        self.links
            .sort_by_key(|link| std::cmp::Reverse(link.path().len()));
        let lines = |link: &Link| [link.base.clone(), link.ours.clone()];
        let lines: Vec<_> = self.links.iter().flat_map(lines).collect();
        let digest = Digest::of(lines.join("\n").as_bytes());
        self.generation = digest
            .as_bytes()
            .iter()
            .take(8)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
}

impl Link {
    fn new(base: String, ours: &str) -> Option<Self> {
        let path_at = origin_end(&base)?;
        let path_end = base.trim_end_matches('/').len().max(path_at);
        Some(Self {
            path_at,
            path_end,
            ours: ours.trim_end_matches('/').to_owned(),
            base,
        })
    }

    fn origin(&self) -> &str {
        &self.base[..self.path_at]
    }

    fn path(&self) -> &str {
        &self.base[self.path_at..self.path_end]
    }
}

/// Whether a text is an absolute http(s) URL by its scheme (RFC 3986 section 3.1).
pub fn is_http(url: &str) -> bool {
    origin_end(url).is_some()
}

/// Where scheme and authority of an absolute http(s) URL end.
fn origin_end(url: &str) -> Option<usize> {
    let starts = |scheme: &str| {
        url.get(..scheme.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
            .then_some(scheme.len())
    };
    let authority = starts("https://").or_else(|| starts("http://"))?;
    let length = url[authority..]
        .find(['/', '?', '#'])
        .unwrap_or(url.len() - authority);
    (length > 0).then_some(authority + length)
}

fn same_origin(left: &str, right: &str) -> bool {
    without_default_port(left).eq_ignore_ascii_case(without_default_port(right))
}

fn without_default_port(origin: &str) -> &str {
    let secure = origin.as_bytes().get(4).is_some_and(|byte| *byte != b':');
    let port = if secure { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}

fn has_dot_segment(tail: &str) -> bool {
    let path = tail.split(['?', '#']).next().unwrap_or(tail);
    path.contains("/.") && path.split('/').any(|part| part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> LinkMap {
        LinkMap::new(
            pairs
                .iter()
                .map(|(base, ours)| ((*base).to_owned(), (*ours).to_owned()))
                .collect(),
        )
    }

    fn check(map: &LinkMap, url: &str, ours: Option<&str>) {
        assert_eq!(map.resolve(url).as_deref(), ours, "{url}");
    }

    #[test]
    fn a_base_matches_at_a_segment_boundary() {
        let map = map(&[("https://n.org/v3/reg5/", "registration/")]);
        check(
            &map,
            "https://n.org/v3/reg5/a/index.json",
            Some("registration/a/index.json"),
        );
        check(
            &map,
            "https://n.org/v3/reg5/a/index.json#page/1/2",
            Some("registration/a/index.json#page/1/2"),
        );
        check(&map, "https://n.org/v3/reg5/", Some("registration/"));
        check(&map, "https://n.org/v3/reg5", Some("registration"));
        check(&map, "https://n.org/v3/reg5x/a", None);
        check(&map, "https://n.org/v3/reg", None);
        check(&map, "https://n.org/V3/reg5/a", None);
        check(&map, "https://n.org/v3/reg5/../../x", None);
        check(&map, "https://n.org/v3/reg5/a/.", None);
        check(
            &map,
            "https://n.org/v3/reg5/a/..b?/../",
            Some("registration/a/..b?/../"),
        );
        check(&map, "https://n.org.evil/v3/reg5/a", None);
        check(&map, "https://n.org@evil/v3/reg5/a", None);
        check(&map, "see https://n.org/v3/reg5/a", None);
        check(&map, "//n.org/v3/reg5/a", None);
        check(&map, "https://", None);
        check(&map, "", None);
        check(&map, "ä", None);
    }

    #[test]
    fn scheme_host_and_default_port_are_compared_as_urls() {
        let secure = map(&[("https://N.org:443/f/", "flat/")]);
        check(&secure, "HTTPS://n.ORG/f/a", Some("flat/a"));
        check(&secure, "https://n.org:443/f/a", Some("flat/a"));
        check(&secure, "https://n.org:80/f/a", None);
        check(&secure, "http://n.org/f/a", None);
        let plain = map(&[("http://n.org/f/", "flat/")]);
        check(&plain, "http://n.org:80/f/a", Some("flat/a"));
        check(&plain, "http://n.org:443/f/a", None);
    }

    #[test]
    fn an_endpoint_is_exact_or_followed_by_a_delimiter() {
        let map = map(&[("https://s.org/query", "query")]);
        check(&map, "https://s.org/query", Some("query"));
        check(&map, "https://s.org/query?q=a", Some("query?q=a"));
        check(&map, "https://s.org/query#a", Some("query#a"));
        check(&map, "https://s.org/query/", Some("query/"));
        check(&map, "https://s.org/query2", None);
    }

    #[test]
    fn the_longest_base_wins_and_of_equal_ones_the_first() {
        let map = map(&[
            ("https://h/", "root/"),
            ("https://h/v3/", "short/"),
            ("https://h/v3/reg/", "long/"),
            ("https://H:443/v3/reg", "late"),
        ]);
        check(&map, "https://h/v3/reg/a", Some("long/a"));
        check(&map, "https://h/v3/flat/a", Some("short/flat/a"));
        check(&map, "https://h/x", Some("root/x"));
        check(&map, "https://h", Some("root"));
        assert_eq!(
            map.pairs().map(|(base, _)| base).collect::<Vec<_>>(),
            ["https://h/v3/reg/", "https://h/v3/", "https://h/"]
        );
    }

    #[test]
    fn older_bases_stay_known_but_never_win() {
        let older = map(&[
            ("https://h/reg5/", "registration/"),
            ("https://h/f/", "old/"),
        ]);
        let mut newer = map(&[
            ("https://h/reg6/", "registration/"),
            ("https://h/f/", "flat/"),
        ]);
        let before = newer.generation();
        newer.merge_older(&older);
        check(&newer, "https://h/reg5/a", Some("registration/a"));
        check(&newer, "https://h/reg6/a", Some("registration/a"));
        check(&newer, "https://h/f/a", Some("flat/a"));
        assert_ne!(newer.generation(), before);
        let merged = newer.generation();
        newer.merge_older(&older);
        assert_eq!(newer.generation(), merged);
    }

    #[test]
    fn the_number_of_bases_is_bounded() {
        let many = |name: &str| {
            let pair = |n| (format!("https://h/{name}/{n}/"), "flat/".to_owned());
            LinkMap::new((0..MAX_BASES + 9).map(pair).collect())
        };
        let mut map = many("a");
        map.merge_older(&many("b"));
        assert_eq!(map.pairs().count(), MAX_BASES);
        assert!(
            map.pairs()
                .all(|(base, _)| base.starts_with("https://h/a/"))
        );
    }

    #[test]
    fn the_generation_depends_on_the_contents_alone() {
        let one = map(&[("https://h/a/", "flat/")]);
        assert_eq!(
            one.generation(),
            map(&[("https://h/a/", "flat/")]).generation()
        );
        assert_ne!(
            one.generation(),
            map(&[("https://h/a/", "query")]).generation()
        );
        assert_ne!(one.generation(), LinkMap::default().generation());
    }
}
