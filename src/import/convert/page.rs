//! A page of TOML with comments.

use std::fmt::Write;

/// How long a line of a comment may be.
const WIDTH: usize = 120;

/// What has been written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Writes a comment, wrapped. Foreign text in it must be printable already.
    pub(super) fn comment(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in text.split(' ') {
            if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    /// A table's head, after a blank line.
    pub(super) fn section(&mut self, head: &str) {
        self.gap();
        self.line(head);
    }

    /// Writes a key and its value, quoted so that any text can be read back.
    pub(super) fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        let value = value.into();
        let _ = writeln!(self.0, "{key} = {value}");
    }

    /// A blank line, if there is none.
    pub(super) fn gap(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with("\n\n") {
            self.0.push('\n');
        }
    }

    pub(super) fn finish(self) -> String {
        let mut text = self.0.trim_end().to_owned();
        text.push('\n');
        text
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}
