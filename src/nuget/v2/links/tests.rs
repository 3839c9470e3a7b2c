//! Links of V2 documents by example, and over any document.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::nuget::v2::markup;

const THEIRS: &str = "https://www.nuget.org/api/v2";
const FLAT: &str = "https://api.nuget.org/v3-flatcontainer/";
const OURS: &str = "https://cache.example/n/v3/";
const ROOT: &str = "https://cache.example/n/api/v2";

fn map(base: &str, ours: &str) -> LinkMap {
    LinkMap::new(vec![(base.to_owned(), ours.to_owned())])
}

fn rewrite(document: &str, web_links: WebLinks) -> Rewritten {
    let (gallery, documents) = (map(THEIRS, "api/v2"), map(FLAT, "flat/"));
    let place = Place {
        base: OURS,
        gallery: &gallery,
        documents: &documents,
        web_links,
    };
    links(document.as_bytes(), place).unwrap()
}

fn shown(document: &str) -> String {
    String::from_utf8(rewrite(document, WebLinks::Keep).bytes).unwrap()
}

/// The same with `V2` and `FLAT` for the feed's bases in the one, and for ours in the other.
#[track_caller]
fn check(document: &str, expected: &str) {
    let theirs = document
        .replace("V2/", &format!("{THEIRS}/"))
        .replace("FLAT/", FLAT);
    let ours = expected
        .replace("V2/", &format!("{ROOT}/"))
        .replace("FLAT/", &format!("{OURS}flat/"));
    assert_eq!(shown(&theirs), ours);
}

/// A whole list of one entry whose package file is there.
fn feed(source: &str) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
         <feed xml:base='V2/' xmlns=\"http://www.w3.org/2005/Atom\" xmlns:d='urn:d' xmlns:m=\"urn:m\" odd='V2/'>\n\
         <m:count>1</m:count><id>V2/Search</id><title type=\"text\">V2/</title>\n\
         <link rel=\"self\" href=\"Search\" />\n\
         <entry><id>V2/Packages(Id=&apos;A.B&apos;,Version=&apos;1.0&apos;)</id>\n\
         <link rel='edit' href='Packages(Id=&apos;A.B&apos;)'/><title>Some title</title>\n\
         <summary>see V2/Search</summary>\n\
         <content type=\"application/zip\"   src=\"{source}\" />\n\
         <m:properties><d:Id>A.B</d:Id><d:Version>1.0-&#98;</d:Version>\n\
         <d:Description>V2/</d:Description><d:IconUrl>FLAT/a.b/1.0.0/icon</d:IconUrl>\n\
         <d:LicenseUrl><![CDATA[V2/license]]></d:LicenseUrl><d:ProjectUrl>https://a.example/?b&amp;V2/</d:ProjectUrl>\n\
         <d:GalleryDetailsUrl>https://www.nuget.org/packages/A.B</d:GalleryDetailsUrl>\n\
         <d:ReportAbuseUrl m:null=\"true\"></d:ReportAbuseUrl><x:unknown xmlns:x='V2/' a = 'b'>\t<y/></x:unknown>\n\
         </m:properties></entry>\n\
         <!-- V2/ --><link rel=\"next\" href=\"V2/Search?q=%27&amp;$skip=1\"/></feed>\n"
    )
}

#[test]
fn links_point_at_us_and_nothing_else_changes() {
    let expected = feed("V2/package/A.B/1.0-b")
        // What is written anew is escaped in one way; elsewhere their texts stay.
        .replacen("<![CDATA[V2/license]]>", "V2/license", 1)
        .replacen("odd='V2/'", "odd='https://www.nuget.org/api/v2/'", 1)
        .replacen(">V2/</title>", ">https://www.nuget.org/api/v2/</title>", 1)
        .replacen("see V2/", "see https://www.nuget.org/api/v2/", 1)
        .replacen(
            "<d:Description>V2/",
            "<d:Description>https://www.nuget.org/api/v2/",
            1,
        )
        .replacen("b&amp;V2/", "b&amp;https://www.nuget.org/api/v2/", 1)
        .replacen(
            "xmlns:x='V2/'",
            "xmlns:x='https://www.nuget.org/api/v2/'",
            1,
        )
        .replacen("<!-- V2/ -->", "<!-- https://www.nuget.org/api/v2/ -->", 1);
    for source in [
        "V2/package/A.B/1.0",
        "https://cdn.example/a.b.nupkg",
        "Download/A.B/1.0",
    ] {
        check(&feed(source), &expected);
    }
}

