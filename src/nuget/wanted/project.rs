//! `packages.config`, projects and `Directory.Packages.props`.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::{Want, Wanted};

/// Most items of one file.
const ITEMS_MAX: usize = 100_000;

/// An element that names a package, its attributes and the elements in it as one.
struct Item {
    name: String,
    members: HashMap<String, String>,
}

impl Item {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.members.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }
}

pub(super) fn read(text: &str, central: Option<&str>) -> Result<Wanted, String> {
    let (root, items) = items(text)?;
    let mut wanted = Wanted::default();
    match root.as_str() {
        "packages" => {
            for item in items.iter().filter(|item| item.name == "package") {
                let (id, version) = (item.get("id"), item.get("version"));
                wanted.add(Want::exact(
                    id.unwrap_or_default(),
                    version.unwrap_or_default(),
                ));
            }
        }
        "project" => {
            let outer = match central {
                Some(text) => self::items(text)?.1,
                None => Vec::new(),
            };
            project(&items, &outer, &mut wanted);
        }
        _ => {
            return Err(format!(
                "is XML, but neither a project nor packages.config: <{root}>"
            ));
        }
    }
    Ok(wanted)
}

fn project(items: &[Item], outer: &[Item], wanted: &mut Wanted) {
    let mut versions: HashMap<String, Vec<&str>> = HashMap::new();
    for item in outer.iter().chain(items) {
        if let ("packageversion", Some(id), Some(version)) =
            (item.name.as_str(), item.get("include"), item.get("version"))
        {
            versions.entry(id.to_lowercase()).or_default().push(version);
        }
    }
    let has_references = items.iter().any(|item| item.name == "packagereference");
    for item in items.iter().chain(outer) {
        let Some(id) = item.get("include") else {
            continue;
        };
        let own = item.get("versionoverride").or_else(|| item.get("version"));
        match (item.name.as_str(), own) {
            ("packagereference" | "globalpackagereference", Some(range)) => {
                wanted.add(Want::within(id, range));
            }
            ("packagedownload", Some(ranges)) => {
                for range in ranges.split(';') {
                    wanted.add(Want::within(id, range));
                }
            }
            ("packagereference", None) => match versions.get(&id.to_lowercase()) {
                Some(ranges) => ranges
                    .iter()
                    .for_each(|range| wanted.add(Want::within(id, range))),
                None => wanted.add(Err(format!(
                    "{id}: has no version here and none in Directory.Packages.props"
                ))),
            },
            // Without references, the central list itself is what was given.
            ("packageversion", Some(range)) if !has_references && outer.is_empty() => {
                wanted.add(Want::within(id, range));
            }
            _ => {}
        }
    }
}

/// The root's name, and the items below it. Names are in lower case: `MSBuild` folds them.
fn items(text: &str) -> Result<(String, Vec<Item>), String> {
    let failed = |error: &dyn std::fmt::Display| format!("is no XML: {error}");
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut root = None;
    let mut path: Vec<String> = Vec::new();
    let mut items: Vec<Item> = Vec::new();
    loop {
        match reader.read_event().map_err(|error| failed(&error))? {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_ascii_lowercase();
                if root.is_none() {
                    root = Some(name.clone());
                }
                if is_item(&name) {
                    if items.len() == ITEMS_MAX {
                        return Err(format!("has more than {ITEMS_MAX} items"));
                    }
                    let members = attributes(&start).map_err(|error| failed(&error))?;
                    items.push(Item {
                        name: name.clone(),
                        members,
                    });
                }
                path.push(name);
            }
            Event::Text(text) => {
                if let ([.., outer, inner], Some(item)) = (path.as_slice(), items.last_mut())
                    && *outer == item.name
                {
                    let value = item.members.entry(inner.clone()).or_default();
                    value.push_str(&text);
                }
            }
            Event::End(_) => drop(path.pop()),
            Event::DocType(_) => return Err("has a document type, which is refused".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    Ok((root.ok_or("has no element")?, items))
}

fn is_item(name: &str) -> bool {
    matches!(
        name,
        "package"
            | "packagereference"
            | "globalpackagereference"
            | "packagedownload"
            | "packageversion"
    )
}

fn attributes(start: &BytesStart<'_>) -> Result<HashMap<String, String>, String> {
    let mut members = HashMap::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let name = attribute.key.local_name().as_ref().to_ascii_lowercase();
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| error.to_string())?;
        members.insert(name, value.into_owned());
    }
    Ok(members)
}
