//! One member for each id: the first that has it, told by its version list.
//!
//! All documents of the id come from there, so lists, registrations, search results and packages
//! agree. A stored list decides, however old it is: nothing is asked for a package that is stored.

use crate::group::combine::{is_none, part_of, unusable, weightier};
use crate::group::{Group, Place};
use crate::nuget::id::PackageId;
use crate::nuget::merge::version_set;
use crate::nuget::route::{self, Target};
use crate::proxy::{Body, Error, Peek, Reply, Request};

/// A body of at most this many bytes may be a list without versions.
const EMPTY_MAX: usize = 64;

impl Group {
    /// A document of an id that any of these members may have.
    pub(super) async fn first_of(
        &self,
        places: &[Place],
        request: &Request,
        id: &PackageId,
    ) -> Result<Reply, Error> {
        if request.target.rule.name == "versions" {
            return self.first_list(places, request).await;
        }
        match self.home(places, request, id).await {
            Ok(home) => self.at(home, request).await,
            // Nobody's list is stored, and nobody can be asked: what is stored without one counts.
            Err(Error::Offline { .. }) => self.first_stored(places, request).await,
            Err(error) => Err(error),
        }
    }

    /// The version list of the first member that has one: asked one after the other, because an
    /// earlier member's answer must be known first.
    async fn first_list(&self, places: &[Place], request: &Request) -> Result<Reply, Error> {
        let mut none = None;
        for place in places {
            let asked = self.at(*place, request).await.and_then(|reply| {
                if is_empty(&reply)? {
                    return Err(Error::NotFound);
                }
                Ok(reply)
            });
            match asked {
                Err(error) if is_none(&error) => none = Some(weightier(none, error)),
                decided => return decided,
            }
        }
        Err(none.unwrap_or(Error::NotFound))
    }

    /// The member that an id belongs to.
    ///
    /// # Errors
    /// That no member has it, or what keeps a member from saying so before a later one is asked.
    pub(super) async fn home(
        &self,
        places: &[Place],
        request: &Request,
        id: &PackageId,
    ) -> Result<Place, Error> {
        let ask = part_of(request, &list_of(id)?);
        let mut none = None;
        for place in places {
            match self.at_place(*place).proxy().peek(&ask).await {
                Peek::Stored => return Ok(*place),
                Peek::Absent => {
                    none = Some(weightier(none, Error::RememberedNotFound));
                    continue;
                }
                Peek::Unsure => {}
            }
            match self.first_list(&[*place], &ask).await {
                Ok(_) => return Ok(*place),
                Err(error) if is_none(&error) => none = Some(weightier(none, error)),
                Err(error) => return Err(error),
            }
        }
        Err(none.unwrap_or(Error::NotFound))
    }

    async fn first_stored(&self, places: &[Place], request: &Request) -> Result<Reply, Error> {
        let mut none = None;
        for place in places {
            match self.at(*place, request).await {
                Ok(reply) => return Ok(reply),
                Err(error) => none = Some(weightier(none, error)),
            }
        }
        Err(none.unwrap_or(Error::NotFound))
    }
}

/// The version list of an id.
pub(super) fn list_of(id: &PackageId) -> Result<Target, Error> {
    let path = format!("flat/{id}/index.json");
    route::parse(&path, None).map_err(|error| Error::internal(format!("{path}: {error}")))
}

/// Whether a version list has no version, which some servers say of ids they do not know.
fn is_empty(reply: &Reply) -> Result<bool, Error> {
    match &reply.body {
        Body::Bytes(bytes) if bytes.len() <= EMPTY_MAX && !reply.gzip => {
            let versions = version_set(bytes).map_err(|error| unusable(&error))?;
            Ok(versions.is_empty())
        }
        _ => Ok(false),
    }
}
