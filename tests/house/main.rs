//! Rules of this repository that the compiler does not check.

mod circles;
mod habits;
mod names;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all.push(path);
            }
        }
    }
    assert!(!all.is_empty());
    all
}

/// The code of a file, without comments and unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let kept: Vec<_> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    kept.join(
        "
",
    )
}

/// All crates that a crate is built and tested with, according to Cargo.lock: direct and indirect dependencies.
fn tree_of(name: &str) -> BTreeSet<String> {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let (mut tree, mut left) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = left.pop() {
        for package in packages.iter().filter(|p| p["name"].as_str() == Some(&name)) {
            let wanted = package.get("dependencies").and_then(toml::Value::as_array);
            for dependency in wanted.into_iter().flatten().filter_map(toml::Value::as_str) {
                let dependency = dependency.split(' ').next().unwrap().to_owned();
                if tree.insert(dependency.clone()) {
                    left.push(dependency);
                }
            }
        }
    }
    tree
}

/// The standard library's clocks, files and threads are left to clippy (core/clippy.toml).
#[test]
fn core_does_not_depend_on_a_runtime_a_database_tls_or_a_log() {
    let tree = tree_of("fswake-core");
    assert!(tree.contains("nom") && tree.contains("memchr"), "{tree:?}");
    for crate_ in [
        "tokio",
        "mio",
        "rusqlite",
        "aws-lc-rs",
        "rustls",
        "reqwest",
        "tracing",
        "fswake",
    ] {
        assert!(
            tree_of("fswake").contains(crate_) || crate_ == "fswake",
            "there is no crate {crate_}: was it renamed?"
        );
        assert!(!tree.contains(crate_), "fswake-core depends on {crate_}");
    }
}

#[test]
fn files_have_at_most_400_lines_of_code() {
    for file in [rust_files("src"), rust_files("core/src")].concat() {
        let lines = code(&file).lines().count();
        assert!(lines <= 400, "{}: {lines} lines of code", file.display());
    }
}

/// Cargo shows no output of a test that passes, so a skip that is only printed goes unnoticed.
#[test]
fn tests_that_skip_themselves_leave_a_note() {
    let words = ["skipp", "left out", "not installed", "only root"];
    for file in rust_files("tests") {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| line.trim_start().starts_with("eprintln!")) {
            let says_so = words.iter().any(|word| line.to_lowercase().contains(word));
            let is_note = file.ends_with("tests/support/src/skipped.rs");
            assert!(!says_so || is_note, "{}: {line}", file.display());
        }
        // Only root can switch to another user. The tests note that skip in the following lines.
        for (n, _) in text.match_indices(".uid(65_534)") {
            let next: String = text[n..].chars().take(250).collect();
            assert!(next.contains("skipped::note("), "{}", file.display());
        }
    }
}

#[test]
fn every_part_of_the_tree_is_in_the_architecture() {
    let drawn = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for folder in ["src", "core/src"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let part = name.trim_end_matches(".rs");
            let known = drawn.contains(&format!("\n{folder}/{part}")) || part == "lib";
            assert!(known, "{folder}/{name} is not in docs/ARCHITECTURE.md");
        }
    }
}

#[test]
fn every_step_of_the_journal_is_documented() {
    let documented = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let (_, journal) = documented.split_once("\n## The journal\n").unwrap();
    let journal = journal.split("\n## ").next().unwrap();
    for name in fswake::engine::StepKind::ALL.map(fswake::engine::StepKind::as_str) {
        assert!(journal.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_known_pattern_has_its_section_in_troubleshooting() {
    let documented = fs::read_to_string(root().join("docs/TROUBLESHOOTING.md")).unwrap();
    for (n, pattern) in fswake::journal::Pattern::ALL.iter().enumerate() {
        let name = pattern.name();
        assert!(documented.contains(&format!("| `{name}` | [{}](", n + 1)), "{name}");
        assert!(
            documented.contains(&format!("{name}: ")),
            "what the doctor prints of {name}"
        );
        assert!(documented.contains(&format!("\n## {}. ", n + 1)), "section {}", n + 1);
    }
}

#[test]
fn every_reason_is_handled_wherever_reasons_are_shown() {
    for (file, before, after) in [
        ("src/http/openapi.json", "       \"", "\","),
        ("src/http/page.html", "\"", "\": \""),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for reason in fswake::journal::Reason::ALL {
            let word = serde_json::to_value(reason).unwrap();
            let word = word.as_str().unwrap();
            assert!(text.contains(&format!("{before}{word}{after}")), "{file}: {word}");
        }
    }
}

#[test]
fn every_result_is_handled_wherever_results_are_shown() {
    for (file, before, after) in [
        ("docs/OPERATING.md", "| `", "` |"),
        ("src/http/openapi.json", "       \"", "\","),
        ("src/http/page.html", "\"", "\": [\""),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for result in fswake::engine::HoldResult::ALL {
            let word = result.as_str();
            assert!(text.contains(&format!("{before}{word}{after}")), "{file}: {word}");
        }
    }
}
