//! OPPO (Heytap), for OnePlus and realme too: OPPO PUSH, server API, as open.oppomobile.com documents it.
//!
//! - "Authentication" (info?id=11234): `POST /server/v1/auth`, a form with `app_key`, `timestamp` (milliseconds; ten
//!   minutes of difference are allowed) and `sign`, the SHA-256 of app_key+timestamp+master_secret; the reply has
//!   `data.auth_token`, for 24 hours.
//! - "Addresses, common parameters and return codes": every request has `auth_token` in its body. `code` is 0, 11 (invalid
//!   auth token), 29 (no auth token), 13, 33 and 55 (limits), -1 and -2 (not available, flow control), 40 (a required
//!   argument is missing), 41 (invalid arguments), 14 to 19 (of the authentication).
//! - "Push to one user" (info?id=11236): `POST /server/v1/message/notification/unicast`, a form in which `message` is JSON,
//!   with `target_type` 2 for a registration id. Codes from 10000 to 20000 are this interface's own; their table was not
//!   available, so that of the stand-in stands for any.
//! - "Notification messages": `title` of at most 50 characters and `content` of at most 200 are required;
//!   `action_parameters` is text; `off_line_ttl` in seconds, ten days at most.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{APP_KEY, KNOWN, Rules, SECRET, Verdict, form, hex, is_now};
use crate::http2::{HttpRequest, Reply};
use crate::oauth::AccessTokens;

pub(super) const TOKEN_PATH: &str = "/server/v1/auth";

pub(super) fn grant(request: &HttpRequest, tokens: &mut AccessTokens) -> Reply {
    let form = form(request);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    let time = get("timestamp");
    let refused = |code: i32, message: &str| Reply::json(200, &json!({ "code": code, "message": message }));
    if get("app_key") != APP_KEY {
        return refused(14, "Invalid App Key");
    }
    if !is_now(time, tokens) {
        return refused(19, "Invalid Timestamp");
    }
    if get("sign") != hex(&Sha256::digest(format!("{APP_KEY}{time}{SECRET}"))) {
        return refused(16, "Invalid Signature");
    }
    let data = json!({ "auth_token": tokens.issue(), "create_time": 1_699_349_600_000_u64 });
    Reply::json(200, &json!({ "code": 0, "message": "Success", "data": data }))
}

pub(super) fn judge(request: &HttpRequest, rules: &Rules) -> Verdict {
    let refused = |message, code: i32| Err((message, json!({ "code": code, "message": message })));
    let form = form(request);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    if request.path != "/server/v1/message/notification/unicast" {
        return refused("Invalid Method", 20);
    }
    match get("auth_token") {
        "" => return refused("Missing Auth Token", 29),
        token if !rules.is_valid(token) => return refused("Invalid AuthToken", 11),
        _ => {}
    }
    let message: Value = serde_json::from_str(get("message")).unwrap_or_default();
    let notification = &message["notification"];
    let length = |name: &str| notification[name].as_str().map_or(0, |text| text.chars().count());
    if message["target_type"] != 2 || length("title") == 0 || length("content") == 0 {
        return refused("Missing Required Arguments", 40);
    }
    let is_ttl = |ttl: &Value| ttl.as_u64().is_some_and(|ttl| ttl <= 10 * 24 * 3600);
    let parameters = notification["action_parameters"].as_str();
    let is_fine = length("title") <= 50 && length("content") <= 200 && is_ttl(&notification["off_line_ttl"]);
    let Some(parameters) = parameters.filter(|text| is_fine && serde_json::from_str::<Value>(text).is_ok()) else {
        return refused("Invalid Arguments", 41);
    };
    match message["target_value"].as_str() {
        Some(KNOWN) => Ok(parameters.to_owned()),
        _ => refused("a code of the interface", 10_000),
    }
}
