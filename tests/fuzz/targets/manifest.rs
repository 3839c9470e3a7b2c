//! Manifests of packages, in a folder and at the beginning of an upload: what is found can be asked
//! for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::folder;
use nugate_fuzz::nuget::id::PackageId;
use nugate_fuzz::nuget::manifest;
use nugate_fuzz::nuget::version::PackageVersion;

fn can_be_asked_for(id: &str, version: &str) {
    assert_eq!(PackageId::parse(id).expect("it is an id").as_str(), id);
    assert_eq!(
        PackageVersion::parse(version)
            .expect("it is a version")
            .as_str(),
        version
    );
    let path = format!("flat/{id}/{version}/{id}.{version}.nupkg");
    nugate_fuzz::nuget::route::parse(&path, None).expect("it has a path");
}

fuzz_target!(|data: &[u8]| {
    if let Some((id, version)) = folder::identity(data) {
        can_be_asked_for(&id, &version);
    }
    if let Some((id, version)) = manifest::identity(data) {
        can_be_asked_for(id.as_str(), version.as_str());
    }
});
