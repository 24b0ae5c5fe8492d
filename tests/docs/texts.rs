//! Texts of the code and of fs-conf that the documents quote, and the length of sentences.

use std::path::{Path, PathBuf};

use fswake::store::StoreError;

use crate::departures;
use crate::page::{page, pages, root};

/// Average number of words in a sentence: text between full stops, outside code and tables.
#[test]
fn readme_has_short_sentences_and_its_first_command_on_the_first_screen() {
    let page = pages().into_iter().find(|page| page.name() == "README.md").unwrap();
    let first = page.text.lines().position(|line| line == "```sh").unwrap();
    assert!(first < 20, "the first command is on line {first}");
    let is_prose = |line: &&str| !line.starts_with(['#', '|']);
    let prose = page.prose();
    let text = prose
        .lines()
        .filter(is_prose)
        .collect::<Vec<_>>()
        .join("\n")
        .replace("\n\n", ". ")
        .replace('\n', " ");
    let counts = text.split(['.', '?', '!']).zip(text.split(['.', '?', '!']).skip(1));
    let mut lengths = vec![0];
    for (sentence, next) in counts {
        *lengths.last_mut().unwrap() += sentence.split_whitespace().count();
        // A full stop inside a name does not end a sentence.
        if next.starts_with([' ', '*']) || next.is_empty() {
            lengths.push(0);
        }
    }
    lengths.retain(|words| *words > 0);
    let average = lengths.iter().sum::<usize>() / lengths.len();
    assert!(
        average < 20 && lengths.len() > 20,
        "{average} words in each of {} sentences",
        lengths.len()
    );
}

/// FusionPBX leaves contexts whose name has an `@` to FreeSWITCH.
#[test]
fn command_in_the_fusionpbx_page_makes_its_contexts() {
    let text = std::fs::read_to_string(root().join("docs/FUSIONPBX.md")).unwrap();
    let start = text.find("sed -e 's/context").unwrap();
    let command = text[start..].split("> /etc").next().unwrap().replace("\\\n", " ");
    // The path in the package is replaced by the one in the sources.
    let command = command.replace("/usr/share/fswake/", "");
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
    // Its dial-string has the same route and `fswake_ready` as the shipped one.
    let shipped = std::fs::read_to_string(root().join("fs-conf/directory/fswake.xml")).unwrap();
    let value = shipped.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
    let (vars, way) = value.rsplit_once("loopback/").unwrap();
    assert!(text.contains(&format!("]loopback/{way}@static")), "{way}");
    let ready = vars.trim_start_matches('[').split(',').next().unwrap();
    assert!(text.contains(ready), "{ready}");
}

/// The live tests check this too, but need a FreeSWITCH.
#[test]
fn every_difference_from_a_bridge_has_its_reason_in_architecture() {
    departures::are_documented().unwrap();
}

#[test]
fn getting_started_quotes_the_shipped_files() {
    let shown = page("docs/GETTING-STARTED.md");
    let demo = page("examples/demo.rs");
    let introduction = demo
        .split("INTRODUCTION: &str = \"\\\n")
        .nth(1)
        .unwrap()
        .split("\";")
        .next()
        .unwrap();
    assert!(
        shown.contains(introduction),
        "the demo starts with another text:\n{introduction}"
    );
    let lines = page("fs-conf/dialplan/fswake.xml").lines().count();
    assert!(
        shown.contains(&format!("dialplan/fswake.xml: new, {lines} lines")),
        "the context has {lines} lines"
    );
    let directory = page("fs-conf/directory/fswake.xml");
    let dial_string = directory
        .lines()
        .find(|line| line.contains("name=\"dial-string\""))
        .unwrap();
    assert!(shown.contains(dial_string.trim()), "the dial-string is {dial_string}");
}

#[test]
fn quoted_messages_exist_in_the_code() {
    let path = PathBuf::from("/var/lib/fswake/fswake.db");
    let reason = "file is not a database".to_owned();
    let operating = page("docs/OPERATING.md");
    for error in [
        StoreError::Corrupt {
            path: path.clone(),
            reason,
        },
        StoreError::NewerSchema {
            copy: Some(path.with_file_name("fswake.db.version-7")),
            path,
            found: 8,
        },
    ] {
        assert!(operating.contains(&format!("\nfswake: {error}\n")), "{error}");
    }
    let code = code(&root().join("src"));
    for (name, quotes) in [
        (
            "docs/OPERATING.md",
            &[
                "no connection to FreeSWITCH",
                "the store cannot be written",
                "push refused: an operator must act",
                "the store cannot be opened",
            ][..],
        ),
        (
            "docs/KEYS.md",
            &["the provider answers as it should", "cannot be resolved"],
        ),
        ("docs/SOFTPHONES.md", &["not pushed: it registers without a push token"]),
        ("docs/FUSIONPBX.md", &["by a dialplan, as calls of the last days show"]),
    ] {
        let text = page(name);
        for quote in quotes {
            assert!(text.contains(quote), "{name} does not quote: {quote}");
            assert!(
                code.contains(quote),
                "{name} quotes a text that the code does not have: {quote}"
            );
        }
    }
}

/// All text in a directory. Texts that continue on the next line are joined.
fn code(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &code(&path);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            let pieces = text.split("\\\n").enumerate();
            all.extend(pieces.map(|(n, piece)| if n == 0 { piece } else { piece.trim_start() }));
        }
    }
    all
}
