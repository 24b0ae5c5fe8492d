//! What ships with the binary: scripts, package lists and the Containerfile. `packaging/try` installs the packages.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn manifest() -> toml::Table {
    read("Cargo.toml").parse().unwrap()
}

#[test]
fn scripts_are_executable_and_stop_at_the_first_failure() {
    for name in ["tools", "build", "release", "try"] {
        let file = root().join("packaging").join(name);
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("#!/usr/bin/env bash\n# "), "{name}");
        assert!(text.contains("\nset -euo pipefail\n"), "{name}");
        let read = Command::new("bash").arg("-n").arg(&file).output().unwrap();
        assert!(read.status.success(), "{name}: {read:?}");
    }
    let unknown = Command::new(root().join("packaging/tools"))
        .arg("cargo-nothing")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("cargo-nothing"),
        "{unknown:?}"
    );
}

#[test]
fn debian_package_has_the_version_of_the_crate() {
    let manifest = manifest();
    let version = manifest["package"]["version"].as_str().unwrap();
    let changelog = read("packaging/debian/changelog");
    assert!(changelog.starts_with(&format!("fswake ({version}-1) ")), "{changelog}");
}

/// The files that match a pattern in a package's list.
fn files(pattern: &str) -> Vec<PathBuf> {
    let folder = pattern.split(['*']).next().unwrap();
    let (folder, start) = folder.rsplit_once('/').unwrap_or((".", folder));
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && pattern.contains("**") {
                folders.push(path);
            } else if entry.file_name().to_string_lossy().starts_with(start) || pattern.contains("**") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn both_packages_have_the_same_files_and_all_exist() {
    let manifest = manifest();
    let metadata = &manifest["package"]["metadata"];
    let deb = metadata["deb"]["assets"].as_array().unwrap();
    let deb: BTreeSet<_> = deb.iter().map(|asset| asset[0].as_str().unwrap()).collect();
    let rpm = metadata["generate-rpm"]["assets"].as_array().unwrap();
    let rpm: BTreeSet<_> = rpm.iter().map(|asset| asset["source"].as_str().unwrap()).collect();
    for source in deb.union(&rpm) {
        // packaging/build makes these.
        let is_made = source.starts_with("target/package/");
        assert!(is_made || !files(source).is_empty(), "{source} matches no file");
    }
    // cargo-deb has other keys for unit and licence. The RPM has no lintian.
    let only_deb: Vec<_> = deb.difference(&rpm).collect();
    assert_eq!(only_deb, [&"packaging/debian/lintian-overrides"]);
    let only_rpm: Vec<_> = rpm.difference(&deb).collect();
    assert_eq!(only_rpm, [&"LICENSE-*", &"systemd/fswake.service"]);
}

/// The paths in the package of the files in a list of assets.
fn laid_out(assets: impl Iterator<Item = (String, String)>) -> BTreeMap<String, PathBuf> {
    let mut all = BTreeMap::new();
    for (source, dest) in assets.filter(|(source, _)| !source.starts_with("target/package/")) {
        for file in files(&source) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let path = if dest.ends_with('/') {
                format!("{dest}{name}")
            } else {
                dest.clone()
            };
            all.insert(path.trim_start_matches('/').to_owned(), file);
        }
    }
    all
}

#[test]
fn every_file_of_gateway_is_in_the_packages_and_scripts_can_be_run_there() {
    let manifest = manifest();
    let metadata = &manifest["package"]["metadata"];
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let deb = metadata["deb"]["assets"].as_array().unwrap();
    let deb = deb.iter().map(|a| [&a[0], &a[1], &a[2]].map(text));
    let rpm = metadata["generate-rpm"]["assets"].as_array().unwrap();
    let rpm = rpm.iter().map(|a| ["source", "dest", "mode"].map(|key| text(&a[key])));
    let mut shipped = BTreeMap::<_, usize>::new();
    for [source, dest, mode] in deb.chain(rpm).filter(|[source, ..]| source.starts_with("gateway/")) {
        let folder = source.rsplit_once('/').unwrap().0;
        assert_eq!(dest.trim_start_matches('/'), format!("usr/share/fswake/{folder}/"));
        let ending = source.rsplit_once('*').map_or("", |(_, ending)| ending);
        for file in files(&source) {
            if file.is_file() && file.to_string_lossy().ends_with(ending) {
                let is_script = std::fs::read(&file).unwrap().starts_with(b"#!/");
                assert_eq!(mode == "755", is_script, "{}", file.display());
                let can_be_run = file.metadata().unwrap().permissions().mode() & 0o111 != 0;
                assert_eq!(can_be_run, is_script, "{}", file.display());
                *shipped.entry(file).or_default() += 1;
            }
        }
    }
    let all: Vec<_> = files("gateway/**").into_iter().filter(|file| file.is_file()).collect();
    assert!(all.len() > 5, "{all:?}");
    for file in all {
        assert_eq!(shipped.get(&file), Some(&2), "{}: not in both packages", file.display());
    }
}

