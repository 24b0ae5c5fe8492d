//! `fswake trace` as operators start it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fswake::clock::now_ms;
use serde_json::Value;

use super::*;

fn command(book: &Book, args: &[&str]) -> Command {
    let file = book.dir.path().join("fswake.toml");
    std::fs::write(&file, format!("[store]\npath = '{}'\n", book.path.display())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fswake"));
    command.arg("--config").arg(file).arg("trace").args(args).env_clear();
    command
}

fn trace(book: &Book, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(book, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn timeline_is_printed_and_ends_with_its_diagnosis() {
    let book = Book::new();
    let at = 1_795_536_071_042;
    book.line(
        9,
        "1001",
        at,
        "call-held",
        &json!({"caller": "+4930123", "devices": 1, "wait-ms": 25_000, "way": "dialplan"}),
    );
    let device = "apns:com.example.app:0badcafe";
    book.line(9, "1001", at + 1, "push-sent", &json!({"device": device, "try": 1}));
    book.line(
        9,
        "1001",
        at + 61,
        "push-accepted",
        &json!({"device": device, "status": 200, "provider-id": "ID-1", "ms": 60}),
    );
    book.line(9, "1001", at + 25_000, "call-over", &json!({"result": "unreachable"}));
    let call = id(9).to_string();
    let (code, out, err) = trace(&book, &[&call]);
    let expected = format!(
        "{call}  2026-11-24 16:01:11.042 UTC  to 1001@fs.test\n     \
         0.000 s  call-held             call held, from +4930123, by the dialplan; phones known: 1; waits 25.0 s\n     \
         0.001 s  push-sent             {device}  push written, try 1\n     \
         0.061 s  push-accepted         {device}  provider took the push: 200, after 60 ms, apns-id ID-1\n    \
         25.000 s  call-over             over: no phone rang; the dialplan goes on (unreachable)\n  \
         => Apple took the push to {device} and the phone never registered: the app has to register when PushKit wakes it (or the phone was off or offline)\n"
    );
    assert_eq!((code, out, err), (Some(0), expected, String::new()));
}

#[test]
fn json_has_the_same_content() {
    let book = Book::new();
    book.connected(1, "1001", now_ms() - 60_000);
    let (code, out, _) = trace(&book, &["1001@fs.test", "--json", "--since", "2h"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    let wake = &found["wakes"][0];
    assert_eq!(
        (code, &wake["result"], &wake["pushes"]),
        (Some(0), &json!("connected"), &json!(1))
    );
    assert_eq!(wake["steps"][2]["step"], "push-accepted");
    assert_eq!(wake["steps"][2]["detail"]["status"], 200);
}

#[test]
fn no_match_is_reported_with_exit_code_1() {
    let book = Book::new();
    book.connected(1, "1001", now_ms() - 7_200_001);
    for args in [
        &["1001@fs.test", "--since", "2h"][..],
        &["1002"],
        &["00000000-0000-0000-0000-00000000ffff"],
    ] {
        let (code, out, err) = trace(&book, args);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains("hint: "), "{err}");
    }
    assert_eq!(trace(&book, &["1001@fs.test", "--since", "3h"]).0, Some(0));
    assert_eq!(trace(&book, &["1001@fs.test", "--since", "soon"]).0, Some(2));
}

#[test]
fn store_of_another_user_is_reported_with_a_hint() {
    let book = Book::new();
    book.connected(1, "1001", now_ms());
    let mode = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(book.dir.path(), 0o755);
    mode(&book.path, 0o600);
    let mut command = command(&book, &["1001"]);
    // Only root can become `nobody`. Other users cannot make a file that belongs to another user.
    let Ok(output) = command.uid(65_534).gid(65_534).output() else {
        fswake_test_support::skipped::note("only root can become another user");
        return;
    };
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("not readable for this user") && err.contains("hint: run it as root"),
        "{err}"
    );
}

#[test]
fn newer_damaged_or_missing_store_is_reported_without_a_panic() {
    let newer = Book::new();
    newer.connected(1, "1001", now_ms() - 10_000);
    newer
        .db
        .execute_batch("ALTER TABLE journal RENAME COLUMN detail TO story; PRAGMA user_version = 99;")
        .unwrap();
    let none = Book::new();
    none.db
        .execute_batch("DROP TABLE journal; PRAGMA user_version = 0;")
        .unwrap();
    let mut garbage = Book::new();
    garbage.path.set_file_name("other.db");
    std::fs::write(&garbage.path, b"not a database, ".repeat(1000)).unwrap();
    for (book, says) in [
        (&newer, "a newer fswake made it (version 99; this one knows up to"),
        (&none, "no such table: journal"),
        (&garbage, "file is not a database"),
    ] {
        for whose in ["1001@fs.test", "00000000-0000-0000-0000-000000000001"] {
            let (code, _, err) = trace(book, &[whose]);
            assert_eq!(code, Some(1), "{err}");
            assert!(err.contains(says) && !err.contains("SELECT"), "{err}");
        }
    }
}

#[test]
fn million_lines_are_traced_within_200_ms() {
    let book = million();
    let call = format!("00000000-0000-0000-0000-{:012x}", 70_000);
    for args in [&["u17@fs.test", "--since", "30d"][..], &["u17"], &[&call]] {
        let fastest = (0..5).map(|_| {
            let started = Instant::now();
            let (code, out, err) = trace(&book, args);
            let took = started.elapsed();
            assert_eq!(code, Some(0), "{err}");
            assert!(out.contains("call-over"), "{out}");
            took
        });
        let fastest = fastest.min().unwrap();
        println!("{args:?}: {fastest:?}");
        assert!(fastest < Duration::from_millis(200), "{args:?}: {fastest:?}");
    }
}
