//! Messages of subcommands when something is missing, unreadable or gone.

use std::process::{Command, Output};

use crate::{fswake, text};

#[test]
fn hanging_daemon_is_reported_within_five_seconds() {
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fswake.toml");
    std::fs::write(
        &file,
        format!("[http]\naddresses = ['{}']\n", hangs.local_addr().unwrap()),
    )
    .unwrap();
    let config = ["--config", file.to_str().unwrap()];
    for command in [
        &["calls"][..],
        &["devices", "forget", "1"],
        &["push", "--user", "1001", "--realm", "example.org"],
    ] {
        let began = std::time::Instant::now();
        let output = fswake(&[command, &config[..]].concat());
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(5), "{command:?}: {took:?}");
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("does not answer\nhint: it is running but hangs"), "{err}");
    }
}

/// A command whose stdout is closed by its reader, or whose stdout and stderr are.
fn unread(args: &[&str], with_stderr: bool) -> std::process::Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fswake"))
        .args(args)
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    if with_stderr {
        drop(child.stderr.take());
    }
    child.wait_with_output().unwrap()
}

#[test]
fn closed_stdout_is_not_an_error() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fswake.example.toml");
    for command in [
        &["check"][..],
        &["check", "--json"],
        &["man"],
        &["completions", "bash"],
        &["doctor"],
    ] {
        let output = unread(&[command, &["--config", file]].concat(), false);
        let err = text(&output.stderr);
        assert_eq!((err.as_str(), output.status.code()), ("", Some(141)), "{command:?}");
    }
    assert_eq!(text(&unread(&["--help"], false).stderr), "");
}

#[test]
fn closed_stderr_does_not_cause_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fswake.toml");
    let app = |name: &str| {
        format!("[[app]]\nname = '{name}'\nprovider = 'apns'\ncert-file = 'old.pem'\napp-ids = ['{name}']\n")
    };
    let authority = fswake_test_support::tls::Authority::default();
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    let (old, key) = authority.issue_until("voip", past);
    std::fs::write(dir.path().join("old.pem"), format!("{old}{key}")).unwrap();
    std::fs::write(&file, app("a") + &app("b")).unwrap();
    let output = unread(&["check", "--config", file.to_str().unwrap()], true);
    assert_eq!(output.status.code(), Some(78), "101 would be a panic");
}

/// A configuration in which every secret is named but unreadable, with an existing store.
fn without_secrets(dir: &std::path::Path) -> String {
    let store = dir.join("fswake.db");
    let db = rusqlite::Connection::open(&store).unwrap();
    db.execute_batch(fswake::store::sqlite::SCHEMA).unwrap();
    let file = dir.join("fswake.toml");
    let text = format!(
        "[freeswitch]\npassword-file = 'esl-password'\n[http]\ntoken-file = 'http-token'\n[store]\npath = '{}'\n\
         [[app]]\nname = 'ios'\nprovider = 'apns'\nkey-file = 'key.p8'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'\n\
         [[app]]\nname = 'gate'\nprovider = 'http'\napp-ids = ['g']\n\
         voip = {{ url = 'https://127.0.0.1:9/', auth-type = 'basic', auth-file = 'gate', body-file = 'body', content-type = 'text/plain' }}\n\
         [[app]]\nname = 'android'\nprovider = 'fcm'\nservice-account-file = '/nonexistent/a.json'\npayload = 'template'\n\
         payload-file = 'template.json'\n",
        store.display()
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn read_only_subcommands_need_no_secret_and_report_where_they_looked_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = without_secrets(dir.path());
    let folder = dir.path().display().to_string();
    let run = |args: &[&str]| {
        let output = fswake(&[args, &["--config", &file]].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    // The daemon needs the secrets.
    let (code, _, err) = run(&["check"]);
    assert_eq!(code, Some(78), "{err}");
    // The journal does not need them.
    let (code, _, err) = run(&["trace", "1001@example.org"]);
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("fswake: the journal has no call to 1001@example.org"),
        "{err}"
    );
    for command in [
        &["calls"][..],
        &["devices"],
        &["apps"],
        &["push", "--user", "1", "--realm", "d"],
    ] {
        let (code, _, err) = run(command);
        assert_eq!(code, Some(1), "{err}");
        for says in [
            "the daemon requires a token, and its file cannot be read",
            &format!("http.token-file: {folder}/http-token: cannot be read: no such file or directory"),
            &format!("searched in {folder}"),
            "hint: run this as root",
        ] {
            assert!(err.contains(says), "{command:?}: {err}");
        }
    }
    let (code, out, err) = run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let check = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|c| c["name"] == name);
        found.unwrap_or_else(|| panic!("{name} in {report:#}")).clone()
    };
    // A secret without a directory may be a systemd credential, which only the service can read. So it is a warning if it
    // is missing; with a directory it is an error.
    for (name, state, says) in [
        ("login", "warning", "not checked: "),
        ("ios", "warning", "key.p8: cannot be read"),
        ("gate", "warning", "not checked: "),
        ("android", "error", "/nonexistent/a.json: cannot be read"),
        ("file", "ok", "can be written"),
    ] {
        let check = check(name);
        assert_eq!(check["state"], state, "{check}");
        assert!(check["seen"].as_str().unwrap().contains(says), "{check}");
    }
    assert_eq!(code, Some(1));
}

