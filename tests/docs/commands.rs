//! Commands, flags and cargo targets in the documents.

use clap::CommandFactory;
use fswake::cli::Cli;
use fswake::import::ImportModApn;

use crate::page::{pages, root};

/// The text after the program's name on a line, up to the end of the command.
fn arguments(line: &str, program: &str) -> Vec<Vec<String>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_end = |word: &&str| matches!(*word, "|" | "||" | "&&" | ";" | "&") || word.starts_with(['#', '>', '<', '2']);
    let bare = |word: &&str| {
        word.trim_matches(['\'', '"', '[', ']', '`', ',', '(', ')', '.', ':', ';'])
            .to_owned()
    };
    let calls = words
        .iter()
        .enumerate()
        .filter(|(_, word)| word.trim_matches(['\'', '"', '`', '(']) == program);
    calls
        .map(|(n, _)| {
            words[n + 1..]
                .iter()
                .take_while(|word| !is_end(word))
                .map(bare)
                .collect()
        })
        .collect()
}

#[test]
fn every_command_and_flag_exists() {
    let (root, importer) = (Cli::command(), ImportModApn::command());
    let (mut commands, mut flags) = (0, 0);
    for page in pages() {
        for line in page.typed() {
            for words in arguments(&line, "fswake-import-mod-apn") {
                for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
                    let mut longs = importer.get_arguments().filter_map(clap::Arg::get_long);
                    assert!(
                        longs.any(|long| long == flag),
                        "{}: {line}: there is no --{flag}",
                        page.name()
                    );
                    flags += 1;
                }
            }
            for words in arguments(&line, "fswake") {
                let mut command = &root;
                for (n, word) in words.iter().enumerate() {
                    let name = page.name();
                    if let Some(flag) = word.strip_prefix("--") {
                        let flag = flag.split('=').next().unwrap();
                        let args = command.get_arguments().chain(root.get_arguments());
                        let mut longs = args.flat_map(|arg| arg.get_long_and_visible_aliases().unwrap_or_default());
                        let is_there = longs.any(|long| long == flag) || ["help", "version"].contains(&flag);
                        assert!(is_there, "{name}: {line}: there is no --{flag}");
                        flags += 1;
                    } else if let Some(sub) = command.find_subcommand(word) {
                        command = sub;
                        commands += 1;
                    } else if n == 0 && word.starts_with(|c: char| c.is_ascii_lowercase()) {
                        panic!("{name}: {line}: there is no such subcommand");
                    }
                }
            }
        }
    }
    assert!(
        commands > 60 && flags > 20,
        "only {commands} commands and {flags} flags were found"
    );
}

/// Tests, benches and examples that the documents name.
#[test]
fn every_cargo_target_exists() {
    let mut targets = 0;
    for page in pages() {
        for line in page.typed() {
            for words in arguments(&line, "cargo") {
                for pair in words
                    .windows(2)
                    .filter(|pair| pair[0] == "--test" || pair[0] == "--bench")
                {
                    let folders: &[_] = if pair[0] == "--test" {
                        &["tests", "core/tests"]
                    } else {
                        &["benches"]
                    };
                    let is_in = |folder: &&str| {
                        let ends = ["", ".rs", "/main.rs"];
                        ends.iter()
                            .any(|end| root().join(folder).join(format!("{}{end}", pair[1])).exists())
                    };
                    let is_there = pair[1].starts_with('<') || folders.iter().any(is_in);
                    assert!(is_there, "{}: {line}", page.name());
                    targets += 1;
                }
            }
        }
    }
    assert!(targets > 5, "only {targets} were found");
}