#[test]
fn the_package_file_is_ours_where_the_entry_says_which_it_is() {
    let entry = |title: &str, version: &str, source: &str| {
        format!(
            "<entry><title>{title}</title><content src=\"{source}\"/><m:properties xmlns:m='m' xmlns:d='d'>\
             <d:Version>{version}</d:Version></m:properties></entry>"
        )
    };
    for (title, version, source, expected) in [
        ("A", "1.0", "V2/A/1.0", "V2/package/A/1.0"),
        ("É", "1.0+b", "x", "V2/package/%C3%89/1.0%2Bb"),
        ("two words", "1.0", "V2/x?y=1&amp;z", "V2/x?y=1&amp;z"),
        ("A", "", "https://cdn.example/a", "https://cdn.example/a"),
    ] {
        check(
            &entry(title, version, source),
            &entry(title, version, expected),
        );
    }
    let outside = entry("A", "", "https://cdn.example/a");
    assert_eq!(rewrite(&outside, WebLinks::Keep).left, 1);
}

#[test]
fn pages_for_people_can_be_dropped() {
    let dropped = rewrite(&feed("x"), WebLinks::Drop).bytes;
    let dropped = String::from_utf8(dropped).unwrap();
    assert!(!dropped.contains("nuget.org/packages"), "{dropped}");
    assert!(dropped.contains(&format!(
        "<d:GalleryDetailsUrl{NULL}></d:GalleryDetailsUrl>"
    )));
    assert_eq!(
        dropped.matches("nugate:null").count(),
        1,
        "what is null already stays"
    );
    assert_eq!(markup::check(dropped.as_bytes(), &["feed"]), Ok(()));
}

#[test]
fn a_service_document_names_us() {
    check(
        "<service xml:base=\"V2/\"><workspace><collection href='Packages'/>\
         <collection href='V2/Screencasts'/></workspace></service>",
        "<service xml:base=\"V2/\"><workspace><collection href='Packages'/>\
         <collection href='V2/Screencasts'/></workspace></service>",
    );
}

#[test]
fn the_file_of_an_entry_is_found() {
    let base = Url::parse("https://h/api/v2/Packages(Id='A',Version='1')").unwrap();
    for (entry, expected) in [
        (
            "<entry><content src=' https://cdn/a?b=1&amp;c '/></entry>",
            Some("https://cdn/a?b=1&c"),
        ),
        (
            "<entry><content src='package/A/1'/></entry>",
            Some("https://h/api/v2/package/A/1"),
        ),
        ("<entry><content/></entry>", None),
        ("<entry><content src='x'>", None),
    ] {
        let found = file_of(entry.as_bytes(), &base);
        assert_eq!(found.as_ref().map(Url::as_str), expected, "{entry}");
    }
}

/// XML with links and texts in all places, well-formed and within the limits.
fn document(url: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("link"),
        Just("id"),
        Just("entry"),
        Just("feed"),
        Just("m:properties"),
        Just("d:IconUrl"),
        Just("d:Id"),
        Just("title"),
        Just("collection"),
        Just("x"),
    ];
    let attribute = prop_oneof![Just("xml:base"), Just("href"), Just("src"), Just("a")];
    let leaf = prop_oneof![
        url.clone(),
        Just("&amp;&#x20AC;".to_owned()),
        Just("<![CDATA[<raw>&]]>".to_owned()),
        Just("<!-- a -->\r\n".to_owned()),
        "[a-z ]{0,6}",
    ];
    let inside = leaf.prop_recursive(5, 40, 5, move |inner| {
        let parts = prop::collection::vec(inner, 0..4);
        (
            name.clone(),
            attribute.clone(),
            url.clone(),
            any::<bool>(),
            parts,
        )
            .prop_map(|(name, attribute, url, single, parts)| {
                let quote = if single { '\'' } else { '"' };
                format!(
                    "<{name} {attribute}={quote}{url}{quote}>{}</{name}>",
                    parts.concat()
                )
            })
    });
    prop::collection::vec(inside, 0..5)
        .prop_map(|parts| format!("<feed>{}</feed>\n", parts.concat()))
}

