//! V2 feeds made of registrations: well-formed XML whatever the registration says.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use nugate_fuzz::nuget::v2::atom::{Head, feed};
use nugate_fuzz::nuget::v2::facts::{self, Page};
use nugate_fuzz::nuget::v2::filter::Filter;
use nugate_fuzz::nuget::v2::rows::{Package, choose};
use quick_xml::Reader;
use quick_xml::events::Event;

fn is_allowed(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fuzz_target!(|data: &[u8]| {
    let _ = facts::search(data);
    let Ok(pages) = facts::registration_index(data) else {
        return;
    };
    let of_page = |page| match page {
        Page::Items(items) => items,
        Page::At(_) => Vec::new(),
    };
    let releases: Vec<_> = pages.into_iter().flat_map(of_page).collect();
    let mut rows = Arc::new(Package::new(releases)).rows(true);
    let filter = "Id eq 'a' or substringof('b',Title) or (IsPrerelease and DownloadCount gt 3)";
    choose(&mut rows.clone(), Filter::parse(filter).ok().as_ref());
    rows.truncate(8);
    let head = Head {
        base: "https://ours.example/api/v2/",
        name: "Packages",
        count: Some(rows.len()),
        next: Some("Packages?$skip=30&x=%3C"),
        select: None,
    };
    let text = String::from_utf8(feed(&head, &rows).expect("memory takes it")).expect("it is text");
    assert!(text.chars().all(is_allowed));
    let mut reader = Reader::from_str(&text);
    let (mut entries, mut depth) = (0, 0_usize);
    loop {
        match reader.read_event().expect("it is well-formed") {
            Event::Start(tag) => {
                entries += usize::from(depth == 1 && tag.name().as_ref() == "entry");
                depth += 1;
            }
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((entries, depth), (rows.len(), 0));
});
