//! Tests, files and keys in docs/MIGRATING.md.

use crate::page::root;

#[test]
fn every_test_that_migrating_names_exists() {
    let text = std::fs::read_to_string(root().join("docs/MIGRATING.md")).unwrap();
    let named: Vec<_> = text.split('`').filter(|word| word.contains(".rs::")).collect();
    assert!(named.len() >= 30, "only {} tests are named", named.len());
    for name in named {
        let (file, test) = name.split_once("::").unwrap();
        let code = std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let lines: Vec<_> = code.lines().map(str::trim).collect();
        let is_test = lines.iter().enumerate().any(|(n, line)| {
            let function = line.trim_start_matches("pub ").trim_start_matches("async ");
            let marked = lines[..n]
                .iter()
                .rev()
                .take(3)
                .any(|l| l.starts_with("#[test]") || l.starts_with("#[tokio::test"));
            // The live tests have their own runner, which lists them by name.
            let live = file.starts_with("tests/live/");
            function.starts_with(&format!("fn {test}(")) && (marked || live)
        });
        assert!(is_test, "{name}: there is no such test");
    }
}

#[test]
fn files_and_keys_that_migrating_names_exist() {
    let text = std::fs::read_to_string(root().join("docs/MIGRATING.md")).unwrap();
    for file in [
        "fs-conf/directory/fswake.xml",
        "fs-conf/directory/fswake-beside-contacts.xml",
        "fs-conf/dialplan/fswake.xml",
        "systemd/fswake.service",
        "docs/FUSIONPBX.md",
    ] {
        assert!(
            text.contains(file.trim_start_matches("docs/")) && root().join(file).exists(),
            "{file}"
        );
    }
    let example = std::fs::read_to_string(root().join("fswake.example.toml")).unwrap();
    for key in [
        "max-wait",
        "on-unregister",
        "fresh-for",
        "decline",
        "domain-aliases",
        "ignore-domain",
        "strip-push-params",
        "token-ttl",
    ] {
        assert!(text.contains(key), "{key} is not explained");
        assert!(example.contains(&format!("#{key} =")), "there is no key {key}");
    }
}
