//! A form (`application/x-www-form-urlencoded`): fixed keys, and values that are text or a JSON object.
//!
//! Some push services want their message as JSON in a field of a form. Each value is then encoded twice: for the JSON,
//! and the whole JSON for the form.

use crate::push::template::error::TemplateError;
use crate::push::template::json::Json;
use crate::push::template::name::{Name, Vocabulary};
use crate::push::template::text::{Encoding, Text, Values};

/// A checked template of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form(Vec<Field>);

/// One `key=value`; the key has nothing to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    key: String,
    value: Option<FieldValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FieldValue {
    /// Written as it will be sent; what is filled in is encoded.
    Text(Text),
    /// Written as JSON, and encoded as a whole.
    Json(Json),
}

impl Form {
    /// Parses and checks a template.
    pub(crate) fn parse(written: &str) -> Result<Self, TemplateError> {
        // A file ends with a line's end.
        let (mut fields, mut rest) = (Vec::new(), Some(written.trim_end()));
        while let Some(from_here) = rest {
            let (field, after) = Field::parse(from_here)?;
            fields.push(field);
            rest = after;
        }
        Ok(Self(fields))
    }

    pub(crate) fn names(&self) -> Vec<Name> {
        let values = self.0.iter().filter_map(|field| field.value.as_ref());
        values
            .flat_map(|value| match value {
                FieldValue::Text(text) => text.names().collect(),
                FieldValue::Json(json) => json.names(),
            })
            .collect()
    }

    pub(crate) fn fill(&self, values: &impl Values, out: &mut String) {
        for (n, field) in self.0.iter().enumerate() {
            if n > 0 {
                out.push('&');
            }
            out.push_str(&field.key);
            match &field.value {
                Some(FieldValue::Text(text)) => {
                    out.push('=');
                    text.fill(values, Encoding::Uri, out);
                }
                Some(FieldValue::Json(json)) => {
                    out.push('=');
                    Encoding::Uri.encode(&json.fill(values).to_string(), out);
                }
                None => {}
            }
        }
    }
}

impl Field {
    /// The first field of a text, and what follows its `&`.
    fn parse(written: &str) -> Result<(Self, Option<&str>), TemplateError> {
        let key_end = written.find(['=', '&']).unwrap_or(written.len());
        let (key, rest) = written.split_at(key_end);
        if key.contains("${") {
            let problem = "must have fixed keys: ${..} may stand in values, key=${..}, only";
            return Err(TemplateError::Shape(problem.to_owned()));
        }
        let (value, rest) = match rest.strip_prefix('=') {
            None => (None, rest),
            Some(value) if is_json(value) => {
                let (json, rest) = value.split_at(json_end(value));
                if !rest.is_empty() && !rest.starts_with('&') {
                    let problem = "has text after the JSON of a field: & must follow it";
                    return Err(TemplateError::Shape(problem.to_owned()));
                }
                (Some(FieldValue::Json(Json::parse(json, Vocabulary::Gateway)?)), rest)
            }
            Some(value) => {
                let (text, rest) = value.split_at(value.find('&').unwrap_or(value.len()));
                // Perhaps JSON after something else: a value would not be encoded for it.
                if text.contains('"') && text.contains("${") {
                    let problem = "has ${..} and a quotation mark in one value that is no JSON: write it as %22";
                    return Err(TemplateError::Shape(problem.to_owned()));
                }
                (Some(FieldValue::Text(Text::parse(text, Vocabulary::Gateway)?)), rest)
            }
        };
        let key = key.to_owned();
        Ok((Self { key, value }, rest.strip_prefix('&')))
    }
}

/// Whether a value begins as a JSON object with a key does, or as a list of strings, objects or lists.
fn is_json(value: &str) -> bool {
    let value = value.trim_start();
    let begins = |inside: &str, with: &[char]| inside.trim_start().starts_with(with);
    value.strip_prefix('{').is_some_and(|inside| begins(inside, &['"']))
        || value
            .strip_prefix('[')
            .is_some_and(|inside| begins(inside, &['"', '{', '[']))
}

/// Where the JSON that a text begins with ends. A `${name}` in it has both its braces.
fn json_end(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => in_string = !in_string,
            '{' | '[' if !in_string => depth += 1,
            '}' | ']' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + c.len_utf8();
                }
            }
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::{Value, json};

    use super::*;

    /// Everything is the same hostile text; a number is one.
    struct Hostile;

    const HOSTILE: &str = r#"Zoë "&x=1&" {}"#;

    impl Values for Hostile {
        fn text(&self, _: Name) -> Cow<'_, str> {
            Cow::Borrowed(HOSTILE)
        }

        fn json(&self, name: Name) -> Value {
            match name {
                Name::Ttl => json!(25),
                _ => json!({ "deep": HOSTILE }),
            }
        }
    }

    fn filled(template: &str) -> String {
        let mut out = String::new();
        Form::parse(template).unwrap().fill(&Hostile, &mut out);
        out
    }

    fn decoded(text: &str) -> Value {
        let text = percent_encoding::percent_decode_str(text).decode_utf8().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn json_in_a_field_is_filled_as_json_and_encoded_as_a_whole() {
        let out =
            filled(r#"a=${token}&m={ "t": "A & B } ${caller_name}", "n": ${ttl}, "p": ${payload}, "q": "\"{" }&z=1"#);
        let fields: Vec<_> = out.split('&').collect();
        assert_eq!(fields.len(), 3, "{out}");
        assert_eq!(
            (fields[0], fields[2]),
            ("a=Zo%C3%AB%20%22%26x%3D1%26%22%20%7B%7D", "z=1")
        );
        let expected = json!({
            "t": format!("A & B }} {HOSTILE}"), "n": 25, "p": { "deep": HOSTILE }, "q": "\"{",
        });
        assert_eq!(decoded(fields[1].strip_prefix("m=").unwrap()), expected);
        assert_eq!(Form::parse(r#"m={"a":"${token}"}"#).unwrap().names(), [Name::Token]);
        let list = filled("m= [ {\"a\": \"${caller_name}\"}, [1] ]\n");
        assert_eq!(
            decoded(list.strip_prefix("m=").unwrap()),
            json!([{ "a": HOSTILE }, [1]])
        );
    }

    #[test]
    fn values_that_are_not_json_are_text_as_they_are_written() {
        assert_eq!(filled("a={x}&b&c=%7B&d=&e=[1]\n"), "a={x}&b&c=%7B&d=&e=[1]");
    }

    #[test]
    fn json_that_does_not_end_with_its_field_is_refused() {
        let refused = |template: &str| Form::parse(template).unwrap_err().to_string();
        assert!(refused(r#"m={"a":1"#).starts_with("is not JSON"));
        assert!(refused(r#"m={"a":1,}&b=1"#).starts_with("is not JSON"));
        assert_eq!(
            refused(r#"m={"a":1}x&b=1"#),
            "has text after the JSON of a field: & must follow it"
        );
        assert!(refused(r#"m={"${token}":1}"#).starts_with("must have fixed JSON keys"));
        assert!(refused("${token}=1").starts_with("must have fixed keys"));
        assert!(refused(r#"m=x{"a":"${caller_name}"}"#).starts_with("has ${..} and a quotation mark"));
    }
}
