//! Meizu (Flyme): "HTTP interface of the PUSH system" (github.com/MEIZUPUSH/PushAPI, README.md).
//!
//! - A form, in which `sign` is the MD5 of all other fields, decoded and sorted by name, as `name=value` without anything
//!   between them, with the app's secret after them.
//! - `POST /garcia/api/server/push/varnished/pushByPushId` with `appId`, `pushIds` and `messageJson`, which is JSON:
//!   `noticeBarInfo` with a `title` of 1 to 32 characters and a `content` of 1 to 100; `clickTypeInfo`, whose `clickType` 3 is
//!   no longer to be used; `pushTimeInfo`, whose `validTime` is in hours.
//! - `code` is "200", 1003 (busy), 1005 (parameters), 1006 (signature), 110000 (appId), 110010 (too fast). With 200, `value`
//!   has the push ids that were refused by the reason: 110002 (not subscribed, or messages switched off), 110003 (illegal).

use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::{APP_ID, GONE, KNOWN, SECRET, Verdict, form, hex};
use crate::http2::HttpRequest;

pub(super) fn judge(request: &HttpRequest) -> Verdict {
    let refused = |message, code: u32| {
        let body = json!({ "code": code.to_string(), "message": message, "value": "", "redirect": "" });
        Err((message, body))
    };
    if request.path != "/garcia/api/server/push/varnished/pushByPushId" {
        return refused("no such interface", 500);
    }
    let form = form(request);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    if get("appId") != APP_ID {
        return refused("appId", 110_000);
    }
    let mut names: Vec<_> = form.keys().filter(|name| *name != "sign").collect();
    names.sort();
    let signed = names
        .iter()
        .fold(String::new(), |all, name| all + name + "=" + get(name));
    if get("sign") != hex(&Md5::digest(format!("{signed}{SECRET}"))) {
        return refused("signature", 1006);
    }
    let message: Value = serde_json::from_str(get("messageJson")).unwrap_or_default();
    let length = |name: &str| {
        message["noticeBarInfo"][name]
            .as_str()
            .map_or(0, |text| text.chars().count())
    };
    let click = &message["clickTypeInfo"];
    let is_fine = (1..=32).contains(&length("title"))
        && (1..=100).contains(&length("content"))
        && click["clickType"].as_u64().is_some_and(|click| click < 3)
        && click["parameters"].is_object()
        && message["pushTimeInfo"]["offLine"].is_u64();
    if !is_fine {
        return refused("parameters", 1005);
    }
    let refused_ids = |code: &str, reason| {
        let value = json!({ code: [get("pushIds")] });
        Err((
            reason,
            json!({ "code": "200", "message": "", "msgId": "c2ee", "value": value }),
        ))
    };
    match get("pushIds") {
        KNOWN => Ok(click["parameters"].to_string()),
        GONE => refused_ids("110002", "not subscribed"),
        _ => refused_ids("110003", "illegal"),
    }
}
