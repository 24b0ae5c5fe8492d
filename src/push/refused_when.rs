//! Refusals in the body of a reply, whatever its status: many push services answer 200 to everything.

use fswake_core::word_enum;
use serde_json::Value;

use crate::push::transport::reply::description;
use crate::types::Printable;

/// One rule of a gateway's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedWhen {
    /// Where to look in the reply's JSON.
    pub pointer: Pointer,
    /// The values that mean a refusal.
    pub found: Found,
    /// What the refusal means.
    pub means: Meaning,
}

/// A place in JSON (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

/// What a refusal has at its place. Values are compared as text, so that `0` and `"0"` are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One of these.
    One(Vec<String>),
    /// Anything but these, or nothing.
    NoneOf(Vec<String>),
}

word_enum! {
    /// The meaning of a refusal.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Meaning {
        /// This push is refused.
        Refused = "refused",
        /// The token is gone: it is dropped.
        TokenGone = "token-gone",
        /// The token is bad: it is set aside until the phone's next REGISTER.
        TokenBad = "token-bad",
        /// The provider takes no pushes for now.
        Busy = "busy",
        /// The credentials are refused.
        Credentials = "credentials",
    }
}

impl std::str::FromStr for Pointer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let escapes = text.match_indices('~');
        let mut good = escapes.map(|(at, _)| matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')));
        let is_pointer = text.is_empty() || text.starts_with('/');
        (is_pointer && good.all(|good| good))
            .then(|| Self(text.to_owned()))
            .ok_or(())
    }
}

impl RefusedWhen {
    /// Why a reply is a refusal by this rule, if it is one. The reason is safe to log.
    pub(crate) fn refusal(&self, reply: &Value) -> Option<String> {
        let value = reply.pointer(&self.pointer.0).and_then(text);
        let among = |list: &[String]| value.as_ref().is_some_and(|value| list.contains(value));
        let is_refusal = match &self.found {
            Found::One(list) => among(list),
            Found::NoneOf(list) => !among(list),
        };
        let value = || {
            value
                .as_deref()
                .and_then(description)
                .unwrap_or_else(|| "nothing".into())
        };
        is_refusal.then(|| format!("{} is {}", Printable(&self.pointer.0), value()))
    }
}

/// A value as text; nothing for a list, an object and `null`.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(pointer: &str, found: Found) -> RefusedWhen {
        RefusedWhen {
            pointer: pointer.parse().unwrap(),
            found,
            means: Meaning::Refused,
        }
    }

    fn one(values: &[&str]) -> Found {
        Found::One(values.iter().map(|value| (*value).to_owned()).collect())
    }

    fn none_of(values: &[&str]) -> Found {
        Found::NoneOf(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn values_are_compared_as_text_and_what_is_missing_is_no_value() {
        let reply = json!({"code": 20301, "result": "error", "ok": false, "in": {"a/b": ["x", 7]}, "null": null});
        for (pointer, found, reason) in [
            ("/code", one(&["20301"]), Some("/code is 20301")),
            ("/code", one(&["0", "20300"]), None),
            ("/result", none_of(&["ok"]), Some("/result is error")),
            ("/result", none_of(&["error", "ok"]), None),
            ("/ok", one(&["false"]), Some("/ok is false")),
            ("/in/a~1b/1", one(&["7"]), Some("/in/a~1b/1 is 7")),
            ("/missing", one(&["x"]), None),
            ("/missing", none_of(&["x"]), Some("/missing is nothing")),
            ("/in", none_of(&["x"]), Some("/in is nothing")),
            ("/null", one(&["null"]), None),
        ] {
            assert_eq!(rule(pointer, found).refusal(&reply).as_deref(), reason, "{pointer}");
        }
        // No JSON at all.
        assert!(rule("/code", none_of(&["0"])).refusal(&Value::Null).is_some());
    }

    #[test]
    fn what_may_be_a_token_is_not_repeated_and_pointers_are_checked() {
        let reply = json!({"reason": "no such id abcdefghijklmnopqrstuvwx0123456789\n!"});
        let refusal = rule("/reason", none_of(&["x"])).refusal(&reply).unwrap();
        assert_eq!(refusal, "/reason is no such id .. !");
        for wrong in ["code", "/a~2", "/a~", "a/b"] {
            assert!(wrong.parse::<Pointer>().is_err(), "{wrong}");
        }
        assert!("".parse::<Pointer>().is_ok());
    }
}