#[test]
fn links_of_packaged_documents_lead_to_packaged_files() {
    let manifest = manifest();
    let metadata = &manifest["package"]["metadata"];
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let deb = metadata["deb"]["assets"].as_array().unwrap();
    let deb = laid_out(deb.iter().map(|asset| (text(&asset[0]), text(&asset[1]))));
    let rpm = metadata["generate-rpm"]["assets"].as_array().unwrap();
    let rpm = laid_out(rpm.iter().map(|asset| (text(&asset["source"]), text(&asset["dest"]))));
    for package in [deb, rpm] {
        let pages = package
            .iter()
            .filter(|(path, _)| path.contains("/doc/") && path.rsplit('.').next() == Some("md"));
        let mut followed = 0;
        for (path, source) in pages {
            let page = std::fs::read_to_string(source).unwrap();
            for (at, mark) in page.match_indices("](") {
                let link = &page[at + mark.len()..];
                let link = link.split([')', '#']).next().unwrap();
                if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let mut at: Vec<_> = path.split('/').collect();
                at.pop();
                for part in link.split('/') {
                    match part {
                        ".." => drop(at.pop()),
                        part => at.push(part),
                    }
                }
                let at = at.join("/");
                assert!(package.contains_key(&at), "{path}: {link} is not in the package");
                followed += 1;
            }
        }
        assert!(followed > 50, "{followed}");
    }
}

/// The variable may still be set after a trial with a debug binary.
#[test]
fn release_is_never_made_from_an_existing_binary() {
    let dir = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    };
    script("packaging/release", &read("packaging/release"));
    script("packaging/tools", "#!/bin/sh\n");
    script("packaging/debian/changelog", "fswake (0.1.0-1) unstable; urgency=low\n");
    script(
        "packaging/build",
        "#!/bin/sh\necho \"${FSWAKE_BINARY-none}\" >built\nexit 7\n",
    );
    script(
        "bin/cargo",
        "#!/bin/sh\necho '{\"packages\":[{\"name\":\"fswake\",\"version\":\"0.1.0\"'\n",
    );
    script("bin/git", "#!/bin/sh\necho 1700000000\n");
    let path = format!("{}/bin:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let ran = Command::new(dir.path().join("packaging/release"))
        .arg("--any")
        .env("PATH", path)
        .env("FSWAKE_BINARY", "target/debug/fswake")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(7), "{ran:?}");
    let built = std::fs::read_to_string(dir.path().join("built")).unwrap();
    assert_eq!(built, "none\n");
}

/// By default podman omits HEALTHCHECK from images.
#[test]
fn podman_keeps_the_health_check() {
    assert!(instructions().iter().any(|(word, _)| word == "HEALTHCHECK"));
    for line in read("Containerfile")
        .lines()
        .filter(|line| line.contains("podman build"))
    {
        assert!(line.contains("--format docker"), "{line}");
    }
    assert!(read("packaging/release").contains("format=(--format docker)"));
}

/// An instruction of the Containerfile, with its continuation lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("Containerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            (word.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

