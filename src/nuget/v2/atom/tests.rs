//! Tests of Atom: shapes are those of captured feeds of nuget.org.

use std::sync::Arc;

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::json;

use super::*;
use crate::nuget::v2::facts;
use crate::nuget::v2::property::of_name;
use crate::nuget::v2::rows::Package;

fn rows(entries: &[serde_json::Value]) -> Vec<Row> {
    let items: Vec<_> = entries
        .iter()
        .map(|entry| json!({ "commitTimeStamp": "2016-02-17T20:21:32Z", "catalogEntry": entry }))
        .collect();
    let page = json!({ "items": items }).to_string();
    let releases = facts::registration_page(page.as_bytes()).unwrap();
    Arc::new(Package::new(releases)).rows(true)
}

fn head(base: &str) -> Head<'_> {
    Head {
        base,
        name: "FindPackagesById",
        count: None,
        next: None,
        select: None,
    }
}

/// The first text of each element, by name; panics where the document is not well-formed.
fn texts(xml: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader::from_reader(xml);
    let mut buffer = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        let event = reader.read_event_into(&mut buffer).unwrap();
        match event {
            Event::Start(element) => {
                let name = element.name().as_ref().to_owned();
                found.push((name.clone(), String::new()));
                open.push(name);
            }
            Event::Text(text) => {
                if let (Some(_), Some(last)) = (open.last(), found.last_mut()) {
                    last.1.push_str(&text);
                }
            }
            Event::GeneralRef(name) => {
                let text = match &*name {
                    "lt" => '<',
                    "gt" => '>',
                    "amp" => '&',
                    "quot" => '"',
                    "apos" => '\'',
                    other => {
                        let code = other.strip_prefix('#').unwrap().parse().unwrap();
                        char::from_u32(code).unwrap()
                    }
                };
                if let Some(last) = found.last_mut() {
                    last.1.push(text);
                }
            }
            Event::End(_) => drop(open.pop()),
            Event::Eof => {
                assert!(open.is_empty(), "{open:?} is open");
                return found;
            }
            _ => {}
        }
        buffer.clear();
    }
}

/// Quotes need not be escaped in text.
fn plain(xml: Vec<u8>) -> String {
    String::from_utf8(xml).unwrap().replace("&apos;", "'")
}

const ENTRY: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
<entry xml:base=\"http://h/api/v2/\" xmlns=\"http://www.w3.org/2005/Atom\" \
xmlns:d=\"http://schemas.microsoft.com/ado/2007/08/dataservices\" \
xmlns:m=\"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata\">\
<id>http://h/api/v2/Packages(Id='Windows.Storage',Version='1.6-Rc')</id>\
<category term=\"NuGetGallery.OData.V2FeedPackage\" scheme=\"http://schemas.microsoft.com/ado/2007/08/dataservices/scheme\"/>\
<link rel=\"edit\" title=\"V2FeedPackage\" href=\"Packages(Id='Windows.Storage',Version='1.6-Rc')\"/>\
<title type=\"text\">Windows.Storage</title>\
<summary type=\"text\">A client library.</summary>\
<updated>2016-02-17T20:21:32Z</updated>\
<author><name>Microsoft</name></author>\
<link rel=\"edit-media\" title=\"V2FeedPackage\" href=\"Packages(Id='Windows.Storage',Version='1.6-Rc')/$value\"/>\
<content type=\"application/zip\" src=\"http://h/api/v2/package/Windows.Storage/1.6.0-Rc\"/>\
<m:properties>\
<d:Id>Windows.Storage</d:Id>\
<d:Version>1.6-Rc</d:Version>\
<d:NormalizedVersion>1.6.0-Rc</d:NormalizedVersion>\
<d:Authors>Microsoft</d:Authors>\
<d:Copyright m:null=\"true\"/>\
<d:Created m:type=\"Edm.DateTime\">2011-12-07T20:43:42.427</d:Created>\
<d:Dependencies>Configuration:1.7.0.0:|Other:[1.0, 2.0):net45</d:Dependencies>\
<d:Description>Works with &lt;storage&gt;.</d:Description>\
<d:DownloadCount m:type=\"Edm.Int32\">0</d:DownloadCount>\
<d:GalleryDetailsUrl m:null=\"true\"/>\
<d:IconUrl m:null=\"true\"/>\
<d:IsLatestVersion m:type=\"Edm.Boolean\">false</d:IsLatestVersion>\
<d:IsAbsoluteLatestVersion m:type=\"Edm.Boolean\">true</d:IsAbsoluteLatestVersion>\
<d:IsPrerelease m:type=\"Edm.Boolean\">true</d:IsPrerelease>\
<d:Language m:null=\"true\"/>\
<d:LastUpdated m:type=\"Edm.DateTime\">2016-02-17T20:21:32</d:LastUpdated>\
<d:Published m:type=\"Edm.DateTime\">2011-12-07T20:43:42.427</d:Published>\
<d:PackageHash m:null=\"true\"/>\
<d:PackageHashAlgorithm m:null=\"true\"/>\
<d:PackageSize m:type=\"Edm.Int64\" m:null=\"true\"/>\
<d:ProjectUrl>http://p/?a=1&amp;b=2</d:ProjectUrl>\
<d:ReportAbuseUrl m:null=\"true\"/>\
<d:ReleaseNotes m:null=\"true\"/>\
<d:RequireLicenseAcceptance m:type=\"Edm.Boolean\">true</d:RequireLicenseAcceptance>\
<d:Summary>A client library.</d:Summary>\
<d:Tags xml:space=\"preserve\"> Storage Azure </d:Tags>\
<d:Title>Windows Storage</d:Title>\
<d:VersionDownloadCount m:type=\"Edm.Int32\">0</d:VersionDownloadCount>\
<d:MinClientVersion>2.8.3</d:MinClientVersion>\
<d:LastEdited m:type=\"Edm.DateTime\" m:null=\"true\"/>\
<d:LicenseUrl m:null=\"true\"/>\
<d:LicenseNames m:null=\"true\"/>\
<d:LicenseReportUrl m:null=\"true\"/>\
</m:properties></entry>";

