//! The two documents that say what there is: the service document and `$metadata`.

use std::fmt::Write as _;

use crate::nuget::v2::atom::escape;
use crate::nuget::v2::property::PROPERTIES;

/// `Content-Type` of the service document (RFC 5023 section 8).
pub const SERVICE_TYPE: &str = "application/atomsvc+xml; charset=utf-8";

/// `Content-Type` of `$metadata`.
pub const METADATA_TYPE: &str = "application/xml; charset=utf-8";

/// The service document below `base`, which ends in a slash.
pub fn service(base: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <service xml:base=\"{}\" xmlns=\"http://www.w3.org/2007/app\" \
         xmlns:atom=\"http://www.w3.org/2005/Atom\"><workspace>\
         <atom:title type=\"text\">Default</atom:title><collection href=\"Packages\">\
         <atom:title type=\"text\">Packages</atom:title></collection></workspace></service>",
        escape(base)
    )
}

/// `$metadata`: the properties of a package and the functions there are. Clients look here for
/// `IsAbsoluteLatestVersion` and `Search`.
pub fn schema() -> String {
    let mut properties = String::new();
    for property in PROPERTIES {
        let (name, kind) = (property.name, property.kind.edm());
        let nullable = if property.nullable {
            ""
        } else {
            " Nullable=\"false\""
        };
        let _ = write!(
            properties,
            "<Property Name=\"{name}\" Type=\"{kind}\"{nullable}/>"
        );
    }
    let functions: String = FUNCTIONS.iter().map(function).collect();
    format!("{HEAD}{properties}{MIDDLE}{functions}{TAIL}")
}

/// Name, and names and types of the parameters.
type Function = (&'static str, &'static [(&'static str, &'static str)]);

const FUNCTIONS: &[Function] = &[
    (
        "Search",
        &[
            ("searchTerm", "Edm.String"),
            ("targetFramework", "Edm.String"),
            ("includePrerelease", "Edm.Boolean"),
        ],
    ),
    ("FindPackagesById", &[("id", "Edm.String")]),
    (
        "GetUpdates",
        &[
            ("packageIds", "Edm.String"),
            ("versions", "Edm.String"),
            ("includePrerelease", "Edm.Boolean"),
            ("includeAllVersions", "Edm.Boolean"),
            ("targetFrameworks", "Edm.String"),
            ("versionConstraints", "Edm.String"),
        ],
    ),
];

fn function((name, parameters): &Function) -> String {
    let mut xml = format!(
        "<FunctionImport Name=\"{name}\" ReturnType=\"Collection(NuGetGallery.OData.V2FeedPackage)\" \
         EntitySet=\"Packages\" m:HttpMethod=\"GET\">"
    );
    for (parameter, kind) in *parameters {
        let _ = write!(xml, "<Parameter Name=\"{parameter}\" Type=\"{kind}\"/>");
    }
    xml + "</FunctionImport>"
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <edmx:Edmx Version=\"1.0\" xmlns:edmx=\"http://schemas.microsoft.com/ado/2007/06/edmx\">\
    <edmx:DataServices m:DataServiceVersion=\"2.0\" m:MaxDataServiceVersion=\"2.0\" \
    xmlns:m=\"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata\">\
    <Schema Namespace=\"NuGetGallery.OData\" xmlns=\"http://schemas.microsoft.com/ado/2006/04/edm\">\
    <EntityType Name=\"V2FeedPackage\" m:HasStream=\"true\">\
    <Key><PropertyRef Name=\"Id\"/><PropertyRef Name=\"Version\"/></Key>";

const MIDDLE: &str = "</EntityType></Schema>\
    <Schema Namespace=\"NuGetGallery\" xmlns=\"http://schemas.microsoft.com/ado/2006/04/edm\">\
    <EntityContainer Name=\"V2FeedContext\" m:IsDefaultEntityContainer=\"true\">\
    <EntitySet Name=\"Packages\" EntityType=\"NuGetGallery.OData.V2FeedPackage\"/>";

const TAIL: &str = "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>";

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;

    /// Names of all elements, in order; panics where it is not well-formed.
    fn elements(xml: &str) -> Vec<String> {
        let mut reader = Reader::from_str(xml);
        let mut names = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(element) | Event::Empty(element) => {
                    for attribute in element.attributes() {
                        attribute.unwrap();
                    }
                    names.push(element.name().as_ref().to_owned());
                }
                Event::Eof => return names,
                _ => {}
            }
        }
    }

    #[test]
    fn both_are_well_formed_and_say_what_clients_look_for() {
        let service = service("http://h/a&b/api/v2/");
        assert!(elements(&service).contains(&"collection".to_owned()));
        assert!(service.contains("xml:base=\"http://h/a&amp;b/api/v2/\""));
        let schema = schema();
        let names = elements(&schema);
        let count = |name: &str| names.iter().filter(|own| *own == name).count();
        assert_eq!(count("Property"), PROPERTIES.len());
        assert_eq!((count("FunctionImport"), count("Parameter")), (3, 10));
        for wanted in [
            "<Property Name=\"IsAbsoluteLatestVersion\" Type=\"Edm.Boolean\" Nullable=\"false\"/>",
            "<FunctionImport Name=\"Search\"",
            "<PropertyRef Name=\"Version\"/>",
        ] {
            assert!(schema.contains(wanted), "{wanted}");
        }
    }
}