proptest! {
    #[test]
    fn documents_without_links_of_the_feed_stay_as_they_are(
        document in document(prop_oneof![
            Just("https://www.nuget.org/api/v2x/a".to_owned()),
            Just("https://www.nuget.org.evil.example/api/v2/a".to_owned()),
            Just("http://www.nuget.org/api/v2/a".to_owned()),
            Just("Packages?$skip=1&amp;a".to_owned()),
            "https://[a-z]{1,8}\\.example/[a-z/]{0,8}",
        ])
    ) {
        prop_assert_eq!(shown(&document), document);
    }

    #[test]
    fn there_and_back_is_the_same(
        document in document(prop_oneof![
            Just(format!("{THEIRS}/Search")), Just(THEIRS.to_owned()), Just(format!("{FLAT}a/icon")),
            Just("https://elsewhere.example/".to_owned()),
        ])
    ) {
        // Written anew a value has no comments and no white space around it.
        prop_assume!(!document.contains("<!--") && !document.contains("CDATA") && !document.contains(' '.to_string().repeat(2).as_str()));
        let ours = shown(&document);
        let back = (map(ROOT, "api/v2"), map(&format!("{OURS}flat/"), "v3-flatcontainer/"));
        let place = Place { base: "https://www.nuget.org/v3/", gallery: &back.0, documents: &LinkMap::default(), web_links: WebLinks::Keep };
        let again = links(ours.as_bytes(), place).unwrap();
        let api = Place { base: "https://api.nuget.org/", gallery: &LinkMap::default(), documents: &back.1, web_links: WebLinks::Keep };
        let again = links(&again.bytes, api).unwrap();
        // Nor is a character spelt as a reference again.
        let squeeze = |text: &str| text.replace([' '], "").replace("&#x20AC;", "€");
        prop_assert_eq!(squeeze(&String::from_utf8(again.bytes).unwrap()), squeeze(&document));
    }

    #[test]
    fn any_bytes_are_refused_or_copied(bytes in prop::collection::vec(prop_oneof![
        any::<u8>(), Just(b'<'), Just(b'>'), Just(b'/'), Just(b'a'), Just(b'&'), Just(b'"'),
    ], 0..60)) {
        let place = Place { base: OURS, gallery: &map(THEIRS, "api/v2"), documents: &LinkMap::default(), web_links: WebLinks::Keep };
        if let Ok(done) = links(&bytes, place) {
            prop_assert_eq!(done.bytes, bytes);
        }
    }
}

/// The same with each package file at the version that its entry tells, which is the spelling that
/// its feed knows: nuget.org links normalised ones.
fn files_as_written(document: &str) -> String {
    let source = format!("src=\"{THEIRS}/package/");
    let mut parts = document.split(&source);
    let mut written = parts.next().unwrap().to_owned();
    for part in parts {
        let (path, rest) = part.split_once('"').unwrap();
        let (id, _) = path.split_once('/').unwrap();
        let (_, told) = rest.split_once("<d:Version>").unwrap();
        let (version, _) = told.split_once('<').unwrap();
        written.extend([source.as_str(), id, "/", version, "\"", rest]);
    }
    written
}

#[test]
fn documents_of_real_feeds_are_kept_byte_for_byte() {
    let shared = std::env::var_os("NGTEST_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(shared.join("fixtures/nuget-documents")) else {
        return;
    };
    let files = folder.filter_map(|file| Some(file.ok()?.path()));
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "xml")) {
        let text = std::fs::read_to_string(&path).unwrap();
        // Their links in our place: nothing changes but the escapes and how versions are spelt.
        let place = Place {
            base: "https://www.nuget.org/v3/",
            gallery: &map(THEIRS, "api/v2"),
            documents: &LinkMap::default(),
            web_links: WebLinks::Keep,
        };
        let done = links(text.as_bytes(), place).unwrap();
        let done = String::from_utf8(done.bytes)
            .unwrap()
            .replace("&apos;", "'");
        if path.to_string_lossy().contains("Nexus") {
            continue;
        }
        assert_eq!(done, files_as_written(&text), "{}", path.display());
        let ours = shown(&text);
        let left = ours.matches(THEIRS).count();
        assert_eq!(left, 0, "{}", path.display());
    }
}
