//! What a look found: a verdict for each check, what it breaks for whom, and what to do about it.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is wrong, or it could not be looked at.
    Note,
    /// Some clients or some commands do not work, or work worse.
    Warning,
    /// Clients do not work.
    Failed,
}

impl Verdict {
    /// All, the best first.
    pub(super) const ALL: [Self; 4] = [Self::Ok, Self::Note, Self::Warning, Self::Failed];

    /// As it is printed.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// Something that is looked at.
#[derive(Debug)]
pub(super) struct Check {
    /// Its name, which never changes.
    pub(super) name: &'static str,
    /// What does not work, and for whom, when it is not as it should be.
    pub(super) breaks: &'static str,
    /// What to do then.
    pub(super) cure: &'static str,
}

/// What one check found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static Check,
    /// How bad it is.
    pub(super) verdict: Verdict,
    /// The feed or the cache that it is about.
    pub(super) about: String,
    /// What was found.
    pub(super) what: String,
    /// What does not work, where that is not what the check says.
    pub(super) breaks: Option<&'static str>,
}

impl Finding {
    /// As JSON; a finding that is no fault has neither `breaks` nor `cure`.
    pub(super) fn json(&self) -> Value {
        let mut value = json!({
            "check": self.check.name,
            "verdict": self.verdict.name(),
            "about": self.about,
            "what": self.what,
        });
        if self.verdict >= Verdict::Warning {
            value["breaks"] = json!(self.breaks());
            value["cure"] = json!(self.check.cure);
        }
        value
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{:<8} {:<17} {}\n",
            self.verdict.name(),
            self.check.name,
            self.what
        );
        if self.verdict >= Verdict::Warning {
            for (word, said) in [("breaks", self.breaks()), ("cure", self.check.cure)] {
                // Writing to a text does not fail.
                let _ = writeln!(text, "{:9}{word:<17} {said}", "");
            }
        }
        text
    }

    fn breaks(&self) -> &'static str {
        self.breaks.unwrap_or(self.check.breaks)
    }
}

/// The findings about one feed or cache.
#[derive(Debug)]
pub(super) struct Findings {
    about: String,
    list: Vec<Finding>,
}

impl Findings {
    /// None yet.
    pub(super) fn about(about: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            list: Vec::new(),
        }
    }

    /// Adds one.
    pub(super) fn add(&mut self, check: &'static Check, verdict: Verdict, what: impl Into<String>) {
        self.add_breaking(check, verdict, what, None);
    }

    /// Adds one that breaks something else than its check says.
    pub(super) fn add_breaking(
        &mut self,
        check: &'static Check,
        verdict: Verdict,
        what: impl Into<String>,
        breaks: Option<&'static str>,
    ) {
        self.list.push(Finding {
            check,
            verdict,
            about: self.about.clone(),
            what: what.into(),
            breaks,
        });
    }

    /// Adds that a check found nothing wrong, unless it has found something.
    pub(super) fn add_ok(&mut self, check: &'static Check, what: impl Into<String>) {
        if !self.list.iter().any(|it| it.check.name == check.name) {
            self.add(check, Verdict::Ok, what);
        }
    }

    /// Whether a check has found a fault.
    pub(super) fn has_fault(&self, check: &Check) -> bool {
        let same = |it: &&Finding| it.check.name == check.name;
        let mut found = self.list.iter().filter(same);
        found.any(|it| it.verdict >= Verdict::Warning)
    }

    /// All of them, in the order in which they were found.
    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}