#[test]
fn an_entry_is_what_nuget_org_writes() {
    let rows = rows(&[json!({
        "id": "Windows.Storage", "version": "1.6-Rc", "authors": "Microsoft",
        "summary": "A client library.", "description": "Works with <storage>.",
        "published": "2011-12-07T20:43:42.427+00:00", "title": "Windows Storage",
        "projectUrl": "http://p/?a=1&b=2", "requireLicenseAcceptance": true,
        "tags": ["Storage", "Azure"], "minClientVersion": "2.8.3",
        "dependencyGroups": [
            { "dependencies": [{ "id": "Configuration", "range": "[1.7.0.0, )" }] },
            { "targetFramework": ".NETFramework4.5",
              "dependencies": [{ "id": "Other", "range": "[1.0, 2.0)" }] },
        ],
    })]);
    let xml = entry(&head("http://h/api/v2/"), &rows[0]).unwrap();
    assert_eq!(plain(xml), ENTRY);
}

#[test]
fn a_list_has_its_length_its_entries_and_the_next_page() {
    let rows = rows(&[
        json!({ "id": "A", "version": "1.0.0", "listed": false }),
        json!({ "id": "A", "version": "1.1.0+build", "published": "2020-01-01T00:00:00Z" }),
    ]);
    let select = [of_name("Version").unwrap(), of_name("Published").unwrap()];
    let head = Head {
        count: Some(7),
        next: Some("FindPackagesById?id=%27a%27&%24skip=2"),
        select: Some(&select),
        ..head("https://h/x/api/v2/")
    };
    let xml = plain(feed(&head, &rows).unwrap());
    texts(xml.as_bytes());
    for (part, times) in [
        ("<entry>", 2),
        ("xmlns:d=", 1),
        ("<m:count>7</m:count>", 1),
        (
            "<link rel=\"next\" href=\"https://h/x/api/v2/FindPackagesById?id=%27a%27&amp;%24skip=2\"/>",
            1,
        ),
        (
            "<d:Published m:type=\"Edm.DateTime\">1900-01-01T00:00:00</d:Published>",
            1,
        ),
        ("Version='1.1.0%2Bbuild'", 3),
        ("src=\"https://h/x/api/v2/package/A/1.1.0\"", 1),
        ("<d:Id>", 0),
        ("<d:", 4),
    ] {
        assert_eq!(xml.matches(part).count(), times, "{part} in {xml}");
    }
    let empty = feed(&self::head("http://h/api/v2/"), &[]).unwrap();
    let found = texts(&empty);
    assert!(
        found
            .iter()
            .all(|(name, _)| name != "entry" && name != "m:count")
    );
    assert!(found.contains(&("updated".to_owned(), "1970-01-01T00:00:00Z".to_owned())));
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was(text in "[\\PC<>&'\"\\]\\x00-\\x1f]{0,30}") {
        let rows = rows(&[json!({ "id": "A", "version": "1", "description": text, "title": text })]);
        let xml = feed(&head("http://h/'\"<&/api/v2/"), &rows).unwrap();
        let found = texts(&xml);
        let written = found.iter().find(|(name, _)| name == "d:Description");
        prop_assert_eq!(written.map_or("", |(_, text)| text.as_str()), allowed(&text));
    }
}
