//! FreeSWITCH's global variables in its configuration: `$${name}`, and the `X-PRE-PROCESS` lines that set them.
//!
//! Only what the text itself sets is known here. What FreeSWITCH takes from elsewhere (`include`, `env-set`, `exec-set`,
//! `stun-set`) is named, not done: to run a command or ask a server is not this tool's business.

use std::collections::BTreeMap;

use super::entities::decoded;

/// Global variables by name.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

/// A value with its variables put in, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The value; a variable that is not known stays as it was written.
    pub text: String,
    /// The names of those.
    pub unknown: Vec<String>,
}

impl Variables {
    /// Does one `X-PRE-PROCESS` line, with its attributes as they are written. `Some` says what is not done.
    pub fn command(&mut self, cmd: &str, data: &str) -> Option<String> {
        if cmd.eq_ignore_ascii_case("set")
            && let Some((name, value)) = data.split_once('=')
        {
            let value = self.expand(value).text;
            self.0.insert(name.trim().to_owned(), value);
            return None;
        }
        // The data may hold a password: only an included file's name is of use.
        Some(if cmd.eq_ignore_ascii_case("include") {
            format!("X-PRE-PROCESS include of {}", decoded(data))
        } else {
            format!("X-PRE-PROCESS {}", decoded(cmd))
        })
    }

    /// Puts in what is known of the `$${..}` of a value as it is written in the file.
    pub fn expand(&self, written: &str) -> Expanded {
        let mut expanded = Expanded::default();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once("$${") {
            expanded.text.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                expanded.text.push_str("$${");
                rest = after;
                continue;
            };
            if let Some(value) = self.0.get(name) {
                expanded.text.push_str(value);
            } else {
                expanded.text.push_str("$${");
                expanded.text.push_str(name);
                expanded.text.push('}');
                expanded.unknown.push(name.to_owned());
            }
            rest = after;
        }
        expanded.text.push_str(rest);
        expanded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_unknown_ones_are_named() {
        let mut vars = Variables::default();
        assert_eq!(vars.command("set", "host=push.example.org"), None);
        assert_eq!(vars.command("SET", "base=https://$${host}"), None);
        let expanded = vars.expand("$${base}/${type}?k=$${key}&x=$${");
        assert_eq!(expanded.text, "https://push.example.org/${type}?k=$${key}&x=$${");
        assert_eq!(expanded.unknown, ["key"]);
    }

    #[test]
    fn what_is_not_done_is_named_without_its_data() {
        let mut vars = Variables::default();
        let not_done = vars.command("exec-set", "secret=cat /etc/secret").unwrap();
        assert_eq!(not_done, "X-PRE-PROCESS exec-set");
        assert_eq!(
            vars.command("include", "a.xml").unwrap(),
            "X-PRE-PROCESS include of a.xml"
        );
    }
}