/// The command run as a user who may read none of the daemon's files, if the test's user may switch to that user.
fn as_nobody(dir: &std::path::Path, args: &[&str]) -> Option<Output> {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let binary = dir.join("fswake");
    if !binary.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_fswake"), &binary).unwrap();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new(&binary)
        .args(args)
        .env_clear()
        .uid(65_534)
        .gid(65_534)
        .output();
    if output.is_err() {
        fswake_test_support::skipped::note("only root can become another user");
    }
    output.ok()
}

#[test]
fn unprivileged_user_is_told_what_is_unreadable_without_false_errors() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = without_secrets(dir.path());
    for name in ["esl-password", "http-token", "key.p8", "gate", "fswake.db"] {
        let path = dir.path().join(name);
        if name != "fswake.db" {
            std::fs::write(&path, "sesame-sesame-sesame\n").unwrap();
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let Some(output) = as_nobody(dir.path(), &["trace", "1001", "--config", &file]) else {
        return;
    };
    let err = text(&output.stderr);
    assert!(
        err.contains("the store is not readable for this user: permission denied (hint: run it as root"),
        "{err}"
    );
    let output = as_nobody(dir.path(), &["calls", "--config", &file]).unwrap();
    let err = text(&output.stderr);
    assert!(err.contains("http-token: cannot be read: permission denied"), "{err}");
    let output = as_nobody(dir.path(), &["doctor", "--json", "--config", &file]).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for check in report["checks"].as_array().unwrap() {
        let is_wrong = check["state"] == "error";
        assert_eq!(is_wrong, check["name"] == "android", "{check:#}");
    }
    assert!(!report.to_string().contains("os error"), "{report:#}");
}

#[test]
fn errors_have_no_raw_system_texts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fswake.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let store = dir.path().join("fswake.db");
    let config = |text: &str| {
        std::fs::write(&file, text.replace("STORE", store.to_str().unwrap())).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let folder = dir.path().display();
    for (text_of_config, args, says) in [
        (
            format!("[listen]\naddresses = ['{address}']\n[store]\npath = 'STORE'\n"),
            &["run"][..],
            format!("fswake: listen on {address}: address already in use\n"),
        ),
        (
            "[store]\npath = '/nonexistent/fswake.db'\n".into(),
            &["run"],
            "fswake: /nonexistent/fswake.db: the store cannot be opened: no such file or directory; the directory must \
             exist"
                .into(),
        ),
        (
            format!("[store]\npath = '{folder}'\n"),
            &["run"],
            format!("fswake: {folder}: the store cannot be opened: it is not a file that this user can open"),
        ),
        (
            "[http]\naddresses = ['127.0.0.1:1']\n".into(),
            &["calls"],
            "fswake: no daemon at 127.0.0.1:1\nhint: is it running".into(),
        ),
        (
            "[store]\npath = '/nonexistent/fswake.db'\n".into(),
            &["trace", "1001"],
            "fswake: /nonexistent/fswake.db: there is no store".into(),
        ),
        (
            String::new(),
            &["man", "/proc/nowhere"],
            "fswake: /proc/nowhere: no such file or directory\n".into(),
        ),
        (
            String::new(),
            &["setup", "--dry-run", "--freeswitch", "/nonexistent"],
            "fswake: /nonexistent: there is no freeswitch.xml\n".into(),
        ),
    ] {
        let file = config(&text_of_config);
        let output = fswake(&[args, &["--config", &file]].concat());
        let err = text(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{args:?}: {err}");
        assert!(err.contains(&says), "{args:?}: {err}");
        for odd in ["os error", "client error", "error sending request", "IO error"] {
            assert!(!err.contains(odd), "{args:?}: {err}");
        }
    }
}
