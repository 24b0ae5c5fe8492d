//! The documents: their text, their commands, their anchors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document.
pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

/// README.md and all of docs/.
pub fn pages() -> Vec<Page> {
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
    pub fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    /// The text between fences, each block with the language that its fence names.
    pub fn blocks(&self) -> Vec<(&str, &str)> {
        let inside = self.text.split("```").skip(1).step_by(2);
        inside
            .map(|block| block.split_once('\n').unwrap_or((block, "")))
            .collect()
    }

    /// The text outside fences.
    pub fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// Text in backticks.
    pub fn spans(&self) -> Vec<String> {
        let prose = self.prose();
        prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Lines that readers may type: in shell blocks, after a prompt, and in spans.
    pub fn typed(&self) -> Vec<String> {
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

    /// The anchors of its headings, as on GitHub.
    pub fn anchors(&self) -> BTreeSet<String> {
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

pub fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}
