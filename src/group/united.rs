//! The versions of several members together; of a version that several have, the first member's.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};

use crate::group::combine::{Facts, Part, Recipe, is_none, weightier};
use crate::group::first::list_of;
use crate::group::{Group, Place, base_of_feed};
use crate::nuget::id::PackageId;
use crate::nuget::merge::{self, Registration};
use crate::nuget::route::{self, Target};
use crate::nuget::version::PackageVersion;
use crate::proxy::{Error, Reply, Request};

/// Pages of a registration that are fetched at a time.
const PAGES_AT_A_TIME: usize = 8;

/// Pages that are taken into one registration: 64,000 versions as nuget.org pages them.
const PAGES_MAX: usize = 1000;

impl Group {
    /// A document of an id that several members may have.
    pub(super) async fn united(
        &self,
        places: &[Place],
        request: &Request,
        id: &PackageId,
    ) -> Result<Reply, Error> {
        match request.target.rule.name {
            "versions" => self.united_list(places, request).await,
            "registration_index" => self.united_registration(places, request).await,
            _ => self.of_version(places, request, id).await,
        }
    }

    async fn united_list(&self, places: &[Place], request: &Request) -> Result<Reply, Error> {
        let asked = places
            .iter()
            .map(|place| self.part(*place, &request.target, request));
        let parts = having(join_all(asked).await)?;
        if let [only] = &parts[..] {
            return self.at(only.place, request).await;
        }
        let merge = |parts: &[Part]| merge::versions(parts.iter().map(|part| &*part.bytes));
        self.combined(Recipe::of(request), parts, merge).await
    }

    /// Links of the result lead to the member that each version is from.
    async fn united_registration(
        &self,
        places: &[Place],
        request: &Request,
    ) -> Result<Reply, Error> {
        let asked = places
            .iter()
            .map(|place| self.part(*place, &request.target, request));
        let indexes = having(join_all(asked).await)?;
        if let [only] = &indexes[..] {
            return self.at(only.place, request).await;
        }
        let mut parts = Vec::new();
        let mut counts = Vec::new();
        for index in indexes {
            let pages = self.pages_of(&index, request).await?;
            counts.push(pages.len());
            parts.push(index);
            parts.extend(pages);
        }
        self.bounded(&parts)?;
        let slug = request.target.resource.map_or("", |resource| resource.slug);
        let url = format!("{}{slug}/{}", request.base, request.target.path());
        let merge = move |parts: &[Part]| {
            let mut rest = parts.iter();
            let registrations: Vec<_> = counts
                .iter()
                .filter_map(|count| {
                    let index = &*rest.next()?.bytes;
                    let pages = rest
                        .by_ref()
                        .take(*count)
                        .map(|page| &*page.bytes)
                        .collect();
                    Some(Registration { index, pages })
                })
                .collect();
            merge::registration(&url, &registrations)
        };
        self.combined(Recipe::of(request), parts, merge).await
    }

    /// The pages that a registration index names, in its order.
    async fn pages_of(&self, index: &Part, request: &Request) -> Result<Vec<Part>, Error> {
        let facts = self.0.memo.facts("pages", index, |bytes| {
            merge::outer_pages(bytes).map(Facts::Pages)
        })?;
        let Facts::Pages(urls) = &*facts else {
            return Ok(Vec::new());
        };
        let feed = self.at_place(index.place).name();
        if urls.len() > PAGES_MAX {
            let text = format!("a registration of feed {feed} has more than {PAGES_MAX} pages");
            return Err(Error::TooLarge(text.into()));
        }
        let base = base_of_feed(&request.base, feed);
        let asked = urls.clone().into_iter().map(|url| {
            let base = Arc::clone(&base);
            async move {
                let target = page_target(&url, &base).ok_or_else(|| {
                    Error::unusable(format!(
                        "feed {feed} has a registration page at an address it does not name"
                    ))
                })?;
                self.part(index.place, &target, request).await
            }
        });
        // A page that is gone makes the index wrong, not the package unknown.
        let failed = |error| match error {
            error if is_none(&error) => Error::unusable(format!(
                "feed {feed} lacks a page of a registration: {error}"
            )),
            error => error,
        };
        let mut pages = pin!(stream::iter(asked).buffered(PAGES_AT_A_TIME));
        let mut parts = vec![index.clone()];
        while let Some(page) = pages.next().await {
            parts.push(page.map_err(failed)?);
            self.bounded(&parts)?;
        }
        Ok(parts.split_off(1))
    }

    /// Nothing that is too large is gathered to its end.
    fn bounded(&self, parts: &[Part]) -> Result<(), Error> {
        let size: usize = parts.iter().map(|part| part.bytes.len()).sum();
        if size as u64 > self.0.options.document_size_max {
            let text = "the registrations of all feeds together are larger than document_size_max";
            return Err(Error::TooLarge(text.into()));
        }
        Ok(())
    }

    /// A document of one version: from the first member whose list has the version.
    async fn of_version(
        &self,
        places: &[Place],
        request: &Request,
        id: &PackageId,
    ) -> Result<Reply, Error> {
        let list = list_of(id)?;
        let asked = places.iter().map(|place| self.part(*place, &list, request));
        let parts = having(join_all(asked).await)?;
        if let Some(version) = version_of(&request.target) {
            for part in &parts {
                let facts = self.0.memo.facts("versions", part, |bytes| {
                    merge::version_set(bytes).map(Facts::Versions)
                })?;
                if matches!(&*facts, Facts::Versions(versions) if versions.contains(&version)) {
                    return self.at(part.place, request).await;
                }
            }
        }
        // A page, or a version that is newer than the lists.
        let mut none = None;
        for part in &parts {
            match self.at(part.place, request).await {
                Err(error) if is_none(&error) => none = Some(weightier(none, error)),
                decided => return decided,
            }
        }
        Err(none.unwrap_or(Error::NotFound))
    }
}

/// The parts of those who have the document.
///
/// # Errors
/// That nobody has it, or why a member cannot say: without it, versions would be missing.
pub(super) fn having(asked: Vec<Result<Part, Error>>) -> Result<Vec<Part>, Error> {
    let mut none = None;
    let mut parts = Vec::new();
    for one in asked {
        match one {
            Ok(part) => parts.push(part),
            Err(error) if is_none(&error) => none = Some(weightier(none, error)),
            Err(error) => return Err(error),
        }
    }
    if parts.is_empty() {
        return Err(none.unwrap_or(Error::NotFound));
    }
    Ok(parts)
}

/// The page at one of our own URLs.
fn page_target(url: &str, base: &str) -> Option<Target> {
    route::parse(url.strip_prefix(base)?, None).ok()
}

/// The version that a document is about: the second segment of its path.
fn version_of(target: &Target) -> Option<PackageVersion> {
    let segment = target.path().split('/').nth(1)?;
    let text = segment.strip_suffix(".json").unwrap_or(segment);
    PackageVersion::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_name_their_version() {
        for (path, expected) in [
            ("flat/a/1.0/a.1.0.nupkg", Some("1.0.0")),
            ("flat/a/2.0.0-Beta/readme", Some("2.0.0-beta")),
            ("registration/a/1.0.0.json", Some("1.0.0")),
            ("registration/a/page/1.0.0/2.0.0.json", None),
            ("flat/a/index.json", None),
        ] {
            let target = route::parse(path, None).unwrap();
            let version = version_of(&target);
            assert_eq!(
                version.as_ref().map(PackageVersion::as_str),
                expected,
                "{path}"
            );
        }
    }
}
