//! Texts shortened until they fit.

/// The longest beginning of a text that `write` accepts, as `write` made it. Shortened by characters: each may take
/// several bytes, and the text may stand in several keys.
pub(crate) fn longest<T>(text: &str, write: impl Fn(String) -> Option<T>) -> Option<T> {
    let mut best = write(String::new())?;
    let (mut enough, mut too_many) = (0, text.chars().count() + 1);
    while too_many - enough > 1 {
        let middle = enough + (too_many - enough) / 2;
        match write(shortened(text, middle)) {
            Some(written) => (enough, best) = (middle, written),
            None => too_many = middle,
        }
    }
    Some(best)
}

fn shortened(name: &str, chars: usize) -> String {
    match name.char_indices().nth(chars) {
        None => name.to_owned(),
        Some(_) if chars == 0 => String::new(),
        Some((end, _)) => format!("{}\u{2026}", &name[..end]),
    }
}
