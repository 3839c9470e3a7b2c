//! Small valid packages, made in memory.
//!
//! They have what every client from NuGet 2.8 on insists on (`.nuspec`, `_rels/.rels`,
//! `[Content_Types].xml`) and nothing that needs a compiler. They are never signed. Invariant: one
//! description gives the same bytes on every machine.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use bytes::Bytes;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A package that another one needs.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Its id, in any case.
    pub id: String,
    /// Range of versions in NuGet's notation; `1.0.0` means that or later.
    pub range: String,
    /// Framework of the group it belongs to; `None` for every framework.
    pub framework: Option<String>,
}

/// How bad a known vulnerability of a package is, and where it is described.
#[derive(Clone, Debug)]
pub struct Advisory {
    /// 0 (low) to 3 (critical).
    pub severity: u8,
    /// Web page about it.
    pub url: String,
}

/// What a package is made of, and how the feed lists it.
#[derive(Clone, Debug)]
pub struct Package {
    /// Id as its author writes it.
    pub id: String,
    /// Version as its author writes it.
    pub version: String,
    /// Description, plain text.
    pub description: String,
    /// Tags, without spaces.
    pub tags: Vec<String>,
    /// What it needs, in the order of its manifest.
    pub dependencies: Vec<Dependency>,
    /// Whether the feed lists it; unlisted versions stay in version lists.
    pub listed: bool,
    /// Whether it has an icon and a readme, served beside the package.
    pub extras: bool,
    /// Whether its texts mention the feed's own URL, which is prose and no link.
    pub mentions_feed: bool,
    /// Why it is deprecated and which id to use instead, if it is.
    pub deprecation: Option<(String, String)>,
    /// Known vulnerabilities.
    pub advisories: Vec<Advisory>,
    payload: usize,
}

impl Package {
    /// A listed package without dependencies.
    pub fn new(id: impl Into<String>, version: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            description: format!("The example package {id}."),
            id,
            version: version.into(),
            tags: vec!["example".to_owned()],
            dependencies: Vec::new(),
            listed: true,
            extras: false,
            mentions_feed: false,
            deprecation: None,
            advisories: Vec::new(),
            payload: 0,
        }
    }

    /// Needs `id` within `range`, on every framework.
    #[must_use]
    pub fn needs(mut self, id: &str, range: &str) -> Self {
        self.dependencies.push(Dependency {
            id: id.to_owned(),
            range: range.to_owned(),
            framework: None,
        });
        self
    }

    /// Needs `id` within `range` on `framework` alone (`net8.0`, `netstandard2.0`, …).
    #[must_use]
    pub fn needs_on(mut self, framework: &str, id: &str, range: &str) -> Self {
        self = self.needs(id, range);
        if let Some(last) = self.dependencies.last_mut() {
            last.framework = Some(framework.to_owned());
        }
        self
    }

    /// With this description.
    #[must_use]
    pub fn described(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    /// With these tags instead of the usual one.
    #[must_use]
    pub fn tagged(mut self, tags: &[&str]) -> Self {
        self.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        self
    }

    /// With `bytes` more bytes that do not compress, stored as they are.
    #[must_use]
    pub const fn padded(mut self, bytes: usize) -> Self {
        self.payload = bytes;
        self
    }

    /// With an icon and a readme.
    #[must_use]
    pub const fn with_extras(mut self) -> Self {
        self.extras = true;
        self
    }

    /// Whose description, tags and project page contain the feed's URL.
    #[must_use]
    pub const fn mentioning_feed(mut self) -> Self {
        self.mentions_feed = true;
        self
    }

    /// Not listed any more.
    #[must_use]
    pub const fn unlisted(mut self) -> Self {
        self.listed = false;
        self
    }

    /// With a known vulnerability; `severity` from 0 (low) to 3 (critical).
    #[must_use]
    pub fn vulnerable(mut self, severity: u8, url: &str) -> Self {
        self.advisories.push(Advisory {
            severity,
            url: url.to_owned(),
        });
        self
    }

    /// Deprecated for `reason` (`Legacy`, `CriticalBugs`, `Other`) in favour of the id `instead`.
    #[must_use]
    pub fn deprecated(mut self, reason: &str, instead: &str) -> Self {
        self.deprecation = Some((reason.to_owned(), instead.to_owned()));
        self
    }

    /// Dependencies by framework, in the order of their first mention.
    pub fn groups(&self) -> Vec<(Option<&str>, Vec<&Dependency>)> {
        let mut groups: Vec<(Option<&str>, Vec<&Dependency>)> = Vec::new();
        for dependency in &self.dependencies {
            let framework = dependency.framework.as_deref();
            match groups.iter_mut().find(|(name, _)| *name == framework) {
                Some((_, members)) => members.push(dependency),
                None => groups.push((framework, vec![dependency])),
            }
        }
        groups
    }

    /// Its manifest (`.nuspec`).
    pub fn nuspec(&self) -> Bytes {
        let mut xml = String::from(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <package xmlns=\"http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd\">\n  <metadata>\n",
        );
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(xml, "    <{name}>{}</{name}>", escape(value));
        };
        line("id", &self.id);
        line("version", &self.version);
        line("authors", "The example authors");
        line("requireLicenseAcceptance", "false");
        if self.extras {
            line("icon", "icon.png");
            line("readme", "README.md");
        }
        line("description", &self.description);
        line("tags", &self.tags.join(" "));
        self.write_dependencies(&mut xml);
        xml.push_str("  </metadata>\n</package>\n");
        Bytes::from(xml)
    }

    fn write_dependencies(&self, xml: &mut String) {
        if self.dependencies.is_empty() {
            return;
        }
        xml.push_str("    <dependencies>\n");
        for (framework, members) in self.groups() {
            match framework {
                Some(name) => {
                    let _ = writeln!(xml, "      <group targetFramework=\"{name}\">");
                }
                None => xml.push_str("      <group>\n"),
            }
            for Dependency { id, range, .. } in members {
                let (id, range) = (escape(id), escape(range));
                let _ = writeln!(
                    xml,
                    "        <dependency id=\"{id}\" version=\"{range}\" />"
                );
            }
            xml.push_str("      </group>\n");
        }
        xml.push_str("    </dependencies>\n");
    }

    /// The package file (`.nupkg`).
    ///
    /// # Errors
    /// When it does not fit into a zip archive.
    pub fn nupkg(&self) -> zip::result::ZipResult<Bytes> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(self.payload + 4096)));
        let small = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let stored = small.compression_method(CompressionMethod::Stored);
        let nuspec = format!("{}.nuspec", self.id);
        let mut file = |name: &str, options, content: &[u8]| -> zip::result::ZipResult<()> {
            archive.start_file(name, options)?;
            Ok(archive.write_all(content)?)
        };
        file("_rels/.rels", small, relations(&nuspec).as_bytes())?;
        file(&nuspec, small, &self.nuspec())?;
        file("[Content_Types].xml", small, CONTENT_TYPES.as_bytes())?;
        let library = format!("lib/netstandard1.0/{}.dll", self.id);
        file(&library, small, self.seed().as_bytes())?;
        if self.extras {
            file("icon.png", stored, ICON)?;
            file("README.md", small, self.readme().as_bytes())?;
        }
        if self.payload > 0 {
            file(
                "content/payload.bin",
                stored,
                &noise(&self.seed(), self.payload),
            )?;
        }
        Ok(Bytes::from(archive.finish()?.into_inner()))
    }

    /// The text of its readme.
    pub fn readme(&self) -> String {
        format!("# {}\n\n{}\n", self.id, self.description)
    }

    fn seed(&self) -> String {
        format!("{} {}", self.id, self.version)
    }
}

