//! XML's entities, read as FreeSWITCH does.

use std::borrow::Cow;

/// An attribute's value as FreeSWITCH reads it: the five entities and numbers decoded, anything else that begins with
/// `&` left as it is (mod_apn's sample separates form fields with a bare `&`), line breaks and tabs read as blanks.
pub(crate) fn decoded(written: &str) -> Cow<'_, str> {
    if !written.contains(['&', '\n', '\r', '\t']) {
        return written.into();
    }
    let written = written.replace("\r\n", "\n");
    let mut text = String::with_capacity(written.len());
    let mut rest = written.as_str();
    while let Some(at) = rest.find('&') {
        blanked(&rest[..at], &mut text);
        rest = &rest[at..];
        let (c, len) = entity(rest).unwrap_or(('&', 1));
        text.push(c);
        rest = &rest[len..];
    }
    blanked(rest, &mut text);
    text.into()
}

fn blanked(part: &str, text: &mut String) {
    text.extend(
        part.chars()
            .map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }),
    );
}

/// The character of an entity, and the entity's length.
fn entity(text: &str) -> Option<(char, usize)> {
    let (name, _) = text.strip_prefix('&')?.split_once(';')?;
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?).filter(|c| *c != '\0')?
        }
    };
    Some((c, name.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_decoded_and_bare_ampersands_stay() {
        for (written, read) in [
            ("type=${type}&app_id=${app_id}", "type=${type}&app_id=${app_id}"),
            ("a&amp;b&lt;&gt;&quot;&apos;", "a&b<>\"'"),
            ("&#65;&#x42;&#0;&#xD800;&#zz;", "AB&#0;&#xD800;&#zz;"),
            ("&amp;amp; &unknown; &", "&amp; &unknown; &"),
            ("{\r\n\t\"a\":1\n}", "{  \"a\":1 }"),
        ] {
            assert_eq!(decoded(written), read, "{written}");
        }
    }
}
