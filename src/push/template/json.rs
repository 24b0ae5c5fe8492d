//! JSON with `${name}` in its values.
//!
//! It is parsed before anything is filled in and the result is serialised again, so that a caller's name can neither
//! end a string nor add a key.

use serde_json::{Map, Value};

use crate::push::template::error::TemplateError;
use crate::push::template::name::{Name, Vocabulary};
use crate::push::template::text::{Encoding, Text, Values, named, unclosed};

/// A checked JSON template: an object, or for a gateway a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Json(JsonNode);

/// A JSON value with names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum JsonNode {
    Object(Vec<(String, JsonNode)>),
    Array(Vec<JsonNode>),
    /// A string with names in it.
    Text(Text),
    /// A `${name}` outside quotes: the value as JSON.
    Bare(Name),
    Fixed(Value),
}

impl Json {
    /// Parses and checks a template. In a gateway's, `${name}` may stand where a value stands, as mod_apn's templates
    /// have it.
    pub(crate) fn parse(template: &str, vocabulary: Vocabulary) -> Result<Self, TemplateError> {
        let (parsed, note) = match vocabulary {
            Vocabulary::Payload | Vocabulary::Notification => (serde_json::from_str(template), ""),
            Vocabulary::Gateway => (
                serde_json::from_str(&with_bare_names_quoted(template)?),
                " with ${..} in place of values",
            ),
        };
        let value: Value = parsed.map_err(|error| TemplateError::NotJson(format!("{note}: {error}")))?;
        match value {
            Value::Object(_) => {}
            Value::Array(_) if vocabulary == Vocabulary::Gateway => {}
            _ => return Err(TemplateError::NotAnObject),
        }
        Ok(Self(JsonNode::new(value, vocabulary, "")?))
    }

    /// Its outermost keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let members = match &self.0 {
            JsonNode::Object(members) => &members[..],
            _ => &[],
        };
        members.iter().map(|(key, _)| key.as_str())
    }

    /// The names that it asks for.
    pub(crate) fn names(&self) -> Vec<Name> {
        let mut names = Vec::new();
        self.0.names(&mut names);
        names
    }

    /// The JSON with its values.
    pub(crate) fn fill(&self, values: &impl Values) -> Value {
        self.0.fill(values)
    }
}

/// Marks a bare name while the template is read as JSON: no name begins so.
const BARE: &str = "${=";

/// Puts bare names in quotes, so that JSON's own reader takes them.
fn with_bare_names_quoted(template: &str) -> Result<String, TemplateError> {
    let mut quoted = String::with_capacity(template.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        if !in_string && rest.starts_with("${") {
            let (name, after) = rest[2..].split_once('}').ok_or_else(unclosed)?;
            named(name, Vocabulary::Gateway)?;
            quoted.extend(["\"", BARE, name, "}\""]);
            rest = after;
            continue;
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        if in_string && rest.starts_with(BARE) {
            return named("=", Vocabulary::Gateway).map(|_| quoted);
        }
        quoted.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Ok(quoted)
}

/// The name in a text that stands for a bare one.
fn bare(text: &str, vocabulary: Vocabulary) -> Option<&str> {
    let name = text.strip_prefix(BARE)?.strip_suffix('}')?;
    (vocabulary == Vocabulary::Gateway).then_some(name)
}

impl JsonNode {
    /// `at` is where the value stands, as a JSON pointer.
    fn new(value: Value, vocabulary: Vocabulary, at: &str) -> Result<Self, TemplateError> {
        // Only a payload's errors say the place: a gateway's body is short.
        let place = if vocabulary == Vocabulary::Payload { at } else { "" };
        Ok(match value {
            Value::Object(map) => {
                let member = |(key, value): (String, Value)| {
                    let at = format!("{at}/{key}");
                    if key.contains("${") {
                        let is_told = vocabulary == Vocabulary::Payload;
                        return Err(TemplateError::InKey(if is_told { at } else { String::new() }));
                    }
                    Ok((key, Self::new(value, vocabulary, &at)?))
                };
                Self::Object(map.into_iter().map(member).collect::<Result<_, _>>()?)
            }
            Value::Array(items) => {
                let items = items.into_iter().enumerate();
                let items = items.map(|(n, value)| Self::new(value, vocabulary, &format!("{at}/{n}")));
                Self::Array(items.collect::<Result<_, _>>()?)
            }
            Value::String(text) => match bare(&text, vocabulary) {
                Some(name) => Self::Bare(named(name, vocabulary)?),
                None => Self::Text(Text::parse(&text, vocabulary).map_err(|error| error.found_at(place))?),
            },
            other => Self::Fixed(other),
        })
    }

    fn names(&self, names: &mut Vec<Name>) {
        match self {
            Self::Object(members) => members.iter().for_each(|(_, node)| node.names(names)),
            Self::Array(items) => items.iter().for_each(|node| node.names(names)),
            Self::Text(text) => names.extend(text.names()),
            Self::Bare(name) => names.push(*name),
            Self::Fixed(_) => {}
        }
    }

    fn fill(&self, values: &impl Values) -> Value {
        match self {
            Self::Object(members) => {
                let filled = members.iter().map(|(key, node)| (key.clone(), node.fill(values)));
                Value::Object(filled.collect::<Map<_, _>>())
            }
            Self::Array(items) => Value::Array(items.iter().map(|node| node.fill(values)).collect()),
            Self::Text(text) => {
                let mut out = String::new();
                text.fill(values, Encoding::Plain, &mut out);
                Value::String(out)
            }
            Self::Bare(name) => values.json(*name),
            Self::Fixed(value) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// A caller's name, and nothing else.
    struct OnlyName(&'static str);

    impl Values for OnlyName {
        fn text(&self, name: Name) -> Cow<'_, str> {
            Cow::Borrowed(if name == Name::CallerName { self.0 } else { "" })
        }

        fn json(&self, name: Name) -> Value {
            Value::String(self.text(name).into_owned())
        }
    }

    fn filled(text: &str, name: &'static str) -> Value {
        Json::parse(text, Vocabulary::Payload).unwrap().fill(&OnlyName(name))
    }

    #[test]
    fn a_hostile_name_stays_one_string_value() {
        let hostile = r#"x","kind":"cancel","a":"${call-id}"#;
        let json = filled(r#"{"who":["${caller-name}!"],"n":1}"#, hostile).to_string();
        let back: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back["who"][0], format!("{hostile}!"));
        assert_eq!(back.as_object().unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_filled_is_refused_with_its_place_and_the_known_names() {
        let refused = |text: &str| Json::parse(text, Vocabulary::Payload).unwrap_err();
        assert_eq!(refused("[1]"), TemplateError::NotAnObject);
        assert_eq!(
            refused(r#"{"a":{"b":"${call-id"}}"#),
            TemplateError::Unclosed("/a/b".into())
        );
        assert_eq!(refused(r#"{"${kind}":"x"}"#), TemplateError::InKey("/${kind}".into()));
        let unknown = refused(r#"{"a":["x","${caller_name}"]}"#).to_string();
        assert!(
            unknown.contains("${caller_name} at /a/1") && unknown.contains("caller-name"),
            "{unknown}"
        );
        assert!(matches!(refused(r#"{"a":${call-id}}"#), TemplateError::NotJson(_)));
    }
}
