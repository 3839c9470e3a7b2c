//! What a request's own cache directives ask for (RFC 9111 section 5.2.1).

/// The request directives that nugate honours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-cache` or `max-age=0`: confirm with the upstream before answering.
    pub no_cache: bool,
    /// `only-if-cached`: answer from the store or with 504.
    pub only_if_cached: bool,
}

impl Directives {
    /// Reads the values of `Cache-Control`, or of `Pragma` where there is no `Cache-Control`
    /// (RFC 9111 section 5.4). Unknown directives are ignored, names fold case.
    pub fn parse<'a>(
        cache_control: impl Iterator<Item = &'a str>,
        pragma: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut directives = Self::default();
        let mut seen = false;
        for directive in cache_control.flat_map(|value| value.split(',')) {
            seen = true;
            directives.apply(directive.trim());
        }
        if !seen {
            let mut pragma = pragma.flat_map(|value| value.split(','));
            directives.no_cache = pragma.any(|part| part.trim().eq_ignore_ascii_case("no-cache"));
        }
        directives
    }

    fn apply(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("no-cache") {
            self.no_cache = true;
        } else if name.eq_ignore_ascii_case("only-if-cached") {
            self.only_if_cached = true;
        } else if name.eq_ignore_ascii_case("max-age") {
            self.no_cache |= value.trim().trim_matches('"') == "0";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cache_control: &[&str], pragma: &[&str], no_cache: bool, only_if_cached: bool) {
        let directives = Directives::parse(cache_control.iter().copied(), pragma.iter().copied());
        assert_eq!(
            directives,
            Directives {
                no_cache,
                only_if_cached
            }
        );
    }

    #[test]
    fn directives_of_a_request() {
        check(&[], &[], false, false);
        check(&["no-cache"], &[], true, false);
        check(&["No-Cache, no-store"], &[], true, false);
        check(&["max-age=0"], &[], true, false);
        check(&["max-age=\"0\""], &[], true, false);
        check(&["max-age=60"], &[], false, false);
        check(&["max-age=60", " only-if-cached "], &[], false, true);
        check(&[], &["no-cache"], true, false);
        check(&["max-age=60"], &["no-cache"], false, false);
        check(&["x-no-cache, no-cachet"], &["no"], false, false);
    }
}