/// One pixel, as the icon of every package that has one.
pub const ICON: &[u8] = &[
    0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0,
    0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T', 0x78, 0x9c,
    0x63, 0x60, 0x60, 0x60, 0xf8, 0x0f, 0, 1, 4, 1, 0, 0x5f, 0xe5, 0xc3, 0x4b, 0, 0, 0, 0, b'I',
    b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

const CONTENT_TYPES: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
    <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\" />\
    <Default Extension=\"nuspec\" ContentType=\"application/octet\" />\
    <Default Extension=\"dll\" ContentType=\"application/octet\" />\
    <Default Extension=\"png\" ContentType=\"application/octet\" />\
    <Default Extension=\"md\" ContentType=\"application/octet\" />\
    <Default Extension=\"bin\" ContentType=\"application/octet\" />\
    </Types>";

fn relations(nuspec: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
         <Relationship Type=\"http://schemas.microsoft.com/packaging/2010/07/manifest\" \
         Target=\"/{}\" Id=\"R1\" /></Relationships>",
        escape(nuspec)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// `length` bytes that look random and are the same for the same seed (xorshift64*).
fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zip::ZipArchive;

    use super::*;

    #[test]
    fn a_package_is_a_zip_archive_with_its_manifest() {
        let package = Package::new("Some.Id", "1.0")
            .needs("Other", "[1.0, 2.0)")
            .needs_on("net8.0", "Third", "3.0.0")
            .described("a < b & \"c\"")
            .with_extras()
            .padded(100_000);
        let nupkg = package.nupkg().unwrap();
        assert_eq!(nupkg, package.nupkg().unwrap());
        assert!(nupkg.len() > 100_000);
        let mut archive = ZipArchive::new(Cursor::new(nupkg)).unwrap();
        for index in 0..archive.len() {
            let mut content = Vec::new();
            let mut file = archive.by_index(index).unwrap();
            file.read_to_end(&mut content).unwrap();
            assert!(!content.is_empty(), "{index} is empty");
        }
        let mut nuspec = String::new();
        let mut file = archive.by_name("Some.Id.nuspec").unwrap();
        file.read_to_string(&mut nuspec).unwrap();
        assert!(nuspec.contains("<version>1.0</version>"));
        assert!(nuspec.contains("<description>a &lt; b &amp; &quot;c&quot;</description>"));
        assert!(nuspec.contains("<dependency id=\"Other\" version=\"[1.0, 2.0)\" />"));
        assert!(nuspec.contains("<group targetFramework=\"net8.0\">"));
    }

    #[test]
    fn padding_differs_between_packages() {
        assert_ne!(noise("a 1.0", 64), noise("a 1.1", 64));
        assert_eq!(noise("a 1.0", 61).len(), 61);
    }
}
