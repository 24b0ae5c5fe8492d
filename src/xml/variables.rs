//! FreeSWITCH's global variables in its configuration: `$${name}`, and what sets them: `X-PRE-PROCESS` lines, and
//! comments such as `<!--#set "name=value"-->` (switch_xml.c, `preprocess`).
//!
//! Only what the text itself sets is known here. What FreeSWITCH takes from elsewhere (`include`, `env-set`,
//! `exec-set`, `stun-set`) is reported, not done: this tool runs no commands and asks no servers.

use std::collections::BTreeMap;

use super::entities::decoded;

/// Most bytes that all variables together may insert. A value that contains itself twice doubles with each line.
const MOST: usize = 4 << 20;

/// Global variables by name.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    known: BTreeMap<String, String>,
    /// Bytes inserted so far.
    put_in: usize,
}

/// A value with the known variables inserted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The value; a variable that is not known stays as it was written.
    pub text: String,
    /// The names of those.
    pub unknown: Vec<String>,
}

impl Variables {
    /// Carries out one `X-PRE-PROCESS` line, with its attributes as written. `Some` names what is not supported.
    pub fn command(&mut self, cmd: &str, data: &str) -> Option<String> {
        if cmd.eq_ignore_ascii_case("set")
            && let Some((name, value)) = data.split_once('=')
        {
            let value = self.expand(value.trim_start_matches(' ')).text;
            self.known.insert(name.trim().to_owned(), value);
            return None;
        }
        // The data may contain a password, so only the name of an included file is reported.
        Some(if cmd.eq_ignore_ascii_case("include") {
            format!("X-PRE-PROCESS include of {}", decoded(data))
        } else {
            format!("X-PRE-PROCESS {}", decoded(cmd))
        })
    }

    /// Carries out one comment, with everything between `<!--` and `-->`. `Some` names what is not supported.
    pub fn comment(&mut self, comment: &str) -> Option<String> {
        let (cmd, data) = comment.strip_prefix('#')?.split_once(' ')?;
        let data = data.split(['\r', '\n']).next().unwrap_or_default();
        let quoted = data.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
        self.command(cmd, quoted.map_or(data, |(inside, _)| inside))
    }

    /// Whether the limit was reached, so that values are incomplete.
    pub fn are_too_long(&self) -> bool {
        self.put_in > MOST
    }

    /// Inserts known values for the `$${..}` of a value from the file.
    pub fn expand(&mut self, written: &str) -> Expansion {
        let mut expanded = Expansion::default();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once("$${") {
            expanded.text.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                expanded.text.push_str("$${");
                rest = after;
                continue;
            };
            if let Some(value) = self.known.get(name) {
                self.put_in = self.put_in.saturating_add(value.len());
                if self.put_in <= MOST {
                    expanded.text.push_str(value);
                }
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
    fn comments_of_the_preprocessor_set_variables_and_others_do_not() {
        let mut vars = Variables::default();
        for comment in [
            "#set \"a=b\"",
            "#SET \"host = push.example.org\"",
            "#set bare=1",
            "#set \"more=$${a}$${bare}\" and a word",
        ] {
            assert_eq!(vars.comment(comment), None, "{comment}");
        }
        assert_eq!(vars.expand("$${a} $${host} $${more}").text, "b push.example.org b1");
        assert_eq!(vars.comment(" #set \"a=c\""), None, "FreeSWITCH wants the # first");
        assert_eq!(vars.comment("set \"a=c\""), None);
        assert_eq!(vars.expand("$${a}").text, "b");
        assert_eq!(
            vars.comment("#include \"other.xml\"").unwrap(),
            "X-PRE-PROCESS include of other.xml"
        );
    }

    #[test]
    fn value_that_doubles_is_bounded() {
        let mut vars = Variables::default();
        vars.command("set", "a=0123456789");
        for _ in 0..200 {
            vars.command("set", "a=$${a}$${a}");
        }
        assert!(vars.are_too_long());
        assert!(vars.known["a"].len() <= MOST);
        let mut many = Variables::default();
        many.command("set", &format!("a={}", "x".repeat(1 << 20)));
        for n in 0..100 {
            many.command("set", &format!("b{n}=$${{a}}"));
        }
        assert!(many.are_too_long());
        assert!(many.known.values().map(String::len).sum::<usize>() <= 2 * MOST);
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
