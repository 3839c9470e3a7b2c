//! The checks of a feed and of a cache: what each breaks, and its cure.
//!
//! What clients do is from the sources of the official client and from measurements with it;
//! `docs/commands.md` lists the checks. Names never change: scripts look for them.

use super::finding::Check;

macro_rules! checks {
    ($($ident:ident: $name:literal, $breaks:literal, $cure:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub(super) const $ident: &Check = &Check {
                name: $name,
                breaks: $breaks,
                cure: $cure,
            };
        )*
        /// All checks, in the order of the documentation.
        #[cfg(test)]
        pub(super) const ALL: &[&Check] = &[$($ident),*];
    };
}

checks! {
    REACH: "reach",
        "every client: NU1301, the source cannot be used",
        "look at the address, the name server, the firewall and the server itself";
    PROXY: "proxy",
        "nugate, and every client that goes through the same proxy",
        "look at `proxy` and its password, at HTTPS_PROXY and NO_PROXY, and at what the proxy allows";
    TRUST: "trust",
        "every client that trusts the same authorities as this machine: NU1301",
        "install the authority's certificate (or name it with SSL_CERT_FILE), or renew the server's";
    CREDENTIALS: "credentials",
        "clients without credentials; nothing behind the index was looked at",
        "look at a feed of the configuration, with its `auth` settings, instead of at a URL";
    INDEX: "index",
        "every client: NU1301, the source cannot be used",
        "point at the service index itself; a web page or XML is a login, a portal or a V2 feed";
    VERSION: "version",
        "every official client: NU1301, it speaks version 3 only",
        "serve `version` as \"3.0.0\"";
    TYPES: "types",
        "clients that look for the type",
        "add an entry for each type, all with the same `@id` where one address does for all";
    ENTRIES: "entries",
        "clients that read types as plain strings or put URLs together (Paket, Dependabot, dotnet)",
        "one entry for each type, bases with a slash at the end, search without a query";
    LINKS_HTTPS: "links-https",
        "NuGet 7 and later: NU1302; nugate leaves such resources out",
        "let the server know its own https address (public URL, or X-Forwarded-Proto from a proxy in front)";
    SIGNATURES: "signatures-https",
        "NuGet up to 6.14 refuses every package of the source: signatures must be served over https",
        "leave RepositorySignatures out of an index that is served over http, or serve https";
    REDIRECTS: "redirects-https",
        "dotnet and NuGet: they do not follow a redirect from https to http",
        "let the redirect name https";
    CLOCK: "clock",
        "certificates and ages of documents are judged wrongly; tokens and signatures may be refused",
        "set the clock of this machine or of the server (NTP)";
    SEARCH: "search",
        "search in dotnet and Visual Studio",
        "look at the search service behind the feed";
    VERSION_LIST: "version-list",
        "restore: NU1301 for each package, or NU1101 where it is 404",
        "look at the storage behind PackageBaseAddress";
    PACKAGE: "package",
        "restore: a listed version cannot be downloaded",
        "put the package back, or take the version out of the list";
    HIVE: "hive",
        "dotnet add, list --outdated, tool install, nuget.exe install, Visual Studio, Paket, Renovate",
        "look at the storage behind the RegistrationsBaseUrl";
    HIVE_LABEL: "hive-label",
        "every client that reads registrations: the compressed bytes are taken for JSON",
        "send Content-Encoding: gzip with bodies that are gzip";
    HIVE_SEMVER: "hive-semver1",
        "clients from before NuGet 4.3, which cannot read SemVer 2.0.0 versions",
        "leave SemVer 2.0.0 versions out of the hives of types before 3.6.0";
    PAGES: "page-links",
        "dotnet add, list --outdated, nuget.exe install, Visual Studio: NU1301 or missing versions",
        "let the registration name pages and packages that answer";
    VULNERABILITIES: "vulnerabilities",
        "NuGetAudit: NU1900 in each restore",
        "look at the resource VulnerabilityInfo, or leave it out of the index";
    DISK: "disk",
        "nothing new is kept; what is kept makes room",
        "free space on the disk of cache.dir, or make cache.size_max or cache.free_min smaller";
    CACHE: "cache",
        "no daemon can start on the cache, and no command reaches it",
        "end the process that has it, or give each daemon a cache.dir of its own";
}
