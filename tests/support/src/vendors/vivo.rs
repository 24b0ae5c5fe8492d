//! vivo, "API interface documents" (dev.vivo.com.cn/documentCenter/doc/362).
//!
//! 1.1: `POST /message/auth` with `appId`, `appKey`, `timestamp` (milliseconds) and `sign`, the MD5 of
//! appId+appKey+timestamp+appSecret; the reply has `authToken`, for a day. 2.1: header `authToken`; the reply has `result`:
//! 0, 10000 (not authenticated), 10302 (illegal regId), 10070 (too many messages).

use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::{APP_ID, APP_KEY, KNOWN, Rules, SECRET, Verdict, hex, is_now};
use crate::http2::{HttpRequest, Reply};
use crate::oauth::AccessTokens;

pub(super) const TOKEN_PATH: &str = "/message/auth";

pub(super) fn grant(request: &HttpRequest, tokens: &mut AccessTokens) -> Reply {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let time = body["timestamp"].to_string();
    let sign = hex(&Md5::digest(format!("{APP_ID}{APP_KEY}{time}{SECRET}")));
    let is_app = body["appId"].as_u64() == APP_ID.parse().ok() && body["appKey"] == APP_KEY;
    let is_json = request.header("content-type").starts_with("application/json");
    if !is_json || !is_app || !is_now(&time, tokens) || body["sign"] != sign {
        return Reply::json(200, &json!({ "result": 10000, "desc": "not authenticated" }));
    }
    Reply::json(200, &json!({ "result": 0, "desc": "ok", "authToken": tokens.issue() }))
}

pub(super) fn judge(request: &HttpRequest, rules: &Rules) -> Verdict {
    let refused = |reason, code: u32| Err((reason, json!({ "result": code, "desc": reason })));
    if request.path != "/message/send" || !rules.is_valid(request.header("authtoken")) {
        return refused("not authenticated", 10000);
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if text("title").is_empty() || text("content").is_empty() || text("requestId").is_empty() {
        return refused("a required parameter is missing", 10050);
    }
    if text("requestId").len() > 64 || !body["notifyType"].is_u64() || !body["skipType"].is_u64() {
        return refused("a parameter is illegal", 10051);
    }
    if body["timeToLive"].as_u64().is_none_or(|ttl| ttl < 60) {
        return refused("timeToLive is 60 s at least", 10052);
    }
    match text("regId") {
        KNOWN => Ok(body["clientCustomMap"].to_string()),
        _ => refused("illegal regId", 10302),
    }
}
