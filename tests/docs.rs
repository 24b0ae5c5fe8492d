//! What the documents promise of this repository.

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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
            // The live tests have a runner of their own, which lists them by name.
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
        assert!(example.contains(&format!("#{key} =")), "{key} is no key");
    }
}

/// The names of contexts that FusionPBX leaves to FreeSWITCH have an `@`.
#[test]
fn contexts_for_fusionpbx_come_out_of_the_command_that_its_page_gives() {
    let text = std::fs::read_to_string(root().join("docs/FUSIONPBX.md")).unwrap();
    let start = text.find("sed -e 's/context").unwrap();
    let command = text[start..].split("> /etc").next().unwrap().replace("\\\n", " ");
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(root())
        .output()
        .unwrap();
    let made = String::from_utf8(output.stdout).unwrap();
    let contexts: Vec<_> = made
        .lines()
        .filter_map(|l| l.trim().strip_prefix("<context name=\"")?.split('"').next())
        .collect();
    assert_eq!(contexts, ["fswake@static", "fswake-after@static"]);
    assert!(made.contains("XML fswake-after@static\""), "{made}");
    // Its dial-string has the shipped one's way and readiness.
    let shipped = std::fs::read_to_string(root().join("fs-conf/directory/fswake.xml")).unwrap();
    let value = shipped.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
    let (vars, way) = value.rsplit_once("loopback/").unwrap();
    assert!(text.contains(&format!("]loopback/{way}@static")), "{way}");
    let ready = vars.trim_start_matches('[').split(',').next().unwrap();
    assert!(text.contains(ready), "{ready}");
}
