//! Numbers and names of callers, without characters that FreeSWITCH interprets.

/// A caller's number without characters that FreeSWITCH interprets.
pub fn number(raw: &str) -> String {
    raw.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "+*#.-_@".contains(*c))
        .take(64)
        .collect()
}

/// A caller's name without characters that break a SIP display name or that FreeSWITCH interprets: no braces, brackets,
/// double quotes, `:`, `$`, `\`, `^`, `|` or controls.
///
/// FreeSWITCH splits a dial-string at `:_:` before it handles quotes or braces, and dials every part (measured).
pub fn name(raw: &str) -> String {
    let mut safe = String::new();
    for c in raw.trim().chars().take(80) {
        match c {
            '{' | '}' | '[' | ']' | '<' | '>' | '"' | '$' | '\\' | '^' | '|' | '`' => {}
            ':' => safe.push(' '),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        for (raw, safe) in [
            ("O'Brien, Jr", "O'Brien, Jr"),
            ("x}sofia/gateway/evil/1,{y", "xsofia/gateway/evil/1,y"),
            (r"a\'b", "a'b"),
            ("${system rm}", "system rm"),
            ("a\r\nbgapi b", "a  bgapi b"),
            ("a:_:sofia/gateway/evil/1:_:b", "a _ sofia/gateway/evil/1 _ b"),
            ("Zoë 電話", "Zoë 電話"),
        ] {
            assert_eq!(name(raw), safe, "{raw}");
        }
    }

    #[test]
    fn numbers_keep_digits_and_plus_only() {
        assert_eq!(number("+49 (30) 1,2'}"), "+493012");
    }
}
