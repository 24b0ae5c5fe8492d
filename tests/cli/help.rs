//! Help, manual pages and completions, and their width.

use std::process::Command;

use crate::{fswake, text};

#[test]
fn completions_and_manual_pages_have_every_subcommand() {
    let help = text(&fswake(&["--help"]).stdout);
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description may continue on the next line.
        .filter_map(|line| line.strip_prefix("  ").filter(|l| !l.starts_with(' ')))
        .filter_map(|line| line.split(' ').next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 6 && commands.contains(&"devices"), "{commands:?}");
    // The command needs no configuration.
    let place = tempfile::tempdir().unwrap();
    // It creates the directory.
    let directory = place.path().join("share/man/man1");
    let man = fswake(&["man", directory.to_str().unwrap(), "--config", "/nonexistent"]);
    assert_eq!((text(&man.stderr).as_str(), man.status.code()), ("", Some(0)));
    let whole = std::fs::read_to_string(directory.join("fswake.1")).unwrap();
    assert_eq!(whole, text(&fswake(&["man"]).stdout));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&fswake(&["completions", shell]).stdout);
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    for command in &commands {
        assert!(directory.join(format!("fswake-{command}.1")).exists(), "{command}");
        assert!(whole.contains(&command.replace('-', "\\-")), "{command}");
    }
    assert_eq!(fswake(&["completions", "cmd"]).status.code(), Some(2));
    let below_a_file = fswake(&["man", directory.join("fswake.1/man").to_str().unwrap()]);
    assert_eq!(below_a_file.status.code(), Some(1));
    assert!(text(&below_a_file.stderr).contains("fswake.1/man"), "{below_a_file:?}");
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

#[test]
fn no_line_of_a_help_is_wider_than_a_terminal() {
    let commands = [
        "run",
        "check",
        "completions",
        "man",
        "devices",
        "calls",
        "push",
        "apps",
        "doctor",
        "trace",
        "setup",
    ];
    for command in [&[][..]].into_iter().chain(commands.iter().map(std::slice::from_ref)) {
        let help = text(&fswake(&[command, &["--help"]].concat()).stdout);
        assert!(help.contains("Usage:"), "{command:?}: {help}");
        for line in help.lines().filter(|line| line.chars().count() > 99) {
            // Commands to copy are not wrapped.
            assert!(line.starts_with("  fswake "), "{command:?}: {line}");
        }
    }
}

#[test]
fn lines_are_as_wide_as_the_terminal() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fswake.example.toml");
    let on = |columns: u32| {
        let doctor = format!(
            "stty cols {columns}; {} doctor --config {file}",
            env!("CARGO_BIN_EXE_fswake")
        );
        Command::new("script").args(["-qec", &doctor, "/dev/null"]).output()
    };
    let Ok(narrow) = on(60) else {
        fswake_test_support::skipped::note("`script` (util-linux) is not installed");
        return;
    };
    for (output, width) in [(narrow, 60), (on(200).unwrap(), 99)] {
        let shown = text(&output.stdout);
        let widest = shown.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= width && widest > width - 15, "{widest} of {width}: {shown}");
    }
}
