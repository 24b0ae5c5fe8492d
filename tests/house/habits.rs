//! How the repository is built: dependencies, the oldest Rust, commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use toml::{Table, Value};

use super::root;

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The manifests of all crates here, with their paths.
fn manifests() -> BTreeMap<String, String> {
    let workspace: Table = read("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let files = members.iter().map(|member| match member.as_str().unwrap() {
        "." => "Cargo.toml".to_owned(),
        folder => format!("{folder}/Cargo.toml"),
    });
    files.map(|file| (file.clone(), read(&file))).collect()
}

/// The dependencies in each section of a manifest, in order.
fn dependencies(manifest: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut lists: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut section = "";
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if section.ends_with("dependencies")
            && let Some((name, _)) = line.split_once(" = ")
        {
            lists.entry(section).or_default().push(name);
        }
    }
    lists
}

/// The crates in the architecture's table of reasons.
fn explained() -> BTreeSet<String> {
    let text = read("docs/ARCHITECTURE.md");
    let (_, table) = text.split_once("\n## Dependencies, and why\n").unwrap();
    let rows = table.split("\n## ").next().unwrap().lines();
    let names = rows.filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    names
        .flat_map(|names| names.split(", "))
        .map(|name| name.split(" (").next().unwrap().to_owned())
        .filter(|name| name != "crate")
        .collect()
}

#[test]
fn dependencies_are_sorted_and_each_has_its_reason() {
    let explained = explained();
    let mut used = BTreeSet::new();
    for (file, manifest) in manifests() {
        for (list, names) in dependencies(&manifest) {
            assert!(names.is_sorted(), "{file}: [{list}] is not sorted: {names:?}");
            used.extend(names.into_iter().map(str::to_owned));
        }
    }
    used.retain(|name| !name.starts_with("fswake"));
    assert!(used.len() > 40, "only {} were found", used.len());
    let without: Vec<_> = used.difference(&explained).collect();
    assert!(without.is_empty(), "docs/ARCHITECTURE.md has no reason for {without:?}");
    let gone: Vec<_> = explained.difference(&used).collect();
    assert!(gone.is_empty(), "docs/ARCHITECTURE.md has a reason for {gone:?}");
}

/// Major and minor.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap_or(0))
}

/// `.ci/oldest-rust` compiles with that version. This test finds crates that require a newer one without compiling
/// them, and documents that promise another version.
#[test]
fn no_dependency_needs_a_newer_rust_than_promised() {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let workspace: Table = read("Cargo.toml").parse().unwrap();
    let promised = workspace["package"]["rust-version"].as_str().unwrap();
    let mut named = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let (name, needs) = (package["name"].as_str().unwrap(), package["rust_version"].as_str());
        if name.starts_with("fswake") {
            assert_eq!(needs, Some(promised), "{name}");
        }
        if let Some(needs) = needs {
            assert!(version(needs) <= version(promised), "{name} needs Rust {needs}");
            named += 1;
        }
    }
    assert!(named > 100, "only {named} crates name a version");
    for (file, says) in [
        ("README.md", format!("Rust ({promised} or newer)")),
        ("docs/OPERATING.md", format!("| Rust, to build | {promised} or newer; ")),
    ] {
        assert!(read(file).contains(&says), "{file}: {says}");
    }
}

/// Commands that people type or scripts run. `cargo metadata` and similar commands count as well, because they resolve
/// versions.
fn commands() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let scripts = [".ci", "packaging"].into_iter().flat_map(|folder| {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(move |entry| format!("{folder}/{}", entry.file_name().display()))
    });
    let whole = ["justfile", "Containerfile", ".cargo/config.toml"].map(str::to_owned);
    for file in scripts.chain(whole) {
        let lines = read(&file);
        let lines = lines.lines().filter(|line| !line.trim_start().starts_with('#'));
        all.extend(lines.map(|line| (file.clone(), line.to_owned())));
    }
    for file in ["README.md", "CONTRIBUTING.md"] {
        let text = read(file);
        for (n, piece) in text.split("```").enumerate() {
            let spans = piece.split('`').skip(1).step_by(2);
            match n % 2 {
                0 => all.extend(spans.map(|span| (file.to_owned(), span.to_owned()))),
                _ => all.extend(piece.lines().map(|line| (file.to_owned(), line.to_owned()))),
            }
        }
    }
    all
}

#[test]
fn cargo_always_uses_the_locked_versions() {
    let resolving = [
        "bench", "build", "check", "clippy", "deb", "deny", "doc", "install", "metadata", "run", "test", "tree",
    ];
    let mut found = 0;
    for (file, line) in commands() {
        let words: Vec<_> = line.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| pair[0].ends_with("cargo")) {
            if resolving.contains(&pair[1]) {
                assert!(words.contains(&"--locked"), "{file}: {line}");
                found += 1;
            }
        }
    }
    assert!(found > 20, "only {found} were found");
}

/// The recipes of the justfile, with their lines.
fn recipes(justfile: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut recipes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut current = "";
    for line in justfile.lines() {
        if let Some(command) = line.strip_prefix("    ") {
            recipes.entry(current).or_default().push(command.trim());
        } else if let Some((head, _)) = line.split_once(':').filter(|_| !line.starts_with('#')) {
            current = head.split(' ').next().unwrap();
        }
    }
    recipes.remove("_");
    recipes
}

#[test]
fn every_recipe_is_explained_and_checks_are_what_ci_runs() {
    let (justfile, contributing, ci) = (read("justfile"), read("CONTRIBUTING.md"), read(".ci/run"));
    let recipes = recipes(&justfile);
    assert!(recipes.len() > 10, "{recipes:?}");
    for name in recipes.keys() {
        assert!(
            contributing.contains(&format!("| `just {name}`")) || contributing.contains(&format!("| `just {name} ")),
            "CONTRIBUTING.md does not explain `just {name}`"
        );
    }
    for name in ["lint", "deny", "unused", "fuzz"] {
        for line in recipes[name].iter().filter(|line| !line.starts_with("packaging/tools")) {
            let line = line.split(" {{").next().unwrap();
            assert!(ci.contains(line), ".ci/run does not run `{line}` of `just {name}`");
        }
    }
}

#[test]
fn changelog_starts_with_the_current_version() {
    let workspace: Table = read("Cargo.toml").parse().unwrap();
    let version = workspace["package"]["version"].as_str().unwrap();
    let changes = read("CHANGELOG.md");
    let sections: Vec<_> = changes.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(sections[0].starts_with(&format!("{version} (")), "{sections:?}");
    for section in &sections {
        let (_, date) = section.strip_suffix(')').unwrap().split_once(" (").unwrap();
        let is_date = date.len() == 10 && date.parse::<toml::value::Datetime>().is_ok();
        assert!(
            is_date || (*section == sections[0] && date == "not released yet"),
            "{section}"
        );
    }
    assert!(matches!(workspace["package"]["publish"], Value::Boolean(false)));
}
