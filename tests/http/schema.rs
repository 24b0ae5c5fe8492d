//! Checks a value against a schema of the OpenAPI document. It supports only the parts of JSON Schema that the document
//! uses.

use serde_json::Value;

/// Panics if `value` does not match `schema`; `at` is the place in the answer.
pub fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#'));
        return check(
            document,
            target.unwrap_or_else(|| panic!("there is no {name}")),
            value,
            at,
        );
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let nulls = choices.iter().any(|c| c["type"] == "null");
        if value.is_null() && nulls {
            return;
        }
        return check(
            document,
            choices.iter().find(|c| c["type"] != "null").unwrap(),
            value,
            at,
        );
    }
    for keyword in schema.as_object().unwrap().keys() {
        let known = [
            "type",
            "description",
            "required",
            "properties",
            "additionalProperties",
            "items",
            "enum",
            "format",
            "pattern",
        ];
        assert!(
            known.contains(&keyword.as_str()),
            "{keyword} at {at}: not supported by this check"
        );
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other} at {at}"),
    };
    assert!(types.iter().any(|t| is(t)), "{at} is {value}, not {types:?}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at} is {value}, not one of {allowed:?}");
    }
    if schema["format"] == "uuid" && value.is_string() {
        assert!(uuid::Uuid::parse_str(value.as_str().unwrap()).is_ok(), "{at}: {value}");
    }
    if schema["pattern"] == "^[0-9a-f]{16}$" {
        let text = value.as_str().unwrap();
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        assert!(text.len() == 16 && hex, "{at}: {value}");
    }
    for item in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], item, &format!("{at}[]"));
    }
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(
            object.contains_key(name.as_str().unwrap()),
            "{at} lacks {name}: {value}"
        );
    }
    for (name, value) in object {
        let schema = properties
            .get(name)
            .unwrap_or_else(|| panic!("{at}.{name} is not in the document"));
        check(document, schema, value, &format!("{at}.{name}"));
    }
}
