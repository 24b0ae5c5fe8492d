//! The snippets that ship with fswake, as setup writes and looks for them.

/// The context that the dial-string leads to.
pub(super) const CONTEXT: &str = include_str!("../../../fs-conf/dialplan/fswake.xml");

/// The dial-string, and what it is for.
const DIAL_STRING: &str = include_str!("../../../fs-conf/directory/fswake.xml");

/// The line of the directory that leads to fswake's context.
pub(super) fn dial_string(context: &str) -> String {
    let line = DIAL_STRING.lines().find(|line| line.contains("name=\"dial-string\""));
    let line = line.unwrap_or_default().trim();
    line.replace("/fswake\"", &format!("/{context}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dial_string_is_the_one_of_the_snippet() {
        let line = dial_string("fswake");
        assert!(line.starts_with("<param name=\"dial-string\""), "{line}");
        assert!(line.ends_with("/fswake\"/>"), "{line}");
    }
}
