//! The names that a Rust file defines and uses, parsed from its text. It covers only as much of the language as
//! `circles` needs.

use std::collections::BTreeSet;

/// The names in one file.
#[derive(Default)]
pub struct Source {
    /// The names that it defines.
    pub items: BTreeSet<String>,
    pub uses: Vec<Use>,
    /// Paths in its code, with at least two segments.
    pub paths: Vec<Vec<String>>,
    /// Every identifier in its code outside `use`.
    pub words: BTreeSet<String>,
}

/// A name that a `use` imports.
pub struct Use {
    pub path: Vec<String>,
    /// Its name in this file; `*` for a glob.
    pub name: String,
    pub is_public: bool,
}

impl Source {
    /// Parses a file's text.
    pub fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut source = Self::default();
        let (mut at, mut depth) = (0, 0_usize);
        while let Some(token) = tokens.get(at).map(String::as_str) {
            if tokens[at..].iter().take(7).eq(["#", "[", "cfg", "(", "test", ")", "]"]) {
                at = item_end(&tokens, at + 7);
                continue;
            }
            match token {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "use" => {
                    let end = at + tokens[at..].iter().position(|t| t == ";").unwrap_or(0);
                    let is_public = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                    let mut names = Vec::new();
                    flatten(&tokens[at + 1..end], &mut 0, &[], &mut names);
                    source
                        .uses
                        .extend(names.into_iter().map(|(path, name)| Use { path, name, is_public }));
                    at = end;
                }
                "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static" | "macro_rules"
                    if depth == 0 =>
                {
                    let name = tokens[at + 1..]
                        .iter()
                        .find(|t| *t != "!" && *t != "mut" && *t != "fn" && *t != "unsafe");
                    source.items.extend(name.cloned());
                }
                _ if is_word(token) => {
                    let path = path_at(&tokens, at);
                    source.words.insert(path[0].clone());
                    at += 2 * (path.len() - 1);
                    if path.len() > 1 {
                        source.paths.push(path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        source
    }
}

/// The segments of the path that starts here.
fn path_at(tokens: &[String], at: usize) -> Vec<String> {
    let mut path = vec![tokens[at].clone()];
    let mut next = at + 1;
    while tokens.get(next).is_some_and(|t| t == "::") && tokens.get(next + 1).is_some_and(|t| is_word(t)) {
        path.push(tokens[next + 1].clone());
        next += 2;
    }
    path
}

/// Skips the item that starts here: to the end of its block, or its semicolon.
fn item_end(tokens: &[String], from: usize) -> usize {
    let mut depth = 0;
    for (n, token) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return n + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return n + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Expands a `use` tree into single names.
fn flatten(tokens: &[String], at: &mut usize, before: &[String], names: &mut Vec<(Vec<String>, String)>) {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(*at).map(String::as_str) {
        *at += 1;
        match token {
            "::" => {}
            "{" => {
                while tokens.get(*at).is_some_and(|t| t != "}") {
                    flatten(tokens, at, &path, names);
                    if tokens.get(*at).is_some_and(|t| t == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "*" => return names.push((path, "*".into())),
            "as" => {
                let name = tokens.get(*at).cloned().unwrap_or_default();
                *at += 1;
                return names.push((path, name));
            }
            "," | "}" => {
                *at -= 1;
                break;
            }
            // `use a::{self}` imports `a`.
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
    }
    let name = path.last().cloned().unwrap_or_default();
    names.push((path, name));
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The identifiers and punctuation of a text, without comments, string and character literals, and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_text(rest) {
            raw
        } else if c == '"' || (word == 1 && c == 'b' && rest[1..].starts_with('"')) {
            let start = rest.find('"').unwrap_or(0) + 1;
            start + quoted(&rest[start..], '"')
        } else if c == '\'' {
            // A character literal or a lifetime.
            let mut letters = rest[1..].chars();
            match (letters.next(), letters.next()) {
                (Some('\\'), _) => 1 + quoted(&rest[1..], '\''),
                (Some(one), Some('\'')) => 2 + one.len_utf8(),
                _ => 1,
            }
        } else if word > 0 {
            tokens.push(rest[..word].to_owned());
            word
        } else if rest.starts_with("::") {
            tokens.push("::".into());
            2
        } else {
            if !c.is_whitespace() {
                tokens.push(c.into());
            }
            c.len_utf8()
        };
        rest = &rest[taken..];
    }
    tokens
}

/// The length of the raw string literal that starts here.
fn raw_text(text: &str) -> Option<usize> {
    let prefix = if text.starts_with("br") {
        2
    } else {
        usize::from(text.starts_with('r'))
    };
    let hashes = text[prefix..].bytes().take_while(|b| *b == b'#').count();
    let start = prefix + hashes + 1;
    if prefix == 0 || !text[prefix + hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&end).map(|n| start + n + end.len())
}

/// The length of a string literal up to and including its closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (n, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return n + 1,
            _ => {}
        }
    }
    text.len()
}
