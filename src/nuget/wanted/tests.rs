//! What each kind of file and argument names.

use super::*;

#[track_caller]
fn check(text: &str, central: Option<&str>, wants: &[&str], unresolved: &[&str]) {
    let wanted = Wanted::read(text, central).unwrap();
    let found: Vec<_> = wanted
        .wants
        .iter()
        .map(|want| format!("{} {}", want.id, want.range.as_deref().unwrap_or("newest")))
        .collect();
    assert_eq!(found, wants);
    assert_eq!(wanted.unresolved.len(), unresolved.len(), "{wanted:?}");
    for (found, expected) in wanted.unresolved.iter().zip(unresolved) {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_lock_file_has_what_won_and_what_was_asked_for() {
    let text = r#"{"version": 1, "dependencies": {
        "net8.0": {
            "App.Core": {"type": "Project", "dependencies": {"Serilog": "[2.0.0, )", "App.Base": "[1.0.0, )"}},
            "App.Base": {"type": "Project"},
            "Serilog": {"type": "Direct", "requested": "[2.0.0, )", "resolved": "2.0.0",
                        "contentHash": "x", "dependencies": {"Inner": "1.0.0"}},
            "Inner": {"type": "Transitive", "resolved": "1.2.0-Beta"}
        },
        "net8.0/linux-x64": {"Native": {"type": "Transitive", "resolved": "01.0"}}
    }}"#;
    let wants = [
        "inner 1.0.0",
        "inner [1.2.0-beta]",
        "native [1.0.0]",
        "serilog [2.0.0, )",
        "serilog [2.0.0]",
    ];
    check(text, None, &wants, &[]);
}

#[test]
fn an_assets_file_has_targets_and_what_the_project_asks_for() {
    let text = r#"{"version": 3,
        "targets": {"net8.0": {
            "App.Core/1.0.0": {"type": "project", "dependencies": {"Serilog": "2.0.0"}},
            "Serilog/2.1.0": {"type": "package", "dependencies": {"App.Core": "1.0.0", "Inner": "[1.0.0, 2.0.0)"}},
            "Inner/1.5.0": {"type": "package"}}},
        "libraries": {"Serilog/2.1.0": {"type": "package", "sha512": "x"}},
        "project": {"frameworks": {"net8.0": {
            "dependencies": {"Serilog": {"target": "Package", "version": "[2.0.0, )"},
                             "App.Core": {"target": "Project", "version": "[1.0.0, )"},
                             "Float": {"target": "Package", "version": "[1.*, )"}},
            "downloadDependencies": [{"name": "Microsoft.NETCore.App.Ref", "version": "[8.0.0, 8.0.0]"}]}}}
    }"#;
    let wants = [
        "inner [1.0.0, 2.0.0)",
        "inner [1.5.0]",
        "microsoft.netcore.app.ref [8.0.0, 8.0.0]",
        "serilog 2.0.0",
        "serilog [2.0.0, )",
        "serilog [2.1.0]",
    ];
    check(text, None, &wants, &["Float: \"[1.*, )\" floats"]);
}

#[test]
fn a_bill_of_materials_has_packages_inside_others() {
    let text = r#"{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
        {"purl": "pkg:nuget/Newtonsoft.Json@13.0.3"},
        {"purl": "pkg:npm/left-pad@1.0.0"},
        {"name": "no purl"},
        {"purl": "pkg:nuget/Outer@1.0.0%2Bbuild?x=y#z", "components": [{"purl": "pkg:nuget/Within@2.0"}]},
        {"purl": "pkg:nuget/Without"}]}"#;
    let wants = [
        "newtonsoft.json [13.0.3]",
        "outer [1.0.0]",
        "within [2.0.0]",
    ];
    check(text, None, &wants, &["has no version"]);
}

#[test]
fn a_project_has_references_with_versions_from_here_or_from_the_central_file() {
    let config = "\u{feff}<?xml version='1.0'?>\n<packages>\n<package id=\"A\" version=\"1.0\" \
                  targetFramework=\"net48\" /><package id=\"B\" version=\"$(x)\"/></packages>";
    check(config, None, &["a [1.0.0]"], &["is no version"]);
    let project = r#"<Project Sdk="Microsoft.NET.Sdk"><ItemGroup Condition="'$(X)' == ''">
        <PackageReference Include="A" Version="1.2.3" />
        <PackageReference Include="B"><Version>[2.0,3.0)</Version></PackageReference>
        <PackageReference Include="C" /><packagereference include="Missing" />
        <PackageReference Include="D" VersionOverride="4.0" />
        <PackageReference Include="E" Version="$(EVersion)" /><PackageReference Include="F" Version="1.*" />
        <PackageReference Update="G" Version="1.0" />
        <PackageDownload Include="H" Version="[1.0];[2.0]" />
        </ItemGroup></Project>"#;
    let central = r#"<Project><ItemGroup><PackageVersion Include="c" Version="7.0.0" />
        <PackageVersion Include="D" Version="1.0.0" /><PackageVersion Include="Unused" Version="1.0.0" />
        <GlobalPackageReference Include="Everywhere" Version="5.0.0" /></ItemGroup></Project>"#;
    let wants = [
        "a 1.2.3",
        "b [2.0,3.0)",
        "c 7.0.0",
        "d 4.0",
        "everywhere 5.0.0",
        "h [1.0]",
        "h [2.0]",
    ];
    let unresolved = [
        "E: \"$(EVersion)\" has a property",
        "F: \"1.*\" floats",
        "Missing: has no",
    ];
    check(project, Some(central), &wants, &unresolved);
    check(
        central,
        None,
        &["c 7.0.0", "d 1.0.0", "everywhere 5.0.0", "unused 1.0.0"],
        &[],
    );
}

#[test]
fn arguments_name_packages() {
    for (text, expected) in [
        ("Contoso.Json", Some(("contoso.json", None))),
        ("Contoso.Json@1.0", Some(("contoso.json", Some("[1.0.0]")))),
        (
            "Contoso.Json@[1.0,2.0)",
            Some(("contoso.json", Some("[1.0,2.0)"))),
        ),
        ("Contoso.Json@1.*", None),
        ("../up", None),
        ("a@", None),
    ] {
        let parsed = text.parse::<Want>().ok();
        if let Some(want) = &parsed {
            assert_eq!(want.to_string().parse().as_ref(), Ok(want));
        }
        let found = parsed
            .as_ref()
            .map(|it| (it.id.as_str(), it.range.as_deref()));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_lowest_version_is_not_an_exact_one() {
    let lowest = Want::within("A", "1.2").unwrap().to_string();
    assert_eq!(lowest, "a@[1.2, )");
    assert_eq!(lowest.parse::<Want>().unwrap().range.unwrap(), "[1.2, )");
}

#[test]
fn what_is_none_of_these_is_refused() {
    for (text, expected) in [
        ("", "neither XML nor JSON"),
        ("{}", "is JSON, but not"),
        ("<html></html>", "neither a project nor"),
        ("<Project>", ""),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><packages/>", "document type"),
    ] {
        let read = Wanted::read(text, None);
        if let Err(why) = read {
            assert!(why.contains(expected), "{text}: {why}");
        } else {
            assert_eq!(text, "<Project>");
        }
    }
}
