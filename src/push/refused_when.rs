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
    /// Any other value, or a missing one, in a reply with a status of success: others may come from something on the way,
    /// and have no such value.
    NoneOf(Vec<String>),
    /// Anything at all but `null`.
    Anything,
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
    /// Why a reply is a refusal by this rule, if it is one; `is_success` is its status. The reason is safe to log.
    pub(crate) fn refusal(&self, reply: &Value, is_success: bool) -> Option<String> {
        let found = reply.pointer(&self.pointer.0);
        let value = found.and_then(text);
        let among = |list: &[String]| value.as_ref().is_some_and(|value| list.contains(value));
        let is_refusal = match &self.found {
            Found::One(list) => among(list),
            Found::NoneOf(list) => is_success && !among(list),
            // What is there may be the phone's token.
            Found::Anything if found.is_some_and(|value| !value.is_null()) => {
                return Some(format!("{} is there", Printable(&self.pointer.0)));
            }
            Found::Anything => false,
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
            let refusal = rule(pointer, found).refusal(&reply, true);
            assert_eq!(refusal.as_deref(), reason, "{pointer}");
        }
        // No JSON at all.
        assert!(rule("/code", none_of(&["0"])).refusal(&Value::Null, true).is_some());
        let of_something_on_the_way = rule("/code", none_of(&["0"])).refusal(&Value::Null, false);
        assert_eq!(of_something_on_the_way, None);
        assert!(rule("", Found::Anything).refusal(&Value::Null, true).is_none());
    }

    #[test]
    fn anything_at_a_place_is_a_refusal_that_does_not_repeat_it() {
        let reply = json!({"value": {"110002": ["s3cret-token"]}, "expired": [], "null": null, "no": false});
        for (pointer, reason) in [
            ("/value/110002", Some("/value/110002 is there")),
            ("/value/110002/0", Some("/value/110002/0 is there")),
            ("/expired", Some("/expired is there")),
            ("/expired/0", None),
            ("/value/110003", None),
            ("/null", None),
            ("/no", Some("/no is there")),
        ] {
            let refusal = rule(pointer, Found::Anything).refusal(&reply, true);
            assert_eq!(refusal.as_deref(), reason, "{pointer}");
        }
    }

    #[test]
    fn what_may_be_a_token_is_not_repeated_and_pointers_are_checked() {
        let reply = json!({"reason": "no such id abcdefghijklmnopqrstuvwx0123456789\n!"});
        let refusal = rule("/reason", none_of(&["x"])).refusal(&reply, true).unwrap();
        assert_eq!(refusal, "/reason is no such id .. !");
        for wrong in ["code", "/a~2", "/a~", "a/b"] {
            assert!(wrong.parse::<Pointer>().is_err(), "{wrong}");
        }
        assert!("".parse::<Pointer>().is_ok());
    }
}
