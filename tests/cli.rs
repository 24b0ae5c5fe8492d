//! The command as operators start it: what it prints and how it exits.

use std::process::{Command, Output};

fn fswake(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fswake"))
        .args(args)
        .env_remove("FSWAKE_CONFIG")
        .env_remove("FSWAKE_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_says_that_a_good_configuration_is_good() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fswake.example.toml");
    let output = fswake(&["check", "--config", file]);
    assert_eq!(text(&output.stdout), format!("ok: {file}\napp log: log\n"));
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn bad_configuration_is_named_and_exits_with_78() {
    let output = fswake(&["--config", "/nonexistent/fswake.toml", "check"]);
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "fswake: /nonexistent/fswake.toml: cannot be read: No such file or directory (os error 2)\n"
    );
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn completions_and_manual_pages_know_every_subcommand() {
    let help = text(&fswake(&["--help"]).stdout);
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description may go on in the next line.
        .filter_map(|line| line.strip_prefix("  ").filter(|l| !l.starts_with(' ')))
        .filter_map(|line| line.split(' ').next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 6 && commands.contains(&"devices"), "{commands:?}");
    // It asks for no configuration.
    let directory = tempfile::tempdir().unwrap();
    let man = fswake(&["man", directory.path().to_str().unwrap(), "--config", "/nonexistent"]);
    assert_eq!((text(&man.stderr).as_str(), man.status.code()), ("", Some(0)));
    let whole = std::fs::read_to_string(directory.path().join("fswake.1")).unwrap();
    assert_eq!(whole, text(&fswake(&["man"]).stdout));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&fswake(&["completions", shell]).stdout);
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    for command in &commands {
        assert!(
            directory.path().join(format!("fswake-{command}.1")).exists(),
            "{command}"
        );
        assert!(whole.contains(&command.replace('-', "\\-")), "{command}");
    }
    assert_eq!(fswake(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn help_documents_the_exit_codes() {
    let output = fswake(&["--help"]);
    let help = text(&output.stdout);
    for code in ["   0  ", "   1  ", "   2  ", "  78  "] {
        assert!(help.contains(code), "{help}");
    }
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fswake(&["--nonsense"]).status.code(), Some(2));
}
