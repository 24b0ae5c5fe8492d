//! The contexts that a dial-string's loopbacks lead to.

/// How a dial-string leads to fswake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Its loopbacks run in these contexts, as written.
    To(Vec<String>),
    /// It calls nobody for now: do not disturb (`error/user_busy`).
    Nowhere,
    /// It rings contacts, a gateway or something else by itself.
    Past,
}

/// Where a user's dial-string leads.
pub(super) fn leads(dial_string: &str) -> Destination {
    let contexts = contexts(dial_string);
    if !contexts.is_empty() {
        Destination::To(contexts)
    } else if dial_string.starts_with("error/") {
        Destination::Nowhere
    } else {
        Destination::Past
    }
}

/// `loopback/DESTINATION/CONTEXT[/DIALPLAN]`, each once.
fn contexts(dial_string: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in dial_string.split("loopback/").skip(1) {
        let destination = word(rest);
        let Some(rest) = rest[destination.len()..].strip_prefix('/') else {
            continue;
        };
        let context = word(rest);
        if !context.is_empty() && !found.iter().any(|f| f == context) {
            found.push(context.to_owned());
        }
    }
    found
}

/// Up to the next `/`, or the start of the next leg; `${..}` belongs to it.
fn word(text: &str) -> &str {
    let mut depth = 0_u32;
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' | ',' | '|' | ']' | ' ' | '\'' if depth == 0 => end = at,
            ':' if depth == 0 && text[at..].starts_with(":_:") => end = at,
            _ => {}
        }
        if end != text.len() {
            break;
        }
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_is_read_wherever_the_loopback_stands() {
        for (text, expected) in [
            ("loopback/${dialed_user}@${dialed_domain}/fswake", vec!["fswake"]),
            (
                "[leg_timeout=${call_timeout}]loopback/${dialed_user}@${dialed_domain}/fswake@static",
                vec!["fswake@static"],
            ),
            (
                "[fswake_x=${uuid_setvar(${uuid} loopback_no_pre_answer true)}]loopback/${dialed_user}@${dialed_domain}/fswake/XML",
                vec!["fswake"],
            ),
            (
                "${sofia_contact(*/${dialed_user}@${dialed_domain})}:_:[fswake_ring=woken]loopback/${dialed_user}@${dialed_domain}/wake",
                vec!["wake"],
            ),
            (
                "loopback/${dialed_user}@${dialed_domain}/fswake,${verto_contact(${dialed_user}@${dialed_domain})}",
                vec!["fswake"],
            ),
            ("loopback/1@d/a:_:loopback/2@d/b|loopback/3@d/a", vec!["a", "b"]),
            ("loopback/${db(select/x/y)}/ctx", vec!["ctx"]),
            ("loopback/1000", vec![]),
            ("loopback/", vec![]),
            ("sofia/gateway/x/1000", vec![]),
        ] {
            assert_eq!(contexts(text), expected, "{text}");
        }
    }

    #[test]
    fn do_not_disturb_leads_nowhere_and_contacts_lead_past_fswake() {
        assert_eq!(leads("error/user_busy"), Destination::Nowhere);
        assert_eq!(leads("${sofia_contact(*/1@d)}"), Destination::Past);
        assert_eq!(leads(""), Destination::Past);
    }
}