/// `cargo test` does not build the image. `packaging/release` does, if podman or docker runs.
#[test]
fn container_is_made_from_these_sources_and_runs_unprivileged() {
    let all = instructions();
    let known = [
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "VOLUME",
        "EXPOSE",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    ];
    for (word, rest) in &all {
        assert!(known.contains(&word.as_str()), "{word} {rest}");
    }
    let of = |word: &'static str| {
        all.iter()
            .filter(move |(w, _)| w == word)
            .map(|(_, rest)| rest.as_str())
    };
    // Images are named by version, and one has a compiler that is new enough.
    let images: Vec<_> = of("FROM").map(|rest| rest.split(' ').next().unwrap()).collect();
    assert_eq!((all[0].0.as_str(), images.len()), ("FROM", 2));
    let rust = images[0].split_once("/rust:").unwrap().1;
    let minor = |version: &str| -> u32 { version.split(['.', '-']).nth(1).unwrap().parse().unwrap() };
    let manifest = manifest();
    assert!(
        minor(rust) >= minor(manifest["package"]["rust-version"].as_str().unwrap()),
        "{rust}"
    );
    assert!(
        images
            .iter()
            .all(|image| image.contains(':') && !image.ends_with(":latest")),
        "{images:?}"
    );
    // Both images have the same libc.
    assert!(images.iter().all(|image| image.contains("bookworm")), "{images:?}");
    // The files to copy exist, and .dockerignore does not exclude them.
    let ignored = read(".dockerignore");
    let ignored: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(
        ignored.contains(&"target"),
        "without it, gigabytes would be sent to the engine"
    );
    for copied in of("COPY").filter(|rest| !rest.starts_with("--from=")) {
        let words: Vec<_> = copied.split(' ').collect();
        for source in &words[..words.len() - 1] {
            assert!(root().join(source).exists(), "{source}");
            assert!(!ignored.contains(source), "{source} is in .dockerignore");
        }
    }
    for built in of("COPY").filter(|rest| rest.starts_with("--from=")) {
        assert!(
            built.starts_with("--from=build ") && of("FROM").any(|rest| rest.ends_with(" AS build")),
            "{built}"
        );
    }
    // .dockerignore does not exclude what cargo needs for the workspace.
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        assert!(!ignored.contains(&member.as_str().unwrap()), "{member}");
    }
    let user = of("USER").next_back().unwrap();
    assert!(
        user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)),
        "{user}"
    );
    assert!(of("COPY").any(|rest| rest.contains(&format!("--chown={user} ")) && rest.ends_with(" /var/lib/fswake")));
    // The ports in the default configuration.
    let example = read("fswake.example.toml");
    for port in of("EXPOSE").flat_map(|rest| rest.split(' ')) {
        assert!(example.contains(&format!("127.0.0.1:{port}\"]")), "{port}");
    }
    // fswake accepts the command line that it runs.
    let words = |json: &str| serde_json::from_str::<Vec<String>>(json).unwrap_or_else(|e| panic!("{json}: {e}"));
    let (entry, default) = (
        words(of("ENTRYPOINT").next_back().unwrap()),
        words(of("CMD").next_back().unwrap()),
    );
    let health = words(of("HEALTHCHECK").next_back().unwrap().trim_start_matches("CMD "));
    assert_eq!(
        (entry[0].as_str(), health[0].as_str()),
        ("/usr/bin/fswake", "/usr/bin/fswake")
    );
    for words in [&default[..], &health[1..]] {
        let help = Command::new(env!("CARGO_BIN_EXE_fswake"))
            .args(words)
            .arg("--help")
            .output()
            .unwrap();
        assert!(help.status.success(), "{words:?}: {help:?}");
    }
}

/// Whoever enables the socket unit has the default addresses, and the service has what a restart without a gap needs.
#[test]
fn units_fit_the_configuration_and_restarts() {
    let socket = read("systemd/optional/fswake.socket");
    let example: toml::Table = read("fswake.example.toml")
        .replace("\n#addresses", "\naddresses")
        .parse()
        .unwrap();
    let addresses = ["listen", "http"].map(|section| example[section]["addresses"][0].as_str().unwrap().to_owned());
    let streams: Vec<_> = socket
        .lines()
        .filter_map(|line| line.strip_prefix("ListenStream="))
        .collect();
    assert_eq!(streams, addresses);
    // What `systemctl restart` without a gap needs.
    let service = read("systemd/fswake.service");
    for line in [
        "ExecStart=/usr/bin/fswake run --anchor",
        "FileDescriptorStoreMax=64",
        "RestartKillSignal=SIGUSR1",
        "KillSignal=SIGTERM",
        "KillMode=process",
        "NotifyAccess=main",
    ] {
        assert_eq!(service.lines().filter(|other| *other == line).count(), 1, "{line}");
    }
}

/// Both packages start the new version by SIGUSR2, and nothing else restarts it.
#[test]
fn upgrade_of_a_package_leaves_no_gap() {
    let manifest = manifest();
    let metadata = &manifest["package"]["metadata"];
    let units = &metadata["deb"]["systemd-units"];
    for key in ["stop-on-upgrade", "restart-after-upgrade"] {
        assert_eq!(units[key].as_bool(), Some(false), "{key}");
    }
    let postinst = read("packaging/debian/postinst");
    assert!(postinst.contains("\n#DEBHELPER#\n"));
    let rpm = metadata["generate-rpm"]["post_uninstall_script"].as_str().unwrap();
    assert!(!rpm.contains("restart"), "{rpm}");
    for script in [postinst.as_str(), rpm] {
        assert!(
            script.contains("systemctl kill --kill-who=main --signal=USR2 fswake"),
            "{script}"
        );
        let read = Command::new("sh").args(["-n", "-c", script]).output().unwrap();
        assert!(read.status.success(), "{read:?}");
    }
}
