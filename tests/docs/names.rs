//! Links, files and configuration keys in the documents.

use std::path::Path;

use fswake::config::{Config, Environment};

use crate::page::{pages, root};

#[test]
fn every_link_has_a_target() {
    let pages = pages();
    let mut links = 0;
    for page in &pages {
        for target in page
            .prose()
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            links += 1;
            let name = page.name();
            if target.contains("://") {
                assert!(
                    target.starts_with("https://") || target.starts_with("http://127.0.0.1"),
                    "{name}: {target}"
                );
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                page.path.clone()
            } else {
                page.path.parent().unwrap().join(file)
            };
            let path = path
                .canonicalize()
                .unwrap_or_else(|_| panic!("{name}: {target}: no such file"));
            if anchor.is_empty() {
                continue;
            }
            let to = pages.iter().find(|page| page.path == path);
            let anchors = to
                .unwrap_or_else(|| panic!("{name}: {target}: anchors are only checked in documents"))
                .anchors();
            assert!(anchors.contains(anchor), "{name}: {target}: no such heading");
        }
    }
    assert!(links > 100, "only {links} links were found");
}

#[test]
fn every_named_file_of_the_repository_exists() {
    let folders = [
        "core/",
        "fs-conf/",
        "gateway/",
        "docs/",
        "tests/",
        "src/",
        "packaging/",
        "systemd/",
        "examples/",
        "benches/",
    ];
    let mut files = 0;
    for page in pages() {
        let typed = page.typed();
        for word in typed.iter().flat_map(|line| line.split_whitespace()) {
            let word = word
                .split("::")
                .next()
                .unwrap()
                .trim_matches(['\'', '"', ',', '.', ';', '(', ')']);
            if folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '<', '{']) {
                assert!(root().join(word).exists(), "{}: there is no {word}", page.name());
                files += 1;
            }
        }
    }
    assert!(files > 60, "only {files} files were found");
}

/// Whether the configuration has a key.
fn is_key(dir: &Path, section: &str, key: &str) -> bool {
    let file = dir.join("fswake.toml");
    let text = match section {
        "app" => format!("[[app]]\nname = 'a'\n{key} = -1.5"),
        "app.voip" => format!("[[app]]\nname = 'a'\n[app.voip]\n{key} = -1.5"),
        "contact.params" => format!("[[contact.params]]\n{key} = -1.5"),
        section => format!("[{section}]\n{key} = -1.5"),
    };
    std::fs::write(&file, text).unwrap();
    // No key accepts this value, so the error is about the value or about an unknown key.
    let error = Config::load(Some(&file), &Environment::default()).expect_err("no key takes -1.5");
    !error.to_string().contains("unknown key")
}

#[test]
fn every_named_configuration_key_exists() {
    let dir = tempfile::tempdir().unwrap();
    let sections = [
        "freeswitch",
        "listen",
        "wake",
        "aor",
        "contact",
        "notifications",
        "store",
        "http",
        "log",
        "run",
    ];
    let all: Vec<&str> = sections
        .into_iter()
        .chain(["app", "app.voip", "contact.params"])
        .collect();
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let mut keys = 0;
    for page in pages() {
        let prose = page.prose();
        let pieces: Vec<&str> = prose.split('`').collect();
        for n in (1..pieces.len()).step_by(2) {
            let (span, name) = (pieces[n], page.name());
            // `section.key`
            if let Some((section, key)) = span.split_once('.')
                && sections.contains(&section)
                && is_name(key)
            {
                assert!(is_key(dir.path(), section, key), "{name}: {span}");
                keys += 1;
            }
            // `key` in `[section]`, `key = ..` in `[section]`
            let key = span.split(" = ").next().unwrap();
            if pieces.get(n + 1) == Some(&" in ")
                && let Some(section) = pieces
                    .get(n + 2)
                    .and_then(|next| next.strip_prefix('[')?.strip_suffix(']'))
                && sections.contains(&section)
            {
                assert!(is_key(dir.path(), section, key), "{name}: `{span}` in [{section}]");
                keys += 1;
            // `key = ..`, wherever it belongs
            } else if span.contains(" = ") && is_name(key) {
                assert!(
                    all.iter().any(|section| is_key(dir.path(), section, key)),
                    "{name}: {span}"
                );
                keys += 1;
            }
        }
    }
    assert!(keys > 80, "only {keys} keys were found");
}
