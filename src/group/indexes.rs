//! Documents about whole feeds: service index, vulnerabilities, repository signatures.

use futures_util::future::join_all;

use crate::group::Group;
use crate::group::combine::{Part, Recipe, weightier};
use crate::group::united::having;
use crate::nuget::merge;
use crate::proxy::{Error, Reply, Request};

impl Group {
    /// What all members offer. A member whose service index cannot be had is left out, so that the
    /// others can be used.
    pub(super) async fn service_index(&self, request: &Request) -> Result<Reply, Error> {
        let asked = self
            .places()
            .map(|place| self.part(place, &request.target, request));
        let (parts, warning) = answering(join_all(asked).await, "what it offers is missing")?;
        let base = request.base.clone();
        let publish = self.publisher().is_ok();
        let recipe = Recipe {
            warning,
            ..Recipe::of(request)
        };
        let merge = move |parts: &[Part]| {
            let documents = parts.iter().map(|part| &*part.bytes);
            merge::service_index(&base, publish, documents)
        };
        self.combined(recipe, parts, merge).await
    }

    /// The vulnerabilities that all members know; a member that cannot be asked fails them, because
    /// half of the advisories would be taken for all.
    pub(super) async fn vulnerabilities(&self, request: &Request) -> Result<Reply, Error> {
        let parts = self.own_parts(request).await?;
        let names: Vec<String> = self
            .members()
            .map(|member| member.name().to_owned())
            .collect();
        let merge = move |parts: &[Part]| {
            merge::vulnerabilities(parts.iter().map(|part| {
                let name = names.get(part.place).map_or("", String::as_str);
                (name, &*part.bytes)
            }))
        };
        self.combined(Recipe::of(request), parts, merge).await
    }

    /// The signing certificates of all members.
    pub(super) async fn signatures(&self, request: &Request) -> Result<Reply, Error> {
        let parts = self.own_parts(request).await?;
        let everyone = parts.len() == self.places().count();
        let merge = move |parts: &[Part]| {
            merge::signatures(parts.iter().map(|part| &*part.bytes), everyone)
        };
        self.combined(Recipe::of(request), parts, merge).await
    }

    /// The document of each member that has it. Links lead to the member: a page is named by a
    /// token that only the member it is from understands.
    async fn own_parts(&self, request: &Request) -> Result<Vec<Part>, Error> {
        let asked = self
            .places()
            .map(|place| self.part(place, &request.target, request));
        having(join_all(asked).await)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        0..=self.0.more.len()
    }
}

/// The parts of those who answer, and what to tell of those who do not.
///
/// # Errors
/// When nobody answers.
pub(super) fn answering<T>(
    asked: Vec<Result<T, Error>>,
    lack: &str,
) -> Result<(Vec<T>, Option<String>), Error> {
    let mut failed = None;
    let mut causes = Vec::new();
    let mut parts = Vec::new();
    for one in asked {
        match one {
            Ok(part) => parts.push(part),
            Err(error) => {
                if !matches!(error, Error::NotOffered(_)) {
                    causes.push(format!("{lack}: {error}"));
                }
                failed = Some(weightier(failed, error));
            }
        }
    }
    match failed {
        Some(error) if parts.is_empty() => Err(error),
        _ => Ok((parts, (!causes.is_empty()).then(|| causes.join("; ")))),
    }
}
