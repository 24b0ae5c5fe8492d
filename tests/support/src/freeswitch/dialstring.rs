//! The argument of `originate`, parsed as FreeSWITCH parses it.
//!
//! It is deliberately as lenient as the real parser: a comma or bar that slips into a contact makes a second endpoint
//! here, too, so that a test sees the injection.

/// One endpoint of a dial-string, with its own variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `sofia/internal/sip:...`, `user/...`.
    pub(crate) target: String,
    pub(crate) variables: Vec<(String, String)>,
}

/// The arguments of `originate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) endpoints: Vec<Endpoint>,
    /// `&park()`, an extension, ...
    pub(crate) action: String,
}

impl Plan {
    /// A variable of the first endpoint.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let first = self.endpoints.first()?;
        first
            .variables
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Parses `{variables}endpoint[,endpoint] action`, with the same functions in the same order as FreeSWITCH
/// (switch_utils.c, switch_event.c).
pub(crate) fn parse(text: &str) -> Result<Plan, &'static str> {
    let words = separate(text.trim(), ' ');
    let [dial_string, action, ..] = &words[..] else {
        return Err("no action");
    };
    let mut rest = dial_string.as_str();
    let mut global = Vec::new();
    while rest.starts_with('{') {
        let end = closing(rest, '{', '}').ok_or("no closing brace")?;
        global.extend(variables(&rest[1..end]));
        rest = rest[end + 1..].trim_start();
    }
    let endpoints: Vec<Endpoint> = split_outside(rest, &[',', '|'])
        .into_iter()
        .map(|target| {
            let mut own = global.clone();
            let mut target = target.as_str();
            while target.starts_with('[') {
                let Some(end) = closing(target, '[', ']') else { break };
                own.extend(variables(&target[1..end]));
                target = &target[end + 1..];
            }
            Endpoint {
                target: target.to_owned(),
                variables: own,
            }
        })
        .collect();
    if endpoints.iter().all(|endpoint| endpoint.target.is_empty()) {
        return Err("no endpoint");
    }
    Ok(Plan {
        endpoints,
        action: action.clone(),
    })
}

fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// `a=1,b='x,y',c=z`, or `^^:a=1:b=2` with another separator.
fn variables(text: &str) -> Vec<(String, String)> {
    let (text, separator) = match text.strip_prefix("^^").and_then(|rest| rest.chars().next()) {
        Some(separator) => (&text[2 + separator.len_utf8()..], separator),
        None => (text, ','),
    };
    let pair = |pair: &String| {
        let (name, value) = pair.split_once('=')?;
        Some((clean(name, '='), clean(value, '=')))
    };
    separate(text, separator).iter().filter_map(pair).collect()
}

/// `switch_separate_string`: splits at unquoted separators, and removes quotes and escapes.
pub(crate) fn separate(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        if !escaped {
            let is_closed = separator == ' ' || quoted || text[at + c.len_utf8()..].contains('\'');
            match c {
                '\'' if is_closed => quoted = !quoted,
                c if c == separator && !quoted => {
                    parts.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        escaped = c == '\\' && !escaped;
        parts.last_mut().expect("never empty").push(c);
    }
    // Consecutive blanks separate only once.
    parts.retain(|part| separator != ' ' || !part.is_empty());
    let own = if separator == ' ' { '\0' } else { separator };
    parts.iter().map(|part| clean(part, own)).collect()
}

/// `cleanup_separated_string`: removes pairs of quotes, and unescapes `\'`, `\"`, `\\`, the escaped separator, and `
/// `, `\r`, `\t`, `\s`.
fn clean(part: &str, separator: char) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut rest = part.trim_matches(' ').chars();
    while let Some(c) = rest.next() {
        let next = rest.clone().next();
        match (c, next) {
            ('\\', Some(e)) if "'\"\\".contains(e) || e == separator => {
                out.push(e);
                rest.next();
            }
            ('\\', Some(e)) if "nrts".contains(e) => {
                out.push(match e {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    _ => ' ',
                });
                rest.next();
            }
            ('\'', _) if quoted || rest.as_str().contains('\'') => quoted = !quoted,
            _ => out.push(c),
        }
    }
    out
}

/// Splits at unescaped separators outside `'quotes'` and `[brackets]`.
fn split_outside(text: &str, separators: &[char]) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut depth, mut escaped) = (false, 0u32, false);
    for c in text.chars() {
        match c {
            _ if escaped => {}
            '\'' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        let cut = separators.contains(&c) && !quoted && depth == 0 && !escaped;
        escaped = c == '\\' && !escaped;
        if cut {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("never empty").push(c);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As FreeSWITCH 1.11.2 parses them, measured by `uuid_getvar`.
    #[test]
    fn variables_quotes_and_action_are_parsed() {
        let plan = parse(concat!(
            r"{a=1,name='O\\\\\\\'Brien\, Jr',two='J \\\\\\\'x\\\\\\\' y',back=a\\\\\\\\f,cut='a,b'}{^^:b=2:c=x,y}",
            "[d=4]sofia/internal/sip:1@[::1]:5060;x=y &park()",
        ))
        .unwrap();
        assert_eq!(plan.variable("name"), Some("O'Brien, Jr"));
        assert_eq!(plan.variable("two"), Some("J 'x' y"));
        assert_eq!(plan.variable("back"), Some(r"a\f"));
        assert_eq!(
            plan.variable("cut"),
            Some("a"),
            "quotes are removed before commas are searched"
        );
        assert_eq!(plan.variable("c"), Some("x,y"));
        assert_eq!(plan.variable("d"), Some("4"));
        assert_eq!(plan.endpoints[0].target, "sofia/internal/sip:1@[::1]:5060;x=y");
        assert_eq!(plan.action, "&park()");
    }

    #[test]
    fn a_comma_in_a_contact_makes_a_second_endpoint() {
        let plan = parse("{a=1}sofia/internal/sip:1@h;x=y,sofia/gateway/paid/900 &park()").unwrap();
        assert_eq!(plan.endpoints.len(), 2);
    }
}
