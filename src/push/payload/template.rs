//! The operator's own payload: a JSON object whose string values may hold `${name}`.
//!
//! The template is parsed before anything is filled in and the result is serialised again, so that a caller's
//! name can neither end a string nor add a key.

use serde_json::{Map, Value};

use crate::types::Provider;

/// Names that a template may use; docs/PAYLOADS.md says what each holds.
pub const NAMES: [&str; 13] = [
    "kind",
    "reason",
    "call-id",
    "sip-call-id",
    "caller-number",
    "caller-name",
    "callee",
    "callee-user",
    "callee-domain",
    "app-id",
    "time",
    "expires",
    "ttl",
];

/// Why a template is refused. The text says what is allowed instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not parse.
    #[error("the payload template is not JSON: {0}")]
    NotJson(String),
    /// It is an array, a string or a number.
    #[error("the payload template must be a JSON object")]
    NotAnObject,
    /// A `${` without its `}`.
    #[error("the payload template has `${{` without `}}` at {0}")]
    Unclosed(String),
    /// `${name}` with a name we do not know.
    #[error("the payload template uses the unknown ${{{name}}} at {at}; known are: {}", NAMES.join(", "))]
    UnknownName {
        /// The name.
        name: String,
        /// Where, as a JSON pointer (RFC 6901).
        at: String,
    },
    /// A `${` in a key: what a caller says must not choose the app's keys.
    #[error("the payload template uses `${{` in the key {0}: only string values are filled in")]
    InKey(String),
    /// A key that Google refuses in a data message.
    #[error("the payload template has the key {0}, which FCM reserves (from, message_type, google*, gcm*)")]
    ReservedKey(String),
}

/// Whether FCM refuses a key of a data message.
///
/// Source: Firebase, REST reference of `projects.messages`, field `data`. Wider than its text: everything that starts
/// with `google` or `gcm`, as the service itself refuses more than it documents.
pub fn is_reserved_by_fcm(key: &str) -> bool {
    key == "from" || key == "message_type" || key.starts_with("google") || key.starts_with("gcm")
}

/// A checked template.
#[derive(Clone, Debug)]
pub struct Template(Map<String, Value>);

impl Template {
    /// Parses and checks a template for the provider that will carry it.
    pub fn new(text: &str, provider: &Provider) -> Result<Self, TemplateError> {
        let value: Value = serde_json::from_str(text).map_err(|e| TemplateError::NotJson(e.to_string()))?;
        let Value::Object(map) = value else {
            return Err(TemplateError::NotAnObject);
        };
        if *provider == Provider::Fcm
            && let Some(key) = map.keys().find(|k| is_reserved_by_fcm(k))
        {
            return Err(TemplateError::ReservedKey(key.clone()));
        }
        check_map(&map, "")?;
        Ok(Self(map))
    }

    /// The object with every `${name}` replaced by what `lookup` gives for it.
    pub fn fill<'a>(&self, lookup: &dyn Fn(&str) -> &'a str) -> Map<String, Value> {
        fill_map(&self.0, lookup)
    }
}

fn check_map(map: &Map<String, Value>, at: &str) -> Result<(), TemplateError> {
    for (key, value) in map {
        let at = format!("{at}/{key}");
        if key.contains("${") {
            return Err(TemplateError::InKey(at));
        }
        check_value(value, &at)?;
    }
    Ok(())
}

fn check_value(value: &Value, at: &str) -> Result<(), TemplateError> {
    match value {
        Value::Object(map) => check_map(map, at),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(n, v)| check_value(v, &format!("{at}/{n}"))),
        Value::String(text) => check_text(text, at),
        _ => Ok(()),
    }
}

fn check_text(text: &str, at: &str) -> Result<(), TemplateError> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| TemplateError::Unclosed(at.to_owned()))?;
        if !NAMES.contains(&name) {
            return Err(TemplateError::UnknownName {
                name: name.to_owned(),
                at: at.to_owned(),
            });
        }
        rest = after;
    }
    Ok(())
}

fn fill_map<'a>(map: &Map<String, Value>, lookup: &dyn Fn(&str) -> &'a str) -> Map<String, Value> {
    map.iter().map(|(k, v)| (k.clone(), fill_value(v, lookup))).collect()
}

fn fill_value<'a>(value: &Value, lookup: &dyn Fn(&str) -> &'a str) -> Value {
    match value {
        Value::Object(map) => Value::Object(fill_map(map, lookup)),
        Value::Array(items) => Value::Array(items.iter().map(|v| fill_value(v, lookup)).collect()),
        Value::String(text) => Value::String(fill_text(text, lookup)),
        other => other.clone(),
    }
}

/// One pass from left to right: what was filled in is never looked at again.
fn fill_text<'a>(text: &str, lookup: &dyn Fn(&str) -> &'a str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        out.push_str(before);
        out.push_str(lookup(name));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, name: &'static str) -> Value {
        let template = Template::new(text, &Provider::Apns).unwrap();
        Value::Object(template.fill(&|asked| if asked == "caller-name" { name } else { "" }))
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
        let refused = |text: &str| Template::new(text, &Provider::Apns).unwrap_err();
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

    #[test]
    fn keys_that_fcm_reserves_are_refused_for_fcm_only() {
        for key in [
            "from",
            "message_type",
            "google.x",
            "googlex",
            "gcm",
            "gcm.notification.a",
        ] {
            let text = format!(r#"{{"{key}":"x"}}"#);
            assert_eq!(
                Template::new(&text, &Provider::Fcm).unwrap_err(),
                TemplateError::ReservedKey(key.into())
            );
            assert!(Template::new(&text, &Provider::Apns).is_ok());
        }
    }
}
