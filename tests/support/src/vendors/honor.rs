//! Honor: "Downlink messages" (developer.honor.com/cn/docs/11002/reference/downlink-message), and Honor's own guide to it
//! ("Sending downlink messages", my.oschina.net/u/5873522/blog/10140231).
//!
//! - Access tokens: `POST /auth/token`, OAuth 2.0 client credentials with the app's Client ID and Client Secret, for 3600 s.
//! - `POST /api/v1/{APPID}/sendMessage` with `Authorization: Bearer ..` and `timestamp`, the time in milliseconds; JSON with
//!   a list `token`, `data` as text, and `android`: `ttl` in seconds with an `s`, up to 15 days; a `notification` needs a
//!   title, a body and a `clickAction`.
//! - The reply has `code` 200, and `data` with `sendResult`, `failTokens` and `expireTokens`.
//!
//! The table of other codes was not available. The stand-in's own refusals have HTTP status 401 for the access token, else
//! 200, and Huawei's code for the same, from which Honor's service stems.

use serde_json::{Value, json};

use super::{APP_ID, APP_KEY, KNOWN, Rules, SECRET, Verdict, is_now};
use crate::http2::{HttpRequest, Reply};
use crate::oauth::{AccessTokens, Worth};

pub(super) const TOKEN_PATH: &str = "/auth/token";
/// Why an access token is refused.
pub(super) const UNAUTHORIZED: &str = "authentication error";

pub(super) fn grant(request: &HttpRequest, tokens: &mut AccessTokens) -> Reply {
    let secret = SECRET.replace('-', "%2D");
    let good = format!("grant_type=client_credentials&client_id={APP_KEY}&client_secret={secret}");
    let refusal = json!({
        "error": "unauthorized_client", "error_description": "Invalid client or Invalid client credentials",
    });
    tokens.answer((request.body != good.as_bytes()).then_some((401, refusal)))
}

pub(super) fn judge(request: &HttpRequest, rules: &Rules) -> Verdict {
    let refused = |reason, code: u32| Err((reason, json!({ "code": code, "message": reason })));
    if request.path != format!("/api/v1/{APP_ID}/sendMessage") {
        return refused("no such application", 80_300_002);
    }
    if rules.tokens().worth_of(request) != Worth::Valid {
        return refused(UNAUTHORIZED, 80_200_003);
    }
    if !is_now(request.header("timestamp"), &rules.tokens()) {
        return refused("timestamp", 80_100_001);
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let android = &body["android"];
    let notification = &android["notification"];
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let is_shown = is_text(&notification["title"]) && is_text(&notification["body"]);
    if !(notification.is_null() || is_shown && notification["clickAction"]["type"] == 3) {
        return refused("message structure", 80_100_003);
    }
    let ttl = android["ttl"].as_str().and_then(|ttl| ttl.strip_suffix('s'));
    if !is_text(&body["data"]) || ttl.is_none_or(|ttl| ttl.parse().is_ok_and(|ttl: u32| ttl > 1_296_000)) {
        return refused("message structure", 80_100_003);
    }
    match body["token"].as_array().map(Vec::as_slice) {
        Some([token]) if token == KNOWN => Ok(body["data"].as_str().unwrap_or_default().to_owned()),
        Some([token]) => {
            let data = json!({ "sendResult": false, "requestId": "1", "failTokens": [], "expireTokens": [token] });
            Err(("expired", json!({ "code": 200, "message": "success", "data": data })))
        }
        _ => refused("message structure", 80_100_003),
    }
}
