//! What the documents promise of this repository: links, commands, keys and files that README.md and docs/ name are
//! there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "live/fidelity/departures.rs"]
#[allow(dead_code, reason = "the live tests use the rest")]
mod departures;

use clap::CommandFactory;
use fswake::cli::Cli;
use fswake::config::{Config, Environment};
use fswake::import::ImportModApn;
use fswake::store::StoreError;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document.
struct Page {
    path: PathBuf,
    text: String,
}

/// README.md and all of docs/.
fn pages() -> Vec<Page> {
    let docs = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let page = |path: PathBuf| Page {
        text: std::fs::read_to_string(&path).unwrap(),
        path,
    };
    pages
        .chain(["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)))
        .map(page)
        .collect()
}

impl Page {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    /// The text between fences, each block with the language that its fence names.
    fn blocks(&self) -> Vec<(&str, &str)> {
        let inside = self.text.split("```").skip(1).step_by(2);
        inside
            .map(|block| block.split_once('\n').unwrap_or((block, "")))
            .collect()
    }

    /// The text without what is between fences.
    fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// What stands in backticks.
    fn spans(&self) -> Vec<String> {
        let prose = self.prose();
        prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Lines that somebody may type: those of shell blocks, those after a prompt, and spans.
    fn typed(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (language, block) in self.blocks() {
            let joined = block.replace("\\\n", " ");
            match language {
                "sh" => lines.extend(joined.lines().map(str::to_owned)),
                "text" => lines.extend(
                    joined
                        .lines()
                        .filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)),
                ),
                _ => {}
            }
        }
        lines.extend(self.spans());
        lines
    }

    /// Its headings' anchors, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings
            .map(|heading| {
                let text = heading.trim_start_matches('#').trim().to_lowercase();
                let kept = text
                    .chars()
                    .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            })
            .collect()
    }
}

#[test]
fn every_link_leads_somewhere() {
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
                .unwrap_or_else(|_| panic!("{name}: {target}: there is no such file"));
            if anchor.is_empty() {
                continue;
            }
            let to = pages.iter().find(|page| page.path == path);
            let anchors = to
                .unwrap_or_else(|| panic!("{name}: {target}: no page has anchors there"))
                .anchors();
            assert!(anchors.contains(anchor), "{name}: {target}: there is no such heading");
        }
    }
    assert!(links > 100, "only {links} links were found");
}

/// What follows the program's name on a line, up to the end of the command.
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

/// Tests, benches and examples by which the documents say what was tried.
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

#[test]
fn every_file_of_the_repository_that_is_named_exists() {
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

/// Whether the configuration's reader knows a key.
fn is_key(dir: &Path, section: &str, key: &str) -> bool {
    let file = dir.join("fswake.toml");
    let text = match section {
        "app" => format!("[[app]]\nname = 'a'\n{key} = -1.5"),
        "app.voip" => format!("[[app]]\nname = 'a'\n[app.voip]\n{key} = -1.5"),
        "contact.params" => format!("[[contact.params]]\n{key} = -1.5"),
        section => format!("[{section}]\n{key} = -1.5"),
    };
    std::fs::write(&file, text).unwrap();
    // No key takes this value: the error is about the value, or about an unknown key.
    let error = Config::load(Some(&file), &Environment::default()).expect_err("no key takes -1.5");
    !error.to_string().contains("unknown key")
}

#[test]
fn every_key_is_one_that_the_configuration_has() {
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

/// Words in a sentence, by the average: what is between full stops, outside code and tables.
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
        // A full stop inside a name ends nothing.
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
    // Where a package has them; here they are in the sources.
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
    // Its dial-string has the shipped one's way and readiness.
    let shipped = std::fs::read_to_string(root().join("fs-conf/directory/fswake.xml")).unwrap();
    let value = shipped.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
    let (vars, way) = value.rsplit_once("loopback/").unwrap();
    assert!(text.contains(&format!("]loopback/{way}@static")), "{way}");
    let ready = vars.trim_start_matches('[').split(',').next().unwrap();
    assert!(text.contains(ready), "{ready}");
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The live tests say so too, but need a FreeSWITCH.
#[test]
fn every_difference_from_a_bridge_has_its_reason_in_architecture() {
    departures::are_documented().unwrap();
}

#[test]
fn getting_started_shows_what_ships() {
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
        "the demo begins with other words:\n{introduction}"
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
fn messages_that_the_documents_quote_are_those_of_the_code() {
    let path = PathBuf::from("/var/lib/fswake/fswake.db");
    let reason = "file is not a database".to_owned();
    let operating = page("docs/OPERATING.md");
    for error in [
        StoreError::Corrupt {
            path: path.clone(),
            reason,
        },
        StoreError::NewerSchema { path, found: 6 },
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
            assert!(code.contains(quote), "{name}: nothing says: {quote}");
        }
    }
}

/// All that is written in a folder, with texts that go on in the next line in one.
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
